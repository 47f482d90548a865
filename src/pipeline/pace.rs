//! How long chunks take, and when one is late. Knows nothing of what is done then.

use std::time::Duration;

/// The last fetches.
const MEMORY: usize = 64;

/// Before so many fetches nothing is known.
const ENOUGH: usize = 8;

/// What is late takes a quarter longer than nine in ten others, and so long at the least.
const USUAL: (usize, usize) = (9, 10);
const FACTOR: (u32, u32) = (5, 4);
const LEAST: Duration = Duration::from_millis(50);

#[derive(Debug, Default)]
pub(super) struct Pace {
    last: Vec<Duration>,
    next: usize,
}

impl Pace {
    pub(super) fn took(&mut self, time: Duration) {
        if self.last.len() < MEMORY {
            self.last.push(time);
        } else {
            self.last[self.next % MEMORY] = time;
        }
        self.next += 1;
    }

    /// The age at which a request is late, where that can be told.
    pub(super) fn limit(&self) -> Option<Duration> {
        if self.last.len() < ENOUGH {
            return None;
        }
        Some((self.usual()? * FACTOR.0 / FACTOR.1).max(LEAST))
    }

    /// What nine in ten of the last took at the most.
    pub(super) fn usual(&self) -> Option<Duration> {
        let mut times = self.last.clone();
        if times.is_empty() {
            return None;
        }
        let usual = times.len() * USUAL.0 / USUAL.1;
        let (_, longest, _) = times.select_nth_unstable(usual);
        Some(*longest)
    }
}
