//! What writer and workers know of the chunks in the window: since when they are requested, and whether they came. Knows nothing of
//! where they come from.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(super) struct Turns {
    started: Instant,
    /// One for each slot, used again for every turn that is a window later.
    slots: Vec<Slot>,
}

#[derive(Debug)]
struct Slot {
    /// In nanoseconds after the start; 0 while it waits for a worker.
    requested: AtomicU64,
    /// The number of the worker that did, in its crew.
    worker: AtomicUsize,
    /// The turn that came last, and one.
    came: AtomicUsize,
}

impl Turns {
    pub(super) fn new(slots: usize) -> Turns {
        let slot = || Slot {
            requested: AtomicU64::new(0),
            worker: AtomicUsize::new(0),
            came: AtomicUsize::new(0),
        };
        Turns {
            started: Instant::now(),
            slots: (0..slots).map(|_| slot()).collect(),
        }
    }

    /// A chunk is about to be asked for.
    pub(super) fn begin(&self, turn: usize) {
        self.slot(turn).requested.store(0, Ordering::Relaxed);
    }

    /// The worker of this number requests it now.
    pub(super) fn requested(&self, turn: usize, worker: usize) {
        let now = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.slot(turn).worker.store(worker, Ordering::Relaxed);
        self.slot(turn).requested.store(now, Ordering::Release);
    }

    /// Which worker of its crew requested it.
    pub(super) fn worker(&self, turn: usize) -> usize {
        self.slot(turn).worker.load(Ordering::Relaxed)
    }

    /// How long ago a worker requested it.
    pub(super) fn age(&self, turn: usize) -> Option<Duration> {
        match self.slot(turn).requested.load(Ordering::Acquire) {
            0 => None,
            requested => Some(
                self.started
                    .elapsed()
                    .saturating_sub(Duration::from_nanos(requested)),
            ),
        }
    }

    /// It is there, whoever fetched it.
    pub(super) fn came(&self, turn: usize) {
        self.slot(turn).came.fetch_max(turn + 1, Ordering::Relaxed);
    }

    /// Whether it is there, or was: whoever still fetches it does so in vain.
    pub(super) fn has_come(&self, turn: usize) -> bool {
        self.slot(turn).came.load(Ordering::Relaxed) > turn
    }

    fn slot(&self, turn: usize) -> &Slot {
        &self.slots[turn % self.slots.len()]
    }
}
