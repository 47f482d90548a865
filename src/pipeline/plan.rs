//! What is to be done for every chunk, decided before anything is fetched. Does no I/O.

use crate::digest::Digest;
use crate::format::index::Index;
use crate::format::key::Key;

/// What a restore will do, known before it starts.
///
/// It takes one byte of memory for each chunk.
#[derive(Clone, Debug)]
pub struct Plan {
    steps: Vec<Step>,
    zeros: u64,
    chunks_to_fetch: usize,
}

/// What is to be done for one chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Its digest is that of zeros.
    Zero,
    /// It must be fetched.
    Fetch,
}

impl Plan {
    pub(crate) fn new(index: &Index, key: Option<&Key>) -> Plan {
        let zeros = ZeroDigests::new(index, key);
        let mut plan = Plan {
            steps: Vec::with_capacity(index.count()),
            zeros: 0,
            chunks_to_fetch: 0,
        };
        for chunk in index.chunks() {
            if zeros.contains(&chunk.digest, chunk.len) {
                plan.steps.push(Step::Zero);
                plan.zeros += u64::from(chunk.len);
            } else {
                plan.steps.push(Step::Fetch);
                plan.chunks_to_fetch += 1;
            }
        }
        plan
    }

    /// How many bytes are chunks of zeros, which are not fetched.
    #[must_use]
    pub fn zeros(&self) -> u64 {
        self.zeros
    }

    /// How many chunks will be fetched.
    #[must_use]
    pub fn chunks_to_fetch(&self) -> usize {
        self.chunks_to_fetch
    }

    /// The step for the chunk at a position; `None` beyond the last.
    pub(crate) fn step(&self, position: usize) -> Option<Step> {
        self.steps.get(position).copied()
    }
}

/// The digests of an image's two lengths of chunk, were they all zeros. An archive's chunks have any length, and
/// hold no runs of zeros worth the hashing.
struct ZeroDigests([Option<(u32, Digest)>; 2]);

impl ZeroDigests {
    fn new(index: &Index, key: Option<&Key>) -> ZeroDigests {
        let digest = |len: u32| {
            let zeros = vec![0; len as usize];
            let digest = key.map_or_else(|| Digest::of(&zeros), |key| key.digest(&zeros));
            (len, digest)
        };
        if !index.is_fixed() {
            return ZeroDigests([None; 2]);
        }
        let first = index.chunk(0).map(|chunk| chunk.len);
        let last = index
            .count()
            .checked_sub(1)
            .and_then(|last| index.chunk(last));
        let shorter = last
            .map(|chunk| chunk.len)
            .filter(|len| Some(*len) != first);
        ZeroDigests([first.map(digest), shorter.map(digest)])
    }

    fn contains(&self, digest: &Digest, len: u32) -> bool {
        self.0.iter().flatten().any(|zero| *zero == (len, *digest))
    }
}
