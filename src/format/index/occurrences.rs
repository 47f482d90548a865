//! Finds where the digests of an index occur, and which of them occur more than once.

use std::cmp::Ordering;

use crate::digest::Digest;
use crate::format::index::Index;

/// Where each digest of an index occurs. Each chunk takes 8 bytes: the start of its digest in the
/// upper half, and its position in the lower half; the entries are sorted. Every method takes the
/// index as an argument: it must be the index that the occurrences were made from.
#[derive(Debug)]
pub(crate) struct Occurrences {
    sorted: Vec<u64>,
}

impl Occurrences {
    /// Collects the occurrences of digests at these positions.
    pub(crate) fn new(index: &Index, positions: impl Iterator<Item = usize>) -> Occurrences {
        let entry = |position: usize| {
            // A position that does not fit 4 bytes is left out: the chunk there is fetched, however
            // often it occurs.
            let position = u32::try_from(position).ok()?;
            let digest = index.chunk(position as usize)?.digest;
            Some(start_of(&digest) << 32 | u64::from(position))
        };
        let mut sorted: Vec<u64> = positions.filter_map(entry).collect();
        sorted.sort_unstable();
        // Digests with the same start, by chance or on purpose, are sorted by the whole digest.
        for alike in sorted.chunk_by_mut(|one, next| one >> 32 == next >> 32) {
            if alike.len() > 1 {
                alike.sort_by_key(|entry| digest_of(index, *entry));
            }
        }
        Occurrences { sorted }
    }

    /// Calls `found` with the positions of each digest that occurs more than once; the positions
    /// are sorted.
    pub(crate) fn for_each_repeated(
        &self,
        index: &Index,
        mut found: impl FnMut(&mut dyn Iterator<Item = u32>),
    ) {
        let digest = |entry: &u64| digest_of(index, *entry);
        let is_same =
            |one: &u64, next: &u64| one >> 32 == next >> 32 && digest(one) == digest(next);
        for same in self.sorted.chunk_by(is_same) {
            if same.len() > 1 {
                found(&mut same.iter().map(|entry| *entry as u32));
            }
        }
    }

    /// A position at which a digest occurs.
    pub(crate) fn find(&self, index: &Index, digest: &Digest) -> Option<usize> {
        let start = start_of(digest);
        let is_before = |entry: &u64| match (entry >> 32).cmp(&start) {
            Ordering::Equal => digest_of(index, *entry).as_ref() < Some(digest),
            order => order == Ordering::Less,
        };
        let entry = *self.sorted.get(self.sorted.partition_point(is_before))?;
        (digest_of(index, entry) == Some(*digest)).then_some(entry as u32 as usize)
    }
}

fn digest_of(index: &Index, entry: u64) -> Option<Digest> {
    index.chunk(entry as u32 as usize).map(|chunk| chunk.digest)
}

fn start_of(digest: &Digest) -> u64 {
    let [a, b, c, d, ..] = *digest.as_bytes();
    u32::from_be_bytes([a, b, c, d]).into()
}
