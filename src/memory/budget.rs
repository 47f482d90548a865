//! The memory budget: how many bytes the chunks of all runs together may take.

use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;

use super::permits::DecodePermits;
use super::share::MemoryShare;

/// Chunks that are being decoded take at most one part in so many of the budget.
const DECODING_DIVISOR: u64 = 3;

/// The length of most chunks, in bytes.
const USUAL_CHUNK_LEN: u64 = 4 << 20;

/// The memory for the chunks of all runs of a restore and its clones.
///
/// Each run [joins](MemoryBudget::join) the budget, and gets a [`MemoryShare`] of it.
#[derive(Debug)]
pub(crate) struct MemoryBudget {
    bytes: u64,
    permits: Arc<DecodePermits>,
    pub(super) shared_out: Mutex<SharedOut>,
}

/// What the runs have of a budget.
#[derive(Debug, Default)]
pub(super) struct SharedOut {
    /// How many runs have a share.
    pub(super) runs: usize,
    /// Bytes that the runs' shares hold, all together.
    pub(super) bytes: u64,
}

impl MemoryBudget {
    /// A budget of `bytes` bytes, which no run has a share of yet.
    pub(crate) fn new(bytes: u64) -> Arc<MemoryBudget> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let affordable = bytes / DECODING_DIVISOR / USUAL_CHUNK_LEN;
        let affordable = usize::try_from(affordable).unwrap_or(usize::MAX);
        // Half as many permits again as there are cores keep every core busy while a worker hands
        // its chunk over and takes the next. More permits would only take more memory.
        let permits = Arc::new(DecodePermits::new((cores + cores / 2).min(affordable)));
        Arc::new(MemoryBudget {
            bytes,
            permits,
            shared_out: Mutex::default(),
        })
    }

    /// The permits to decode chunks, which all runs share.
    pub(super) fn permits(&self) -> &Arc<DecodePermits> {
        &self.permits
    }

    /// How many buffers of `buffer_len` bytes fit into the budget, beside those that chunks are
    /// decoded into.
    pub(super) fn buffers(&self, buffer_len: u64) -> usize {
        let buffers = usize::try_from(self.bytes / buffer_len.max(1)).unwrap_or(usize::MAX);
        buffers.saturating_sub(self.permits.count())
    }

    /// Gives one more run its share, in buffers of `buffer_len` bytes. The run has no use for more
    /// than `useful` buffers.
    pub(crate) fn join(self: &Arc<MemoryBudget>, buffer_len: u64, useful: usize) -> MemoryShare {
        MemoryShare::new(Arc::clone(self), buffer_len, useful)
    }
}
