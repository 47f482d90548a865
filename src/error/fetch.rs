//! Why something could not be fetched from a place, and whose failure that is.

use std::fmt;
use std::io;
use std::time::Duration;

use rustix::io::Errno;

use crate::cancel::Cancelled;
use crate::error::{BoxError, Error, ErrorKind, Scope};

/// Why something could not be fetched. The variants are kept strictly apart, since each calls for a
/// different response.
///
/// [`scope`](FetchError::scope) tells a fault of one chunk or file from a fault of the place and
/// from a shortage on this machine.
///
/// An [`io::Error`] does not become a `FetchError` by itself, since its meaning depends on what was read:
/// [`of_file`](FetchError::of_file) sorts an error of a file, [`of_connection`](FetchError::of_connection) an error of a socket.
#[derive(Debug)]
#[non_exhaustive]
pub enum FetchError {
    /// The place answers, and does not have this chunk or file.
    Missing,
    /// The place answers, and can't read this chunk or file, as on a failing disk. The restore
    /// tries again.
    Unreadable(BoxError),
    /// The chunk or file is longer than it can be, so it is not what it should be.
    TooLong,
    /// The place refuses: the identity has no right to the data, or signing in failed. Final: the
    /// restore does not try again.
    Denied(BoxError),
    /// The place can't be reached: no connection could be made, or the connection broke or fell
    /// silent. The restore tries again each second, for as long as it has patience with the place.
    Unreachable(BoxError),
    /// The place was reached, but can't answer now: it is overloaded, or asks for a slower pace.
    /// The restore tries again after growing pauses.
    Transient {
        /// What happened.
        cause: BoxError,
        /// How long the place asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// This kind of place can't do what was asked. Final: the restore does not try again.
    Unsupported,
    /// The place answers, and another try would not help: it is no datastore, no longer has the
    /// snapshot, or keeps the chunk in an archive from which somebody must fetch it back first.
    /// Final: the restore does not try again.
    Fatal(BoxError),
    /// This machine lacks a resource that the fetch needs: file descriptors, memory or threads.
    /// Another try may work.
    Resources(BoxError),
    /// Somebody asked to stop.
    Cancelled,
}

impl FetchError {
    /// An [`Unreachable`](FetchError::Unreachable) error: the place can't be reached.
    pub fn unreachable(cause: impl Into<BoxError>) -> FetchError {
        FetchError::Unreachable(cause.into())
    }

    /// A [`Transient`](FetchError::Transient) error: another try may work, and the place asked for
    /// no pause.
    pub fn transient(cause: impl Into<BoxError>) -> FetchError {
        FetchError::Transient {
            cause: cause.into(),
            retry_after: None,
        }
    }

    /// Sorts an error of a file in a folder. For an error of a socket use
    /// [`of_connection`](FetchError::of_connection) instead: an error that means a failing disk
    /// where a file is read may mean a broken connection where a socket is.
    pub fn of_file(error: io::Error) -> FetchError {
        match error.kind() {
            io::ErrorKind::NotFound => FetchError::Missing,
            io::ErrorKind::PermissionDenied => FetchError::Denied(error.into()),
            _ if is_ours(&error) => FetchError::Resources(error.into()),
            // A server behind the folder is out of reach, or the disk was pulled out.
            io::ErrorKind::StaleNetworkFileHandle
            | io::ErrorKind::TimedOut
            | io::ErrorKind::NotConnected
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown => FetchError::unreachable(error),
            _ => FetchError::Unreadable(error.into()),
        }
    }

    /// Sorts an error of a socket, or of a reader over one: the place can't be reached, unless this
    /// machine lacks a resource. No error of a connection says anything about a chunk.
    pub fn of_connection(error: io::Error) -> FetchError {
        if is_ours(&error) {
            FetchError::Resources(error.into())
        } else {
            FetchError::unreachable(error)
        }
    }

