//! Makes one entry in its directory.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Stat, chmod, chmodat, chownat, fstat, linkat, makedev,
    mknodat, openat, readlinkat, renameat, statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use crate::error::Error;
use crate::files::extract::attributes::{Attributes, Failed, remove_inherited_acls, times};
use crate::files::extract::failure::{ends_everything, exists, failure, not_made};
use crate::files::extract::folders::Folder;
use crate::files::extract::new_file::{Naming, NewFile, proc_path};
use crate::files::omission::LeftOut;
use crate::files::pxar::{Device, Entry, EntryKind, Metadata};

/// Why an entry could not be made.
#[derive(Debug)]
pub(super) enum MakeError {
    /// The entry alone failed.
    Entry(Error),
    /// Nothing else will fare better: the target is full, failing or out of reach, or the archive
    /// can't be read.
    Everything(Error),
}

impl From<Error> for MakeError {
    /// Takes an error of the archive.
    fn from(error: Error) -> MakeError {
        MakeError::Everything(error)
    }
}

/// The place of an entry in the target.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) folder: &'a Folder,
    pub(super) path: &'a Path,
    /// Whether the entry may replace what is there.
    pub(super) replaces: bool,
    /// The option that lets such an entry replace something.
    pub(super) advice: &'static str,
    /// The name that the entry has for a moment where it takes the place of something.
    pub(super) temporary: &'a str,
}

impl<'a> Place<'a> {
    pub(super) fn name(&self) -> &'a OsStr {
        self.path.file_name().unwrap_or_default()
    }

    fn fd(&self) -> BorrowedFd<'a> {
        self.folder.as_fd()
    }

    /// What is at the place; `None` if nothing is. A link is not followed.
    pub(super) fn look(&self) -> Result<Option<Stat>, MakeError> {
        if self.folder.is_new {
            return Ok(None);
        }
        match statat(self.fd(), self.name(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => Ok(Some(found)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(self.not_made(error)),
        }
    }

    /// The place after a look at it. What comes there later is never replaced: it may be another
    /// entry, where the file system takes two names for the same.
    fn after_look(self, found: Option<&Stat>) -> Place<'a> {
        Place {
            replaces: self.replaces && found.is_some(),
            ..self
        }
    }

    /// Opens the file that is there. A link is not followed, and nothing but a file is opened.
    pub(super) fn open(&self) -> Result<File, Errno> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        Ok(openat(self.fd(), self.name(), flags, Mode::empty())?.into())
    }

    /// Fails if something is there that may not be replaced.
    pub(super) fn check_replaces(&self, found: &Stat) -> Result<(), MakeError> {
        let is_directory = FileType::from_raw_mode(found.st_mode) == FileType::Directory;
        match self.replaces && !is_directory {
            true => Ok(()),
            false if is_directory => Err(MakeError::Entry(exists(
                self.path,
                "a directory is never replaced",
            ))),
            false => Err(self.exists()),
        }
    }

    fn exists(&self) -> MakeError {
        MakeError::Entry(exists(self.path, self.advice))
    }

    pub(super) fn not_made(&self, error: Errno) -> MakeError {
        match error {
            Errno::EXIST => self.exists(),
            error if ends_everything(error) => MakeError::Everything(not_made(error, self.path)),
            error => MakeError::Entry(not_made(error, self.path)),
        }
    }

    pub(super) fn failed(&self, failed: Failed) -> MakeError {
        // A file system has little room for each file's attributes, and a quota for each owner.
        let is_of_entry = matches!(failed.1, Errno::NOSPC | Errno::DQUOT);
        match ends_everything(failed.1) && !is_of_entry {
            true => MakeError::Everything(failure(failed, self.path)),
            false => MakeError::Entry(failure(failed, self.path)),
        }
    }

    /// Makes something by `make`, which must fail if the name is taken; then takes the place of what
    /// is there, if that is allowed.
    fn make(&self, make: impl Fn(&OsStr) -> Result<(), Errno>) -> Result<(), MakeError> {
        match make(self.name()) {
            Err(Errno::EXIST) if self.replaces => {}
            made => return made.map_err(|error| self.not_made(error)),
        }
        let temporary = OsStr::new(self.temporary);
        let made = make(temporary).or_else(|error| {
            if error != Errno::EXIST {
                return Err(error);
            }
            unlinkat(self.fd(), temporary, AtFlags::empty())?;
            make(temporary)
        });
        let named = made.and_then(|()| renameat(self.fd(), temporary, self.fd(), self.name()));
        named.map_err(|error| {
            let _ = unlinkat(self.fd(), temporary, AtFlags::empty());
            self.not_made(error)
        })
    }
}

