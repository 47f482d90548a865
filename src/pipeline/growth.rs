//! How many requests to have in flight, where nobody said: more, for as long as that brings more. Has no clock.

use std::time::Duration;

/// A step up, of so many thirds.
const STEP: (usize, usize) = (4, 3);

/// A step that brings less than a tenth more was one too many.
const WORTH: f64 = 1.1;

/// A speed is measured over so many times as many chunks as are in flight, and for so long at the least.
const ENOUGH: usize = 4;
const LEAST: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct Growth {
    in_flight: usize,
    most: usize,
    /// Chunks that came still count for what was before.
    settling: usize,
    /// Since when, and how many chunks came since.
    since: Option<Duration>,
    came: usize,
    /// What was in flight before the last step, and how many chunks came in a second.
    before: Option<(usize, f64)>,
    is_done: bool,
}

impl Growth {
    /// From so many to `most`.
    pub(super) fn new(in_flight: usize, most: usize) -> Growth {
        Growth {
            in_flight,
            most,
            settling: in_flight,
            since: None,
            came: 0,
            before: None,
            is_done: in_flight >= most,
        }
    }

    /// A chunk came; says how many are to be in flight from now on, where that changes.
    pub(super) fn came(&mut self, now: Duration) -> Option<usize> {
        if self.is_done {
            return None;
        }
        if self.settling > 0 {
            self.settling -= 1;
            return None;
        }
        let since = *self.since.get_or_insert(now);
        self.came += 1;
        let time = now.saturating_sub(since);
        if self.came <= ENOUGH * self.in_flight || time < LEAST {
            return None;
        }
        let speed = (self.came - 1) as f64 / time.as_secs_f64();
        let next = match self.before {
            Some((before, slower)) if speed < WORTH * slower => {
                self.is_done = true;
                before
            }
            _ => {
                self.before = Some((self.in_flight, speed));
                (self.in_flight * STEP.0).div_ceil(STEP.1).min(self.most)
            }
        };
        self.is_done |= next == self.in_flight;
        (self.settling, self.since, self.came) = (2 * next, None, 0);
        (next != std::mem::replace(&mut self.in_flight, next)).then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Chunks a second of a store that answers after so many seconds, over a line or with cores that do no more than `limit`.
    fn speed(in_flight: usize, latency: f64, limit: f64) -> f64 {
        (in_flight as f64 / latency).min(limit)
    }

    /// Where it comes to rest, and after how many chunks.
    fn rest(start: usize, most: usize, latency: f64, limit: f64) -> (usize, usize) {
        let (mut growth, mut in_flight, mut now) = (Growth::new(start, most), start, 0.0);
        for count in 0..100_000 {
            now += 1.0 / speed(in_flight, latency, limit);
            if let Some(next) = growth.came(Duration::from_secs_f64(now)) {
                in_flight = next;
            }
            if growth.is_done {
                return (in_flight, count);
            }
        }
        panic!("it never comes to rest");
    }

    #[test]
    fn what_it_chooses_loses_little_to_the_best_choice() {
        for latency in [0.001, 0.007, 0.02, 0.05, 0.1, 0.2, 0.5] {
            for limit in [50.0, 200.0, 800.0, 5000.0] {
                for (start, most) in [(16, 59), (16, 16), (32, 500), (2, 59)] {
                    let (chosen, after) = rest(start, most, latency, limit);
                    assert!((start..=most).contains(&chosen));
                    let best = speed(most, latency, limit);
                    let share = speed(chosen, latency, limit) / best;
                    assert!(share > 0.8, "{share} of the best at {latency} s, {limit}/s");
                    assert!(after < 60_000, "{after} chunks");
                }
            }
        }
    }

    #[test]
    fn where_more_brings_nothing_it_stays() {
        assert_eq!(rest(16, 59, 0.001, 300.0).0, 16);
        assert_eq!(rest(16, 59, 0.05, 320.0).0, 16);
    }
}
