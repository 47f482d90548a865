//! How long places take to give a chunk, by the last ones that came.

use std::time::Duration;

/// So many chunks are remembered.
const SAMPLES_MAX: usize = 64;

/// Before so many chunks nothing is known.
const SAMPLES_MIN: usize = 8;

/// Nine in ten chunks take the usual time at the most.
const USUAL_QUANTILE: (usize, usize) = (9, 10);

/// How long the last chunks took.
#[derive(Debug, Default)]
pub(super) struct LatencyWindow {
    last: Vec<Duration>,
    next: usize,
}

impl LatencyWindow {
    pub(super) fn record(&mut self, time: Duration) {
        if self.last.len() < SAMPLES_MAX {
            self.last.push(time);
        } else {
            self.last[self.next % SAMPLES_MAX] = time;
        }
        self.next += 1;
    }

    /// Whether enough chunks came to judge by.
    pub(super) fn is_known(&self) -> bool {
        self.last.len() >= SAMPLES_MIN
    }

    /// What nine in ten of the last chunks took at the most; `None` before any came.
    pub(super) fn usual(&self) -> Option<Duration> {
        let mut times = self.last.clone();
        if times.is_empty() {
            return None;
        }
        let usual = times.len() * USUAL_QUANTILE.0 / USUAL_QUANTILE.1;
        let (_, longest, _) = times.select_nth_unstable(usual);
        Some(*longest)
    }
}
