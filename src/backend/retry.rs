//! When to try again after a failure that may pass.

use std::time::Duration;
#[cfg(feature = "tls")]
use std::time::Instant;

#[cfg(feature = "tls")]
use crate::backend::FetchError;
#[cfg(feature = "tls")]
use crate::cancel::Cancel;

/// The first pause; each further one is four times as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The longest pause, whatever a place asks for.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The pause after a failed attempt, counted from 1: as long as the place asks for, or else growing
/// exponentially. `chance`, a random byte of the caller's, makes a growing pause up to a half
/// shorter, so that requests that failed together are not repeated together.
pub(crate) fn pause(attempt: u32, chance: u8, retry_after: Option<Duration>) -> Duration {
    if let Some(asked) = retry_after {
        return asked.min(LONGEST_PAUSE);
    }
    let exponential = FIRST_PAUSE.saturating_mul(4u32.saturating_pow(attempt.saturating_sub(1)));
    let jitter = f64::from(chance) / 512.0;
    exponential.min(LONGEST_PAUSE).mul_f64(1.0 - jitter)
}

/// How often, and for how long, to try something that is not a chunk.
#[cfg(feature = "tls")]
#[derive(Clone, Debug)]
pub(crate) struct Retry {
    /// How many attempts are made, at most. At least 1 is made.
    pub(crate) attempts: u32,
    /// No further attempt begins once this much time has passed.
    pub(crate) patience: Duration,
    /// Ends the pauses early.
    pub(crate) cancel: Cancel,
}

#[cfg(feature = "tls")]
impl Retry {
    /// Calls `fetch` until it works, fails for good, or was tried often enough.
    ///
    /// # Errors
    /// The error of the last attempt; [`FetchError::Cancelled`].
    pub(crate) fn run<T>(
        &self,
        mut fetch: impl FnMut() -> Result<T, FetchError>,
    ) -> Result<T, FetchError> {
        let begun = Instant::now();
        let mut attempt = 1;
        loop {
            match fetch() {
                Err(error) if error.may_pass() && attempt < self.attempts => {
                    let pause = pause(attempt, 0, error.retry_after());
                    if begun.elapsed().saturating_add(pause) >= self.patience {
                        return Err(error);
                    }
                    if self.cancel.wait(pause) {
                        return Err(FetchError::Cancelled);
                    }
                    attempt += 1;
                }
                result => return result,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_minute_and_chance_halves_them_at_most() {
        let seconds = |attempt, chance| pause(attempt, chance, None).as_secs_f64();
        assert_eq!(
            [1, 2, 3, 4].map(|attempt| seconds(attempt, 0)),
            [0.25, 1.0, 4.0, 16.0]
        );
        assert_eq!(seconds(u32::MAX, 0), 60.0);
        assert!(seconds(1, u8::MAX) >= 0.125);
        assert_eq!(pause(1, 9, Some(Duration::from_secs(3))).as_secs(), 3);
        assert_eq!(pause(1, 9, Some(Duration::MAX)).as_secs(), 60);
    }
}
