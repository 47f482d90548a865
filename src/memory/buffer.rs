//! Buffers that circulate between writer and workers. Knows nothing of what is in them.

use std::fmt;
use std::mem;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use crate::digest::Hasher;

use super::hashing::Hashing;
use super::pool::{BufferPool, Memory};

/// So much is read at once that it is still in the core's cache when it is looked at.
const PIECE: usize = 256 << 10;

/// A buffer for the bytes of a blob or a chunk, that is filled again and again.
///
/// It takes memory when it must grow, and never shrinks; [`clear`](Buffer::clear) keeps the memory for the next use.
/// It reads as a slice of the bytes that were put into it. The buffer of a [`Request`](crate::backend::Request) takes memory of its
/// restore's, with the first byte that is put into it, and gives it back when it is dropped.
#[derive(Default)]
pub struct Buffer {
    memory: Memory,
    len: usize,
    home: Option<Arc<BufferPool>>,
    /// Bytes that count as received, until they turn out to be in vain; `None` where nothing is received here.
    counted: Option<usize>,
    hashing: Option<Box<Hashing>>,
}

impl Buffer {
    /// An empty buffer, which holds no memory yet.
    #[must_use]
    pub fn new() -> Buffer {
        Buffer::default()
    }

    /// One that takes its memory from there, when it needs any.
    pub(super) fn of(home: Arc<BufferPool>) -> Buffer {
        let mut buffer = Buffer::new();
        buffer.home = Some(home);
        buffer
    }

    /// Makes room for `capacity` bytes in all, so that filling it up to there allocates nothing. Pages of it that
    /// nobody writes to cost no memory.
    pub fn reserve(&mut self, capacity: usize) {
        if capacity <= self.capacity() {
            return;
        }
        if let Some(home) = &self.home
            && self.capacity() == 0
        {
            self.memory = home.take();
        }
        if capacity > self.capacity() {
            let mut memory = Memory::new(capacity);
            memory.space()[..self.len].copy_from_slice(self);
            self.memory = memory;
        }
    }

