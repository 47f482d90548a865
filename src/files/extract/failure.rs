//! Failures of single entries, and those that end the extraction.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::io::Errno;

use crate::error::{Error, ErrorKind};
use crate::files::extract::attributes::Failed;
use crate::files::pxar::Shown;

/// The error of an entry that lacks a property.
pub(super) fn failure((property, errno): Failed, path: &Path) -> Error {
    let message = format!("the {property} of {} can't be set", shown(path));
    Error::new(ErrorKind::Target, message).because(io::Error::from(errno))
}

/// The error of an entry that could not be made.
pub(super) fn not_made(errno: Errno, path: &Path) -> Error {
    let message = format!("{} can't be made", shown(path));
    Error::new(ErrorKind::Target, message).because(io::Error::from(errno))
}

/// The error of an entry whose path is taken. The option `advice` would replace what is there.
pub(super) fn exists(path: &Path, advice: &str) -> Error {
    let message = format!("{} is there already: {advice}", shown(path));
    Error::new(ErrorKind::Target, message)
}

/// The error of a directory of which entries are lost, or of a link to a lost file: the chunk that
/// describes them is lost.
pub(super) fn entries_lost(error: Error, path: &Path) -> Error {
    let message = format!(
        "the chunk that describes {}, or entries of it, is lost",
        shown(path)
    );
    Error::new(error.kind(), message)
        .of_scope(error.scope())
        .because(error)
}

/// Whether no other entry will fare better.
pub(super) fn ends_everything(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::NOSPC
            | Errno::DQUOT
            | Errno::IO
            | Errno::ROFS
            | Errno::NODEV
            | Errno::STALE
            | Errno::MFILE
            | Errno::NFILE
            | Errno::NOMEM
    )
}

/// A path for messages; the root is the target folder.
pub(super) fn shown(path: &Path) -> impl std::fmt::Display {
    let bytes = path.as_os_str().as_bytes();
    let bytes = if bytes.is_empty() { b"." } else { bytes };
    Shown(bytes)
}
