//! Buffers for blobs and chunks, which are filled again and again.

use std::fmt;
use std::mem;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use crate::digest::Hasher;

use super::hashing::PayloadHasher;
use super::page_aligned::{PageAligned, lead_before_page};
use super::pool::BufferPool;
use super::received::{Receipt, ReceivedBytes};

/// How many bytes [`Buffer::fill`] reads at once: so few that they are still in the core's cache
/// when they are hashed.
const READ_LEN_MAX: usize = 256 << 10;

/// A buffer for the bytes of a blob or a chunk, which is filled again and again.
///
/// A buffer takes memory when it must grow, and never shrinks; [`clear`](Buffer::clear) keeps the
/// memory for the next use. It reads as a slice of the bytes that were put into it. The buffer of a
/// [`Request`](crate::backend::Request) takes memory from its restore when the first byte is put
/// into it, and gives the memory back when it is dropped.
#[derive(Default)]
pub struct Buffer {
    memory: PageAligned,
    /// How many bytes after the start of a page the first byte lies.
    lead: usize,
    len: usize,
    /// The pool that the memory comes from and goes back to.
    pool: Option<Arc<BufferPool>>,
    /// Counts the bytes that are added while the buffer holds an answer that is not complete.
    receipt: Option<Receipt>,
    /// Hashes the bytes that are added, while the buffer's content can be a blob of the wanted
    /// kind.
    hasher: Option<Box<PayloadHasher>>,
}

impl Buffer {
    /// An empty buffer, which holds no memory yet.
    #[must_use]
    pub fn new() -> Buffer {
        Buffer::default()
    }

    /// An empty buffer, which takes its memory from a pool once it needs any.
    pub(super) fn from_pool(pool: Arc<BufferPool>) -> Buffer {
        let mut buffer = Buffer::new();
        buffer.pool = Some(pool);
        buffer
    }

    /// Makes room for `capacity` bytes in all, so that filling the buffer up to there allocates
    /// nothing. Pages of the buffer that nobody writes to cost no memory.
    pub fn reserve(&mut self, capacity: usize) {
        if capacity <= self.capacity() {
            return;
        }
        if let Some(pool) = &self.pool
            && self.capacity() == 0
        {
            self.memory = pool.take();
        }
        if capacity > self.capacity() {
            let mut memory = PageAligned::new(capacity);
            memory.bytes_mut(self.lead)[..self.len].copy_from_slice(self);
            self.memory = memory;
        }
    }

