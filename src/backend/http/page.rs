//! Tells a text from the server, such as a sign-in page, from the file that was requested. No file
//! of a datastore begins like a text.

use crate::error::{Error, ErrorKind};
use crate::net::body_text::{TELLING, beginning};

/// The byte order marks of UTF-16. No file of a datastore is written in UTF-16.
const OTHER_MARKS: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];

/// The kind of text that a server sent instead of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Page,
    /// XML or JSON.
    Other,
}

impl Said {
    pub(super) fn error(self, host: &str) -> Error {
        let message = match self {
            Said::Page => format!(
                "{host} answered with a web page instead of the file; does the server or the network want a sign-in, \
                 or does the URL lead elsewhere?"
            ),
            Said::Other => {
                format!("{host} answered with a text instead of the file; is the URL right?")
            }
        };
        Error::new(ErrorKind::Unavailable, message)
    }
}

/// The kind of text that a body with this type and this beginning is; `None` if the body may be a
/// file.
pub(super) fn said(content_type: Option<&str>, body: &[u8]) -> Option<Said> {
    let content_type = content_type.unwrap_or_default();
    let content_type = content_type.split(';').next().unwrap_or_default().trim();
    let is_type = |types: &[&str]| {
        types
            .iter()
            .any(|one| one.eq_ignore_ascii_case(content_type))
    };
    let is_page = is_type(&["text/html", "application/xhtml+xml"]);
    let is_other = is_type(&[
        "application/json",
        "application/problem+json",
        "application/xml",
        "text/xml",
    ]);
    let start = &body[..body.len().min(TELLING)];
    let begins = beginning(start);
    // A type alone proves nothing: some servers give this type to every file whose name they don't
    // know.
    match begins {
        Some("<?xml" | "<error") if !is_page => Some(Said::Other),
        Some(_) => Some(Said::Page),
        None if is_page && is_text(start) => Some(Said::Page),
        None if is_other && is_text(start) && !start.is_empty() => Some(Said::Other),
        None => None,
    }
}

fn is_text(start: &[u8]) -> bool {
    if OTHER_MARKS.iter().any(|mark| start.starts_with(mark)) {
        return true;
    }
    let text = match std::str::from_utf8(start) {
        Ok(text) => text,
        // The last character may be cut off.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&start[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    text.chars()
        .all(|c| !c.is_control() || c.is_ascii_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_and_texts_are_told_from_files() {
        let page = Some(Said::Page);
        let other = Some(Said::Other);
        for (content_type, body, expected) in [
            (None, &b"<!DOCTYPE html><html>"[..], page),
            (None, b"\xef\xbb\xbf \r\n<HTML><head><title>f\xfcr", page),
            (Some("text/html; charset=utf-8"), b"<p>Sign in</p>", page),
            (Some("text/html"), b"", page),
            (Some("text/html"), b"\xff\xfe<\0p\0", page),
            (Some("text/html"), b"<?xml version=\"1.0\"?><html>", page),
            (None, b"<?xml version=\"1.0\"?><Error>", other),
            (None, b"<Error><Code>", other),
            (Some("Application/JSON"), b"{\"error\":\"no\"}", other),
            (Some("application/json"), b"", None),
            (Some("application/octet-stream"), b"", None),
            (Some("text/plain"), b"no chunk", None),
            // Damaged files, from servers that call all files pages.
            (Some("text/html"), &[0; 4096], None),
            (
                Some("text/html"),
                &[66, 171, 56, 7, 190, 131, 112, 161],
                None,
            ),
            (
                Some("text/html"),
                &[123, 103, 133, 190, 34, 45, 76, 240],
                None,
            ),
        ] {
            assert_eq!(
                said(content_type, body),
                expected,
                "{content_type:?} {body:?}"
            );
        }
    }
}
