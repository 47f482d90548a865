//! Tells whether a peer has stalled, by the bytes that come while the client waits.

use std::time::Duration;

/// How many bytes must come within the limit. TLS brings up to 16 KiB at once or nothing, so one
/// full record is enough.
const ENOUGH: u64 = 8 << 10;

/// Measures how long the client has waited without enough bytes coming. Only time spent waiting
/// counts: time spent elsewhere, as with decoding, never uses up the limit.
#[derive(Debug)]
pub(crate) struct StallTimer {
    limit: Duration,
    waited: Duration,
    /// How many bytes had come when the timer was last restarted.
    received: u64,
}

impl StallTimer {
    pub(crate) fn new(limit: Duration) -> StallTimer {
        StallTimer {
            // With a limit of zero, nobody would look for bytes even once.
            limit: limit.max(Duration::from_millis(1)),
            waited: Duration::ZERO,
            received: 0,
        }
    }

    /// How much longer to wait, now that `received` bytes have come in all; `None` if the limit is
    /// used up.
    pub(crate) fn left(&mut self, received: u64) -> Option<Duration> {
        if self.has_enough(received) {
            self.renew(received);
        }
        let left = self.limit.saturating_sub(self.waited);
        (!left.is_zero()).then_some(left)
    }

    /// Whether enough bytes have come to restart the timer.
    pub(crate) fn has_enough(&self, received: u64) -> bool {
        received >= self.received.saturating_add(ENOUGH)
    }

    pub(crate) fn waited(&mut self, time: Duration) {
        self.waited += time;
    }

    /// Restarts the timer.
    pub(crate) fn renew(&mut self, received: u64) {
        (self.waited, self.received) = (Duration::ZERO, received);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn one_record_of_tls_within_the_limit_is_enough() {
        let mut patience = StallTimer::new(LIMIT);
        for records in 1..100 {
            patience.waited(LIMIT - SECOND);
            assert_eq!(patience.left(records * 16_375), Some(LIMIT));
        }
        patience.waited(LIMIT);
        assert_eq!(patience.left(99 * 16_375 + ENOUGH - 1), None);
    }
}
