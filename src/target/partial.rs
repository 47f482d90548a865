//! The names of a file that is being restored. It has its final name only while it is whole.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::error::{Error, ErrorKind, Result};
use crate::target::access;
use crate::target::folder::Folder;

/// How many times to open a file whose name keeps going to another file meanwhile.
const ATTEMPTS: u32 = 100;

/// A locked file, under any of its names.
#[derive(Debug)]
pub(super) struct Partial {
    folder: Folder,
    /// The file's final name in the folder.
    name: OsString,
    partial: OsString,
    damaged: OsString,
    partial_path: PathBuf,
    file: Arc<File>,
    is_locked: bool,
    found: Found,
    /// Whether the file may replace another one, and the mode that it then gets.
    replaces: bool,
    mode: Option<Mode>,
}

/// What was there when the file was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// Nothing, so the file was made.
    Nothing,
    /// An unfinished file, which an earlier restore has left.
    Rest,
    /// A whole file, which still has its own name.
    Whole,
    /// A whole file, which was renamed for as long as it is being changed.
    Renamed,
}

/// Whose unfinished file a restore may continue with.
#[derive(Clone, Copy)]
enum Trust<'a> {
    /// Only that of the same user.
    Own,
    /// That of the same user, and that of the owner of the file that is to be replaced.
    Owner(&'a Metadata),
    /// That of anybody, since it may be a whole file of theirs that was being changed.
    Anyone,
}

impl Partial {
    /// Makes a new file, or opens one that was left unfinished.
    pub(super) fn create(path: &Path) -> Result<Partial> {
        if path.symlink_metadata().is_ok() {
            return Err(match path.metadata() {
                Err(error) => leads_nowhere(path, error),
                Ok(_) => exists(path),
            });
        }
        Partial::take(path, Trust::Own)
    }

    /// Does the same as `create`, for a name that another file may keep until this one is whole.
    pub(super) fn replace(path: &Path) -> Result<Partial> {
        let path = resolve(path)?;
        let replaced = path.metadata().ok();
        let trust = replaced.as_ref().map_or(Trust::Own, Trust::Owner);
        let mut partial = Partial::take(&path, trust)?;
        partial.replaces = true;
        if let Some(replaced) = replaced {
            let mode = access::take_after(&partial.file, &replaced);
            partial.mode = Some(mode.map_err(|error| {
                partial.undo();
                cannot("set the mode of", &partial.partial_path, error)
            })?);
        }
        Ok(partial)
    }

    /// Opens the file of this name itself. If there is none, makes a new file, or opens one that
    /// was left unfinished.
    pub(super) fn reuse(path: &Path) -> Result<Partial> {
        let path = resolve(path)?;
        let (folder, name) = place(&path)?;
        let Some((file, is_locked)) = lock(&folder, &name, &path)? else {
            return Partial::take(&path, Trust::Anyone);
        };
        let partial = Partial::new(folder, name, &path, file, is_locked, Found::Whole);
        if !matches!(partial.folder.look(&partial.partial), Ok(None)) {
            let message = format!(
                "{} is there as well as {}, from a restore that replaces it: let it go on, or remove what it left",
                partial.partial_path.display(),
                path.display()
            );
            return Err(Error::new(ErrorKind::Target, message));
        }
        Ok(partial)
    }

    fn take(path: &Path, trust: Trust<'_>) -> Result<Partial> {
        let (folder, name) = place(path)?;
        let (partial, shown) = (with(&name, ".partial"), beside(path, ".partial"));
        for _ in 0..ATTEMPTS {
            if let Some((file, is_locked)) = lock(&folder, &partial, &shown)? {
                let held = file.metadata();
                let held = held.map_err(|error| cannot("open", &shown, error))?;
                check(&held, trust, &shown)?;
                let found = match held.len() {
                    0 => Found::Nothing,
                    _ => Found::Rest,
                };
                return Ok(Partial::new(folder, name, path, file, is_locked, found));
            }
            let made = folder.make(&partial);
            let Some(file) = made.map_err(|error| cannot("create", &shown, error))? else {
                continue;
            };
            match hold(&folder, &partial, &file, &shown) {
                Ok(Some(is_locked)) => {
                    let found = Found::Nothing;
                    return Ok(Partial::new(folder, name, path, file, is_locked, found));
                }
                Ok(None) => {}
                Err(error) => {
                    let _ = folder.remove(&file, &partial);
                    return Err(error);
                }
            }
        }
        Err(unsteady(&shown))
    }

