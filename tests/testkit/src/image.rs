//! Disk images that are never whole in memory: any chunk can be made at any time. Knows nothing of blobs and indexes.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

/// What is in an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Workload {
    /// A used disk: of the chunks 40 % are zeros, 40 % compress to some 40 %, 20 % are random; three in a hundred are
    /// the same as an earlier one.
    Typical,
    /// All chunks are different and compress to some 40 %.
    Zstd,
    /// All chunks are different and random.
    Incompressible,
    /// All chunks are zeros.
    Zeros,
    /// Eight different chunks, in turn.
    Repeats,
}

/// An image, cheap to clone. What is in its chunks follows from the seed and the position.
#[derive(Clone, Debug)]
pub struct Image {
    source: Source,
    len: u64,
    chunk_size: u64,
}

#[derive(Clone, Debug)]
enum Source {
    Made { workload: Workload, seed: u64 },
    Bytes(Arc<[u8]>),
}

impl Image {
    /// An image of `len` bytes in chunks of `chunk_size`; the last may be shorter.
    pub fn new(workload: Workload, seed: u64, len: u64, chunk_size: u64) -> Image {
        let source = Source::Made { workload, seed };
        assert!(chunk_size > 0, "chunks have bytes");
        Image {
            source,
            len,
            chunk_size,
        }
    }

    /// An image of these bytes.
    pub fn from_bytes(bytes: impl Into<Arc<[u8]>>, chunk_size: u64) -> Image {
        let bytes = bytes.into();
        assert!(chunk_size > 0, "chunks have bytes");
        Image {
            len: bytes.len() as u64,
            source: Source::Bytes(bytes),
            chunk_size,
        }
    }

    /// Bytes of the image.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of every chunk but the last.
    pub fn chunk_size(&self) -> u64 {
        self.chunk_size
    }

    /// How many chunks it has.
    pub fn count(&self) -> usize {
        self.len.div_ceil(self.chunk_size) as usize
    }

    /// Bytes of the chunk at this position.
    pub fn chunk_len(&self, position: usize) -> usize {
        let offset = position as u64 * self.chunk_size;
        assert!(offset < self.len, "position {position} is behind the image");
        self.chunk_size.min(self.len - offset) as usize
    }

    /// Fills a slice, which is as long as the chunk at this position, with that chunk.
    pub fn fill(&self, position: usize, chunk: &mut [u8]) {
        assert_eq!(
            chunk.len(),
            self.chunk_len(position),
            "the slice is not a chunk"
        );
        match &self.source {
            Source::Made { workload, seed } => fill(*workload, *seed, position as u64, chunk),
            Source::Bytes(bytes) => {
                let offset = position * self.chunk_size as usize;
                chunk.copy_from_slice(&bytes[offset..offset + chunk.len()]);
            }
        }
    }

    /// The chunk at this position.
    pub fn chunk(&self, position: usize) -> Vec<u8> {
        let mut chunk = vec![0; self.chunk_len(position)];
        self.fill(position, &mut chunk);
        chunk
    }

    /// SHA-256 of the image.
    pub fn sha256(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        let mut chunk = Vec::new();
        for position in 0..self.count() {
            chunk.resize(self.chunk_len(position), 0);
            self.fill(position, &mut chunk);
            hash.update(&chunk);
        }
        hash.finalize().into()
    }
}

/// What can be put into a snapshot as an image.
pub trait IntoImage {
    /// The image; the chunk size is for what has none of its own.
    fn into_image(self, chunk_size: u64) -> Image;
}

impl IntoImage for Image {
    fn into_image(self, _: u64) -> Image {
        self
    }
}

impl IntoImage for &Image {
    fn into_image(self, _: u64) -> Image {
        self.clone()
    }
}

impl IntoImage for Vec<u8> {
    fn into_image(self, chunk_size: u64) -> Image {
        Image::from_bytes(self, chunk_size)
    }
}

impl IntoImage for &[u8] {
    fn into_image(self, chunk_size: u64) -> Image {
        Image::from_bytes(self, chunk_size)
    }
}

/// A small and fast source of bytes that look random (SplitMix64); not for secrets.
#[derive(Clone, Debug)]
pub struct Prng(u64);

impl Prng {
    /// The same seed gives the same bytes.
    pub fn new(seed: u64) -> Prng {
        Prng(seed)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }

    /// Leaves out that many numbers.
    pub fn skip(&mut self, numbers: u64) {
        self.0 = self.0.wrapping_add(STEP.wrapping_mul(numbers));
    }

    /// Fills a slice.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        let (words, rest) = bytes.as_chunks_mut();
        for word in words {
            *word = self.next_u64().to_le_bytes();
        }
        let last = self.next_u64().to_le_bytes();
        rest.copy_from_slice(&last[..rest.len()]);
    }
}

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn fill(workload: Workload, seed: u64, position: u64, chunk: &mut [u8]) {
    let chance = mix(mix(seed) ^ position);
    let mut prng = Prng::new(mix(chance));
    match workload {
        Workload::Typical => match chance % 100 {
            0..3 if position > 0 => fill(workload, seed, (chance >> 8) % position, chunk),
            0..40 => chunk.fill(0),
            40..80 => fill_compressible(&mut prng, chunk),
            _ => prng.fill(chunk),
        },
        Workload::Zstd => fill_compressible(&mut prng, chunk),
        Workload::Incompressible => prng.fill(chunk),
        Workload::Zeros => chunk.fill(0),
        Workload::Repeats if position >= 8 => fill(workload, seed, position % 8, chunk),
        Workload::Repeats => fill_compressible(&mut prng, chunk),
    }
}

/// New letters and repetitions in turn, as in text and programs: zstd has both kinds of work, for entropy and matches.
fn fill_compressible(prng: &mut Prng, chunk: &mut [u8]) {
    let mut at = 0;
    while at < chunk.len() {
        let dice = prng.next_u64() as usize;
        let letters = (4 + dice % 10).min(chunk.len() - at);
        fill_letters(prng, &mut chunk[at..at + letters]);
        at += letters;
        let distance = 1 + (dice >> 8) % at.min(1 << 15);
        let repeated = (6 + (dice >> 32) % 18).min(distance).min(chunk.len() - at);
        chunk.copy_within(at - distance..at - distance + repeated, at);
        at += repeated;
    }
}

/// Letters of an alphabet of 32: five bits each.
fn fill_letters(prng: &mut Prng, bytes: &mut [u8]) {
    for part in bytes.chunks_mut(8) {
        let word = (prng.next_u64() & 0x1f1f_1f1f_1f1f_1f1f) | 0x6060_6060_6060_6060;
        part.copy_from_slice(&word.to_le_bytes()[..part.len()]);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::blob::{BlobKind, encode};
    use crate::key::sha256;

    #[test]
    fn image_is_the_same_in_any_order_of_its_chunks() {
        for workload in [Workload::Typical, Workload::Zstd, Workload::Repeats] {
            let image = Image::new(workload, 7, 100_001, 4096);
            let mut chunks: Vec<Vec<u8>> =
                (0..image.count()).rev().map(|p| image.chunk(p)).collect();
            chunks.reverse();
            assert_eq!(sha256(&chunks.concat()), image.sha256());
        }
    }

    #[test]
    fn bytes_are_an_image() {
        let image = b"hello"[..].into_image(2);
        assert_eq!((image.count(), image.chunk(2)), (3, b"o".to_vec()));
        assert_eq!(image.sha256(), sha256(b"hello"));
    }

    #[test]
    fn typical_image_has_the_promised_shares() {
        let image = Image::new(Workload::Typical, 1, 2000 * 512, 512);
        let chunks: Vec<Vec<u8>> = (0..image.count()).map(|p| image.chunk(p)).collect();
        let is_zero = |chunk: &&Vec<u8>| chunk.iter().all(|byte| *byte == 0);
        let zeros = chunks.iter().filter(is_zero).count();
        let different = chunks.iter().collect::<HashSet<_>>().len();
        assert!((700..900).contains(&zeros), "{zeros} zero chunks");
        let repeats = 2000 - zeros - (different - 1);
        assert!((15..80).contains(&repeats), "{repeats} repeated chunks");
    }

    #[test]
    fn compressible_chunk_compresses_to_some_forty_percent() {
        let chunk = Image::new(Workload::Zstd, 1, 4 << 20, 4 << 20).chunk(0);
        let blob = encode(BlobKind::Zstd, &chunk, None);
        let percent = blob.len() * 100 / chunk.len();
        assert!((36..45).contains(&percent), "compressed to {percent} %");
    }
}
