//! Hashes several chunks at once, where the feature `hash-many` is on and the machine is quicker that
//! way than with one chunk after the other.

use std::thread;

use crate::digest::Digest;
use crate::format::index::Index;
use crate::format::key::Key;
use crate::memory::MemoryShare;

/// How many chunks are hashed at once. Four keep the SHA-256 unit of a core busy. More would be
/// hashed with AVX-512, but each chunk must lie in memory as a whole.
pub(super) const CHUNKS_AT_ONCE: usize = 4;

/// All chunks that are hashed at once take at most one part in so many of a run's memory.
const MEMORY_DIVISOR: usize = 2;

/// Gives the digests of chunks of equal length.
type HashMany = fn(&[&[u8]; CHUNKS_AT_ONCE], Option<&Key>) -> [Digest; CHUNKS_AT_ONCE];

/// Says how several chunks are hashed at once, and how many threads have memory to do so.
#[derive(Clone, Copy)]
pub(crate) struct ManyHasher {
    hash: HashMany,
    /// How many threads may hold [`CHUNKS_AT_ONCE`] chunks.
    pub(super) threads: usize,
}

impl ManyHasher {
    /// Sets memory aside for the chunks. Gives `None` where hashing them one by one is as good:
    /// without the feature, where the CPU is not quicker, where the chunks have different lengths,
    /// and where the run has too little memory.
    pub(super) fn new(index: &Index, share: &mut MemoryShare) -> Option<ManyHasher> {
        let hash = quickest().filter(|_| index.is_fixed())?;
        share.rebalance(0);
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let threads = cores.min(share.slots() / MEMORY_DIVISOR / CHUNKS_AT_ONCE);
        share.set_aside(threads * CHUNKS_AT_ONCE);
        (threads > 0).then_some(ManyHasher { hash, threads })
    }

    /// Which of at most [`CHUNKS_AT_ONCE`] chunks have the digests that they should have.
    pub(super) fn are_right(self, chunks: &[(&[u8], Digest)], key: Option<&Key>) -> Vec<bool> {
        let data: Vec<&[u8]> = chunks.iter().map(|(data, _)| *data).collect();
        let mut right = vec![false; chunks.len()];
        if let Ok(data) = <[&[u8]; CHUNKS_AT_ONCE]>::try_from(data)
            && data.iter().all(|chunk| chunk.len() == data[0].len())
        {
            let found = (self.hash)(&data, key);
            right = (chunks.iter().zip(found))
                .map(|((_, digest), found)| *digest == found)
                .collect();
        }
        // An equal digest is proof, whoever computed it. Whether a digest differs is for `sha2` to
        // say, so that a fault in the other crate can't make a good chunk count as different.
        for (right, (data, digest)) in right.iter_mut().zip(chunks) {
            *right =
                *right || key.map_or_else(|| Digest::of(data), |key| key.digest(data)) == *digest;
        }
        right
    }
}

#[cfg(not(feature = "hash-many"))]
fn quickest() -> Option<HashMany> {
    None
}

/// The function for several chunks, if it is quicker. This is measured once, which takes about a
/// millisecond.
#[cfg(feature = "hash-many")]
fn quickest() -> Option<HashMany> {
    static IS_QUICKER: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    (*IS_QUICKER.get_or_init(is_quicker)).then_some(by_tape_sha256)
}

#[cfg(feature = "hash-many")]
fn by_tape_sha256(chunks: &[&[u8]; CHUNKS_AT_ONCE], key: Option<&Key>) -> [Digest; CHUNKS_AT_ONCE] {
    let secret: &[u8] = key.map_or(&[], Key::digest_secret);
    let mut digests = [[0; 32]; CHUNKS_AT_ONCE];
    tape_sha256::hash_pairs(&[], chunks, &[secret; CHUNKS_AT_ONCE], &mut digests);
    digests.map(Digest::from)
}

