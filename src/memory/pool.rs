//! Memory that goes round. Knows nothing of what is in it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::buffer::Buffer;

/// Bytes that start on a page: glibc and the kernel copy large blocks with `rep movsb`, which on Zen 3 falls from
/// 40 to 1.7 GB/s when the destination lies a few bytes after the source modulo 4096, as it does when page-cache
/// pages are copied into a block of malloc's.
const PAGE: usize = 4096;

/// Bytes of which those from `start` on are used.
#[derive(Default)]
pub(super) struct Memory {
    bytes: Vec<u8>,
    start: usize,
}

impl Memory {
    pub(super) fn new(capacity: usize) -> Memory {
        let bytes = vec![0; capacity + PAGE];
        let start = bytes.as_ptr().align_offset(PAGE).min(PAGE);
        Memory { bytes, start }
    }

    pub(super) fn capacity(&self) -> usize {
        self.bytes.len().saturating_sub(PAGE)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    pub(super) fn space(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..]
    }
}

/// Memory for buffers of one size that are not in use. What came back last goes out first: it is there, and warm, while
/// memory that was never used costs a page fault for every page.
pub(crate) struct BufferPool {
    capacity: usize,
    stock: Mutex<Stock>,
    /// Bytes that were added to buffers, and were not in vain so far.
    received: AtomicU64,
}

struct Stock {
    idle: Vec<Memory>,
    /// Idle or not.
    made: usize,
    /// How many there should be at the most.
    limit: usize,
}

impl BufferPool {
    /// None yet. Each has room for `capacity` bytes.
    pub(crate) fn new(capacity: usize) -> Arc<BufferPool> {
        let stock = Stock {
            idle: Vec::new(),
            made: 0,
            limit: usize::MAX,
        };
        Arc::new(BufferPool {
            capacity,
            stock: Mutex::new(stock),
            received: AtomicU64::new(0),
        })
    }

    /// An empty buffer, which takes memory only when something is put into it: between a request and its answer none is held.
    pub(crate) fn buffer(self: &Arc<BufferPool>) -> Buffer {
        Buffer::of(Arc::clone(self))
    }

    /// How many bytes were added to buffers piece by piece, which shows that answers come before any is whole. Those of
    /// answers that broke off do not count, lest a place that breaks off all of them seem to be at work.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    pub(super) fn record_received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn record_in_vain(&self, bytes: usize) {
        self.received.fetch_sub(bytes as u64, Ordering::Relaxed);
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

    pub(super) fn take(&self) -> Memory {
        let mut stock = self.stock.lock();
        let idle = stock.idle.pop();
        stock.made += usize::from(idle.is_none());
        drop(stock);
        // Then it never grows: pages that no chunk needs are never touched, and cost nothing.
        idle.unwrap_or_else(|| Memory::new(self.capacity))
    }

    pub(super) fn give_back(&self, memory: Memory) {
        let mut stock = self.stock.lock();
        if stock.made <= stock.limit {
            return stock.idle.push(memory);
        }
        stock.made -= 1;
        drop(stock);
        drop(memory);
    }
}

impl fmt::Debug for BufferPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stock = self.stock.lock();
        write!(f, "BufferPool({} of {} idle)", stock.idle.len(), stock.made)
    }
}
