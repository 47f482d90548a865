//! Which chunks a drill verifies: those of the sample that the record lacks.

use chunk_restore::{Digest, Sample};

use crate::due::Due;
use crate::failure::Failure;
use crate::record::Record;
use crate::verified_table::{Mark, Table, short};

/// Which chunks are verified.
pub(crate) struct Chosen {
    pub(crate) due: Due,
    pub(crate) takes_all: bool,
    pub(crate) sample: Option<Sample>,
    pub(crate) record: Option<Record>,
    pub(crate) table: Table,
}

impl Chosen {
    pub(crate) fn choose(&mut self, digest: &Digest) -> bool {
        if self.takes_all {
            return true;
        }
        let (day, mark) = match self.table.get(digest) {
            Some((_, Mark::Chosen | Mark::Lost)) => return true,
            Some((_, Mark::Fresh | Mark::NotChosen | Mark::Verified)) => return false,
            Some((day, Mark::Earlier)) if self.due.is_fresh(&short(digest), day) => {
                (day, Mark::Fresh)
            }
            _ => match self.sample {
                Some(sample) if !sample.contains(digest) => (0, Mark::NotChosen),
                _ => (0, Mark::Chosen),
            },
        };
        self.table.set(digest, day, mark);
        mark == Mark::Chosen
    }

    /// Records a chunk that is right. A chunk that was lost a moment ago, in another snapshot, stays
    /// lost: the next run looks at it again.
    pub(crate) fn record(&mut self, digest: &Digest) {
        if self.takes_all || matches!(self.table.get(digest), Some((_, Mark::Lost))) {
            return;
        }
        self.table.set(digest, self.due.today, Mark::Verified);
        if let Some(record) = &mut self.record {
            record.save_now_and_then(&mut self.table, self.due);
        }
    }

    pub(crate) fn lose(&mut self, digest: &Digest) {
        if !self.takes_all {
            self.table.set(digest, 0, Mark::Lost);
        }
    }

    pub(crate) fn save(&mut self) -> Result<(), Failure> {
        match &mut self.record {
            Some(record) => record.save(&mut self.table, self.due),
            None => Ok(()),
        }
    }
}
