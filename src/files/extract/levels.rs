//! The directories around the entry that is being made: makes them, and leaves them.

use std::path::{Path, PathBuf};

use rustix::fs::FileType;
use rustix::io::Errno;

use crate::error::Result;
use crate::files::FileEntry;
use crate::files::extract::failure::{exists, not_made};
use crate::files::extract::folders::Folder;
use crate::files::extract::pending::PendingDirectory;
use crate::files::extract::place::{MakeError, Place};
use crate::files::extract::run::{Extraction, FileSystem};
use crate::files::extract::times::Times;
use crate::files::pxar::Entry;

/// How many directories are held open at most. Deeper ones are opened again when they are needed.
const OPEN_DIRECTORIES_MAX: usize = 64;

/// A directory that entries are being made in.
pub(super) struct Level {
    pub(super) path: PathBuf,
    pub(super) entry: Entry,
    /// `None` while too many other directories are open.
    pub(super) folder: Option<Folder>,
    /// What times the directory's file system keeps.
    pub(super) times: Times,
    /// Whether the directory was there before as the archive has it, and is unchanged.
    is_as_archived: bool,
}

impl Extraction<'_> {
    pub(super) fn directory(&mut self, entry: &FileEntry, node: &Entry) -> Result<(), MakeError> {
        let (folder, is_as_archived) = match entry.path.as_os_str().is_empty() {
            true => (self.target.clone(), false),
            false => self.open_directory(entry, node)?,
        };
        let device = folder
            .device()
            .map_err(|error| entry_error(error, &entry.path))?;
        // A file system that is mounted in the folder fails alone.
        if !self.file_systems.contains_key(&device) && !folder.is_new && folder.is_read_only() {
            return Err(entry_error(Errno::ROFS, &entry.path));
        }
        let temporary = format!("{}-0", self.common.temporaries);
        let file_system = (self.file_systems)
            .entry(device)
            .or_insert_with(|| FileSystem {
                times: Times::of(folder.as_fd(), &temporary),
                folder: folder.clone(),
            });
        let times = file_system.times;
        self.common.done.lock().report.directories += 1;
        // A level as deep as this one closes another one.
        if let Some(far) = self.levels.len().checked_sub(OPEN_DIRECTORIES_MAX) {
            self.levels[far].folder = None;
        }
        self.levels.push(Level {
            path: entry.path.clone(),
            entry: node.clone(),
            folder: Some(folder),
            times,
            is_as_archived,
        });
        Ok(())
    }

    /// Makes a directory, or opens the one that is there. Also returns whether the directory may be
    /// used only because it has the archive's time: an earlier extraction has made it.
    fn open_directory(
        &mut self,
        entry: &FileEntry,
        node: &Entry,
    ) -> Result<(Folder, bool), MakeError> {
        let path = &entry.path;
        let around = self.folder_around(path)?;
        let place = self.place(&around, path, false, DIRECTORIES);
        let allows_existing = self.options.allows_existing_directories
            || place.is_own
            || self.unfinished.has_changed(path);
        let Some(found) = place.look()? else {
            self.change_directory()?;
            return self.make_directory(&place, allows_existing);
        };
        if FileType::from_raw_mode(found.st_mode) != FileType::Directory {
            return Err(MakeError::Entry(exists(path, NO_DIRECTORY)));
        }
        place.check_name()?;
        let times = self.file_systems.get(&found.st_dev);
        let times = times.map_or(Times::ALL, |file_system| file_system.times);
        if !allows_existing && !times.has_time(&found, node.metadata.mtime) {
            return Err(MakeError::Entry(exists(path, DIRECTORIES)));
        }
        let folder = open(&place)?;
        if place.is_own {
            // An extraction that was cut off may have completed the directory.
            let attributes = &self.common.attributes;
            attributes.unlock(folder.as_fd(), node.metadata.flags);
        }
        Ok((folder, !allows_existing))
    }

    /// Makes a directory where nothing was. Opens one that somebody else makes meanwhile, if
    /// directories that exist are allowed.
    fn make_directory(
        &mut self,
        place: &Place<'_>,
        allows_existing: bool,
    ) -> Result<(Folder, bool), MakeError> {
        if !allows_existing {
            self.unfinished.note_made(place.path)?;
        }
        match place.folder.make(place.name()) {
            Err(Errno::EXIST) if allows_existing => {
                place.check_name()?;
                Ok((open(place)?, false))
            }
            Err(error) => {
                if !allows_existing {
                    self.unfinished.note_not_made(place.path)?;
                }
                Err(place.not_made(error))
            }
            Ok(folder) => Ok((folder, false)),
        }
    }

    /// Prepares for a change of the directory that is being taken, so that an extraction that goes on
    /// with this one can still use the directory.
    pub(super) fn change_directory(&mut self) -> Result<()> {
        self.common.done.lock().has_made = true;
        if let Some(level) = self.levels.last_mut()
            && std::mem::take(&mut level.is_as_archived)
        {
            self.unfinished.note_changed(&level.path)?;
        }
        Ok(())
    }

    /// The directory that a path lies in: the innermost one that is being taken.
    pub(super) fn folder_around(&mut self, path: &Path) -> Result<Folder, MakeError> {
        let target = &self.target;
        let Some(level) = self.levels.last_mut() else {
            return Err(entry_error(Errno::NOENT, path));
        };
        if let Some(folder) = &level.folder {
            return Ok(folder.clone());
        }
        let opened = target.descend(&level.path);
        let opened = opened.map_err(|error| entry_error(error, path))?;
        Ok(level.folder.insert(opened).clone())
    }

    pub(super) fn leave_directories(&mut self, path: &Path) {
        while let Some(level) = self.levels.pop_if(|level| !path.starts_with(&level.path)) {
            self.leave(level);
        }
    }

    pub(super) fn leave(&mut self, level: Level) {
        let path_len = level.path.as_os_str().len() as u64;
        self.batch.files += 1;
        self.batch.bytes += path_len + level.entry.metadata.attributes_len();
        self.directories.push(PendingDirectory {
            path: level.path,
            metadata: level.entry.metadata,
            times: level.times,
        });
    }
}

const DIRECTORIES: &str = "existing directories are not allowed";

const NO_DIRECTORY: &str = "it is no directory";

/// Opens the directory that is at a place.
fn open(place: &Place<'_>) -> Result<Folder, MakeError> {
    (place.folder.open(place.name())).map_err(|error| match error {
        Errno::NOTDIR | Errno::LOOP => MakeError::Entry(exists(place.path, NO_DIRECTORY)),
        error => place.not_made(error),
    })
}

fn entry_error(error: Errno, path: &Path) -> MakeError {
    MakeError::Entry(not_made(error, path))
}
