//! What a failed connection means for a host that was never reached, and for one that was. Knows nothing of how
//! connections are made.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::cancel::Cancel;
use crate::error::Error;
use crate::error::FetchError;

/// The pause before the second look for a host that was never reached.
const PAUSE: Duration = Duration::from_millis(300);

/// A failure that took longer than this has had its second chance already.
const QUICK: Duration = Duration::from_millis(700);

/// Why there is no connection.
pub(super) enum Failure {
    /// Nobody answers by this name and port, or somebody else does. A server that restarts may be back in a moment; a
    /// mistyped name or port never is.
    NobodyThere(Error),
    /// A proxy answered that it can't connect, after it has tried.
    BeyondProxy(Error),
    /// What does not depend on whether the host was reached before.
    Other(FetchError),
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Failure {
        Failure::Other(error)
    }
}

/// Whether a host was ever reached, known to all who connect to it.
#[derive(Clone, Debug, Default)]
pub(super) struct Acquaintance(Arc<AtomicBool>);

impl Acquaintance {
    /// Connects. A host that is not there is looked for once more, and given up for good where it was never reached:
    /// its name or port is probably wrong.
    ///
    /// # Errors
    /// [`FetchError::Fatal`] for a host that was never reached and is not there, [`FetchError::Unreachable`] for one that was
    /// reached before; [`FetchError::Cancelled`]; else as `connect`.
    pub(super) fn meet<T>(
        &self,
        cancel: &Cancel,
        mut connect: impl FnMut() -> Result<T, Failure>,
    ) -> Result<T, FetchError> {
        let begun = Instant::now();
        let mut result = connect();
        let is_stranger = || !self.0.load(Ordering::Relaxed);
        if matches!(result, Err(Failure::NobodyThere(_)))
            && is_stranger()
            && begun.elapsed() < QUICK
        {
            if cancel.wait(PAUSE) {
                return Err(FetchError::Cancelled);
            }
            result = connect();
        }
        match result {
            Ok(connected) => {
                self.0.store(true, Ordering::Relaxed);
                Ok(connected)
            }
            Err(Failure::Other(error)) => Err(error),
            Err(Failure::NobodyThere(error) | Failure::BeyondProxy(error)) => {
                Err(if is_stranger() {
                    FetchError::Fatal(error.into())
                } else {
                    FetchError::unreachable(error)
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn nobody<T>() -> Result<T, Failure> {
        let error = Error::new(ErrorKind::Unavailable, "nobody is there");
        Err(Failure::NobodyThere(error))
    }

    #[test]
    fn a_stranger_is_looked_for_twice_and_a_host_that_was_reached_may_come_back() {
        let host = Acquaintance::default();
        let cancel = Cancel::new();
        let mut tries = 0;
        let mut count = || {
            tries += 1;
            nobody::<()>()
        };
        let failed = host.meet(&cancel, &mut count);
        assert!(matches!(failed, Err(FetchError::Fatal(_))), "{failed:?}");
        assert_eq!(tries, 2);
        host.clone().meet(&cancel, || Ok(())).expect("it is there");
        let mut tries = 0;
        let failed = host.meet(&cancel, || {
            tries += 1;
            nobody::<()>()
        });
        assert!(
            matches!(failed, Err(FetchError::Unreachable(_))),
            "{failed:?}"
        );
        assert_eq!(tries, 1);
    }
}
