//! Which chunks a drill verifies: those of the sample that the record lacks.

use chunk_restore::{Digest, Report};

use crate::drill_arguments::Verify;
use crate::failure::Failure;
use crate::record::Record;
use crate::verified_table::{Mark, Table};

/// Which chunks are verified.
pub(crate) struct Chosen<'a> {
    pub(crate) today: u16,
    pub(crate) max_age: u16,
    pub(crate) takes_all: bool,
    pub(crate) verify: &'a Verify,
    pub(crate) record: Option<Record>,
    pub(crate) table: Table,
}

impl Chosen<'_> {
    pub(crate) fn choose(&mut self, digest: &Digest) -> bool {
        if self.takes_all {
            return true;
        }
        let (day, mark) = match self.table.get(digest) {
            Some((_, Mark::Chosen | Mark::Lost)) => return true,
            Some((_, Mark::Fresh | Mark::NotChosen | Mark::Verified)) => return false,
            Some((day, Mark::Earlier)) if is_fresh(day, self.today, self.max_age) => {
                (day, Mark::Fresh)
            }
            _ => match self.verify.sample {
                Some(sample) if !sample.contains(digest) => (0, Mark::NotChosen),
                _ => (0, Mark::Chosen),
            },
        };
        self.table.set(digest, day, mark);
        mark == Mark::Chosen
    }

    pub(crate) fn record(&mut self, digest: &Digest) {
        if self.takes_all {
            return;
        }
        self.table.set(digest, self.today, Mark::Verified);
        if let Some(record) = &mut self.record {
            let (today, max_age) = (self.today, self.max_age);
            record.save_now_and_then(&mut self.table, |day| is_fresh(day, today, max_age));
        }
    }

    pub(crate) fn lose(&mut self, report: &Report) {
        for damage in report.damage.iter().filter(|_| !self.takes_all) {
            self.table.set(&damage.digest, 0, Mark::Lost);
        }
    }

    pub(crate) fn save(&mut self) -> Result<(), Failure> {
        let (today, max_age) = (self.today, self.max_age);
        match &mut self.record {
            Some(record) => record.save(&mut self.table, |day| is_fresh(day, today, max_age)),
            None => Ok(()),
        }
    }
}

/// Whether a chunk that was verified on that day need not be verified. A day in the future comes
/// from a clock that was wrong.
fn is_fresh(day: u16, today: u16, max_age: u16) -> bool {
    today.checked_sub(day).is_some_and(|age| age < max_age)
}
