//! Puts the chunks of images and archives into a store, with some threads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::blob::encode_auto;
use crate::image::Prng;
use crate::key::{TestKey, chunk_digest};
use crate::pxar::Content;
use crate::store::Store;

/// Puts so many chunks, each made by `fill` from its position; gives their digests by position.
pub(crate) fn put_chunks(
    count: usize,
    fill: &(dyn Fn(usize, &mut Vec<u8>) + Sync),
    key: Option<&TestKey>,
    store: &dyn Store,
) -> Vec<[u8; 32]> {
    let next = AtomicUsize::new(0);
    let put_some = || {
        let mut chunk = Vec::new();
        let mut done = Vec::new();
        loop {
            let position = next.fetch_add(1, Ordering::Relaxed);
            if position >= count {
                return done;
            }
            fill(position, &mut chunk);
            done.push((position, put_chunk(&chunk, key, store)));
        }
    };
    let threads = thread::available_parallelism().map_or(2, |cores| cores.get().clamp(2, 8));
    let mut digests = vec![[0; 32]; count];
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(put_some)).collect();
        for thread in threads {
            for (position, digest) in thread.join().expect("a chunk can be put") {
                digests[position] = digest;
            }
        }
    });
    digests
}

fn put_chunk(data: &[u8], key: Option<&TestKey>, store: &dyn Store) -> [u8; 32] {
    let digest = chunk_digest(data, key);
    if !store.has_chunk(&digest) {
        store.put_chunk(&digest, &encode_auto(data, key));
    }
    digest
}

/// Cuts an archive into chunks of random lengths; gives their ends. As in a backup, a long row of zeros becomes chunks
/// of the greatest length, which are stored once.
pub(crate) fn cut(content: &Content, average: u64, seed: u64) -> Vec<u64> {
    let mut prng = Prng::new(seed);
    let (len_min, len_max) = (average / 4, 4 * average);
    let mut ends = Vec::new();
    let mut at = 0;
    while at < content.len() {
        let len = if content.zeros_from(at) >= len_max {
            len_max
        } else {
            len_min + prng.next_u64() % (2 * (average - len_min) + 1)
        };
        at = content.len().min(at + len.max(1));
        ends.push(at);
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_is_cut_into_chunks_of_random_lengths_and_zeros_into_equal_ones() {
        let content = Content::random(1, 100_000)
            .then(Content::zeros(1 << 30))
            .then(b"end");
        let ends = cut(&content, 1 << 16, 7);
        assert_eq!(ends, cut(&content, 1 << 16, 7));
        assert_ne!(ends, cut(&content, 1 << 16, 8));
        assert!(ends.is_sorted_by(|a, b| a < b));
        assert_eq!(ends.last(), Some(&content.len()));
        let long = ends.windows(2).filter(|ends| ends[1] - ends[0] == 4 << 16);
        assert!(long.count() > 4000);
        assert!(cut(&Content::new(), 1 << 16, 7).is_empty());
        assert_eq!(cut(&b"abc".into(), 1, 7).last(), Some(&3));
    }
}
