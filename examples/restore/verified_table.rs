//! The chunks that a drill knows of: which were verified on which day, and what this run makes of
//! them. A chunk is known by the first 16 bytes of its digest and takes 20 bytes of memory.

use std::collections::HashMap;

use chunk_restore::Digest;

/// How many chunks are kept apart, at the least, before they are sorted in among the others.
const RECENT_MIN: usize = 1 << 16;

pub(crate) type ShortDigest = [u8; 16];

/// What a run makes of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// An earlier run verified the chunk, and this run has not met it.
    Earlier,
    /// An earlier run verified the chunk lately, so this run does not.
    Fresh,
    /// The chunk is not in the sample.
    NotChosen,
    /// The chunk is to be verified.
    Chosen,
    Verified,
    Lost,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) digest: ShortDigest,
    /// The day on which the chunk was verified last, from 1970-01-01.
    pub(crate) day: u16,
    pub(crate) mark: Mark,
}

/// How many different chunks a run met, by what it made of them. Chunks of zeros don't count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) verified: u64,
    pub(crate) lost: u64,
    /// Verified lately by an earlier run.
    pub(crate) fresh: u64,
    pub(crate) not_chosen: u64,
    /// Chosen, and not reached because the run ended early.
    pub(crate) open: u64,
}

impl Counts {
    pub(crate) fn all(&self) -> u64 {
        self.covered() + self.not_chosen + self.open
    }

    /// The chunks that this run or a late one looked at, whatever it found.
    pub(crate) fn covered(&self) -> u64 {
        self.verified + self.lost + self.fresh
    }
}

/// The chunks, by their digests.
#[derive(Debug, Default)]
pub(crate) struct Table {
    sorted: Vec<Entry>,
    recent: HashMap<ShortDigest, (u16, Mark)>,
}

impl Table {
    /// A table of these entries, which are sorted.
    pub(crate) fn of(sorted: Vec<Entry>) -> Table {
        Table {
            sorted,
            recent: HashMap::new(),
        }
    }

    pub(crate) fn get(&self, digest: &Digest) -> Option<(u16, Mark)> {
        let digest = short(digest);
        if let Some(found) = self.recent.get(&digest) {
            return Some(*found);
        }
        let at = self.find(&digest).ok()?;
        Some((self.sorted[at].day, self.sorted[at].mark))
    }

    pub(crate) fn set(&mut self, digest: &Digest, day: u16, mark: Mark) {
        let digest = short(digest);
        if let Ok(at) = self.find(&digest) {
            self.sorted[at] = Entry { digest, day, mark };
            return;
        }
        self.recent.insert(digest, (day, mark));
        if self.recent.len() >= RECENT_MIN.max(self.sorted.len() / 8) {
            self.merge();
        }
    }

    /// All entries, sorted by digest.
    pub(crate) fn entries(&mut self) -> &[Entry] {
        self.merge();
        &self.sorted
    }

    pub(crate) fn counts(&self) -> Counts {
        let marks = self.sorted.iter().map(|entry| entry.mark);
        let recent = self.recent.values().map(|(_, mark)| *mark);
        let mut counts = Counts::default();
        for mark in marks.chain(recent) {
            match mark {
                Mark::Earlier => {}
                Mark::Fresh => counts.fresh += 1,
                Mark::NotChosen => counts.not_chosen += 1,
                Mark::Chosen => counts.open += 1,
                Mark::Verified => counts.verified += 1,
                Mark::Lost => counts.lost += 1,
            }
        }
        counts
    }

    fn find(&self, digest: &ShortDigest) -> Result<usize, usize> {
        self.sorted
            .binary_search_by(|entry| entry.digest.cmp(digest))
    }

    /// Sorts the recent entries in among the others, from the back and in place.
    fn merge(&mut self) {
        let mut recent: Vec<Entry> = (self.recent.drain())
            .map(|(digest, (day, mark))| Entry { digest, day, mark })
            .collect();
        recent.sort_unstable_by_key(|entry| entry.digest);
        let mut old = self.sorted.len();
        self.sorted.reserve_exact(recent.len());
        self.sorted.extend_from_slice(&recent);
        let mut end = self.sorted.len();
        while let Some(entry) = recent.last() {
            end -= 1;
            if old > 0 && self.sorted[old - 1].digest > entry.digest {
                old -= 1;
                self.sorted[end] = self.sorted[old];
            } else {
                self.sorted[end] = *entry;
                recent.pop();
            }
        }
    }
}

/// The part of the digest that the table and the record know a chunk by.
pub(crate) fn short(digest: &Digest) -> ShortDigest {
    let mut short = [0; 16];
    short.copy_from_slice(&digest.as_bytes()[..16]);
    short
}
