//! The file in the target folder that says that an extraction is not finished. An extraction that
//! finds it goes on where the earlier one ended.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{File, TryLockError};
use std::io::{Read, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, Stat, fstat, fsync, openat, statat, unlinkat,
};
use rustix::io::Errno;

use crate::error::{Error, ErrorKind, Result};

/// The name of the file.
pub(super) const UNFINISHED: &str = ".chunk-restore-unfinished";

/// How long the file may be that is read, in bytes.
const LEN_MAX: u64 = 16 << 20;

/// An extraction that is not finished.
#[derive(Debug)]
pub(super) struct Unfinished {
    /// Held open, since the lock on it shows that the extraction is at work.
    _file: File,
    /// What was in the folder before the extraction began.
    foreign: BTreeSet<OsString>,
    /// Whether this extraction goes on with no earlier one.
    is_new: bool,
}

impl Unfinished {
    /// Makes the file, or takes over that of an earlier extraction of the same archive.
    ///
    /// # Errors
    /// Another extraction is at work in the folder, or the file can't be made.
    pub(super) fn begin(folder: BorrowedFd<'_>, path: &Path, archive: &str) -> Result<Unfinished> {
        let failed = |error: Errno| {
            let message = format!("{} can't be written", path.join(UNFINISHED).display());
            Error::new(ErrorKind::Target, message).because(std::io::Error::from(error))
        };
        let Some(mut file) = open(folder).map_err(failed)? else {
            let message = format!(
                "{} is not what an extraction has made: look at it, and remove it",
                path.join(UNFINISHED).display()
            );
            return Err(Error::new(ErrorKind::Target, message));
        };
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                let message = format!("another restore is at work in {}", path.display());
                return Err(Error::new(ErrorKind::Target, message));
            }
            // Without locks, as on some network file systems, nobody watches.
            Err(TryLockError::Error(_)) | Ok(()) => {}
        }
        let mut text = Vec::new();
        let read = (&mut file).take(LEN_MAX).read_to_end(&mut text);
        read.map_err(|error| failed(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
        let (foreign, is_new) = match foreign_names(&text, archive) {
            Some(foreign) => (foreign, false),
            None => {
                let foreign = names(folder).map_err(failed)?;
                write(&mut file, archive, &foreign)
                    .and_then(|()| fsync(folder).or(Ok(())))
                    .map_err(failed)?;
                (foreign, true)
            }
        };
        Ok(Unfinished {
            _file: file,
            foreign,
            is_new,
        })
    }

    /// Whether this extraction goes on with no earlier one.
    pub(super) fn is_new(&self) -> bool {
        self.is_new
    }

    /// Whether an entry at this path can only be one that this extraction, or the one that it
    /// continues, has made.
    pub(super) fn is_own(&self, path: &Path) -> bool {
        let first = path.components().next();
        first.is_some_and(|first| !self.foreign.contains(first.as_os_str()))
    }

    /// Removes the file: the extraction is finished.
    pub(super) fn end(self, folder: BorrowedFd<'_>) -> Result<(), Errno> {
        unlinkat(folder, UNFINISHED, AtFlags::empty())?;
        // The names are durable once the folder is, where the file system can sync it.
        let _ = fsync(folder);
        Ok(())
    }
}

/// Opens the file, or makes it. `None` if something else has its name: a link, a device, or a file
/// that has another name elsewhere, which must not be written to.
fn open(folder: BorrowedFd<'_>) -> Result<Option<File>, Errno> {
    let is_own = |found: &Stat| {
        FileType::from_raw_mode(found.st_mode) == FileType::RegularFile && found.st_nlink <= 1
    };
    match statat(folder, UNFINISHED, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => {}
        // To open a device can have effects, so its kind is looked at before.
        found if !is_own(&found?) => return Ok(None),
        _ => {}
    }
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let flags = flags | OFlags::NONBLOCK;
    let file = openat(folder, UNFINISHED, flags, Mode::RUSR | Mode::WUSR)?;
    let is_own = is_own(&fstat(&file)?);
    Ok(is_own.then(|| file.into()))
}

/// What was in the folder before an extraction of this archive began; `None` if the text is another
/// archive's, or cut short. The text is the archive's name and the names in the folder, each with a
/// zero byte behind it, and one more zero byte.
fn foreign_names(text: &[u8], archive: &str) -> Option<BTreeSet<OsString>> {
    let mut names = text.strip_suffix(b"\0\0")?.split(|byte| *byte == 0);
    let is_same = names.next()? == archive.as_bytes();
    let names = names.map(|name| OsString::from_vec(name.to_vec()));
    is_same.then(|| names.collect())
}

fn write(file: &mut File, archive: &str, foreign: &BTreeSet<OsString>) -> Result<(), Errno> {
    let mut text = archive.as_bytes().to_vec();
    for name in foreign {
        text.push(0);
        text.extend_from_slice(name.as_bytes());
    }
    text.extend_from_slice(b"\0\0");
    let mut write = || {
        file.set_len(0)?;
        std::io::Seek::rewind(file)?;
        file.write_all(&text)?;
        file.sync_all()
    };
    write().map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

/// The names in a folder.
fn names(folder: BorrowedFd<'_>) -> Result<BTreeSet<OsString>, Errno> {
    let mut names = BTreeSet::new();
    for entry in Dir::read_from(folder)? {
        let name = OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned();
        if name != "." && name != ".." && name != UNFINISHED {
            names.insert(name);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_text_of_the_same_archive_is_taken_over() {
        let names = |text: &[u8]| foreign_names(text, "a of b");
        assert_eq!(names(b"a of b\0\0").map(|names| names.len()), Some(0));
        let two = names(b"a of b\0x\0y z\0\0").unwrap();
        assert!(two.contains(OsStr::new("x")) && two.contains(OsStr::new("y z")));
        assert!(names(b"a of c\0\0").is_none());
        assert!(names(b"a of b\0x").is_none());
        assert!(names(b"").is_none());
    }
}
