//! Writes values into shell scripts, JSON and XML so that they stay values.

use std::path::Path;

/// The path as text, if a script and a domain can name it: UTF-8 without control characters.
pub(crate) fn is_plain_path(path: &Path) -> Option<&str> {
    path.to_str()
        .filter(|path| !path.chars().any(char::is_control))
}

/// A word as a shell reads it.
pub(super) fn shell(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// A JSON string, with its quotes. The text has no control characters.
pub(super) fn json(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', r"\\").replace('"', r#"\""#))
}

/// Text between tags or in an attribute. XML 1.0 can't hold U+FFFE and U+FFFF, so they become U+FFFD.
pub(super) fn xml(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}