/// Makes a symbolic link.
pub(super) fn symlink(
    place: Place<'_>,
    target: &[u8],
    metadata: &Metadata,
    attributes: &Attributes,
    left_out: &mut Vec<LeftOut>,
) -> Result<(), MakeError> {
    let target = OsStr::from_bytes(target);
    let found = place.look()?;
    let is_there = found.is_some() && {
        let now = readlinkat(place.fd(), place.name(), Vec::new());
        now.is_ok_and(|now| now.as_bytes() == target.as_bytes())
    };
    if is_there && !place.replaces {
        // It may have other names elsewhere, so it stays as it is.
        return Ok(());
    }
    if !is_there {
        if let Some(found) = &found {
            place.check_replaces(found)?;
        }
        let place = place.after_look(found.as_ref());
        place.make(|name| symlinkat(target, place.fd(), name))?;
    }
    let nofollow = AtFlags::SYMLINK_NOFOLLOW;
    let change = |uid, gid| chownat(place.fd(), place.name(), uid, gid, nofollow);
    let owned = attributes.owner(metadata, left_out, change);
    owned.map_err(|failed| place.failed(failed))?;
    leave_out_lists(metadata, attributes, left_out);
    let timed = utimensat(place.fd(), place.name(), &times(metadata.mtime), nofollow);
    timed.map_err(|error| place.failed(("time", error)))
}

/// Makes a device, a named pipe or a socket.
pub(super) fn special(
    place: Place<'_>,
    entry: &Entry,
    attributes: &Attributes,
    left_out: &mut Vec<LeftOut>,
) -> Result<(), MakeError> {
    let (kind, device) = match &entry.kind {
        EntryKind::BlockDevice(device) => (FileType::BlockDevice, number(*device)),
        EntryKind::CharDevice(device) => (FileType::CharacterDevice, number(*device)),
        EntryKind::Socket => (FileType::Socket, 0),
        _ => (FileType::Fifo, 0),
    };
    let metadata = &entry.metadata;
    let is_same = |found: &Stat| {
        FileType::from_raw_mode(found.st_mode) == kind && (device == 0 || found.st_rdev == device)
    };
    match place.look()? {
        Some(found) if is_same(&found) && place.replaces => {}
        // It may have other names elsewhere, so it stays as it is.
        Some(found) if is_same(&found) => return Ok(()),
        // Such entries replace nothing.
        Some(_) => return Err(place.exists()),
        None => {
            let made = mknodat(place.fd(), place.name(), kind, Mode::empty(), device);
            made.map_err(|error| place.not_made(error))?;
        }
    }
    let nofollow = AtFlags::SYMLINK_NOFOLLOW;
    let change = |uid, gid| chownat(place.fd(), place.name(), uid, gid, nofollow);
    let is_owner_right = attributes.owner(metadata, left_out, change);
    let is_owner_right = is_owner_right.map_err(|failed| place.failed(failed))?;
    leave_out_lists(metadata, attributes, left_out);
    let mode = attributes.mode(metadata, is_owner_right, left_out);
    if attributes.wanted.permissions {
        let set = change_mode(&place, mode);
        attributes
            .allowing(set, LeftOut::Permissions, left_out)
            .map_err(|error| place.failed(("permissions", error)))?;
    }
    let timed = utimensat(place.fd(), place.name(), &times(metadata.mtime), nofollow);
    timed.map_err(|error| place.failed(("time", error)))
}

/// Changes the mode of what is at a place without opening it as a device would be opened.
fn change_mode(place: &Place<'_>, mode: Mode) -> Result<(), Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let held = openat(place.fd(), place.name(), flags, Mode::empty())?;
    match chmod(proc_path(held.as_fd()), mode) {
        // There is no `/proc`. Nobody else can put a link into a directory that is new.
        Err(Errno::NOENT) if place.folder.is_new => {
            chmodat(place.fd(), place.name(), mode, AtFlags::empty())
        }
        changed => changed,
    }
}

