//! Judges a failed connection by whether the host was ever reached before.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::cancel::Cancel;
use crate::error::Error;
use crate::error::FetchError;

/// The pause before the second attempt to reach a host that was never reached.
const PAUSE: Duration = Duration::from_millis(300);

/// A failure that took longer than this gets no second attempt: while it lasted, the host had its
/// second chance.
const QUICK: Duration = Duration::from_millis(700);

/// Why there is no connection.
pub(super) enum Failure {
    /// No server answers at this name and port, or another kind of server does. A server that
    /// restarts may be back in a moment, while a mistyped name or port never works.
    NobodyThere(Error),
    /// A proxy tried to connect, and answered that it can't.
    BeyondProxy(Error),
    /// A failure that means the same whether the host was reached before or not.
    Other(FetchError),
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Failure {
        Failure::Other(error)
    }
}

/// Whether a host was ever reached. All connections to the host share this knowledge.
#[derive(Clone, Debug, Default)]
pub(super) struct Acquaintance(Arc<AtomicBool>);

impl Acquaintance {
    /// Connects. If nobody is at the host, this tries once more. A host that was never reached is
    /// then given up for good, since its name or port is probably wrong.
    ///
    /// # Errors
    /// [`FetchError::Fatal`] for a host that was never reached and where nobody is,
    /// [`FetchError::Unreachable`] for one that was reached before; [`FetchError::Cancelled`];
    /// other errors as `connect` returns them.
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
