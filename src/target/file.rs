//! A regular file as a target: it gets its name only when it is complete. Knows nothing of what is written.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::error::{Error, ErrorKind, Result};
use crate::target::Target;

/// Restores into a regular file.
///
/// The bytes go to `NAME.partial` in the same folder, which is locked so that no other restore writes to it. Only when all
/// are there and synced does it get its name, and the folder is synced too: whatever stops a restore, nothing
/// incomplete is ever seen under the final name. Zeros become holes.
///
/// Where a restore fails after bytes were written, `NAME.partial` stays; the next restore to the same name writes it anew.
///
/// ```no_run
/// use chunk_restore::{Datastore, FileTarget, Restore};
///
/// let archive = Datastore::open("/mnt/datastore")?.snapshot("vm/100")?.archive("drive-scsi0.img")?;
/// let report = Restore::new().run(&archive, &mut FileTarget::create("disk.raw")?)?;
/// println!("{report}");
/// # Ok::<(), chunk_restore::Error>(())
/// ```
#[derive(Debug)]
pub struct FileTarget {
    path: PathBuf,
    partial: PathBuf,
    file: File,
    replaces: bool,
    offset: u64,
    is_finished: bool,
}

impl FileTarget {
    /// A target that becomes a new file.
    ///
    /// # Errors
    /// [`ErrorKind::Target`] where a file of this name exists, its folder doesn't, or the `.partial` file can't be opened
    /// or is locked by another restore.
    pub fn create(path: impl AsRef<Path>) -> Result<FileTarget> {
        let path = path.as_ref();
        if path.symlink_metadata().is_ok() {
            return Err(exists(path));
        }
        FileTarget::open(path)
    }

    /// A target that takes the place of a file of this name, if there is one. That one stays as it is until the new one is
    /// complete.
    ///
    /// # Errors
    /// As [`create`](FileTarget::create), but for an existing regular file.
    pub fn replace(path: impl AsRef<Path>) -> Result<FileTarget> {
        let path = path.as_ref();
        // A link is followed, so that the file it names is replaced and the link stays.
        let path = match path.metadata() {
            Ok(found) if found.is_file() => {
                fs::canonicalize(path).map_err(|error| cannot("open", path, error))?
            }
            Ok(_) => {
                let message = format!("{} is not a regular file", path.display());
                return Err(Error::new(ErrorKind::Target, message));
            }
            Err(_) => path.to_owned(),
        };
        let mut target = FileTarget::open(&path)?;
        target.replaces = true;
        Ok(target)
    }

    /// Where the bytes are until the file is complete.
    #[must_use]
    pub fn partial_path(&self) -> &Path {
        &self.partial
    }

    fn open(path: &Path) -> Result<FileTarget> {
        // A path such as `disks/` has a last part, but means a folder.
        let is_folder = path.as_os_str().as_encoded_bytes().ends_with(b"/");
        let Some(name) = path.file_name().filter(|_| !is_folder) else {
            let message = format!("{} does not name a file", path.display());
            return Err(Error::new(ErrorKind::Target, message));
        };
        let mut partial_name = OsString::from(name);
        partial_name.push(".partial");
        let partial = path.with_file_name(partial_name);
        let file = lock(&partial)?;
        Ok(FileTarget {
            path: path.to_owned(),
            partial,
            file,
            replaces: false,
            offset: 0,
            is_finished: false,
        })
    }

    fn rename(&self) -> io::Result<()> {
        if self.replaces {
            return fs::rename(&self.partial, &self.path);
        }
        match renameat_with(CWD, &self.partial, CWD, &self.path, RenameFlags::NOREPLACE) {
            // Not every file system can: then a file that was made meanwhile is told from none by a look.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                if self.path.symlink_metadata().is_ok() {
                    return Err(io::ErrorKind::AlreadyExists.into());
                }
                fs::rename(&self.partial, &self.path)
            }
            result => Ok(result?),
        }
    }
}

impl Target for FileTarget {
    fn begin(&mut self, len: u64) -> io::Result<()> {
        // First to nothing: what an earlier restore left must not show through the holes.
        self.file.set_len(0)?;
        self.file.set_len(len)?;
        self.offset = 0;
        Ok(())
    }

    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        self.file.write_all_at(data, self.offset)?;
        self.offset += data.len() as u64;
        Ok(())
    }

    fn write_zeros(&mut self, len: u64) -> io::Result<()> {
        self.offset += len;
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.file.sync_all()?;
        self.rename()?;
        self.is_finished = true;
        let folder = match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        File::open(folder)?.sync_all()
    }
}

impl Drop for FileTarget {
    /// A file that no byte was written to helps nobody.
    fn drop(&mut self) {
        if !self.is_finished && self.offset == 0 {
            let _ = fs::remove_file(&self.partial);
        }
    }
}

/// Opens and locks a `.partial` file, new or left behind.
fn lock(partial: &Path) -> Result<File> {
    loop {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(partial)
            .map_err(|error| cannot("create", partial, error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let message = format!("another restore is writing to {}", partial.display());
                return Err(Error::new(ErrorKind::Target, message));
            }
            Err(TryLockError::Error(error)) => return Err(cannot("lock", partial, error)),
        }
        // Between the two calls another restore may have finished, and given the file that is now locked its final name.
        let opened = file
            .metadata()
            .map_err(|error| cannot("open", partial, error))?;
        match partial.metadata() {
            Ok(named) if (named.dev(), named.ino()) == (opened.dev(), opened.ino()) => {}
            _ => continue,
        }
        if !opened.is_file() {
            let message = format!("{} is not a regular file", partial.display());
            return Err(Error::new(ErrorKind::Target, message));
        }
        return Ok(file);
    }
}

fn exists(path: &Path) -> Error {
    let message = format!(
        "{} exists already, and replacing it was not asked for",
        path.display()
    );
    Error::new(ErrorKind::Target, message)
}

fn cannot(verb: &str, path: &Path, error: io::Error) -> Error {
    Error::new(
        ErrorKind::Target,
        format!("cannot {verb} {}", path.display()),
    )
    .because(error)
}
