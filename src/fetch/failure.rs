//! Why a chunk did not come: whose failure it is, and the error that tells of it.

use crate::error::{Error, ErrorKind, FetchError, Scope};
use crate::format::index::Chunk;

/// Why a job came back without its chunk.
#[derive(Debug)]
pub(super) enum Failure {
    /// This is the answer to the request for the chunk.
    Fetch(FetchError),
    /// There is no connection, or there is none any more.
    Connection(FetchError),
    /// A blob came, and is not the chunk.
    Corrupt(Error),
    /// It was not asked for: another had been quicker.
    Needless,
    /// A blob came, and was not looked at: another had been quicker.
    Overtaken,
    /// The worker is unwinding: its panic is raised again when it is joined.
    Panicked,
}

impl Failure {
    /// Whose failure it is; `None` where nobody failed.
    pub(super) fn scope(&self) -> Option<Scope> {
        match self {
            Failure::Corrupt(_) => Some(Scope::Chunk),
            Failure::Fetch(error) => error.scope(),
            // What goes wrong with a connection says nothing of any chunk, whatever its name.
            Failure::Connection(error) => match error.scope() {
                Some(Scope::Chunk) => Some(Scope::Place),
                scope => scope,
            },
            Failure::Needless | Failure::Overtaken | Failure::Panicked => None,
        }
    }

    pub(super) fn fetch_error(&self) -> Option<&FetchError> {
        match self {
            Failure::Fetch(error) | Failure::Connection(error) => Some(error),
            _ => None,
        }
    }

    pub(super) fn is_unreachable(&self) -> bool {
        matches!(self.fetch_error(), Some(FetchError::Unreachable(_)))
    }

    /// Whether the place was reached and asks for less.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Failure::Fetch(FetchError::Transient { .. }))
    }

    pub(super) fn is_unreadable(&self) -> bool {
        matches!(self, Failure::Fetch(FetchError::Unreadable(_)))
    }
}

/// A chunk, as messages name it.
pub(super) fn name_of(chunk: &Chunk, position: usize) -> String {
    let Chunk { digest, offset, .. } = chunk;
    format!("chunk {digest} (position {position}, offset {offset})")
}

/// The error that tells of a failure to get a chunk, at the attempt of this number.
pub(super) fn error_of(chunk: &Chunk, position: usize, attempt: u32, failure: Failure) -> Error {
    let (digest, offset) = (chunk.digest, chunk.offset);
    let chunk = name_of(chunk, position);
    let scope = failure.scope();
    let fetch = |verb: &str, error: FetchError| {
        // The sort of failure is in the sentence already: only its cause is news.
        let kind = error.kind();
        let error = match error {
            FetchError::Unreadable(cause)
            | FetchError::Denied(cause)
            | FetchError::Unreachable(cause)
            | FetchError::Transient { cause, .. }
            | FetchError::Resources(cause)
            | FetchError::Fatal(cause) => cause,
            error => error.into(),
        };
        Error::new(kind, format!("{verb} {chunk}")).because(error)
    };
    let corrupt = || Error::new(ErrorKind::Corrupt, format!("{chunk} is corrupt"));
    let error = match failure {
        // The chunk is named here already.
        Failure::Corrupt(error) => match std::error::Error::source(&error) {
            Some(cause) => corrupt().because(cause.to_string()),
            None => corrupt().because(error),
        },
        Failure::Fetch(FetchError::Missing) => Error::new(
            ErrorKind::Missing,
            format!("{chunk} is missing in the datastore"),
        ),
        Failure::Fetch(FetchError::TooLong) => corrupt().because(FetchError::TooLong),
        Failure::Fetch(error @ FetchError::Unreadable(_)) => fetch("cannot read", error),
        Failure::Fetch(error @ FetchError::Denied(_))
        | Failure::Connection(error @ FetchError::Denied(_)) => fetch("access is denied to", error),
        Failure::Connection(
            error @ (FetchError::Missing | FetchError::Unreadable(_) | FetchError::TooLong),
        ) => {
            let message = format!("cannot connect to the place of {chunk}");
            Error::new(ErrorKind::Unavailable, message).because(error)
        }
        Failure::Fetch(error) | Failure::Connection(error) => match attempt {
            1 => fetch("cannot fetch", error),
            attempt => fetch(&format!("in {attempt} attempts cannot fetch"), error),
        },
        Failure::Needless | Failure::Overtaken | Failure::Panicked => Error::new(
            ErrorKind::Resources,
            format!("the worker that fetched {chunk} panicked"),
        ),
    };
    error
        .of_scope(scope)
        .of_chunk(digest)
        .at_position(position)
        .at_offset(offset)
}
