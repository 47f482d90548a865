//! The directories around the entry that is being made: makes them, and leaves them.

use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::files::FileEntry;
use crate::files::extract::failure::{exists, not_made};
use crate::files::extract::folders::Folder;
use crate::files::extract::make::MakeError;
use crate::files::extract::pending::PendingDirectory;
use crate::files::extract::run::Extraction;
use crate::files::pxar::Entry;

/// How many directories are held open at most. Deeper ones are opened again when they are needed.
const OPEN_DIRECTORIES_MAX: usize = 64;

/// A directory that entries are being made in.
pub(super) struct Level {
    pub(super) path: PathBuf,
    pub(super) entry: Entry,
    /// `None` while too many other directories are open.
    pub(super) folder: Option<Folder>,
}

impl Extraction<'_> {
    pub(super) fn directory(&mut self, entry: &FileEntry, node: &Entry) -> Result<(), MakeError> {
        let folder = if entry.path.as_os_str().is_empty() {
            self.target.clone()
        } else {
            let name = entry.path.file_name().unwrap_or_default();
            let around = self.folder_around(&entry.path)?;
            let not_made = |error| {
                self.place(&around, &entry.path, false, DIRECTORIES)
                    .not_made(error)
            };
            match around.make(name) {
                Ok(folder) => folder,
                Err(Errno::EXIST)
                    if self.options.allows_existing_directories
                        || self.unfinished.is_own(&entry.path) =>
                {
                    around.open(name).map_err(|error| match error {
                        Errno::NOTDIR | Errno::LOOP => {
                            MakeError::Entry(exists(&entry.path, "it is no directory"))
                        }
                        error => not_made(error),
                    })?
                }
                Err(error) => return Err(not_made(error)),
            }
        };
        if !folder.is_new {
            let device = folder
                .device()
                .map_err(|error| entry_error(error, &entry.path))?;
            // A file system that is mounted in the folder fails alone.
            if !self.file_systems.contains_key(&device) && folder.is_read_only() {
                return Err(entry_error(Errno::ROFS, &entry.path));
            }
            (self.file_systems)
                .entry(device)
                .or_insert_with(|| folder.clone());
        }
        if self.levels.is_empty() {
            let device = folder
                .device()
                .map_err(|error| entry_error(error, &entry.path))?;
            self.file_systems.insert(device, folder.clone());
        }
        self.common.done.lock().report.directories += 1;
        // A level as deep as this one closes another one.
        if let Some(far) = self.levels.len().checked_sub(OPEN_DIRECTORIES_MAX) {
            self.levels[far].folder = None;
        }
        self.levels.push(Level {
            path: entry.path.clone(),
            entry: node.clone(),
            folder: Some(folder),
        });
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
        });
    }
}

const DIRECTORIES: &str = "existing directories are not allowed";

fn entry_error(error: Errno, path: &Path) -> MakeError {
    MakeError::Entry(not_made(error, path))
}
