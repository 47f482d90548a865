//! Memory that circulates between writer and workers. Knows nothing of what is in it.

use std::fmt;
use std::mem;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use parking_lot::Mutex;

/// Bytes that start on a page: glibc and the kernel copy large blocks with `rep movsb`, which on Zen 3 falls from
/// 40 to 1.7 GB/s when the destination lies a few bytes after the source modulo 4096, as it does when page-cache
/// pages are copied into a block of malloc's.
const PAGE: usize = 4096;

/// A buffer for the bytes of a blob or a chunk, that is filled again and again.
///
/// It takes memory when it must grow, and never shrinks; [`clear`](Buffer::clear) keeps the memory for the next use.
/// It reads as a slice of the bytes that were put into it. The buffer of a [`Request`](crate::Request) takes memory of its
/// restore's, with the first byte that is put into it, and gives it back when it is dropped.
#[derive(Default)]
pub struct Buffer {
    memory: Memory,
    len: usize,
    home: Option<Arc<Spares>>,
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
        self.memory.bytes.len().saturating_sub(PAGE)
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
        self.memory.space()[self.len..end].copy_from_slice(bytes);
        self.len = end;
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory.bytes[self.memory.start..][..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory.space()[..self.len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
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

/// Bytes of which those from `start` on are used.
#[derive(Default)]
struct Memory {
    bytes: Vec<u8>,
    start: usize,
}

impl Memory {
    fn new(capacity: usize) -> Memory {
        let bytes = vec![0; capacity + PAGE];
        let start = bytes.as_ptr().align_offset(PAGE).min(PAGE);
        Memory { bytes, start }
    }

    fn space(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..]
    }
}

/// Memory for buffers of one size that are not in use. What came back last goes out first: it is there, and warm, while
/// memory that was never used costs a page fault for every page.
pub(crate) struct Spares {
    capacity: usize,
    stock: Mutex<Stock>,
}

struct Stock {
    idle: Vec<Memory>,
    /// Idle or not.
    made: usize,
    /// How many there should be at the most.
    limit: usize,
}

impl Spares {
    /// None yet. Each has room for `capacity` bytes.
    pub(crate) fn new(capacity: usize) -> Arc<Spares> {
        let stock = Stock {
            idle: Vec::new(),
            made: 0,
            limit: usize::MAX,
        };
        Arc::new(Spares {
            capacity,
            stock: Mutex::new(stock),
        })
    }

    /// An empty buffer, which takes memory only when something is put into it: between a request and its answer none is held.
    pub(crate) fn buffer(self: &Arc<Spares>) -> Buffer {
        let mut buffer = Buffer::new();
        buffer.home = Some(Arc::clone(self));
        buffer
    }

    /// From now on what comes back beyond so many is freed.
    pub(crate) fn limit(&self, limit: usize) {
        let mut stock = self.stock.lock();
        stock.limit = limit;
        let surplus = stock.made.saturating_sub(limit).min(stock.idle.len());
        let kept = stock.idle.len() - surplus;
        let freed = stock.idle.split_off(kept);
        stock.made -= surplus;
        drop(stock);
        drop(freed);
    }

    fn take(&self) -> Memory {
        let mut stock = self.stock.lock();
        let idle = stock.idle.pop();
        stock.made += usize::from(idle.is_none());
        drop(stock);
        // Then it never grows: pages that no chunk needs are never touched, and cost nothing.
        idle.unwrap_or_else(|| Memory::new(self.capacity))
    }

    fn give_back(&self, memory: Memory) {
        let mut stock = self.stock.lock();
        if stock.made <= stock.limit {
            return stock.idle.push(memory);
        }
        stock.made -= 1;
        drop(stock);
        drop(memory);
    }
}

impl fmt::Debug for Spares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stock = self.stock.lock();
        write!(f, "Spares({} of {} idle)", stock.idle.len(), stock.made)
    }
}
