//! A pool of memory for buffers: buffers take their memory from the pool and give it back.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use super::buffer::Buffer;
use super::page_aligned::PageAligned;

/// Memory for the buffers of one run, in blocks of one capacity.
///
/// The block that came back last goes out first: its pages are in memory and in the cores' caches,
/// while a new block costs a page fault for each page.
pub(crate) struct BufferPool {
    /// Bytes of each block.
    capacity: usize,
    blocks: Mutex<Blocks>,
}

struct Blocks {
    idle: Vec<PageAligned>,
    /// How many blocks there are, idle or in use.
    count: usize,
    /// How many blocks there should be at most.
    limit: usize,
}

impl BufferPool {
    /// An empty pool without a limit, for buffers of `capacity` bytes.
    pub(crate) fn new(capacity: usize) -> Arc<BufferPool> {
        let blocks = Blocks {
            idle: Vec::new(),
            count: 0,
            limit: usize::MAX,
        };
        Arc::new(BufferPool {
            capacity,
            blocks: Mutex::new(blocks),
        })
    }

    /// An empty buffer. The buffer takes memory when its first byte comes, so that a request holds
    /// no memory before its answer begins.
    pub(crate) fn buffer(self: &Arc<BufferPool>) -> Buffer {
        Buffer::from_pool(Arc::clone(self))
    }

    /// Lets the pool have at most `limit` blocks. Idle blocks beyond that are freed now, and blocks
    /// in use when they come back.
    pub(crate) fn set_limit(&self, limit: usize) {
        let mut blocks = self.blocks.lock();
        blocks.limit = limit;
        let surplus = blocks.count.saturating_sub(limit).min(blocks.idle.len());
        let kept = blocks.idle.len() - surplus;
        let freed = blocks.idle.split_off(kept);
        blocks.count -= surplus;
        // The memory is freed without the lock.
        drop(blocks);
        drop(freed);
    }

    pub(super) fn take(&self) -> PageAligned {
        let mut blocks = self.blocks.lock();
        let idle = blocks.idle.pop();
        blocks.count += usize::from(idle.is_none());
        drop(blocks);
        // A block is as large as the largest blob from the start, and never grows: the pages that
        // smaller blobs don't need are never touched, and cost nothing.
        idle.unwrap_or_else(|| PageAligned::new(self.capacity))
    }

    pub(super) fn give_back(&self, memory: PageAligned) {
        let mut blocks = self.blocks.lock();
        if blocks.count <= blocks.limit {
            return blocks.idle.push(memory);
        }
        blocks.count -= 1;
        // The memory is freed without the lock.
        drop(blocks);
        drop(memory);
    }
}

impl fmt::Debug for BufferPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blocks = self.blocks.lock();
        let (idle, count) = (blocks.idle.len(), blocks.count);
        write!(f, "BufferPool({idle} of {count} idle)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_goes_round_and_is_freed_beyond_the_limit() {
        let pool = BufferPool::new(1000);
        let mut buffers: Vec<Buffer> = (0..3).map(|_| pool.buffer()).collect();
        assert_eq!(format!("{pool:?}"), "BufferPool(0 of 0 idle)");
        buffers
            .iter_mut()
            .for_each(|buffer| buffer.extend_from_slice(b"a byte"));
        assert_eq!(buffers[0].capacity(), 1000);
        pool.set_limit(2);
        assert_eq!(format!("{pool:?}"), "BufferPool(0 of 3 idle)");
        drop(buffers);
        assert_eq!(format!("{pool:?}"), "BufferPool(2 of 2 idle)");
        pool.set_limit(1);
        assert_eq!(format!("{pool:?}"), "BufferPool(1 of 1 idle)");
    }
}
