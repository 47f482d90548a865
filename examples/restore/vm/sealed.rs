//! Files that the program writes for others to use. The last line has the checksum of all others, so
//! that a later run replaces the file only if nobody has changed it.

use std::fs::{self, OpenOptions};
use std::io::Read;
use std::path::Path;

use chunk_restore::Digest;

use crate::reading::open_at_once;

/// The longest file that is looked at, in bytes. The program writes no longer ones.
const LEN_MAX: u64 = 1 << 20;

const CHECKSUM: &str = "SHA-256 of the lines above: ";

/// What a comment begins and ends with.
pub(super) type Comment = (&'static str, &'static str);

/// The text, with its checksum in a comment.
pub(super) fn seal(text: &str, (begin, end): Comment) -> String {
    let digest = Digest::of(text.as_bytes());
    format!("{text}{begin}{CHECKSUM}{digest}{end}\n")
}

/// Whether a later run may replace what has this name: nothing, or a file that is as it was written.
pub(super) fn is_unchanged(path: &Path, comment: Comment) -> bool {
    match fs::symlink_metadata(path) {
        Err(_) => true,
        Ok(found) if found.is_file() && found.len() <= LEN_MAX => {
            let mut text = String::new();
            let opened = open_at_once(OpenOptions::new().read(true), path);
            let read = opened.and_then(|file| file.take(LEN_MAX).read_to_string(&mut text));
            read.is_ok() && is_sealed(&text, comment)
        }
        Ok(_) => false,
    }
}

fn is_sealed(text: &str, comment: Comment) -> bool {
    let lines = text.strip_suffix('\n').and_then(|text| text.rfind('\n'));
    lines.is_some_and(|end| seal(&text[..=end], comment) == text)
}
