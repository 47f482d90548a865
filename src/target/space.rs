//! Checks whether a file system has enough room.

use std::fs::File;
use std::io;

use rustix::fs::fstatvfs;

/// Checks whether a file can grow by this many bytes.
pub(super) fn check(file: &File, needed: u64) -> io::Result<()> {
    let found = fstatvfs(file)?;
    // A file system without a limit, or one that does not tell its size, reports no blocks.
    if found.f_blocks == 0 {
        return Ok(());
    }
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let missing = needed.saturating_sub(free);
    if missing == 0 {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::StorageFull,
        format!("{needed} bytes are needed and {free} are free: {missing} are missing"),
    ))
}

/// If a write failed for lack of room, adds to the error how much was still to be written, where that
/// is known, and how long the whole file or device is.
pub(super) fn explain(error: io::Error, left: Option<u64>, len: u64) -> io::Error {
    let kind = error.kind();
    if !matches!(
        kind,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    ) {
        return error;
    }
    let message = match left {
        Some(left) => format!("no space is left, and {left} of {len} bytes were still to come"),
        None => format!("no space is left for all of the {len} bytes"),
    };
    io::Error::new(kind, message)
}
