//! Hashing what comes while it comes. Knows nothing of what it is.

use crate::digest::Hasher;

/// The hash of a buffer's bytes, made while they come and are in the core's cache: to read them again takes longer.
pub(super) struct Hashing {
    magic: [u8; 8],
    header: usize,
    hasher: Hasher,
}

impl Hashing {
    /// Of all that is behind `header` bytes, if the first of them are these.
    pub(super) fn new(magic: [u8; 8], header: usize) -> Hashing {
        Hashing {
            magic,
            header: header.max(magic.len()),
            hasher: Hasher::default(),
        }
    }

    pub(super) fn begin_anew(&mut self) {
        self.hasher = Hasher::default();
    }

    /// All from `begin` on is new. Says whether to go on.
    pub(super) fn added(&mut self, all: &[u8], begin: usize) -> bool {
        if all.len() < self.header {
            return true;
        }
        if begin < self.header && !all.starts_with(&self.magic) {
            return false;
        }
        self.hasher.update(&all[begin.max(self.header)..]);
        true
    }

    /// The hash, if so many bytes are more than the header.
    pub(super) fn hash(self, len: usize) -> Option<Hasher> {
        (len >= self.header).then_some(self.hasher)
    }
}
