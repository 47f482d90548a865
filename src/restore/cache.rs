//! Keeps chunks in memory that are needed again, for targets that can't be read back. `repeats`
//! decides which chunks.

use std::collections::HashMap;

use crate::format::blob::Verified;
use crate::restore::repeats::Repeat;

#[derive(Debug, Default)]
pub(super) struct Cache {
    /// Where each kept chunk is needed again, sorted by where it occurred before.
    next: Vec<Repeat>,
    /// The kept chunks, by the position at which each is needed.
    chunks: HashMap<usize, Verified>,
}

impl Cache {
    pub(super) fn new(repeats: &[Repeat]) -> Cache {
        let mut next = repeats.to_vec();
        next.sort_unstable_by_key(|repeat| repeat.origin);
        Cache {
            next,
            chunks: HashMap::new(),
        }
    }

    /// Keeps the chunk of a position if it is needed again.
    pub(super) fn keep(&mut self, position: usize, chunk: Verified) {
        let by_origin = |repeat: &Repeat| (repeat.origin as usize).cmp(&position);
        let Ok(found) = self.next.binary_search_by(by_origin) else {
            return;
        };
        let needed = self.next[found].position as usize;
        self.chunks.insert(needed, chunk);
    }

    /// The chunk that was kept for a position.
    pub(super) fn take(&mut self, position: usize) -> Option<Verified> {
        self.chunks.remove(&position)
    }
}
