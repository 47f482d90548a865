//! Memory that circulates between writer and workers. Knows nothing of what is in it.

use std::fmt;
use std::ops::{Deref, DerefMut};

use parking_lot::Mutex;

/// Bytes that start on a page: glibc and the kernel copy large blocks with `rep movsb`, which on Zen 3 falls from
/// 40 to 1.7 GB/s when the destination lies a few bytes after the source modulo 4096, as it does when page-cache
/// pages are copied into a block of malloc's.
const PAGE: usize = 4096;

/// A buffer for the bytes of a blob or a chunk, that is filled again and again.
///
/// It allocates when it must grow, and never shrinks; [`clear`](Buffer::clear) keeps the memory for the next use.
/// It reads as a slice of the bytes that were put into it.
#[derive(Default)]
pub struct Buffer {
    memory: Vec<u8>,
    start: usize,
    len: usize,
}

impl Buffer {
    /// An empty buffer, which holds no memory yet.
    #[must_use]
    pub fn new() -> Buffer {
        Buffer::default()
    }

    /// Makes room for `capacity` bytes in all, so that filling it up to there allocates nothing. Pages of it that
    /// nobody writes to cost no memory.
    pub fn reserve(&mut self, capacity: usize) {
        if capacity <= self.capacity() {
            return;
        }
        let mut memory = vec![0; capacity + PAGE];
        let start = memory.as_ptr().align_offset(PAGE).min(PAGE);
        memory[start..start + self.len].copy_from_slice(self);
        (self.memory, self.start) = (memory, start);
    }

    /// How many bytes it can hold without allocating.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.memory.len().saturating_sub(PAGE)
    }

    /// Forgets the bytes, keeps the memory.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Forgets all but the first `len` bytes, keeps the memory.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Makes the buffer `len` bytes long and gives all of them to be written to; what they hold is unspecified.
    pub fn space(&mut self, len: usize) -> &mut [u8] {
        // Nothing is carried over.
        self.len = 0;
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
        self.memory[self.start + self.len..self.start + end].copy_from_slice(bytes);
        self.len = end;
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.len]
    }
}

impl fmt::Debug for Buffer {
    // Never the bytes: they are somebody's disk.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} of {} bytes)", self.len, self.capacity())
    }
}

/// Buffers of one size that are not in use. The last to come back is the first to go out: its memory is there, and warm,
/// while a buffer that was never used costs a page fault for every page.
#[derive(Debug)]
pub(crate) struct Spares {
    capacity: usize,
    spares: Mutex<Vec<Buffer>>,
}

impl Spares {
    /// None yet. Each buffer has room for `capacity` bytes.
    pub(crate) fn new(capacity: usize) -> Spares {
        Spares {
            capacity,
            spares: Mutex::default(),
        }
    }

    /// An empty buffer.
    pub(crate) fn take(&self) -> Buffer {
        let mut buffer = self.spares.lock().pop().unwrap_or_default();
        buffer.clear();
        // Then it never grows: pages that no chunk needs are never touched, and cost nothing.
        buffer.reserve(self.capacity);
        buffer
    }

    pub(crate) fn give_back(&self, buffer: Buffer) {
        self.spares.lock().push(buffer);
    }
}
