//! Who may do what with a file: a new one, and one that takes the place of another. Knows nothing of names.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;

use rustix::fs::{Gid, Mode, Uid, fchmod, fchown};
use rustix::io::Errno;
use rustix::process::geteuid;

/// Whether a file belongs to who asks. What others own they can change, also after it was verified.
pub(super) fn is_ours(file: &Metadata) -> bool {
    file.uid() == geteuid().as_raw()
}

/// Gives a file the owner of the one that it is to replace, as far as that is allowed, and its mode, which is returned; but
/// until it is complete its owner may read and write it.
pub(super) fn take_after(file: &File, replaced: &Metadata) -> io::Result<Mode> {
    let (owner, group) = (Uid::from_raw(replaced.uid()), Gid::from_raw(replaced.gid()));
    if fchown(file, Some(owner), Some(group)).is_err() {
        // Who can't give a file away may still share it with a group of their own.
        let _ = fchown(file, None, Some(group));
    }
    let now = file.metadata()?;
    let mut mode = Mode::from_raw_mode(replaced.mode()) & Mode::from_raw_mode(0o7777);
    if now.uid() != replaced.uid() {
        mode -= Mode::SUID;
    }
    if now.gid() != replaced.gid() {
        // Another group than the one that was meant may do no more than anybody.
        let others = Mode::from_raw_mode((mode.as_raw_mode() & 0o007) << 3);
        mode -= Mode::SGID | (Mode::RWXG - others);
    }
    set_mode(file, mode | Mode::RUSR | Mode::WUSR)?;
    Ok(mode)
}

/// Not every file system has modes.
pub(super) fn set_mode(file: &File, mode: Mode) -> io::Result<()> {
    match fchmod(file, mode) {
        Ok(()) | Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
