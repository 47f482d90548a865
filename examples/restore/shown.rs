//! Makes text from outside safe to show: a terminal obeys control characters in what it shows.

use std::fmt::{Display, Write};

/// Text as one line. Characters that a terminal would obey or hide are spelt out: `\n`, `\u{1b}`.
pub(crate) fn shown(text: impl Display) -> String {
    spelt(&text.to_string(), |_| false)
}

/// Text with lines. The same characters are spelt out, except line ends.
pub(crate) fn shown_lines(text: impl Display) -> String {
    spelt(&text.to_string(), |c| c == '\n')
}

fn spelt(text: &str, stays: impl Fn(char) -> bool) -> String {
    let mut spelt = String::with_capacity(text.len());
    for c in text.chars() {
        if is_plain(c) || stays(c) {
            spelt.push(c);
        } else {
            spelt.extend(c.escape_default());
        }
    }
    spelt
}

/// A name or path of a file as one line, unambiguously: backslashes and bytes that are not UTF-8 are
/// spelt out too, as `\\` and `\xff`.
pub(crate) fn shown_name(name: &[u8]) -> String {
    let mut shown = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        shown += &spelt(&chunk.valid().replace('\\', r"\\"), |_| false);
        for byte in chunk.invalid() {
            let _ = write!(shown, r"\x{byte:02x}");
        }
    }
    shown
}

/// JSON with the same characters spelt out, as JSON escapes them.
pub(crate) fn shown_json(json: impl Display) -> String {
    let mut ascii = String::new();
    for c in json.to_string().chars() {
        if is_plain(c) {
            ascii.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(ascii, "\\u{unit:04x}");
            }
        }
    }
    ascii
}

/// Whether a terminal only shows this character: it is not a control character, it does not change
/// the direction of the text after it, and it is not invisible.
fn is_plain(c: char) -> bool {
    !c.is_control()
        && !matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}