    /// How many bytes it can hold without taking more memory.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.memory.capacity()
    }

    /// Forgets the bytes, keeps the memory.
    pub fn clear(&mut self) {
        self.discount();
        self.len = 0;
        if let Some(hashing) = &mut self.hashing {
            hashing.begin_anew();
        }
    }

    /// Forgets all but the first `len` bytes, keeps the memory.
    pub fn truncate(&mut self, len: usize) {
        if len < self.len {
            self.len = len;
            self.hashing = None;
        }
    }

    /// Makes the buffer `len` bytes long and gives all of them to be written to; what they hold is unspecified.
    pub fn space(&mut self, len: usize) -> &mut [u8] {
        self.discount();
        // Nothing is carried over, and what will be written is not seen.
        (self.len, self.hashing) = (0, None);
        self.reserve(len);
        self.len = len;
        self
    }

    /// Adds bytes at the end.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        if end > self.capacity() {
            self.reserve(end.max(2 * self.capacity()));
        }
        self.memory.space()[self.len..end].copy_from_slice(bytes);
        self.grown(end);
    }

    /// Adds up to `len` bytes that `read` puts there, which says how many they are; none are the end.
    ///
    /// # Errors
    /// That of `read`.
    pub(crate) fn fill<E>(
        &mut self,
        len: usize,
        mut read: impl FnMut(&mut [u8]) -> Result<usize, E>,
    ) -> Result<(), E> {
        let end = self.len + len;
        self.reserve(end);
        while self.len < end {
            let piece = PIECE.min(end - self.len);
            match read(&mut self.memory.space()[self.len..][..piece])? {
                0 => break,
                count => self.grown(self.len + count.min(piece)),
            }
        }
        Ok(())
    }

    /// Hashes what is behind `header` bytes while it is added, if the first of them are these.
    pub(crate) fn hash_behind(&mut self, magic: [u8; 8], header: usize) {
        self.hashing = Some(Box::new(Hashing::new(magic, header)));
    }

    /// The hash of all that is behind the header, where it was made.
    pub(crate) fn take_hash(&mut self) -> Option<Hasher> {
        self.hashing.take()?.hash(self.len)
    }

    /// From now on what is added here is the answer of a place, and counts as received.
    pub(crate) fn count_received(&mut self) {
        self.counted = Some(0);
    }

    /// An answer is whole: its bytes did not come in vain, whatever becomes of them.
    pub(crate) fn set_whole(&mut self) {
        self.counted = None;
    }

    /// What came is of no use: half of an answer, which will be asked for again.
    fn discount(&mut self) {
        if let (Some(home), Some(counted)) = (&self.home, &mut self.counted) {
            home.record_in_vain(mem::take(counted));
        }
    }

    fn grown(&mut self, end: usize) {
        let begin = mem::replace(&mut self.len, end);
        if let (Some(home), Some(counted)) = (&self.home, &mut self.counted) {
            home.record_received(end - begin);
            *counted += end - begin;
        }
        if let Some(mut hashing) = self.hashing.take() {
            self.hashing = hashing.added(self, begin).then_some(hashing);
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory.bytes()[..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        // They may become others than were hashed.
        self.hashing = None;
        &mut self.memory.space()[..self.len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.discount();
        if let Some(home) = self.home.take()
            && self.capacity() > 0
        {
            home.give_back(mem::take(&mut self.memory));
        }
    }
}

impl fmt::Debug for Buffer {
    // Never the bytes: they are somebody's disk.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} of {} bytes)", self.len, self.capacity())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAGIC: [u8; 8] = *b"8 bytes.";

    /// A header of 12 bytes, and more.
    fn bytes() -> Vec<u8> {
        let payload = (0..1000_u32).flat_map(u32::to_le_bytes);
        MAGIC.into_iter().chain(*b"more").chain(payload).collect()
    }

    fn watched() -> Buffer {
        let mut buffer = Buffer::new();
        buffer.hash_behind(MAGIC, 12);
        buffer
    }

    fn hash_of(bytes: &[u8]) -> crate::Digest {
        let mut hasher = Hasher::default();
        hasher.update(bytes);
        hasher.finish()
    }

    #[test]
    fn what_comes_is_hashed_however_it_is_cut() {
        let bytes = bytes();
        for piece in [1, 7, 8, 11, 12, 13, 64, 1000, bytes.len()] {
            let mut added = watched();
            bytes
                .chunks(piece)
                .for_each(|piece| added.extend_from_slice(piece));
            let mut filled = watched();
            let mut rest = &bytes[..];
            let read = |space: &mut [u8]| {
                let (now, later) = rest.split_at(piece.min(space.len()).min(rest.len()));
                space[..now.len()].copy_from_slice(now);
                rest = later;
                Ok::<_, ()>(now.len())
            };
            filled.fill(bytes.len() + 1, read).expect("it never fails");
            for mut buffer in [added, filled] {
                assert_eq!(buffer[..], bytes[..]);
                let hash = buffer.take_hash().expect("it was watched");
                assert_eq!(hash.finish(), hash_of(&bytes[12..]), "in pieces of {piece}");
            }
        }
    }

    #[test]
    fn what_was_changed_or_cut_or_begins_otherwise_has_no_hash() {
        let bytes = bytes();
        let changes: [fn(&mut Buffer); 4] = [
            |buffer| buffer[100] ^= 1,
            |buffer| buffer.truncate(100),
            |buffer| buffer.space(100).fill(1),
            |buffer| {
                buffer.clear();
                buffer.extend_from_slice(&[0; 100]);
            },
        ];
        for change in changes {
            let mut buffer = watched();
            buffer.extend_from_slice(&bytes);
            change(&mut buffer);
            assert!(buffer.take_hash().is_none());
        }
        let mut short = watched();
        short.extend_from_slice(&bytes[..11]);
        assert!(short.take_hash().is_none());
    }

    #[test]
    fn a_buffer_that_is_cleared_begins_anew() {
        let bytes = bytes();
        let mut buffer = watched();
        buffer.extend_from_slice(&bytes[..500]);
        buffer.clear();
        buffer.extend_from_slice(&bytes);
        let hash = buffer.take_hash().expect("it is watched still");
        assert_eq!(hash.finish(), hash_of(&bytes[12..]));
    }

    #[test]
    fn memory_goes_round_and_is_freed_beyond_the_limit() {
        let spares = BufferPool::new(1000);
        let mut buffers: Vec<Buffer> = (0..3).map(|_| spares.buffer()).collect();
        assert_eq!(format!("{spares:?}"), "BufferPool(0 of 0 idle)");
        buffers
            .iter_mut()
            .for_each(|buffer| buffer.extend_from_slice(b"a byte"));
        assert_eq!(buffers[0].capacity(), 1000);
        spares.limit(2);
        assert_eq!(format!("{spares:?}"), "BufferPool(0 of 3 idle)");
        drop(buffers);
        assert_eq!(format!("{spares:?}"), "BufferPool(2 of 2 idle)");
        spares.limit(1);
        assert_eq!(format!("{spares:?}"), "BufferPool(1 of 1 idle)");
    }
}