/// Whether the function for several chunks takes at most four fifths of the time of `sha2`. A smaller
/// gain would be lost: several chunks leave the core's cache between reading and hashing.
#[cfg(feature = "hash-many")]
fn is_quicker() -> bool {
    use std::hint::black_box;
    use std::time::{Duration, Instant};

    /// Bytes of each piece of the sample, and how many times it is hashed. The quickest time counts,
    /// since other programs only ever add to it.
    const SAMPLE_LEN: usize = 32 << 10;
    const SAMPLES: usize = 8;

    let piece = vec![0; SAMPLE_LEN];
    let pieces = [piece.as_slice(); CHUNKS_AT_ONCE];
    let time = |hash: &dyn Fn() -> [Digest; CHUNKS_AT_ONCE]| {
        let start = Instant::now();
        black_box(hash());
        start.elapsed()
    };
    let [mut many, mut single] = [Duration::MAX; 2];
    for _ in 0..SAMPLES {
        many = many.min(time(&|| by_tape_sha256(black_box(&pieces), None)));
        single = single.min(time(&|| black_box(pieces).map(Digest::of)));
    }
    5 * many <= 4 * single
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hashes one by one.
    fn one_by_one(chunks: &[&[u8]; CHUNKS_AT_ONCE], key: Option<&Key>) -> [Digest; CHUNKS_AT_ONCE] {
        chunks.map(|data| key.map_or_else(|| Digest::of(data), |key| key.digest(data)))
    }

    fn always_wrong(_: &[&[u8]; CHUNKS_AT_ONCE], _: Option<&Key>) -> [Digest; CHUNKS_AT_ONCE] {
        [Digest::of(b"something else"); CHUNKS_AT_ONCE]
    }

    fn functions() -> Vec<HashMany> {
        vec![
            one_by_one,
            always_wrong,
            #[cfg(feature = "hash-many")]
            by_tape_sha256,
        ]
    }

    fn chunk(number: usize, len: usize) -> Vec<u8> {
        let byte = |at: usize| (at * 31 + (at >> 8) * 7 + number * 13) as u8;
        (0..len).map(byte).collect()
    }

    /// Which of the chunks are right, after a byte of those in `changed` was changed.
    fn right(hash: HashMany, lens: &[usize], key: Option<&Key>, changed: &[usize]) -> Vec<bool> {
        let mut chunks: Vec<Vec<u8>> = (lens.iter().enumerate())
            .map(|(number, len)| chunk(number, *len))
            .collect();
        let digest = |data: &Vec<u8>| key.map_or_else(|| Digest::of(data), |key| key.digest(data));
        let digests: Vec<Digest> = chunks.iter().map(digest).collect();
        for number in changed {
            *chunks[*number].last_mut().unwrap() ^= 1;
        }
        let chunks: Vec<(&[u8], Digest)> =
            (chunks.iter().map(Vec::as_slice)).zip(digests).collect();
        ManyHasher { hash, threads: 1 }.are_right(&chunks, key)
    }

    #[test]
    fn a_changed_chunk_is_found_among_others_whoever_hashes() {
        let key = Key::from_bytes([7; 32]);
        for (hash, key) in functions()
            .into_iter()
            .flat_map(|hash| [(hash, None), (hash, Some(&key))])
        {
            assert_eq!(right(hash, &[5000; 4], key, &[]), [true; 4]);
            for changed in 0..4 {
                let found = right(hash, &[5000; 4], key, &[changed]);
                let expected: Vec<bool> = (0..4).map(|number| number != changed).collect();
                assert_eq!(found, expected);
            }
            assert_eq!(right(hash, &[5000; 4], key, &[0, 1, 2, 3]), [false; 4]);
        }
    }

    #[test]
    fn fewer_chunks_and_chunks_of_different_lengths_are_told_apart_too() {
        for hash in functions() {
            assert!(right(hash, &[], None, &[]).is_empty());
            assert_eq!(right(hash, &[100; 3], None, &[1]), [true, false, true]);
            let found = right(hash, &[100, 100, 99, 100], None, &[2]);
            assert_eq!(found, [true, true, false, true]);
        }
    }

    #[cfg(feature = "hash-many")]
    #[test]
    fn digests_of_several_chunks_are_those_of_sha2() {
        let key = Key::from_bytes([7; 32]);
        // The lengths where the padding takes one block more, with and without a secret of 32 bytes.
        let lens = (0..200).chain([1 << 10, (1 << 10) + 23, (1 << 20) - 9, 4 << 20]);
        for len in lens {
            let chunks: [Vec<u8>; 4] = std::array::from_fn(|number| chunk(number, len));
            let chunks = std::array::from_fn(|number| chunks[number].as_slice());
            for key in [None, Some(&key)] {
                assert_eq!(
                    by_tape_sha256(&chunks, key),
                    one_by_one(&chunks, key),
                    "{len} bytes"
                );
            }
        }
    }
}
