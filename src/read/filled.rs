//! What a file that is being filled holds, and what is on the way to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::format::blob::Verified;

/// How many chunks that were read may wait to be written. Others are fetched again when it is their
/// turn: a slow disk must not take the memory of those who read.
const WAITING_MAX: usize = 4;

/// The state of a fill, which its thread, the reader's thread and the workers share.
#[derive(Debug)]
pub(super) struct Filled {
    /// One bit for each position: whether the file holds the chunk.
    holds: Vec<AtomicU64>,
    bytes: AtomicU64,
    arrivals: Sender<Arrival>,
}

/// A chunk that was fetched for somebody, and its position in the archive.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) position: usize,
    pub(super) data: Arc<Verified>,
}

impl Filled {
    /// Of a file that holds none of so many chunks, with what will arrive.
    pub(super) fn new(count: usize) -> (Filled, Receiver<Arrival>) {
        let (arrivals, arrived) = bounded(WAITING_MAX);
        let words = count.div_ceil(64);
        let filled = Filled {
            holds: (0..words).map(|_| AtomicU64::new(0)).collect(),
            bytes: AtomicU64::new(0),
            arrivals,
        };
        (filled, arrived)
    }

    /// Whether the file holds the chunk at a position.
    pub(super) fn holds(&self, position: usize) -> bool {
        let word = self.holds.get(position / 64);
        word.is_some_and(|word| word.load(Ordering::Acquire) & (1 << (position % 64)) != 0)
    }

    /// From now on the file holds the chunk at a position, of so many bytes.
    pub(super) fn set_holds(&self, position: usize, len: u32) {
        if let Some(word) = self.holds.get(position / 64) {
            word.fetch_or(1 << (position % 64), Ordering::AcqRel);
            self.bytes.fetch_add(u64::from(len), Ordering::Relaxed);
        }
    }

    /// How many bytes the file holds, zeros included.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// A chunk has come for somebody. It is kept if the disk is not behind.
    pub(super) fn arrived(&self, position: usize, data: &Arc<Verified>) {
        if !self.holds(position) {
            let data = Arc::clone(data);
            let _ = self.arrivals.try_send(Arrival { position, data });
        }
    }
}
