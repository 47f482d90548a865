//! What a server means by a status and the bare message that comes with it.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::time::Duration;

use crate::backend::FetchError;
use crate::error::{Error, ErrorKind};
use crate::net::body_text::{is_web_page, readable};

/// What was requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    SignIn,
    Listing,
    Session,
    /// A file of the snapshot, requested in a session.
    File,
    /// A chunk, requested in a session.
    Chunk,
}

/// An answer whose status is not one of success.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal<'a> {
    pub(super) asked: Asked,
    pub(super) status: u16,
    /// The words after the status; empty if there are none.
    pub(super) reason: &'a str,
    pub(super) message: &'a [u8],
    pub(super) retry_after: Option<Duration>,
}

/// A cause of errors: the server knows the identity, but denies it access.
#[derive(Clone, Copy, Debug)]
pub(super) struct Forbidden;

/// A cause of errors: another task on the server is working on the snapshot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Locked;

impl Refusal<'_> {
    /// Sorts the refusal. Only a refusal in a session can concern one chunk or file alone.
    pub(super) fn sort(&self) -> FetchError {
        let text = String::from_utf8_lossy(self.message);
        let says = |words: &[&str]| words.iter().any(|words| text.contains(words));
        let is_in_session = matches!(self.asked, Asked::File | Asked::Chunk);
        match self.status {
            401 => FetchError::Denied(self.error(ErrorKind::Denied).into()),
            403 => self.forbidden(),
            404 if is_in_session => FetchError::Missing,
            400 if !is_in_session && is_web_page(self.message) => self.no_pbs(),
            400 if says(&[
                "no permissions",
                "permission check failed",
                "owner check failed",
            ]) =>
            {
                self.forbidden()
            }
            400 if says(&["unable to acquire", "locked"]) => self.locked(),
            // PBS 4 gives no cause. If the server fails to read the snapshot when it opens a
            // session, the cause can only be a lock.
            400 if self.asked == Asked::Session && says(&["while reading snapshot"]) => {
                self.locked()
            }
            400 if says(&["no such datastore"]) => {
                FetchError::Fatal(self.error(ErrorKind::NotFound).into())
            }
            400 | 404
                if says(&[
                    "No such file or directory",
                    "cannot find chunk",
                    "does not exist",
                    "no such namespace",
                ]) =>
            {
                FetchError::Missing
            }
            400 if is_in_session => self.unreadable(&text),
            // A PBS has everything that is requested here, and never redirects. A web server or a
            // Proxmox VE host lacks it or redirects.
            status if !is_in_session && is_strange(status) => self.no_pbs(),
            408 | 425 | 429 | 500 | 502..=599 => FetchError::Transient {
                cause: self.error(ErrorKind::Unavailable).into(),
                retry_after: self.retry_after,
            },
            _ => FetchError::Fatal(self.error(ErrorKind::Unavailable).into()),
        }
    }

    /// The server has the chunk or file, and can't read it. The server passes on the system's
    /// error, which tells whether this chunk or file alone is to blame.
    fn unreadable(&self, text: &str) -> FetchError {
        let error = |kind| self.error(kind);
        let sorted =
            os_error(text).map(|code| FetchError::of_file(io::Error::from_raw_os_error(code)));
        match sorted {
            Some(FetchError::Denied(_)) => FetchError::Denied(error(ErrorKind::Denied).into()),
            // The server, or the storage behind it, lacks something.
            Some(sorted) if sorted.may_pass() => {
                FetchError::transient(error(ErrorKind::Unavailable))
            }
            None if self.asked == Asked::File => {
                FetchError::Fatal(error(ErrorKind::Unavailable).into())
            }
            _ => FetchError::Unreadable(error(ErrorKind::Unreadable).into()),
        }
    }

    fn forbidden(&self) -> FetchError {
        let error = self.error(ErrorKind::Denied);
        FetchError::Denied(match self.asked {
            Asked::SignIn => error.into(),
            _ => error.because(Forbidden).into(),
        })
    }

    fn locked(&self) -> FetchError {
        FetchError::transient(self.error(ErrorKind::Unavailable).because(Locked))
    }

    /// The error for another kind of server, which may be in front of a PBS.
    fn no_pbs(&self) -> FetchError {
        let message = format!("{}; is it a Proxmox Backup Server?", self.text());
        FetchError::Fatal(Error::new(ErrorKind::Unavailable, message).into())
    }

    fn error(&self, kind: ErrorKind) -> Error {
        Error::new(kind, self.text())
    }

    fn text(&self) -> String {
        let status = self.status;
        if is_web_page(self.message) {
            return format!("the server answered {status} with a web page");
        }
        // A Proxmox VE host sends its message after the status, while a PBS sends it in the body.
        match (readable(self.message), readable(self.reason.as_bytes())) {
            (text, reason) if text.is_empty() && reason.is_empty() => {
                format!("the server answered {status}")
            }
            (text, reason) if text.is_empty() => format!("the server answered {status}: {reason}"),
            (text, _) => format!("the server answered {status}: {text}"),
        }
    }
}

