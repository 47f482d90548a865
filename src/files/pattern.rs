//! Patterns for paths, with the meaning that they have for the official client.

use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use gix_glob::wildmatch::Mode;

use crate::error::{Error, ErrorKind, Result};
use crate::files::pxar::Shown;

/// A pattern for paths of a file archive: git's wildmatch, on bytes, where case matters.
///
/// A pattern that begins with `/` is compared with the path from the archive's root. Any other is
/// also compared with what follows each `/` of the path: `a/b` matches `x/a/b`. A pattern that ends
/// with `/` matches directories only.
///
/// `*` and `?` stand for anything but `/`; `**` stands for any number of directories if it is all
/// that lies between two slashes. `[a-z]` and `[[:digit:]]` stand for one byte, `[^a-z]` for any
/// other, and `\[` for a bracket. A `./` at the start means nothing. In `[!a]`, the `!` is a byte like any other. A `\` takes the meaning from the byte that
/// follows.
///
/// ```
/// use chunk_restore::files::Pattern;
///
/// let logs = Pattern::new("log/*.gz")?;
/// assert!(logs.matches("var/log/syslog.2.gz", false));
/// assert!(!logs.matches("var/log/apt/term.log.gz", false));
/// # Ok::<(), chunk_restore::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Pattern {
    /// The pattern as it was given.
    text: Vec<u8>,
    /// The pattern for wildmatch, without a slash at the end.
    glob: Vec<u8>,
    is_for_directories: bool,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if the pattern is empty, ends with a `\` that has nothing to take the
    /// meaning from, or has a `[` that no `]` closes: such a pattern would match nothing.
    pub fn new(text: impl AsRef<[u8]>) -> Result<Pattern> {
        let text = text.as_ref();
        let mut glob = text.strip_suffix(b"/").unwrap_or(text);
        let is_for_directories = glob.len() < text.len();
        while let Some(rest) = glob.strip_prefix(b"./") {
            glob = rest;
        }
        let escapes = glob.iter().rev().take_while(|byte| **byte == b'\\').count();
        let problem = match glob {
            b"" => "is empty",
            b"." => "stands for the root, which no pattern matches",
            _ if escapes % 2 == 1 => "ends with a backslash",
            _ if has_open_class(glob) => "has a `[` without a `]`",
            _ => {
                return Ok(Pattern {
                    text: text.to_vec(),
                    glob: without_negation(glob),
                    is_for_directories,
                });
            }
        };
        let message = format!("the pattern '{}' {problem}", Shown(text));
        Err(Error::new(ErrorKind::Invalid, message))
    }

    /// The pattern as it was given.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.text
    }

    /// Whether a path of the archive matches. The root has no name, so no pattern matches it.
    #[must_use]
    pub fn matches(&self, path: impl AsRef<Path>, is_directory: bool) -> bool {
        let path = path.as_ref().as_os_str().as_bytes();
        let path = path.strip_prefix(b"/").unwrap_or(path);
        if path.is_empty() || (self.is_for_directories && !is_directory) {
            return false;
        }
        let path = [b"/", path].concat();
        let after_slashes = path.iter().enumerate();
        let mut starts = after_slashes.filter(|(_, byte)| **byte == b'/');
        self.matches_bytes(&path) || starts.any(|(slash, _)| self.matches_bytes(&path[slash + 1..]))
    }

    fn matches_bytes(&self, bytes: &[u8]) -> bool {
        let glob = self.glob.as_slice();
        gix_glob::wildmatch(glob.into(), bytes.into(), Mode::NO_MATCH_SLASH_LITERAL)
    }
}

/// Whether a class of bytes begins that does not end.
fn has_open_class(glob: &[u8]) -> bool {
    let mut rest = glob.iter().copied();
    while let Some(byte) = rest.next() {
        match byte {
            b'\\' => drop(rest.next()),
            b'[' if !skip_class(&mut rest) => return true,
            _ => {}
        }
    }
    false
}

/// Goes to the end of a class, behind its `[`. Returns whether it has an end.
fn skip_class(rest: &mut impl Iterator<Item = u8>) -> bool {
    let mut is_first = true;
    let mut before = 0;
    while let Some(byte) = rest.next() {
        match byte {
            // Here, `]` is a byte like any other.
            b']' if is_first => {}
            b']' => return true,
            b'^' if is_first && before == 0 => {
                before = byte;
                continue;
            }
            b'\\' => drop(rest.next()),
            // A named class, such as `[:digit:]`.
            b':' if before == b'[' => {
                let mut last = 0;
                let is_named =
                    rest.any(|byte| std::mem::replace(&mut last, byte) == b':' && byte == b']');
                if !is_named {
                    return false;
                }
            }
            _ => {}
        }
        (is_first, before) = (false, byte);
    }
    false
}

/// Escapes the `!` in `[!`: git takes it for a negation, and the official client does not.
fn without_negation(glob: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(glob.len());
    let mut bytes = glob.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        escaped.push(byte);
        match byte {
            b'\\' => escaped.extend(bytes.next()),
            b'[' if bytes.peek() == Some(&b'!') => escaped.push(b'\\'),
            _ => {}
        }
    }
    escaped
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({})", Shown(&self.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        Pattern::new(pattern).unwrap().matches(path, false)
    }

    #[test]
    fn a_pattern_with_a_slash_at_its_start_is_for_the_root() {
        assert!(matches("/a", "a"));
        assert!(!matches("/a", "b/a"));
        assert!(matches("a", "b/a"));
        assert!(matches("a/b", "x/a/b"));
        assert!(!matches("a/b", "x/a/b/c"));
        assert!(!matches("a", "ba"));
    }

    #[test]
    fn stars_mean_what_they_mean_for_git() {
        assert!(matches("*.c", "x/y.c"));
        assert!(!matches("/*.c", "x/y.c"));
        assert!(matches("/**/*.c", "x/y.c"));
        assert!(matches("d/**/aa", "d/aa"));
        assert!(matches("d/**/aa", "d/x/y/aa"));
        assert!(!matches("d/x**/aa", "d/x/y/aa"));
        assert!(matches("d/**", "d/x/y"));
        assert!(!matches("d/**", "d"));
        assert!(matches("f?", "fg") && !matches("f?", "f/"));
        assert!(!matches("A", "a"));
    }

    #[test]
    fn only_a_caret_negates_a_class() {
        assert!(matches("[^ab]x", "cx") && !matches("[^ab]x", "ax"));
        assert!(matches("[!ab]x", "ax") && matches("[!ab]x", "!x") && !matches("[!ab]x", "cx"));
        assert!(matches(r"\[!x", "[!x"));
        assert!(matches("[[:digit:]a-c]", "7") && matches("[[:digit:]a-c]", "b"));
    }

    #[test]
    fn no_pattern_matches_the_root() {
        for pattern in ["*", "**", "/*", "/**", "**/"] {
            let pattern = Pattern::new(pattern).unwrap();
            assert!(!pattern.matches("", true) && !pattern.matches("/", true));
        }
    }

    #[test]
    fn a_slash_at_the_end_is_for_directories() {
        let pattern = Pattern::new("etc/").unwrap();
        assert!(pattern.matches("etc", true));
        assert!(!pattern.matches("etc", false));
    }

    #[test]
    fn a_pattern_that_can_match_nothing_is_refused() {
        let open = [
            "[",
            "[abc",
            "[]",
            "[^]",
            r"[a\]",
            "x[",
            "[[:digit:]",
            "a/[b/c",
        ];
        for pattern in ["", "/", "./", r"a\", r"a\\\"].iter().chain(&open) {
            assert!(Pattern::new(pattern).is_err(), "{pattern}");
        }
        for pattern in [
            r"a\\",
            "[]]",
            "[!]",
            "[^]]",
            r"[\]]",
            "[[:digit:]x]",
            r"\[a",
            "a]",
            "[[]",
        ] {
            assert!(Pattern::new(pattern).is_ok(), "{pattern}");
        }
        assert!(matches("[]]", "]") && matches("[^]]x", "ax") && matches("[[]", "["));
    }

    #[test]
    fn a_dot_at_the_start_is_the_root_of_the_archive() {
        assert!(matches("./a", "a") && matches("././a/b", "a/b"));
        assert!(!matches(".a", "a"));
    }

    #[test]
    fn names_need_not_be_text() {
        let name = std::ffi::OsStr::from_bytes(b"x/\xff\n");
        assert!(Pattern::new(b"\xff?").unwrap().matches(name, false));
        assert!(!Pattern::new(b"\xfe?").unwrap().matches(name, false));
    }
}