    /// Whether the same request may work later.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(
            self,
            FetchError::Unreachable(_) | FetchError::Transient { .. } | FetchError::Resources(_)
        )
    }

    /// How long the place asks to be left alone.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            FetchError::Transient { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whose failure this is; `None` if the fetch was cancelled.
    #[must_use]
    pub fn scope(&self) -> Option<Scope> {
        match self {
            FetchError::Missing | FetchError::Unreadable(_) | FetchError::TooLong => {
                Some(Scope::Chunk)
            }
            FetchError::Denied(_)
            | FetchError::Unreachable(_)
            | FetchError::Transient { .. }
            | FetchError::Unsupported
            | FetchError::Fatal(_) => Some(Scope::Place),
            FetchError::Resources(_) => Some(Scope::Ours),
            FetchError::Cancelled => None,
        }
    }

    /// The sort of failure that callers of the library see. The exception is a missing chunk, which
    /// they see as [`ErrorKind::Missing`].
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            FetchError::Missing => ErrorKind::NotFound,
            FetchError::Unreadable(_) => ErrorKind::Unreadable,
            FetchError::TooLong => ErrorKind::Corrupt,
            FetchError::Denied(_) => ErrorKind::Denied,
            FetchError::Unsupported => ErrorKind::Unsupported,
            FetchError::Resources(_) => ErrorKind::Resources,
            FetchError::Cancelled => ErrorKind::Cancelled,
            FetchError::Unreachable(_) | FetchError::Transient { .. } => ErrorKind::Unavailable,
            // The cause is an error of this crate where one of its own backends made it, and then
            // has a more precise kind.
            FetchError::Fatal(cause) => {
                let known = cause.downcast_ref::<Error>().map(Error::kind);
                known.unwrap_or(ErrorKind::Unavailable)
            }
        }
    }
}

/// Whether an error shows that this machine lacks a resource, whatever operation failed.
pub(crate) fn is_ours(error: &io::Error) -> bool {
    let lacks = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS];
    error.kind() == io::ErrorKind::OutOfMemory
        || Errno::from_io_error(error).is_some_and(|errno| lacks.contains(&errno))
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FetchError::Missing => "it is not there",
            FetchError::Unreadable(_) => "it can't be read",
            FetchError::TooLong => "it is longer than it can be",
            FetchError::Denied(_) => "access was denied",
            FetchError::Unreachable(_) => "the place can't be reached",
            FetchError::Transient { .. } => "it could not be fetched",
            FetchError::Unsupported => "this kind of place can't do that",
            FetchError::Resources(_) => "this machine lacks what it takes",
            FetchError::Cancelled => "it was cancelled",
            FetchError::Fatal(_) => "it can't be fetched",
        })
    }
}

impl std::error::Error for FetchError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            FetchError::Missing
            | FetchError::TooLong
            | FetchError::Unsupported
            | FetchError::Cancelled => None,
            FetchError::Unreadable(cause)
            | FetchError::Denied(cause)
            | FetchError::Unreachable(cause)
            | FetchError::Transient { cause, .. }
            | FetchError::Resources(cause)
            | FetchError::Fatal(cause) => Some(&**cause),
        }
    }
}

impl From<Cancelled> for FetchError {
    fn from(_: Cancelled) -> FetchError {
        FetchError::Cancelled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_error_of_a_socket_is_a_failure_of_a_chunk() {
        for kind in [
            io::ErrorKind::ConnectionReset,
            io::ErrorKind::UnexpectedEof,
            io::ErrorKind::NotFound,
            io::ErrorKind::PermissionDenied,
            io::ErrorKind::Other,
        ] {
            let error = FetchError::of_connection(kind.into());
            assert!(
                matches!(error, FetchError::Unreachable(_)),
                "{kind}: {error:?}"
            );
        }
        let lack = io::Error::from_raw_os_error(Errno::MFILE.raw_os_error());
        let error = FetchError::of_connection(lack);
        assert_eq!(error.scope(), Some(Scope::Ours));
    }
}
