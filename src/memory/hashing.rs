//! Hashing the payload of a blob while its bytes are added to a buffer: at that moment the bytes are
//! in the core's cache, and reading them again later takes longer.

use crate::digest::Hasher;

/// The hash of a payload that comes piece by piece.
pub(super) struct PayloadHasher {
    /// What the header begins with.
    magic: [u8; 8],
    /// Bytes before the payload.
    header_len: usize,
    hasher: Hasher,
}

impl PayloadHasher {
    /// For a blob whose header has `header_len` bytes and begins with `magic`.
    pub(super) fn new(magic: [u8; 8], header_len: usize) -> PayloadHasher {
        PayloadHasher {
            magic,
            header_len: header_len.max(magic.len()),
            hasher: Hasher::default(),
        }
    }

    /// Forgets all bytes so far.
    pub(super) fn reset(&mut self) {
        self.hasher = Hasher::default();
    }

    /// Hashes the new bytes of a blob: those from `start` on. Gives `None` once the blob's header
    /// turns out to begin with something other than the magic.
    pub(super) fn update(mut self: Box<Self>, blob: &[u8], start: usize) -> Option<Box<Self>> {
        if blob.len() < self.header_len {
            return Some(self);
        }
        if start < self.header_len && !blob.starts_with(&self.magic) {
            return None;
        }
        self.hasher.update(&blob[start.max(self.header_len)..]);
        Some(self)
    }

    /// The payload's hash, if the blob of `len` bytes has a whole header.
    pub(super) fn finish(self, len: usize) -> Option<Hasher> {
        (len >= self.header_len).then_some(self.hasher)
    }
}
