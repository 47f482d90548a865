//! How many chunks a busy server is asked for at once. Knows no clock: it counts what came.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::backend::FetchError;
use crate::cancel::Cancel;

/// How long to wait without a look at the cancel.
const SLICE: Duration = Duration::from_millis(250);

/// After so many chunks that came one more may be in flight.
const STEP: usize = 16;

/// Shared by all connections to a place. Without limit, until the server asks to slow down: then half of what was in
/// flight, and slowly more again.
#[derive(Debug)]
pub(super) struct InFlightLimit {
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Debug)]
struct State {
    in_flight: usize,
    allowed: usize,
    /// Chunks that came since `allowed` was last changed.
    came: usize,
    /// How often `allowed` was lowered.
    lowered: u64,
}

impl InFlightLimit {
    pub(super) fn new() -> InFlightLimit {
        let state = State {
            in_flight: 0,
            allowed: usize::MAX,
            came: 0,
            lowered: 0,
        };
        InFlightLimit {
            state: Mutex::new(state),
            freed: Condvar::new(),
        }
    }

    /// Waits until one more request may be made.
    ///
    /// # Errors
    /// [`FetchError::Cancelled`].
    pub(super) fn acquire(&self, cancel: &Cancel) -> Result<InFlightPermit<'_>, FetchError> {
        let mut state = self.state.lock();
        while state.in_flight >= state.allowed {
            if cancel.is_cancelled() {
                return Err(FetchError::Cancelled);
            }
            self.freed.wait_for(&mut state, SLICE);
        }
        state.in_flight += 1;
        Ok(InFlightPermit {
            limit: self,
            lowered: state.lowered,
        })
    }
}

/// A request that may be made, and what becomes of it.
#[derive(Debug)]
pub(super) struct InFlightPermit<'a> {
    limit: &'a InFlightLimit,
    /// How often the number was lowered when the permit began.
    lowered: u64,
}

impl InFlightPermit<'_> {
    pub(super) fn succeeded(self) {
        let mut state = self.limit.state.lock();
        if state.allowed == usize::MAX {
            return;
        }
        state.came += 1;
        if state.came >= STEP {
            state.allowed += 1;
            state.came = 0;
            self.limit.freed.notify_one();
        }
    }

    /// The server asked for less. What it says to requests that were made before it was first heeded is no news.
    pub(super) fn slow_down(self) {
        let mut state = self.limit.state.lock();
        if self.lowered == state.lowered {
            state.allowed = (state.allowed.min(state.in_flight) / 2).max(1);
            state.came = 0;
            state.lowered += 1;
        }
    }
}

impl Drop for InFlightPermit<'_> {
    fn drop(&mut self) {
        self.limit.state.lock().in_flight -= 1;
        self.limit.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permits(limit: &InFlightLimit, count: usize) -> Vec<InFlightPermit<'_>> {
        let permit = |_| limit.acquire(&Cancel::new()).expect("nobody cancels");
        (0..count).map(permit).collect()
    }

    fn allowed(limit: &InFlightLimit) -> usize {
        limit.state.lock().allowed
    }

    #[test]
    fn a_burst_of_refusals_halves_once_and_success_brings_one_back_at_a_time() {
        let limit = InFlightLimit::new();
        for permit in permits(&limit, 32) {
            permit.slow_down();
        }
        assert_eq!(allowed(&limit), 16);
        for permit in permits(&limit, 8) {
            permit.slow_down();
        }
        assert_eq!(allowed(&limit), 4);
        for _ in 0..3 * STEP {
            permits(&limit, 1).remove(0).succeeded();
        }
        assert_eq!(allowed(&limit), 7);
        for _ in 0..9 {
            permits(&limit, 1).remove(0).slow_down();
        }
        assert_eq!(allowed(&limit), 1);
    }

    #[test]
    fn who_waits_for_a_turn_gets_the_next_one_or_the_cancel() {
        let limit = InFlightLimit::new();
        permits(&limit, 1).remove(0).slow_down();
        let mut held = permits(&limit, 1);
        let cancel = Cancel::new();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| limit.acquire(&cancel).map(drop));
            drop(held.pop());
            assert!(waiting.join().expect("it does not panic").is_ok());
            held = permits(&limit, 1);
            let waiting = scope.spawn(|| limit.acquire(&cancel).map(drop));
            cancel.cancel();
            let cancelled = waiting.join().expect("it does not panic");
            assert!(matches!(cancelled, Err(FetchError::Cancelled)));
        });
    }
}
