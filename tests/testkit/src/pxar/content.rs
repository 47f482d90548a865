//! Bytes that take memory only where they must: given ones, zeros, and random ones that are made when they are read.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::image::Prng;

/// Given bytes up to this length are copied behind one another; longer ones are shared.
const COPIED_MAX: usize = 64 << 10;
const BLOCK: usize = 1 << 20;

/// The content of a file or of an archive: a row of pieces. Two contents are equal if their bytes are.
#[derive(Clone, Default)]
pub struct Content {
    /// Each piece with the offset of its end.
    pieces: Vec<(u64, Piece)>,
}

#[derive(Clone)]
enum Piece {
    Bytes(Arc<Vec<u8>>),
    Zeros,
    Random(u64),
}

impl Content {
    /// No bytes.
    pub fn new() -> Content {
        Content::default()
    }

    /// That many zeros, which take no memory.
    pub fn zeros(len: u64) -> Content {
        let mut content = Content::new();
        content.add(len, Piece::Zeros);
        content
    }

    /// That many bytes that look random and follow from the seed. They take no memory.
    pub fn random(seed: u64, len: u64) -> Content {
        let mut content = Content::new();
        content.add(len, Piece::Random(seed));
        content
    }

    /// How many bytes there are.
    pub fn len(&self) -> u64 {
        self.pieces.last().map_or(0, |(end, _)| *end)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds given bytes at the end.
    pub fn push(&mut self, bytes: &[u8]) {
        if let Some((end, Piece::Bytes(last))) = self.pieces.last_mut()
            && let Some(last) = Arc::get_mut(last)
        {
            last.extend_from_slice(bytes);
            *end += bytes.len() as u64;
        } else {
            self.add(bytes.len() as u64, Piece::Bytes(Arc::new(bytes.to_vec())));
        }
    }

    /// Adds another content at the end.
    pub fn append(&mut self, other: &Content) {
        let mut start = 0;
        for (end, piece) in &other.pieces {
            match piece {
                Piece::Bytes(bytes) if bytes.len() <= COPIED_MAX => self.push(bytes),
                piece => self.add(end - start, piece.clone()),
            }
            start = *end;
        }
    }

    /// `self` followed by `other`.
    pub fn then(mut self, other: impl Into<Content>) -> Content {
        self.append(&other.into());
        self
    }

    /// Fills the buffer with the bytes from this offset on.
    ///
    /// # Panics
    /// There are fewer bytes.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) {
        let end = offset + buffer.len() as u64;
        assert!(end <= self.len(), "byte {end} is behind the content");
        let mut at = offset;
        let mut rest = buffer;
        let mut index = self.pieces.partition_point(|(end, _)| *end <= offset);
        while !rest.is_empty() {
            let (end, piece) = &self.pieces[index];
            let inside = at - self.start(index);
            let len = (end - at).min(rest.len() as u64) as usize;
            let (now, later) = rest.split_at_mut(len);
            piece.fill(inside, now);
            (rest, at, index) = (later, at + len as u64, index + 1);
        }
    }

    /// All bytes.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len() as usize];
        self.read_at(0, &mut bytes);
        bytes
    }

    /// The first bytes, at most that many.
    pub fn truncated(&self, len: u64) -> Content {
        let mut content = Content::new();
        for (index, (end, piece)) in self.pieces.iter().enumerate() {
            let start = self.start(index);
            let kept = (*end).min(len).saturating_sub(start);
            match piece {
                Piece::Bytes(bytes) => content.push(&bytes[..kept as usize]),
                piece => content.add(kept, piece.clone()),
            }
        }
        content
    }

    /// SHA-256 of all bytes.
    pub fn sha256(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        let mut block = Vec::new();
        for (offset, len) in blocks(self.len()) {
            block.resize(len, 0);
            self.read_at(offset, &mut block);
            hash.update(&block);
        }
        hash.finalize().into()
    }

    /// How many zeros follow this offset that take no memory.
    pub(crate) fn zeros_from(&self, offset: u64) -> u64 {
        let index = self.pieces.partition_point(|(end, _)| *end <= offset);
        match self.pieces.get(index) {
            Some((end, Piece::Zeros)) => end - offset,
            _ => 0,
        }
    }

    fn start(&self, index: usize) -> u64 {
        index.checked_sub(1).map_or(0, |index| self.pieces[index].0)
    }

    fn add(&mut self, len: u64, piece: Piece) {
        if len > 0 {
            self.pieces.push((self.len() + len, piece));
        }
    }
}