/// The error for an answer with a status of success that is not the requested thing.
pub(super) fn other_than(what: &str, body: &[u8]) -> FetchError {
    let message = if is_web_page(body) {
        format!(
            "the server answered with a web page instead of {what}; is it a Proxmox Backup Server?"
        )
    } else {
        format!("the server's answer is not {what}; is it a Proxmox Backup Server?")
    };
    FetchError::Fatal(Error::new(ErrorKind::Unavailable, message).into())
}

/// Whether an error has a cause of this type.
pub(super) fn is_due_to<T: StdError + 'static>(error: &FetchError) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.is::<T>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Whether a PBS never answers our requests with this status.
fn is_strange(status: u16) -> bool {
    matches!(status, 100..=399 | 404 | 405 | 410 | 501)
}

/// The number of the system's error in a text, as Rust writes it.
fn os_error(text: &str) -> Option<i32> {
    let (_, rest) = text.rsplit_once("(os error ")?;
    rest.split(')').next()?.parse().ok()
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the user or token has no right to it")
    }
}

impl StdError for Forbidden {}

impl fmt::Display for Locked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the snapshot is locked, as while it is being written or deleted")
    }
}

impl StdError for Locked {}

#[cfg(test)]
mod tests {
    use super::*;

    fn sort(asked: Asked, status: u16, message: &str) -> FetchError {
        let refusal = Refusal {
            asked,
            status,
            reason: "",
            message: message.as_bytes(),
            retry_after: None,
        };
        refusal.sort()
    }

    #[test]
    fn what_is_said_of_a_chunk_is_told_from_what_is_said_of_the_place() {
        let chunk = |status, message: &str| sort(Asked::Chunk, status, message);
        let reading = |cause: &str| chunk(400, &format!("reading file \"/x\" failed: {cause}"));
        assert!(matches!(
            reading("No such file or directory (os error 2)"),
            FetchError::Missing
        ));
        assert!(matches!(
            chunk(400, "cannot find chunk with digest 00"),
            FetchError::Missing
        ));
        for own in ["Input/output error (os error 5)", "bad things"] {
            assert!(matches!(reading(own), FetchError::Unreadable(_)), "{own}");
        }
        for passing in [
            "Too many open files (os error 24)",
            "Cannot allocate memory (os error 12)",
            "Stale file handle (os error 116)",
            "Transport endpoint is not connected (os error 107)",
        ] {
            let error = reading(passing);
            assert!(matches!(error, FetchError::Transient { .. }), "{error:?}");
        }
        assert!(matches!(
            reading("Permission denied (os error 13)"),
            FetchError::Denied(_)
        ));
        assert!(matches!(
            chunk(401, "download chunk 00 not allowed"),
            FetchError::Denied(_)
        ));
        assert!(matches!(chunk(503, "busy"), FetchError::Transient { .. }));
    }

    #[test]
    fn refusals_are_told_apart_by_their_words() {
        let session = |status, message: &str| sort(Asked::Session, status, message);
        for forbidden in [
            session(400, "no permissions on /datastore/x"),
            session(400, "backup owner check failed!"),
            session(403, "permission check failed"),
        ] {
            assert!(matches!(forbidden, FetchError::Denied(_)));
            assert!(is_due_to::<Forbidden>(&forbidden), "{forbidden:?}");
        }
        let unknown = session(401, "authentication failed - invalid credentials.");
        assert!(matches!(unknown, FetchError::Denied(_)) && !is_due_to::<Forbidden>(&unknown));
        for locked in [
            "unable to acquire lock on snapshot directory \"x\"",
            "while reading snapshot 'BackupDir { .. }'",
        ] {
            let error = session(400, locked);
            assert!(matches!(error, FetchError::Transient { .. }), "{error:?}");
            assert!(is_due_to::<Locked>(&error), "{error:?}");
        }
        assert!(matches!(
            session(400, "snapshot vm/1/x does not exist."),
            FetchError::Missing
        ));
        assert!(matches!(
            session(400, "no such datastore 'x'"),
            FetchError::Fatal(_)
        ));
    }

    #[test]
    fn what_no_pbs_says_is_asked_about_and_not_tried_again() {
        for (status, message) in [
            (302, ""),
            (404, "not found"),
            (404, "<html>"),
            (501, "Method 'GET /reader' not implemented"),
            (400, "<html>The plain HTTP request"),
        ] {
            let error = sort(Asked::Listing, status, message);
            let FetchError::Fatal(cause) = error else {
                panic!("{status}: {error:?}");
            };
            let text = cause.to_string();
            assert!(text.ends_with("is it a Proxmox Backup Server?"), "{text}");
            assert!(!text.contains('<'), "{text}");
        }
        let passing = sort(Asked::Listing, 502, "<html>Bad Gateway");
        assert!(matches!(passing, FetchError::Transient { .. }));
    }
}