    fn new(
        folder: Folder,
        name: OsString,
        path: &Path,
        file: File,
        is_locked: bool,
        found: Found,
    ) -> Partial {
        Partial {
            folder,
            partial: with(&name, ".partial"),
            damaged: with(&name, ".damaged"),
            partial_path: beside(path, ".partial"),
            name,
            file: Arc::new(file),
            is_locked,
            found,
            replaces: false,
            mode: None,
        }
    }

    pub(super) fn partial_path(&self) -> &Path {
        &self.partial_path
    }

    pub(super) fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Whether the file is locked against other restores.
    pub(super) fn is_locked(&self) -> bool {
        self.is_locked
    }

    /// Whether the file was there already.
    pub(super) fn is_found(&self) -> bool {
        self.found != Found::Nothing
    }

    /// Whether this is a whole file that is changed in place.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self.found, Found::Whole | Found::Renamed)
    }

    /// Opens, for reading, a damaged file that an earlier restore has left.
    pub(super) fn damaged(&self) -> Option<File> {
        let file = self.folder.open(&self.damaged, OFlags::RDONLY).ok()??;
        file.metadata()
            .is_ok_and(|found| found.is_file())
            .then_some(file)
    }

    /// Renames a whole file, since it will now be changed.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        if self.found == Found::Whole {
            (self.folder).rename(&self.file, &self.name, &self.partial, false)?;
            self.found = Found::Renamed;
        }
        Ok(())
    }

    /// Sets the file's final mode.
    pub(super) fn settle(&self) -> io::Result<()> {
        self.mode
            .map_or(Ok(()), |mode| access::set_mode(&self.file, mode))
    }

    /// Gives the file its final name, in a way that outlasts a power cut, and removes the damaged
    /// file that it replaces.
    pub(super) fn finish(&self, damaged: bool, instead: Option<&File>) -> io::Result<()> {
        self.folder.check_path()?;
        let (to, replaces) = match damaged {
            true => (&self.damaged, true),
            false => (&self.name, self.replaces),
        };
        (self.folder).rename(&self.file, &self.partial, to, replaces)?;
        if let Some(earlier) = instead.filter(|_| !damaged) {
            self.folder.remove(earlier, &self.damaged)?;
        }
        self.folder.sync()
    }

    /// Undoes everything; called when nothing was written.
    pub(super) fn undo(&self) {
        let _ = match self.found {
            Found::Nothing => self.folder.remove(&self.file, &self.partial),
            Found::Renamed => (self.folder).rename(&self.file, &self.partial, &self.name, false),
            Found::Rest | Found::Whole => Ok(()),
        };
    }
}

impl Drop for Partial {
    /// Unlocks the file, since somebody else who reads it may hold the same open file, and the lock
    /// with it.
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

/// The folder of a file, and the file's name in it.
fn place(path: &Path) -> Result<(Folder, OsString)> {
    // A path such as `disks/` has a last part too, but it means a folder.
    let is_folder = path.as_os_str().as_encoded_bytes().ends_with(b"/");
    let Some(name) = path.file_name().filter(|_| !is_folder) else {
        let message = format!("{} does not name a file", path.display());
        return Err(Error::new(ErrorKind::Target, message));
    };
    let folder = Folder::of(path).map_err(|error| cannot("open the folder of", path, error))?;
    Ok((folder, name.to_owned()))
}

/// A name with a suffix.
fn with(name: &OsStr, suffix: &str) -> OsString {
    let mut name = name.to_owned();
    name.push(suffix);
    name
}

/// A path with a suffix.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    with(path.as_os_str(), suffix).into()
}