    /// How many bytes the buffer can hold without taking more memory.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.memory.capacity()
    }

    /// Forgets the bytes, but keeps the memory.
    pub fn clear(&mut self) {
        self.withdraw_received();
        self.len = 0;
        if let Some(hasher) = &mut self.hasher {
            hasher.reset();
        }
    }

    /// Forgets all but the first `len` bytes, but keeps the memory.
    ///
    /// A restore hashes the bytes of a blob while they are added. This hash is lost where any byte is
    /// forgotten, and is made anew by the decoder.
    pub fn truncate(&mut self, len: usize) {
        if len < self.len {
            self.len = len;
            self.hasher = None;
        }
    }

    /// Makes the buffer `len` bytes long and gives all of them to be written to. Until they are
    /// written, the bytes' values are unspecified.
    ///
    /// The bytes that are written here are not hashed while they come, unlike those of
    /// [`extend_from_slice`](Buffer::extend_from_slice): the decoder hashes them later.
    pub fn space(&mut self, len: usize) -> &mut [u8] {
        self.withdraw_received();
        // `reserve` would copy the old bytes.
        self.len = 0;
        self.reserve(len);
        self.len = len;
        self.bytes_mut()
    }

    /// Adds bytes at the end.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        if end > self.capacity() {
            self.reserve(end.max(2 * self.capacity()));
        }
        self.memory.bytes_mut(self.lead)[self.len..end].copy_from_slice(bytes);
        self.record_added(end);
    }

    /// Adds up to `len` bytes at the end. `read` puts bytes into the slice that it is given, and says
    /// how many; 0 is the end.
    ///
    /// # Errors
    /// The error of `read`. The bytes that came before the error stay in the buffer.
    pub(crate) fn fill<E>(
        &mut self,
        len: usize,
        mut read: impl FnMut(&mut [u8]) -> Result<usize, E>,
    ) -> Result<(), E> {
        let end = self.len + len;
        self.reserve(end);
        while self.len < end {
            let max = READ_LEN_MAX.min(end - self.len);
            match read(&mut self.memory.bytes_mut(self.lead)[self.len..][..max])? {
                0 => break,
                count => self.record_added(self.len + count.min(max)),
            }
        }
        Ok(())
    }

    /// The buffer's bytes, to be changed in place, as decryption does.
    ///
    /// The hash that was made while the bytes were added is lost, and no hash is made of bytes that
    /// are added later: take the hash before, by [`take_hash`](Buffer::take_hash).
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        self.hasher = None;
        &mut self.memory.bytes_mut(self.lead)[..self.len]
    }

    /// From now on hashes the payload of a blob while the blob is added, if its header of
    /// `header_len` bytes begins with `magic`. Only for a buffer that is empty.
    pub(crate) fn hash_payload(&mut self, magic: [u8; 8], header_len: usize) {
        self.hasher = Some(Box::new(PayloadHasher::new(magic, header_len)));
    }

    /// From now on the bytes behind a header of `header_len` bytes start on a page, so that they can be
    /// written to a disk past the page cache as they are. Only for a buffer that is empty.
    pub(crate) fn start_page_behind(&mut self, header_len: usize) {
        self.lead = lead_before_page(header_len);
    }

    /// The hash of the payload, where it was made while the blob was added, and the blob has not
    /// been changed since. The hash is given only once.
    pub(crate) fn take_hash(&mut self) -> Option<Hasher> {
        self.hasher.take()?.finish(self.len)
    }

    /// From now on the bytes that are added count as received. They are taken off the count again
    /// when the buffer is cleared or dropped, unless the answer was
    /// [confirmed](Buffer::confirm_received) to be complete.
    pub(crate) fn count_received(&mut self, received: &Arc<ReceivedBytes>) {
        self.receipt = Some(Receipt::new(Arc::clone(received)));
    }

    /// The answer in the buffer is complete: its bytes count as received for good, whatever becomes
    /// of them. Bytes that are added later don't count. Returns how long ago the first byte came.
    pub(crate) fn confirm_received(&mut self) -> Duration {
        let receipt = self.receipt.take();
        receipt.map_or(Duration::ZERO, Receipt::confirm)
    }

    /// Forgets the part of an answer: the chunk will be asked for again.
    fn withdraw_received(&mut self) {
        if let Some(receipt) = &mut self.receipt {
            receipt.withdraw();
        }
    }

    /// Bytes were added: the buffer is `end` bytes long now.
    fn record_added(&mut self, end: usize) {
        let start = mem::replace(&mut self.len, end);
        if let Some(receipt) = &mut self.receipt {
            receipt.add(end - start);
        }
        if let Some(hasher) = self.hasher.take() {
            self.hasher = hasher.update(self, start);
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory.bytes(self.lead)[..self.len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take()
            && self.capacity() > 0
        {
            pool.give_back(mem::take(&mut self.memory));
        }
    }
}

impl fmt::Debug for Buffer {
    // The bytes are never shown: they are part of somebody's disk.
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
        buffer.hash_payload(MAGIC, 12);
        buffer
    }

    fn hash_of(bytes: &[u8]) -> crate::digest::Digest {
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
            |buffer| buffer.bytes_mut()[100] ^= 1,
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
    fn what_is_behind_a_header_starts_on_a_page_also_after_the_buffer_has_grown() {
        let address = |buffer: &Buffer, at: usize| buffer[at..].as_ptr().addr() % 4096;
        for header_len in [0, 12, 44] {
            let mut buffer = Buffer::new();
            buffer.start_page_behind(header_len);
            for len in [100, 10_000, 1_000_000] {
                let added: Vec<u8> = (buffer.len()..len).map(|at| at as u8).collect();
                buffer.extend_from_slice(&added);
                assert_eq!(address(&buffer, header_len), 0, "{header_len} of {len}");
                assert!(
                    buffer
                        .iter()
                        .enumerate()
                        .all(|(at, byte)| at as u8 == *byte)
                );
            }
        }
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
    fn the_bytes_of_an_answer_count_once_it_is_complete_and_those_of_half_an_answer_do_not() {
        let received = Arc::new(ReceivedBytes::default());
        let mut buffer = Buffer::new();
        buffer.count_received(&received);
        buffer.extend_from_slice(&[1; 100]);
        assert_eq!(received.total(), 100, "they count while they come");
        buffer.clear();
        assert_eq!(received.total(), 0);
        buffer.extend_from_slice(&[2; 30]);
        assert_eq!(received.total(), 30);
        buffer.space(50).fill(3);
        assert_eq!(
            received.total(),
            0,
            "nobody sees how much of the space was written"
        );
        buffer.extend_from_slice(&[4; 7]);
        buffer.confirm_received();
        buffer.clear();
        buffer.extend_from_slice(&[5; 1000]);
        assert_eq!(received.total(), 7);
        let mut half = Buffer::new();
        half.count_received(&received);
        half.extend_from_slice(&[6; 100]);
        assert_eq!(received.total(), 107);
        drop((buffer, half));
        assert_eq!(received.total(), 7);
    }
}
