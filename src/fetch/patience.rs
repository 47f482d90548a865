//! Patience with places: how long nothing came while something was waited for. The time is an argument.

use std::time::Duration;

/// So many bytes of chunks in a second are progress, even while no chunk comes to its end: a slow line is no dead one.
const PROGRESS_BYTES_PER_SECOND: u64 = 8 << 10;

/// The longest time that one wait counts for: this machine slept through the rest of a longer one.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// Measures how long nothing has come, by the time that was spent with waiting for it. Time in which the target was written,
/// or a rate limit held everybody back, is not told of and does not count.
#[derive(Debug)]
pub(super) struct ProgressTimer {
    patience: Duration,
    waited: Duration,
    /// How long places were waited for in all.
    total: Duration,
    /// Bytes that had come when the time began.
    bytes_before: u64,
    /// Whether a connection was ended since a chunk came, to try another.
    pub(super) tried_another: bool,
}

impl ProgressTimer {
    pub(super) fn new(patience: Duration) -> ProgressTimer {
        ProgressTimer {
            patience,
            waited: Duration::ZERO,
            total: Duration::ZERO,
            bytes_before: 0,
            tried_another: false,
        }
    }

    /// A place gave a chunk, or said that it lacks one, when so many bytes of all chunks had come.
    pub(super) fn chunk_came(&mut self, bytes: u64) {
        (self.waited, self.bytes_before) = (Duration::ZERO, bytes);
        self.tried_another = false;
    }

    /// For so long places were waited for; so many bytes of all chunks have come by now.
    pub(super) fn record_wait(&mut self, time: Duration, bytes: u64) {
        let enough = self
            .patience
            .as_secs()
            .max(1)
            .saturating_mul(PROGRESS_BYTES_PER_SECOND);
        if bytes.saturating_sub(self.bytes_before) >= enough {
            (self.waited, self.bytes_before) = (Duration::ZERO, bytes);
        }
        self.waited += time.min(WAIT_MAX);
        self.total += time.min(WAIT_MAX);
    }

    /// How long places were waited for since the beginning, whatever came meanwhile.
    pub(super) fn total(&self) -> Duration {
        self.total
    }

    /// How long nothing has come.
    pub(super) fn waited(&self) -> Duration {
        self.waited
    }

    /// Whether nothing has come for as long as there is patience with the places.
    #[cfg(test)]
    fn is_over(&self) -> bool {
        self.is_over_since(Duration::ZERO)
    }

    /// Whether a want is to be given up that was made when places had been waited for so long in all: the silence of the places
    /// before it was made does not count against it.
    pub(super) fn is_over_since(&self, total_before: Duration) -> bool {
        self.waited.min(self.total - total_before) >= self.patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(120);
    const SECOND: Duration = Duration::from_secs(1);

    /// The seconds until it is over, at so many bytes a second.
    fn seconds(bytes_a_second: u64) -> Option<u64> {
        let mut timer = ProgressTimer::new(PATIENCE);
        (1..100_000).find(|seconds| {
            timer.record_wait(SECOND, seconds * bytes_a_second);
            timer.is_over()
        })
    }

    #[test]
    fn silence_and_a_trickle_are_over_after_the_patience_and_a_slow_line_never_is() {
        assert_eq!(seconds(0), Some(120));
        assert_eq!(seconds(PROGRESS_BYTES_PER_SECOND / 2), Some(120));
        assert_eq!(seconds(PROGRESS_BYTES_PER_SECOND + 100), None);
        assert_eq!(seconds(256 << 10), None);
    }

    #[test]
    fn a_chunk_begins_it_anew_and_a_burst_does_not_last() {
        let mut timer = ProgressTimer::new(PATIENCE);
        for chunk in 1..100 {
            (0..119).for_each(|_| timer.record_wait(SECOND, chunk));
            assert!(!timer.is_over());
            timer.chunk_came(chunk);
        }
        timer.record_wait(SECOND, 1 << 30);
        (0..118).for_each(|_| timer.record_wait(SECOND, 1 << 30));
        assert!(!timer.is_over());
        timer.record_wait(SECOND, 1 << 30);
        assert!(timer.is_over());
    }

    #[test]
    fn a_machine_that_slept_has_not_waited() {
        let mut timer = ProgressTimer::new(PATIENCE);
        timer.record_wait(3600 * SECOND, 0);
        assert!(!timer.is_over() && timer.waited() == WAIT_MAX);
    }
}