/// Follows a link, so that the file behind it is replaced or changed, and the link stays.
fn resolve(path: &Path) -> Result<PathBuf> {
    match path.metadata() {
        Ok(found) if !found.is_file() => Err(irregular(path)),
        Ok(_) => fs::canonicalize(path).map_err(|error| cannot("open", path, error)),
        Err(error) if path.symlink_metadata().is_ok() => Err(leads_nowhere(path, error)),
        Err(_) => Ok(path.to_owned()),
    }
}

/// Opens and locks a file, and says whether it could be locked; `None` where there is no file.
fn lock(folder: &Folder, name: &OsStr, shown: &Path) -> Result<Option<(File, bool)>> {
    for _ in 0..ATTEMPTS {
        let opened = folder.open(name, OFlags::RDWR);
        let Some(file) = opened.map_err(|error| cannot("open", shown, error))? else {
            return Ok(None);
        };
        if let Some(is_locked) = hold(folder, name, &file, shown)? {
            return Ok(Some((file, is_locked)));
        }
    }
    Err(unsteady(shown))
}

/// Locks a file, and says whether it could be locked; `None` where the name belongs to another file
/// by now.
fn hold(folder: &Folder, name: &OsStr, file: &File, shown: &Path) -> Result<Option<bool>> {
    let is_locked = match file.try_lock() {
        Ok(()) => true,
        Err(TryLockError::WouldBlock) => {
            let message = format!("another restore is writing to {}", shown.display());
            return Err(Error::new(ErrorKind::Target, message));
        }
        // Some file systems and file servers have no locks.
        Err(TryLockError::Error(error)) => match Errno::from_io_error(&error) {
            Some(Errno::NOLCK | Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL) => false,
            _ => return Err(cannot("lock", shown, error)),
        },
    };
    // Another restore may have finished since the file was opened, and may have renamed the file
    // that is now locked.
    let is_named = folder.names(name, file);
    if !is_named.map_err(|error| cannot("open", shown, error))? {
        return Ok(None);
    }
    match file.metadata() {
        Ok(opened) if opened.is_file() => Ok(Some(is_locked)),
        Ok(_) => Err(irregular(shown)),
        Err(error) => Err(cannot("open", shown, error)),
    }
}

/// Refuses to continue with an unfinished file that somebody else could change after it was
/// verified.
fn check(held: &Metadata, trust: Trust<'_>, shown: &Path) -> Result<()> {
    let is_trusted = match trust {
        Trust::Own => access::is_ours(held),
        Trust::Owner(replaced) => access::is_ours(held) || held.uid() == replaced.uid(),
        Trust::Anyone => return Ok(()),
    };
    let why = match (is_trusted, held.nlink()) {
        (true, 0..=1) => return Ok(()),
        (true, _) => "has other names, whose content would change",
        (false, _) => "belongs to somebody else",
    };
    let message = format!("{} {why}: remove it", shown.display());
    Err(Error::new(ErrorKind::Target, message))
}

fn exists(path: &Path) -> Error {
    let message = format!(
        "{} exists already, and replacing it was not asked for",
        path.display()
    );
    Error::new(ErrorKind::Target, message)
}

fn leads_nowhere(path: &Path, error: io::Error) -> Error {
    let message = format!(
        "{} is a symbolic link that leads to no file: remove it, or name the file that it is to lead to",
        path.display()
    );
    Error::new(ErrorKind::Target, message).because(error)
}

fn irregular(path: &Path) -> Error {
    let message = format!("{} is not a regular file", path.display());
    Error::new(ErrorKind::Target, message)
}

fn unsteady(path: &Path) -> Error {
    let message = format!("{} keeps becoming another file", path.display());
    Error::new(ErrorKind::Target, message)
}

fn cannot(verb: &str, path: &Path, error: io::Error) -> Error {
    let message = format!("cannot {verb} {}", path.display());
    Error::new(ErrorKind::Target, message).because(error)
}
