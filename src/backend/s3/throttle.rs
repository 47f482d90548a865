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
pub(super) struct Throttle {
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

impl Throttle {
    pub(super) fn new() -> Throttle {
        let state = State {
            in_flight: 0,
            allowed: usize::MAX,
            came: 0,
            lowered: 0,
        };
        Throttle {
            state: Mutex::new(state),
            freed: Condvar::new(),
        }
    }

    /// Waits until one more request may be made.
    ///
    /// # Errors
    /// [`FetchError::Cancelled`].
    pub(super) fn turn(&self, cancel: &Cancel) -> Result<Turn<'_>, FetchError> {
        let mut state = self.state.lock();
        while state.in_flight >= state.allowed {
            if cancel.is_cancelled() {
                return Err(FetchError::Cancelled);
            }
            self.freed.wait_for(&mut state, SLICE);
        }
        state.in_flight += 1;
        Ok(Turn {
            throttle: self,
            lowered: state.lowered,
        })
    }
}

/// A request that may be made, and what becomes of it.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    throttle: &'a Throttle,
    /// How often the number was lowered when the turn began.
    lowered: u64,
}

impl Turn<'_> {
    pub(super) fn went_well(self) {
        let mut state = self.throttle.state.lock();
        if state.allowed == usize::MAX {
            return;
        }
        state.came += 1;
        if state.came >= STEP {
            state.allowed += 1;
            state.came = 0;
            self.throttle.freed.notify_one();
        }
    }

    /// The server asked for less. What it says to requests that were made before it was first heeded is no news.
    pub(super) fn slow_down(self) {
        let mut state = self.throttle.state.lock();
        if self.lowered == state.lowered {
            state.allowed = (state.allowed.min(state.in_flight) / 2).max(1);
            state.came = 0;
            state.lowered += 1;
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.throttle.state.lock().in_flight -= 1;
        self.throttle.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(throttle: &Throttle, count: usize) -> Vec<Turn<'_>> {
        let turn = |_| throttle.turn(&Cancel::new()).expect("nobody cancels");
        (0..count).map(turn).collect()
    }

    fn allowed(throttle: &Throttle) -> usize {
        throttle.state.lock().allowed
    }

    #[test]
    fn a_burst_of_refusals_halves_once_and_success_brings_one_back_at_a_time() {
        let throttle = Throttle::new();
        for turn in turns(&throttle, 32) {
            turn.slow_down();
        }
        assert_eq!(allowed(&throttle), 16);
        for turn in turns(&throttle, 8) {
            turn.slow_down();
        }
        assert_eq!(allowed(&throttle), 4);
        for _ in 0..3 * STEP {
            turns(&throttle, 1).remove(0).went_well();
        }
        assert_eq!(allowed(&throttle), 7);
        for _ in 0..9 {
            turns(&throttle, 1).remove(0).slow_down();
        }
        assert_eq!(allowed(&throttle), 1);
    }

    #[test]
    fn who_waits_for_a_turn_gets_the_next_one_or_the_cancel() {
        let throttle = Throttle::new();
        turns(&throttle, 1).remove(0).slow_down();
        let mut held = turns(&throttle, 1);
        let cancel = Cancel::new();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| throttle.turn(&cancel).map(drop));
            drop(held.pop());
            assert!(waiting.join().expect("it does not panic").is_ok());
            held = turns(&throttle, 1);
            let waiting = scope.spawn(|| throttle.turn(&cancel).map(drop));
            cancel.cancel();
            let cancelled = waiting.join().expect("it does not panic");
            assert!(matches!(cancelled, Err(FetchError::Cancelled)));
        });
    }
}
