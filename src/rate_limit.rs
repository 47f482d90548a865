//! Limits how many bytes are fetched in a second, over all connections of a restore.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::cancel::{Cancel, Cancelled};

/// The most bytes that are read at once.
const READ_MAX: u64 = 64 << 10;

/// The fewest bytes that are worth a system call.
const READ_MIN: u64 = 1 << 10;

/// How many reads the bytes of a second are split into, so that the flow is even.
const READS_PER_SECOND: u64 = 100;

/// Time in which less was read than the limit allows is made up for later, but only this much of
/// it.
const CREDIT_MAX: Duration = Duration::from_millis(100);

/// Limits how many bytes all connections of a restore fetch in a second. Cheap to clone; clones share the limit.
///
/// Before it reads, a connection asks how much it [may read](RateLimit::may_read), and waits until
/// it may. Afterwards it [records](RateLimit::record_read) how much came.
#[derive(Clone, Default)]
pub struct RateLimit {
    limit: Option<Arc<Limit>>,
    /// Counts how long this clone, and clones of it, were held back.
    held: Arc<HeldTime>,
}

/// How long readers were held back by a limit.
#[derive(Debug, Default)]
pub(crate) struct HeldTime(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    before: Duration,
    since: Option<Instant>,
}

impl HeldTime {
    fn begin(&self, now: Instant) {
        self.0.lock().since = Some(now);
    }

    fn end(&self, now: Instant) {
        let mut held = self.0.lock();
        if let Some(since) = held.since.take() {
            held.before += now.saturating_duration_since(since);
        }
    }

    /// The total time up to `now`, with a wait that still goes on.
    pub(crate) fn total(&self, now: Instant) -> Duration {
        let held = self.0.lock();
        let going_on = held.since.map(|since| now.saturating_duration_since(since));
        held.before + going_on.unwrap_or_default()
    }
}

struct Limit {
    started: Instant,
    schedule: Mutex<Schedule>,
    /// How many readers wait until they may read.
    held: AtomicUsize,
}

impl RateLimit {
    /// A limit of this many bytes a second; 0 limits nothing.
    pub(crate) fn new(bytes_per_second: u64) -> RateLimit {
        let limit = || Limit {
            started: Instant::now(),
            schedule: Mutex::new(Schedule::new(bytes_per_second)),
            held: AtomicUsize::new(0),
        };
        RateLimit {
            limit: (bytes_per_second > 0).then(|| Arc::new(limit())),
            held: Arc::default(),
        }
    }

    /// The same limit, for one worker: the time that this worker is held back is counted
    /// separately.
    pub(crate) fn for_worker(&self) -> RateLimit {
        RateLimit {
            limit: self.limit.clone(),
            held: Arc::default(),
        }
    }

    /// How long readers with this clone were held back.
    pub(crate) fn held(&self) -> &Arc<HeldTime> {
        &self.held
    }

    /// Waits until bytes may be read, and returns how many: at most `wanted`.
    ///
    /// # Errors
    /// [`Cancelled`] if `cancel` was cancelled during the wait.
    pub fn may_read(&self, wanted: usize, cancel: &Cancel) -> Result<usize, Cancelled> {
        let Some(limit) = &self.limit else {
            return Ok(wanted);
        };
        let now = limit.started.elapsed();
        let (piece, from) = limit.schedule.lock().reserve(now, wanted as u64);
        limit.held.fetch_add(1, Ordering::Relaxed);
        self.held.begin(Instant::now());
        let is_cancelled = cancel.wait(from.saturating_sub(now));
        self.held.end(Instant::now());
        limit.held.fetch_sub(1, Ordering::Relaxed);
        if is_cancelled {
            return Err(Cancelled);
        }
        Ok(piece as usize)
    }

    /// Whether any reader waits until it may read.
    pub(crate) fn is_holding(&self) -> bool {
        (self.limit.as_ref()).is_some_and(|limit| limit.held.load(Ordering::Relaxed) > 0)
    }

    /// Records that only `count` bytes came of those that [`may_read`](RateLimit::may_read)
    /// allowed.
    pub fn record_read(&self, allowed: usize, count: usize) {
        if let Some(limit) = &self.limit {
            let unused = allowed.saturating_sub(count);
            limit.schedule.lock().give_back(unused as u64);
        }
    }
}

impl fmt::Debug for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = self.limit.as_ref().map(|limit| limit.schedule.lock().rate);
        f.debug_tuple("RateLimit").field(&rate).finish()
    }
}

/// Decides how many bytes may be read, and from when on. It has no clock: callers pass the time.
struct Schedule {
    /// Bytes a second.
    rate: u64,
    /// When the time that the limit allots to all bytes allowed so far will be over.
    next: Duration,
}

impl Schedule {
    fn new(rate: u64) -> Schedule {
        Schedule {
            rate,
            next: Duration::ZERO,
        }
    }

    /// Returns how many bytes may be read, and from when on.
    fn reserve(&mut self, now: Duration, wanted: u64) -> (u64, Duration) {
        let piece = (self.rate / READS_PER_SECOND).clamp(READ_MIN, READ_MAX);
        let piece = piece.min(wanted);
        let from = self.next.max(now.saturating_sub(CREDIT_MAX));
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

    /// Simulates reads by several connections, one after the other; returns the bytes of each tenth
    /// of a second.
    fn flow(rate: u64, connections: usize, seconds: u64) -> Vec<u64> {
        let mut schedule = Schedule::new(rate);
        let mut tenths = vec![0; seconds as usize * 10];
        let mut due = vec![Duration::ZERO; connections];
        loop {
            let next = (0..connections).min_by_key(|connection| due[*connection]);
            let now = due[next.expect("there is one")];
            let (piece, from) = schedule.reserve(now, 1 << 20);
            // Every third read gets half of what it may read.
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
                // Each tenth of a second but the first gets its share, give or take one read.
                let piece = (rate / READS_PER_SECOND).clamp(READ_MIN, READ_MAX);
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
        assert!(bytes <= (1 << 20) / 10 + READ_MAX, "{bytes} at once");
    }

    #[test]
    fn without_a_limit_all_may_be_read_and_a_cancel_ends_the_wait() {
        let cancel = Cancel::new();
        assert_eq!(RateLimit::default().may_read(1 << 30, &cancel), Ok(1 << 30));
        let slow = RateLimit::new(1);
        assert_eq!(slow.may_read(1 << 20, &cancel), Ok(READ_MIN as usize));
        cancel.cancel();
        assert_eq!(slow.may_read(1 << 20, &cancel), Err(Cancelled));
    }
}
