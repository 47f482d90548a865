//! The name that the program was called by, for help and advice: packages call it `chunk-restore`,
//! because Debian's `dump` has a `restore`.

use std::env;
use std::path::Path;
use std::sync::LazyLock;

/// The name of the program, unless it was called by another.
pub(crate) const NAME: &str = "restore";

static CALLED: LazyLock<String> = LazyLock::new(|| {
    let called = env::args_os().next();
    let name = called
        .as_deref()
        .and_then(|called| Path::new(called).file_name()?.to_str());
    name.filter(|name| is_name(name)).unwrap_or(NAME).to_owned()
});

/// The name that the program was called by.
pub(crate) fn name() -> &'static str {
    &CALLED
}

/// Whether a word can be shown and typed as the name of a program: whoever starts a program may give
/// any bytes as its name.
pub(crate) fn is_name(word: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte);
    !word.is_empty()
        && word.len() <= 64
        && !word.starts_with(['-', '.'])
        && word.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn only_words_that_can_be_typed_are_names_of_a_program() {
        for name in ["restore", "chunk-restore", "restore-1.2", "R"] {
            assert!(is_name(name), "{name}");
        }
        for other in [
            "",
            "-restore",
            ".restore",
            "re store",
            "re\u{1b}[31m",
            "a;b",
            "ä",
        ] {
            assert!(!is_name(other), "{other:?}");
        }
        assert!(!is_name(&"a".repeat(65)));
    }
}
