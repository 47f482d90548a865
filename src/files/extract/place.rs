//! The place of an entry in the target: what is there, and whether the entry may replace it.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, openat, renameat, unlinkat};
use rustix::io::Errno;

use crate::error::Error;
use crate::files::extract::attributes::Failed;
use crate::files::extract::failure::{ends_everything, exists, failure, not_made};
use crate::files::extract::folders::Folder;
use crate::files::extract::new_file::{Naming, NewFile, rename_new};
use crate::files::extract::times::Times;

/// The options that let entries replace what is there, for messages.
pub(super) const OVERWRITE_FILES: &str = "files may not be overwritten";
pub(super) const OVERWRITE_SYMLINKS: &str = "symbolic links may not overwrite anything";
pub(super) const OVERWRITE_HARD_LINKS: &str = "hard links may not overwrite anything";
pub(super) const REPLACES_NOTHING: &str = "devices, named pipes and sockets replace nothing";

const OTHER_NAME: &str = "another name, which the file system takes for the same";

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

/// Whether the system makes a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Made {
    Yes,
    /// The file system may have no such things, or the user may not make them.
    Refused(Errno),
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
    /// Whether only this extraction, or the one that it continues, can have made what is there.
    pub(super) is_own: bool,
    /// What times the file system keeps.
    pub(super) times: Times,
}

impl<'a> Place<'a> {
    pub(super) fn name(&self) -> &'a OsStr {
        self.path.file_name().unwrap_or_default()
    }

    pub(super) fn fd(&self) -> BorrowedFd<'a> {
        self.folder.as_fd()
    }

    /// What is at the place; `None` if nothing is. A link is not followed.
    pub(super) fn look(&self) -> Result<Option<Stat>, MakeError> {
        if self.folder.is_new {
            return Ok(None);
        }
        match self.folder.look(self.name()) {
            Ok(found) => Ok(Some(found)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(self.not_made(error)),
        }
    }

    /// The place after a look at it. What comes there later is never replaced: it may be another
    /// entry, where the file system takes two names for the same.
    pub(super) fn after_look(self, found: Option<&Stat>) -> Place<'a> {
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
            true => self.check_name(),
            false if is_directory => Err(MakeError::Entry(exists(
                self.path,
                "a directory is never replaced",
            ))),
            false => Err(self.exists()),
        }
    }

    /// Fails if what is there has another name, which the file system takes for the same: it may be
    /// another entry, such as `a` in the place of `A`.
    pub(super) fn check_name(&self) -> Result<(), MakeError> {
        match self.folder.lists(self.name()) {
            true => Ok(()),
            false => Err(MakeError::Entry(exists(self.path, OTHER_NAME))),
        }
    }

    pub(super) fn exists(&self) -> MakeError {
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

    /// Makes something by `make`, which must fail if the name is taken, and gives it its properties
    /// by `dress`. Takes the place of what is there, if that is allowed.
    ///
    /// If the extraction stops between the two, the next one finds a thing without its properties. It
    /// can tell the thing from one of the user's only where all is its own. Elsewhere, things get
    /// their names when they have their properties.
    pub(super) fn make(
        &self,
        make: impl Fn(&OsStr) -> Result<(), Errno>,
        dress: impl FnOnce(&OsStr) -> Result<(), MakeError>,
    ) -> Result<Made, MakeError> {
        if self.is_own {
            match make(self.name()) {
                Err(Errno::EXIST) if self.replaces => {}
                Err(error) => return self.refused(error),
                Ok(()) => return dress(self.name()).map(|()| Made::Yes),
            }
        }
        let temporary = OsStr::new(self.temporary);
        let made = make(temporary).or_else(|error| {
            if error != Errno::EXIST {
                return Err(error);
            }
            unlinkat(self.fd(), temporary, AtFlags::empty())?;
            make(temporary)
        });
        if let Err(error) = made {
            return self.refused(error);
        }
        let dressed = dress(temporary);
        let named = match self.replaces {
            true => renameat(self.fd(), temporary, self.fd(), self.name()),
            false => rename_new(self.fd(), self.temporary, self.name()),
        };
        named.map_err(|error| {
            let _ = unlinkat(self.fd(), temporary, AtFlags::empty());
            self.not_made(error)
        })?;
        dressed.map(|()| Made::Yes)
    }

    fn refused(&self, error: Errno) -> Result<Made, MakeError> {
        match error {
            Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK | Errno::XDEV => {
                Ok(Made::Refused(error))
            }
            error => Err(self.not_made(error)),
        }
    }

    /// Whether a thing was made. Fails if it was refused, and not because the file system has no such
    /// things or the user may make none: a file can't be made there either.
    pub(super) fn check_refused(&self, made: Made) -> Result<bool, MakeError> {
        match made {
            Made::Yes => Ok(true),
            Made::Refused(error) => {
                let file = NewFile::create(self.fd(), self.temporary, Naming::Rename);
                file.map_err(|_| self.not_made(error)).map(|_| false)
            }
        }
    }
}
