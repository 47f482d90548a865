//! A limit to how fast bytes are fetched. Knows nothing of where they come from.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::cancel::{Cancel, Cancelled};

/// The most that is read at once.
const PIECE: u64 = 64 << 10;

/// Less than that is not worth a system call.
const SMALLEST_PIECE: u64 = 1 << 10;

/// A hundredth of a second's bytes are read at once, so that the flow is even.
const PIECES_A_SECOND: u64 = 100;

/// Time that was not used is made up for, but no more than so much of it.
const CREDIT: Duration = Duration::from_millis(100);

/// Limits how many bytes all connections of a restore fetch in a second. Cheap to clone; clones share the limit.
///
/// Whoever reads asks first how much it [may read](RateLimit::may_read), which waits, and says afterwards how much came.
#[derive(Clone, Default)]
pub struct RateLimit(Option<Arc<Limit>>);

struct Limit {
    started: Instant,
    schedule: Mutex<Schedule>,
    /// Those who wait until they may read.
    held: AtomicUsize,
}

impl RateLimit {
    /// Of so many bytes a second; 0 limits nothing.
    pub(crate) fn new(bytes_per_second: u64) -> RateLimit {
        let limit = || Limit {
            started: Instant::now(),
            schedule: Mutex::new(Schedule::new(bytes_per_second)),
            held: AtomicUsize::new(0),
        };
        RateLimit((bytes_per_second > 0).then(|| Arc::new(limit())))
    }

    /// Waits until something may be read, and says how many bytes: `wanted` at the most.
    ///
    /// # Errors
    /// [`Cancelled`] where it was cancelled meanwhile.
    pub fn may_read(&self, wanted: usize, cancel: &Cancel) -> Result<usize, Cancelled> {
        let Some(limit) = &self.0 else {
            return Ok(wanted);
        };
        let now = limit.started.elapsed();
        let (piece, from) = limit.schedule.lock().reserve(now, wanted as u64);
        limit.held.fetch_add(1, Ordering::Relaxed);
        let is_cancelled = cancel.wait(from.saturating_sub(now));
        limit.held.fetch_sub(1, Ordering::Relaxed);
        if is_cancelled {
            return Err(Cancelled);
        }
        Ok(piece as usize)
    }

    /// Whether somebody waits until they may read.
    pub(crate) fn is_holding(&self) -> bool {
        (self.0.as_ref()).is_some_and(|limit| limit.held.load(Ordering::Relaxed) > 0)
    }

    /// Of what might be read, `count` bytes came.
    pub fn came(&self, allowed: usize, count: usize) {
        if let Some(limit) = &self.0 {
            let unused = allowed.saturating_sub(count);
            limit.schedule.lock().give_back(unused as u64);
        }
    }
}

impl fmt::Debug for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = self.0.as_ref().map(|limit| limit.schedule.lock().rate);
        f.debug_tuple("RateLimit").field(&rate).finish()
    }
}

/// Who may read how much, and from when on. It has no clock of its own.
struct Schedule {
    /// Bytes a second.
    rate: u64,
    /// When all that was allowed so far will have had its time.
    next: Duration,
}

impl Schedule {
    fn new(rate: u64) -> Schedule {
        Schedule {
            rate,
            next: Duration::ZERO,
        }
    }

    /// How many bytes may be read, and from when on.
    fn reserve(&mut self, now: Duration, wanted: u64) -> (u64, Duration) {
        let piece = (self.rate / PIECES_A_SECOND).clamp(SMALLEST_PIECE, PIECE);
        let piece = piece.min(wanted);
        let from = self.next.max(now.saturating_sub(CREDIT));
        self.next = from + self.time_of(piece);
        (piece, from)
    }

    fn give_back(&mut self, bytes: u64) {
        self.next = self.next.saturating_sub(self.time_of(bytes));
    }

    fn time_of(&self, bytes: u64) -> Duration {
        Duration::from_secs_f64(bytes as f64 / self.rate as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads by several connections, one after the other, for so long; gives the bytes of each tenth of a second.
    fn flow(rate: u64, connections: usize, seconds: u64) -> Vec<u64> {
        let mut schedule = Schedule::new(rate);
        let mut tenths = vec![0; seconds as usize * 10];
        let mut due = vec![Duration::ZERO; connections];
        loop {
            let next = (0..connections).min_by_key(|connection| due[*connection]);
            let now = due[next.expect("there is one")];
            let (piece, from) = schedule.reserve(now, 1 << 20);
            // Every third read finds half of it.
            let came = if from.as_nanos() % 3 == 0 {
                piece / 2
            } else {
                piece
            };
            schedule.give_back(piece - came);
            let at = from.max(now);
            let Some(tenth) = tenths.get_mut(at.as_millis() as usize / 100) else {
                return tenths;
            };
            *tenth += came;
            due[next.expect("there is one")] = at + Duration::from_micros(10);
        }
    }

    #[test]
    fn the_rate_is_kept_within_three_percent_and_evenly() {
        for rate in [10_000, 1_000_000, 100 << 20, 2 << 30] {
            for connections in [1, 16] {
                let tenths = flow(rate, connections, 30);
                let all: u64 = tenths.iter().sum();
                let error = (all as f64 / (30 * rate) as f64 - 1.0).abs();
                assert!(error < 0.03, "{rate}: {error}");
                // Each tenth but the first has its share, a piece more or less.
                let piece = (rate / PIECES_A_SECOND).clamp(SMALLEST_PIECE, PIECE);
                let most = rate / 10 + 2 * piece;
                assert!(tenths[1..].iter().all(|bytes| *bytes <= most), "{rate}");
            }
        }
    }

    #[test]
    fn time_that_nobody_used_is_not_hoarded() {
        let mut schedule = Schedule::new(1 << 20);
        let late = Duration::from_secs(60);
        let mut bytes = 0;
        loop {
            let (piece, from) = schedule.reserve(late, 1 << 20);
            if from > late {
                break;
            }
            bytes += piece;
        }
        assert!(bytes <= (1 << 20) / 10 + PIECE, "{bytes} at once");
    }

    #[test]
    fn without_a_limit_all_may_be_read_and_a_cancel_ends_the_wait() {
        let cancel = Cancel::new();
        assert_eq!(RateLimit::default().may_read(1 << 30, &cancel), Ok(1 << 30));
        let slow = RateLimit::new(1);
        assert_eq!(slow.may_read(1 << 20, &cancel), Ok(SMALLEST_PIECE as usize));
        cancel.cancel();
        assert_eq!(slow.may_read(1 << 20, &cancel), Err(Cancelled));
    }
}