/// Only files and directories can have extended attributes and access control lists of their own.
fn leave_out_lists(metadata: &Metadata, attributes: &Attributes, left_out: &mut Vec<LeftOut>) {
    let has_xattrs = !metadata.xattrs.is_empty() || metadata.fcaps.is_some();
    if has_xattrs && attributes.wanted.xattrs {
        left_out.push(LeftOut::Xattrs);
    }
    if metadata.acl != Default::default() && attributes.wanted.acls {
        left_out.push(LeftOut::Acls);
    }
}

/// Makes another name of a file that lies in `target`.
pub(super) fn hard_link(
    place: Place<'_>,
    target: &Folder,
    target_name: &OsStr,
) -> Result<(), MakeError> {
    let nofollow = AtFlags::SYMLINK_NOFOLLOW;
    let file = statat(target.as_fd(), target_name, nofollow);
    let file = file.map_err(|error| place.not_made(error))?;
    let found = place.look()?;
    if let Some(found) = &found {
        if (found.st_dev, found.st_ino) == (file.st_dev, file.st_ino) {
            return Ok(());
        }
        place.check_replaces(found)?;
    }
    place.after_look(found.as_ref()).make(|name| {
        linkat(
            target.as_fd(),
            target_name,
            place.fd(),
            name,
            AtFlags::empty(),
        )
    })
}

/// What tells a file from all others, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    pub(super) fn of(found: &Stat) -> FileId {
        FileId {
            device: found.st_dev,
            inode: found.st_ino,
        }
    }
}

/// A file that is about to be made.
pub(super) struct FileRequest {
    pub(super) folder: Folder,
    pub(super) path: PathBuf,
    pub(super) name: OsString,
    pub(super) metadata: Metadata,
    /// The name that the file may need meanwhile: another one for each file.
    pub(super) temporary: String,
    /// Whether something was there that the file may replace.
    pub(super) replaces: bool,
}

impl FileRequest {
    pub(super) fn place(&self) -> Place<'_> {
        Place {
            folder: &self.folder,
            path: &self.path,
            replaces: self.replaces,
            advice: OVERWRITE_FILES,
            temporary: &self.temporary,
        }
    }

    /// Makes the file without a name.
    pub(super) fn create(&self, naming: Naming) -> Result<NewFile<'_>, MakeError> {
        let made = NewFile::create(self.folder.as_fd(), &self.temporary, naming);
        made.map_err(|error| self.place().not_made(error))
    }

    /// Gives the whole file its properties and its name. Adds to `left_out` what the file lacks. A
    /// file that could not get all of its properties has its name too: only its owner may use it.
    pub(super) fn finish(
        &self,
        mut file: NewFile<'_>,
        attributes: &Attributes,
        left_out: &mut Vec<LeftOut>,
    ) -> Result<Option<FileId>, MakeError> {
        let place = self.place();
        file.end().map_err(|error| place.not_made(error))?;
        if self.folder.hands_down_acls && attributes.wanted.acls {
            remove_inherited_acls(file.as_fd());
        }
        let applied = attributes.apply(file.as_fd(), &self.metadata, left_out);
        let applied = applied.map_err(|failed| place.failed(failed));
        if let Err(error @ MakeError::Everything(_)) = applied {
            return Err(error);
        }
        // Others may use a directory that was there before.
        let found = match self.folder.is_new {
            true => None,
            false => Some(fstat(file.as_fd()).map_err(|error| place.not_made(error))?),
        };
        let named = file.name(&self.name, self.replaces);
        named.map_err(|error| place.not_made(error))?;
        applied.map(|()| found.as_ref().map(FileId::of))
    }
}

/// The options that let entries replace what is there, for messages.
pub(super) const OVERWRITE_FILES: &str = "files may not be overwritten";
pub(super) const OVERWRITE_SYMLINKS: &str = "symbolic links may not overwrite anything";
pub(super) const OVERWRITE_HARD_LINKS: &str = "hard links may not overwrite anything";
pub(super) const REPLACES_NOTHING: &str = "devices, named pipes and sockets replace nothing";

fn number(device: Device) -> u64 {
    makedev(device.major, device.minor)
}
