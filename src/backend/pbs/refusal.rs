//! What a server means by a status and the bare message beside it. Knows nothing of how they came.

use std::time::Duration;

use crate::backend::FetchError;
use crate::error::{Error, ErrorKind};

/// The most of a server's message that is shown.
const SHOWN: usize = 300;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// To sign in, to list, to open a session or to read a file of the snapshot.
    Ordinary,
    Chunk,
}

/// Sorts an answer whose status is not one of success.
pub(super) fn sort(
    asked: Asked,
    status: u16,
    message: &[u8],
    retry_after: Option<Duration>,
) -> FetchError {
    let text = readable(message);
    let says = |words: &[&str]| words.iter().any(|words| text.contains(words));
    let error = |kind| Error::new(kind, format!("the server answered {status}: {text}"));
    match status {
        401 | 403 => FetchError::Denied(error(ErrorKind::Denied).into()),
        404 => FetchError::Missing,
        400 if says(&[
            "no permissions",
            "permission check failed",
            "owner check failed",
        ]) =>
        {
            FetchError::Denied(error(ErrorKind::Denied).into())
        }
        400 if says(&["unable to acquire", "locked"]) => {
            FetchError::transient(error(ErrorKind::Unavailable))
        }
        400 if says(&["no such datastore"]) => FetchError::Fatal(error(ErrorKind::NotFound).into()),
        400 if says(&[
            "No such file or directory",
            "cannot find chunk",
            "does not exist",
            "no such namespace",
        ]) =>
        {
            FetchError::Missing
        }
        // The server has the chunk's file and can't read it, as on a failing disk.
        400 if asked == Asked::Chunk => FetchError::Unreadable(error(ErrorKind::Unreadable).into()),
        408 | 429 | 500..=599 => FetchError::Transient {
            cause: error(ErrorKind::Unavailable).into(),
            retry_after,
        },
        _ => FetchError::Fatal(error(ErrorKind::Unavailable).into()),
    }
}

/// One line of a message, without what a terminal would obey.
fn readable(message: &[u8]) -> String {
    let text = String::from_utf8_lossy(message);
    let shown: String = text.trim().chars().take(SHOWN).collect();
    shown
        .escape_debug()
        .to_string()
        .replace("\\\"", "\"")
        .replace("\\'", "'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_apart_by_their_words() {
        let chunk = |status, message: &str| sort(Asked::Chunk, status, message.as_bytes(), None);
        let gone = "reading file \"/x\" failed: No such file or directory (os error 2)";
        assert!(matches!(chunk(400, gone), FetchError::Missing));
        assert!(matches!(
            chunk(400, "cannot find chunk with digest 00"),
            FetchError::Missing
        ));
        let failing = "reading file \"/x\" failed: Input/output error (os error 5)";
        assert!(matches!(chunk(400, failing), FetchError::Unreadable(_)));
        assert!(matches!(
            chunk(401, "download chunk 00 not allowed"),
            FetchError::Denied(_)
        ));
        assert!(matches!(chunk(503, "busy"), FetchError::Transient { .. }));
        let ordinary =
            |status, message: &str| sort(Asked::Ordinary, status, message.as_bytes(), None);
        assert!(matches!(
            ordinary(400, "no permissions on /datastore/x"),
            FetchError::Denied(_)
        ));
        assert!(matches!(
            ordinary(400, "backup owner check failed!"),
            FetchError::Denied(_)
        ));
        let locked = "unable to acquire lock on snapshot directory \"x\"";
        assert!(matches!(
            ordinary(400, locked),
            FetchError::Transient { .. }
        ));
        assert!(matches!(
            ordinary(400, "snapshot vm/1/x does not exist."),
            FetchError::Missing
        ));
        assert!(matches!(
            ordinary(400, "no such datastore 'x'"),
            FetchError::Fatal(_)
        ));
        assert!(matches!(ordinary(302, ""), FetchError::Fatal(_)));
    }

    #[test]
    fn a_message_can_not_drive_a_terminal() {
        let error = sort(Asked::Ordinary, 400, b"\x1b[2Jboo\r\n", None);
        let FetchError::Fatal(cause) = error else {
            panic!("a plain 400 is final");
        };
        assert_eq!(cause.to_string(), "the server answered 400: \\u{1b}[2Jboo");
    }
}
