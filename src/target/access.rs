//! Owners and modes of files: of new files, and of files that replace others.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;

use rustix::fs::{Gid, Mode, Uid, fchmod, fchown};
use rustix::io::Errno;
use rustix::process::geteuid;

/// Whether a file belongs to the user who runs this program. Other owners could change their files,
/// also after they were verified.
pub(super) fn is_ours(file: &Metadata) -> bool {
    file.uid() == geteuid().as_raw()
}

/// Gives a file the owner of the file that it is to replace, as far as that is allowed, and returns
/// the mode of that file. Until the file is complete, only its owner may read and write it.
pub(super) fn take_after(file: &File, replaced: &Metadata) -> io::Result<Mode> {
    let (owner, group) = (Uid::from_raw(replaced.uid()), Gid::from_raw(replaced.gid()));
    if fchown(file, Some(owner), Some(group)).is_err() {
        // A user who can't give a file away may still share it with one of their own groups.
        let _ = fchown(file, None, Some(group));
    }
    let now = file.metadata()?;
    let mut mode = Mode::from_raw_mode(replaced.mode()) & Mode::from_raw_mode(0o7777);
    if now.uid() != replaced.uid() {
        mode -= Mode::SUID;
    }
    if now.gid() != replaced.gid() {
        // The file has another group than the replaced one, so its group may do no more than
        // anybody else.
        let others = Mode::from_raw_mode((mode.as_raw_mode() & 0o007) << 3);
        mode -= Mode::SGID | (Mode::RWXG - others);
    }
    set_mode(file, mode | Mode::RUSR | Mode::WUSR)?;
    Ok(mode)
}

/// Sets the mode of a file. Not every file system has modes.
pub(super) fn set_mode(file: &File, mode: Mode) -> io::Result<()> {
    match fchmod(file, mode) {
        Ok(()) | Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
