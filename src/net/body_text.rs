//! What the body of an answer says to people: a message, or a web page where something else was asked for. Knows
//! nothing of how it came.

/// How web pages begin, in lower case.
const BEGINNINGS: &[&[u8]] = &[
    b"<!doctype",
    b"<!--",
    b"<?xml",
    b"<html",
    b"<head",
    b"<title",
    b"<meta",
    b"<script",
    b"<body",
    b"<h1",
];

/// How much of a body is needed to tell: a page may begin with empty lines. Sign-in portals and error
/// pages come with a status of success, too.
pub(crate) const TELLING: usize = 256;

/// The most of a message that is shown.
const SHOWN: usize = 300;

/// Whether a body is a web page, by its first [`TELLING`] bytes. No blob and no index begins like one, since each has
/// a magic number.
pub(crate) fn is_web_page(body: &[u8]) -> bool {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let body = &body[..body.len().min(TELLING)];
    let body = body.trim_ascii_start();
    BEGINNINGS.iter().any(|beginning| {
        (body.get(..beginning.len())).is_some_and(|start| start.eq_ignore_ascii_case(beginning))
    })
}

/// One line of a message, without what a terminal would obey. Of a web page only that it is one.
pub(crate) fn readable(message: &[u8]) -> String {
    if is_web_page(message) {
        return "a web page".to_owned();
    }
    let text = String::from_utf8_lossy(message);
    let shown: String = text.trim().chars().take(SHOWN).collect();
    let escaped = shown.escape_debug().to_string();
    escaped.replace("\\\"", "\"").replace("\\'", "'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_told_from_text_and_data() {
        for page in [
            "<!DOCTYPE html><html>",
            "\u{feff}\r\n\r\n <HTML lang=en>",
            "<!-- saved --><p>",
        ] {
            assert!(is_web_page(page.as_bytes()), "{page}");
        }
        for other in ["", "<", "{\"data\":[]}", "< html", "no <html>", "<p>"] {
            assert!(!is_web_page(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn a_message_can_not_drive_a_terminal() {
        assert_eq!(readable(b"\x1b[2Jboo \"x\"\r\n"), "\\u{1b}[2Jboo \"x\"");
        assert_eq!(readable(b"<html>\x1b[2J"), "a web page");
        assert_eq!(readable(&[b'x'; 1000]).len(), SHOWN);
    }
}