impl Piece {
    /// The bytes of this piece from `offset` on.
    fn fill(&self, offset: u64, buffer: &mut [u8]) {
        match self {
            Piece::Bytes(bytes) => {
                buffer.copy_from_slice(&bytes[offset as usize..][..buffer.len()])
            }
            Piece::Zeros => buffer.fill(0),
            Piece::Random(seed) => fill_random(*seed, offset, buffer),
        }
    }
}

fn fill_random(seed: u64, offset: u64, buffer: &mut [u8]) {
    let mut prng = Prng::new(seed);
    prng.skip(offset / 8);
    let inside = (offset % 8) as usize;
    let head = if inside == 0 {
        0
    } else {
        buffer.len().min(8 - inside)
    };
    let (head, rest) = buffer.split_at_mut(head);
    if !head.is_empty() {
        head.copy_from_slice(&prng.next_u64().to_le_bytes()[inside..][..head.len()]);
    }
    prng.fill(rest);
}

/// Offset and length of each block of so many bytes.
fn blocks(len: u64) -> impl Iterator<Item = (u64, usize)> {
    let block = move |offset: u64| (offset, (len - offset).min(BLOCK as u64) as usize);
    (0..len).step_by(BLOCK).map(block)
}

impl PartialEq for Content {
    fn eq(&self, other: &Content) -> bool {
        let (mut mine, mut theirs) = (Vec::new(), Vec::new());
        self.len() == other.len()
            && blocks(self.len()).all(|(offset, len)| {
                mine.resize(len, 0);
                theirs.resize(len, 0);
                self.read_at(offset, &mut mine);
                other.read_at(offset, &mut theirs);
                mine == theirs
            })
    }
}

impl Eq for Content {}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = self.truncated(32).to_vec();
        write!(f, "{} bytes, \"{}\"..", self.len(), start.escape_ascii())
    }
}

impl From<&[u8]> for Content {
    fn from(bytes: &[u8]) -> Content {
        Content::from(bytes.to_vec())
    }
}

impl<const N: usize> From<&[u8; N]> for Content {
    fn from(bytes: &[u8; N]) -> Content {
        Content::from(bytes.to_vec())
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Content {
        Content::from(text.as_bytes())
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Content {
        let mut content = Content::new();
        content.add(bytes.len() as u64, Piece::Bytes(Arc::new(bytes)));
        content
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::sha256;

    #[test]
    fn content_reads_the_same_from_any_offset() {
        let content = Content::from(b"given")
            .then(Content::random(7, 100))
            .then(Content::zeros(30))
            .then(vec![9; COPIED_MAX + 1])
            .then(&b"the end"[..]);
        let whole = content.to_vec();
        assert_eq!(whole.len() as u64, content.len());
        assert_eq!(content.sha256(), sha256(&whole));
        assert_eq!(content, Content::from(whole.clone()));
        for start in 0..whole.len().min(150) {
            for len in [0, 1, 7, 8, 9, 60, whole.len() - start] {
                let mut part = vec![1; len];
                content.read_at(start as u64, &mut part);
                assert!(part == whole[start..start + len], "{start}, {len}");
            }
            assert_eq!(content.truncated(start as u64).to_vec(), whole[..start]);
        }
    }

    #[test]
    fn content_that_is_too_large_for_memory_is_made_at_once() {
        let mut content = Content::zeros(1 << 50).then(b"end");
        content.push(b"!");
        let mut end = [1; 6];
        content.read_at((1 << 50) - 2, &mut end);
        assert_eq!(&end, b"\0\0end!");
        assert_eq!(content.zeros_from(5), (1 << 50) - 5);
        assert_ne!(content, Content::zeros((1 << 50) + 3));
    }
}
