//! Names in a zip archive: text that leads no unpacker outside its folder, on any system.

use std::fmt::Write;
use std::str;

/// A path of a file archive as the name of an entry. Different paths have different names.
pub(super) fn escape_path(path: &[u8]) -> String {
    let components = path.split(|byte| *byte == b'/');
    let components: Vec<_> = components.map(escape_component).collect();
    components.join("/")
}

/// The target of a symbolic link in a directory of this depth (the root's is 0), if the link can't
/// lead outside the archive, whatever other links there are. Its names are escaped as those of the
/// entries are.
///
/// A `..` is taken at the beginning alone: there it goes up from the link's own directory. After a
/// name, it would go up from wherever that name leads, if this is a symbolic link too.
pub(super) fn inner_target(target: &[u8], depth: usize) -> Option<String> {
    if target.starts_with(b"/") {
        return None;
    }
    let mut ups = 0;
    let mut has_name = false;
    let mut components = Vec::new();
    for component in target.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => components.push(String::from_utf8_lossy(component).into_owned()),
            b".." if has_name || ups == depth => return None,
            b".." => {
                ups += 1;
                components.push("..".to_owned());
            }
            name => {
                has_name = true;
                components.push(escape_component(name));
            }
        }
    }
    Some(components.join("/"))
}

/// A name with `%` and two hexadecimal digits in place of each byte that unpackers don't take for
/// a part of a name.
fn escape_component(name: &[u8]) -> String {
    // Windows drops dots and blanks at the end of a name, so that these may become `..`.
    let has_dots_alone = name.iter().all(|byte| matches!(byte, b'.' | b' '));
    // `C:` is a drive.
    let has_drive = name.first().is_some_and(u8::is_ascii_alphabetic) && name.get(1) == Some(&b':');
    let must_escape = |at: usize, byte: u8| {
        matches!(byte, b'\\' | 0..32 | 127)
            || (at == 1 && has_drive)
            || (at + 1 == name.len() && has_dots_alone)
    };
    let is_clean = str::from_utf8(name).is_ok()
        && !name
            .iter()
            .enumerate()
            .any(|(at, byte)| must_escape(at, *byte))
        && !has_escape(name);
    let mut escaped = String::new();
    let mut at = 0;
    for chunk in name.utf8_chunks() {
        for letter in chunk.valid().chars() {
            let byte = u8::try_from(letter).unwrap_or(b'x');
            if must_escape(at, byte) || (byte == b'%' && !is_clean) {
                push_hex(&mut escaped, byte);
            } else {
                escaped.push(letter);
            }
            at += letter.len_utf8();
        }
        for byte in chunk.invalid() {
            push_hex(&mut escaped, *byte);
            at += 1;
        }
    }
    escaped
}

/// Whether a name looks as if bytes of it were escaped.
fn has_escape(name: &[u8]) -> bool {
    name.windows(3)
        .any(|part| part[0] == b'%' && part[1].is_ascii_hexdigit() && part[2].is_ascii_hexdigit())
}

fn push_hex(text: &mut String, byte: u8) {
    // Writing to a string can't fail.
    let _ = write!(text, "%{byte:02X}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kept_unless_an_unpacker_could_misread_them() {
        for name in [
            "etc/hosts",
            "100%",
            "Foo::Bar.3pm",
            "...a",
            "é/☃ x",
            "%4",
            "..hidden",
        ] {
            assert_eq!(escape_path(name.as_bytes()), name);
        }
        for (name, escaped) in [
            (&b"a\\b"[..], "a%5Cb"),
            (b"..\\x", "..%5Cx"),
            (b"c:/d", "c%3A/d"),
            (b"cc:", "cc:"),
            (b"d/c:x", "d/c%3Ax"),
            (b"\xff\xfe 100%", "%FF%FE 100%25"),
            (b"\xc3\xa9\xc3", "é%C3"),
            (b"a\nb\x7f", "a%0Ab%7F"),
            (b"...", "..%2E"),
            (b".. ", "..%20"),
            (b" /x", "%20/x"),
            (b"a%5Cb", "a%255Cb"),
        ] {
            assert_eq!(escape_path(name), escaped);
        }
    }

    #[test]
    fn different_names_stay_different() {
        let letters = [
            &b"%"[..],
            b"5",
            b"C",
            b"\\",
            b"\xff",
            b":",
            b".",
            b"\xc2\x85",
        ];
        let mut seen = std::collections::HashMap::new();
        for number in 0..letters.len().pow(5) {
            let mut name = Vec::new();
            let mut rest = number;
            for _ in 0..5 {
                name.extend(letters[rest % letters.len()]);
                rest /= letters.len();
            }
            let escaped = escape_component(&name);
            let other = seen.insert(escaped.clone(), name.clone());
            assert!(other.is_none_or(|other| other == name), "{escaped}");
        }
    }

    #[test]
    fn a_target_leads_nowhere_outside() {
        for (target, depth, inner) in [
            (&b"x"[..], 0, Some("x")),
            (b"../etc/hosts", 1, Some("../etc/hosts")),
            (b"../etc/hosts", 0, None),
            (b".././../x", 2, Some(".././../x")),
            (b"../../x", 1, None),
            (b"/etc", 3, None),
            (b"a/../b", 3, None),
            (b"", 0, Some("")),
            (b".", 0, Some(".")),
            (b"..\\..\\x", 0, Some("..%5C..%5Cx")),
            (b"c:\\x", 0, Some("c%3A%5Cx")),
        ] {
            assert_eq!(inner_target(target, depth).as_deref(), inner);
        }
    }
}
