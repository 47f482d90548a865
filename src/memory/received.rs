//! Counting the bytes of chunks that places have sent.
//!
//! Patience with places asks for this count: a place that sends part after part of a chunk is at
//! work, even while no chunk is complete. The part of an answer that breaks off doesn't count, or
//! else a place that breaks off every answer would seem to be at work.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How many bytes of chunks have come from all places of one run.
#[derive(Debug, Default)]
pub(crate) struct ReceivedBytes(AtomicU64);

impl ReceivedBytes {
    /// The bytes of all answers that are complete, or still on their way.
    pub(crate) fn total(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The bytes of one answer that have come so far. Dropping the receipt withdraws them from the
/// total, unless the answer was confirmed to be complete.
#[derive(Debug)]
pub(super) struct Receipt {
    received: Arc<ReceivedBytes>,
    /// The part of the total that is this answer's.
    bytes: u64,
    /// When its first bytes came.
    begun: Option<Instant>,
}

impl Receipt {
    /// For an answer of which nothing has come.
    pub(super) fn new(received: Arc<ReceivedBytes>) -> Receipt {
        Receipt {
            received,
            bytes: 0,
            begun: None,
        }
    }

    /// Adds bytes that came to the total.
    pub(super) fn add(&mut self, bytes: usize) {
        self.begun.get_or_insert_with(Instant::now);
        self.bytes += bytes as u64;
        self.received.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Takes off the total all that came of the answer: it will be asked for again.
    pub(super) fn withdraw(&mut self) {
        self.begun = None;
        let bytes = mem::take(&mut self.bytes);
        self.received.0.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// The answer is complete: its bytes stay in the total. Returns how long ago the first of them came.
    pub(super) fn confirm(mut self) -> Duration {
        self.bytes = 0;
        self.begun.map_or(Duration::ZERO, |begun| begun.elapsed())
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        self.withdraw();
    }
}
