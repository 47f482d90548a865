//! A regular file that is about to be made: where, and with which properties.

use std::ffi::OsString;
use std::path::PathBuf;

use rustix::fs::{Stat, fstat, futimens};

use crate::files::extract::attributes::{Attributes, remove_inherited_acls, times};
use crate::files::extract::folders::Folder;
use crate::files::extract::new_file::{Naming, NewFile};
use crate::files::extract::place::{MakeError, OVERWRITE_FILES, Place};
use crate::files::extract::times::Times;
use crate::files::omission::LeftOut;
use crate::files::pxar::{Metadata, Mtime};

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
    /// Whether only this extraction, or the one that it continues, can have made what is there.
    pub(super) is_own: bool,
    /// The time that the file has until its data is durable.
    pub(super) not_durable: Mtime,
    /// What times the file system keeps.
    pub(super) times: Times,
}

impl FileRequest {
    pub(super) fn place(&self) -> Place<'_> {
        Place {
            folder: &self.folder,
            path: &self.path,
            replaces: self.replaces,
            advice: OVERWRITE_FILES,
            temporary: &self.temporary,
            is_own: self.is_own,
            times: self.times,
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
        if !self.is_own {
            // By this time, the next extraction knows the file from one of the user's.
            let _ = futimens(file.as_fd(), &times(self.not_durable));
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
