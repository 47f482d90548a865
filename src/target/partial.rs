//! The names of a file that is being restored: it has its own only while it is whole. Knows nothing of what is in it.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::error::{Error, ErrorKind, Result};

/// A locked file, by whichever name.
#[derive(Debug)]
pub(super) struct Partial {
    /// The name that it is to have.
    path: PathBuf,
    partial: PathBuf,
    file: Arc<File>,
    found: Found,
    /// Whether it may take the place of another file.
    replaces: bool,
}

/// What was there of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// Nothing: it was made.
    Nothing,
    /// What an earlier restore left.
    Rest,
    /// A whole file, which still has its own name.
    Whole,
    /// A whole file, which has lost its own name for the time being.
    Renamed,
}

impl Partial {
    /// A file that is new, or was left unfinished.
    pub(super) fn create(path: &Path) -> Result<Partial> {
        if path.symlink_metadata().is_ok() {
            return Err(exists(path));
        }
        Partial::take(path)
    }

    /// The same, for a name that another file may have until this one is whole.
    pub(super) fn replace(path: &Path) -> Result<Partial> {
        let mut partial = Partial::take(&resolve(path)?)?;
        partial.replaces = true;
        Ok(partial)
    }

    /// The file of this name itself; or else as for a new one.
    pub(super) fn reuse(path: &Path) -> Result<Partial> {
        let path = resolve(path)?;
        let Some(file) = lock(OpenOptions::new().read(true).write(true), &path)? else {
            return Partial::take(&path);
        };
        let partial = beside(&path, ".partial")?;
        if partial.symlink_metadata().is_ok() {
            let message = format!(
                "{} is there as well as {}, from a restore that replaces it: let it go on, or remove what it left",
                partial.display(),
                path.display()
            );
            return Err(Error::new(ErrorKind::Target, message));
        }
        Ok(Partial {
            path,
            partial,
            file: Arc::new(file),
            found: Found::Whole,
            replaces: false,
        })
    }

    fn take(path: &Path) -> Result<Partial> {
        let partial = beside(path, ".partial")?;
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        let made = lock(options.clone().create(true).truncate(false), &partial)?;
        let mut file = made.ok_or_else(|| cannot("create", &partial, Errno::NOENT.into()))?;
        let len = file
            .metadata()
            .map_err(|error| cannot("open", &partial, error))?
            .len();
        let mut found = if len == 0 {
            Found::Nothing
        } else {
            Found::Rest
        };
        if found == Found::Nothing {
            let damaged = beside(path, ".damaged")?;
            // It is locked before it gets the name that others look for; the empty file, which has it, is gone then.
            if let Some(left) = lock(&options, &damaged)? {
                fs::rename(&damaged, &partial)
                    .map_err(|error| cannot("rename", &damaged, error))?;
                (file, found) = (left, Found::Rest);
            }
        }
        Ok(Partial {
            path: path.to_owned(),
            partial,
            file: Arc::new(file),
            found,
            replaces: false,
        })
    }

    pub(super) fn partial_path(&self) -> &Path {
        &self.partial
    }

    pub(super) fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Whether it had something in it.
    pub(super) fn is_found(&self) -> bool {
        self.found != Found::Nothing
    }

    /// Takes a whole file's name from it, as it will be changed.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        if self.found == Found::Whole {
            rename_new(&self.path, &self.partial)?;
            self.found = Found::Renamed;
        }
        Ok(())
    }

    /// Gives it its name, in a way that outlasts a power cut.
    pub(super) fn finish(&self, damaged: bool) -> io::Result<()> {
        if damaged {
            let damaged = beside(&self.path, ".damaged").map_err(io::Error::other)?;
            fs::rename(&self.partial, damaged)?;
        } else if self.replaces {
            fs::rename(&self.partial, &self.path)?;
        } else {
            rename_new(&self.partial, &self.path)?;
        }
        let folder = match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        File::open(folder)?.sync_all()
    }

    /// Undoes everything, as nothing was written.
    pub(super) fn undo(&self) {
        let _ = match self.found {
            Found::Nothing => fs::remove_file(&self.partial),
            Found::Renamed => rename_new(&self.partial, &self.path),
            Found::Rest | Found::Whole => Ok(()),
        };
    }
}

impl Drop for Partial {
    /// Somebody may still hold the file to read it, and with it the lock.
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

/// The name with something after it.
fn beside(path: &Path, suffix: &str) -> Result<PathBuf> {
    // A path such as `disks/` has a last part, but means a folder.
    let is_folder = path.as_os_str().as_encoded_bytes().ends_with(b"/");
    let Some(name) = path.file_name().filter(|_| !is_folder) else {
        let message = format!("{} does not name a file", path.display());
        return Err(Error::new(ErrorKind::Target, message));
    };
    let mut name = OsString::from(name);
    name.push(suffix);
    Ok(path.with_file_name(name))
}

/// Follows a link, so that the file it names is replaced or changed and the link stays.
fn resolve(path: &Path) -> Result<PathBuf> {
    match path.metadata() {
        Ok(found) if found.is_file() => {
            fs::canonicalize(path).map_err(|error| cannot("open", path, error))
        }
        Ok(_) => Err(irregular(path)),
        Err(_) => Ok(path.to_owned()),
    }
}

/// Opens and locks a file; `None` where there is none.
fn lock(options: &OpenOptions, path: &Path) -> Result<Option<File>> {
    loop {
        let file = match options.open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(cannot("open", path, error)),
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let message = format!("another restore is writing to {}", path.display());
                return Err(Error::new(ErrorKind::Target, message));
            }
            Err(TryLockError::Error(error)) => return Err(cannot("lock", path, error)),
        }
        // Between the two calls another restore may have finished, and given the file that is now locked another name.
        let opened = file
            .metadata()
            .map_err(|error| cannot("open", path, error))?;
        match path.metadata() {
            Ok(named) if (named.dev(), named.ino()) == (opened.dev(), opened.ino()) => {}
            _ => continue,
        }
        if !opened.is_file() {
            return Err(irregular(path));
        }
        return Ok(Some(file));
    }
}

/// Renames, unless there is a file of the new name.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Not every file system can: then a file that was made meanwhile is told from none by a look.
        Err(Errno::INVAL | Errno::NOSYS) => {
            if to.symlink_metadata().is_ok() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            fs::rename(from, to)
        }
        result => Ok(result?),
    }
}

fn exists(path: &Path) -> Error {
    let message = format!(
        "{} exists already, and replacing it was not asked for",
        path.display()
    );
    Error::new(ErrorKind::Target, message)
}

fn irregular(path: &Path) -> Error {
    Error::new(
        ErrorKind::Target,
        format!("{} is not a regular file", path.display()),
    )
}

fn cannot(verb: &str, path: &Path, error: io::Error) -> Error {
    Error::new(
        ErrorKind::Target,
        format!("cannot {verb} {}", path.display()),
    )
    .because(error)
}
