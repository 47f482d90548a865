//! Chunks that are kept in memory because they are needed again, where a target can't be read back. Knows nothing of how it was
//! decided which.

use std::collections::HashMap;

use crate::format::blob::Verified;
use crate::restore::repeats::Repeat;

#[derive(Debug, Default)]
pub(super) struct Cache {
    /// Where each chunk is needed again, in the order of where it was before.
    next: Vec<Repeat>,
    /// By the position at which they are needed.
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
