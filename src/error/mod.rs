//! The library's error type: what went wrong, with what, where, and whose failure it is.

mod fetch;

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use crate::digest::Digest;

pub use fetch::FetchError;
pub(crate) use fetch::is_ours;

/// What this crate's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Any error as a cause.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// What went wrong, with what, and why.
///
/// [`kind`](Error::kind) says what sort of failure it is. The message names the thing that failed; its cause is only
/// in [`source`](StdError::source), so a reporter that prints the chain says nothing twice.
///
/// ```
/// # use std::error::Error as _;
/// let error = chunk_restore::Datastore::open("dir:/no/such/folder").unwrap_err();
/// assert_eq!(error.kind(), chunk_restore::ErrorKind::NotFound);
/// assert_eq!(error.to_string(), "cannot open the datastore /no/such/folder");
/// assert!(error.source().is_some());
/// ```
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: String,
    digest: Option<Digest>,
    position: Option<usize>,
    offset: Option<u64>,
    scope: Option<Scope>,
    /// Shared, since several readers may wait for the same chunk.
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// Whose failure an error is, and so what can be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scope {
    /// A failure of the stored chunk or file alone: it is missing, corrupt or unreadable while
    /// everything else can be read. Only such a failure is damage, and only damage may a
    /// [`salvage`](crate::Restore::salvage) replace with zeros.
    Chunk,
    /// A failure of the place: it is out of reach, refuses, throttles, or no longer holds the
    /// snapshot. The data may be whole.
    Place,
    /// A failure of this machine: it lacks file descriptors, memory or threads. Nothing is wrong
    /// with the data or the place.
    Ours,
}

/// The sorts of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The caller asked for something that makes no sense: a malformed name, an impossible range.
    Invalid,
    /// This kind of place, or this build, can't do what was asked.
    Unsupported,
    /// There is no such datastore, namespace, group, snapshot or archive.
    NotFound,
    /// Sign-in failed, the identity may not do this, or the peer is not who it should be: its certificate is not trusted,
    /// or it does not speak TLS.
    Denied,
    /// A key is missing, wrong or can't be unlocked; or a manifest is not signed by it.
    Key,
    /// Stored data is not what it should be: a damaged file, a wrong digest, a manifest that does not fit.
    Corrupt,
    /// A chunk that the index names is not in the datastore.
    Missing,
    /// Stored data is there but can't be read, such as a file on a failing disk.
    Unreadable,
    /// Something could not be fetched, for a reason that may pass.
    Unavailable,
    /// The target can't be created, written or made durable.
    Target,
    /// Somebody asked to stop.
    Cancelled,
    /// This machine refused a thread, memory or a file descriptor.
    Resources,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error(Box::new(Inner {
            kind,
            message: message.into(),
            digest: None,
            position: None,
            offset: None,
            scope: None,
            source: None,
        }))
    }

    pub(crate) fn because(mut self, source: impl Into<BoxError>) -> Error {
        self.0.source = Some(Arc::from(source.into()));
        self
    }

    pub(crate) fn at_offset(mut self, offset: u64) -> Error {
        self.0.offset = Some(offset);
        self
    }

    pub(crate) fn at_position(mut self, position: usize) -> Error {
        self.0.position = Some(position);
        self
    }

    pub(crate) fn of_chunk(mut self, digest: Digest) -> Error {
        self.0.digest = Some(digest);
        self
    }

    pub(crate) fn of_scope(mut self, scope: impl Into<Option<Scope>>) -> Error {
        self.0.scope = scope.into();
        self
    }

    /// What sort of failure it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whose failure it is; `None` if the error is not about something that was fetched.
    #[must_use]
    pub fn scope(&self) -> Option<Scope> {
        self.0.scope
    }

    /// The chunk that the error is about, if it is about one.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        self.0.digest
    }

    /// The position of that chunk in the index, from 0.
    #[must_use]
    pub fn position(&self) -> Option<usize> {
        self.0.position
    }

    /// The offset in the archive where it happened, in bytes.
    #[must_use]
    pub fn offset(&self) -> Option<u64> {
        self.0.offset
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    /// The message and its causes in one line, which is what a `main` that returns the error prints.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        let mut cause = self.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_ref().map(|source| &**source as _)
    }
}
