//! What the body of an answer says to people: a message, or a web page that came in place of
//! something else.

/// The beginnings of web pages and of the errors that S3 servers write in XML, in lower case. No
/// blob and no index begins like one of them, since each has a magic number.
const BEGINNINGS: [&str; 11] = [
    "<!doctype",
    "<!--",
    "<?xml",
    "<html",
    "<head",
    "<title",
    "<meta",
    "<script",
    "<body",
    "<h1",
    "<error",
];

/// How many bytes of a body are needed to recognise a page, which may begin with empty lines.
/// Sign-in portals and error pages can come with a status of success, too.
pub(crate) const TELLING: usize = 512;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The most bytes of a message that are shown.
const SHOWN: usize = 300;

/// Which of the beginnings of web pages and the like a body has, by its first [`TELLING`] bytes.
pub(crate) fn beginning(body: &[u8]) -> Option<&'static str> {
    let body = &body[..body.len().min(TELLING)];
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    let body = body.trim_ascii_start();
    BEGINNINGS.into_iter().find(|beginning| {
        (body.get(..beginning.len()))
            .is_some_and(|start| start.eq_ignore_ascii_case(beginning.as_bytes()))
    })
}

/// Whether a body is a web page.
pub(crate) fn is_web_page(body: &[u8]) -> bool {
    beginning(body).is_some_and(|beginning| beginning != "<error")
}

/// One line of a message, without characters that control a terminal. For a web page, only that it
/// is one.
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
