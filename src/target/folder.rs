//! A folder that is held open. Files in it are opened, renamed and removed only if they are still
//! the same files, even when somebody changes names meanwhile.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{self, Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, RenameFlags, Stat, openat, renameat, renameat_with, stat, statat,
    unlinkat,
};
use rustix::io::Errno;

#[derive(Debug)]
pub(super) struct Folder {
    held: OwnedFd,
    path: PathBuf,
}

impl Folder {
    /// Opens the folder of the file at this path.
    pub(super) fn of(file: &Path) -> io::Result<Folder> {
        let path = match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => path::absolute(folder)?,
            _ => std::env::current_dir()?,
        };
        // A folder that may be searched but not read is good enough.
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let held = openat(CWD, &path, flags, Mode::empty())?;
        Ok(Folder { held, path })
    }

    /// Opens an existing file; `None` where there is none. A link is not followed.
    pub(super) fn open(&self, name: &OsStr, access: OFlags) -> io::Result<Option<File>> {
        // Without these flags, opening some other kinds of file would wait.
        let flags = access | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        match openat(&self.held, name, flags, Mode::empty()) {
            Ok(file) => Ok(Some(file.into())),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::LOOP) => Err(io::Error::other(
                "it is a symbolic link, which is not followed: remove it",
            )),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes a file that only its owner may use; `None` where the name is taken.
    pub(super) fn make(&self, name: &OsStr) -> io::Result<Option<File>> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        match openat(&self.held, name, flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => Ok(Some(file.into())),
            Err(Errno::EXIST) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The state of whatever has this name; `None` where nothing has it. A link is not followed.
    pub(super) fn look(&self, name: &OsStr) -> io::Result<Option<Stat>> {
        match statat(&self.held, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => Ok(Some(found)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the name belongs to this file, and not to another one.
    pub(super) fn names(&self, name: &OsStr, file: &File) -> io::Result<bool> {
        let file = file.metadata()?;
        let found = self.look(name)?;
        Ok(found.is_some_and(|found| (found.st_dev, found.st_ino) == (file.dev(), file.ino())))
    }

    /// Renames this file, if it still has its name. Where another file has the new name, this is an
    /// error, unless the file `replaces` that one.
    pub(super) fn rename(
        &self,
        file: &File,
        from: &OsStr,
        to: &OsStr,
        replaces: bool,
    ) -> io::Result<()> {
        if !self.names(from, file)? {
            return Err(is_gone(from));
        }
        match replaces {
            true => renameat(&self.held, from, &self.held, to)?,
            false => self.rename_new(from, to)?,
        }
        if self.names(to, file)? {
            return Ok(());
        }
        // Another file got the old name after the check and was renamed instead, so it gets its
        // name back.
        let _ = self.rename_new(to, from);
        Err(is_gone(from))
    }

    /// Removes this file, if it still has the name.
    pub(super) fn remove(&self, file: &File, name: &OsStr) -> io::Result<()> {
        if self.names(name, file)? {
            unlinkat(&self.held, name, AtFlags::empty())?;
        }
        Ok(())
    }

    /// Fails where the path no longer leads to this folder: nobody would look for the file where it
    /// is now.
    pub(super) fn check_path(&self) -> io::Result<()> {
        let held = statat(&self.held, "", AtFlags::EMPTY_PATH)?;
        match stat(&self.path) {
            Ok(found) if (found.st_dev, found.st_ino) == (held.st_dev, held.st_ino) => Ok(()),
            _ => Err(io::Error::other(format!(
                "the folder {} was moved, removed or replaced meanwhile",
                self.path.display()
            ))),
        }
    }

    /// Makes sure that the names outlast a power cut, where the file system can sync a folder.
    pub(super) fn sync(&self) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let synced = match openat(&self.held, ".", flags, Mode::empty()) {
            Ok(folder) => File::from(folder).sync_all(),
            // A user who may write to the folder may not be allowed to read it.
            Err(Errno::ACCESS | Errno::PERM) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        match synced.as_ref().map_err(Errno::from_io_error) {
            Err(Some(
                Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS | Errno::BADF | Errno::NOTTY,
            )) => Ok(()),
            _ => synced,
        }
    }

    fn rename_new(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        match renameat_with(&self.held, from, &self.held, to, RenameFlags::NOREPLACE) {
            // Some file systems can't do this. There, a look first shows whether another file has
            // the name.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                if self.look(to)?.is_some() {
                    return Err(io::ErrorKind::AlreadyExists.into());
                }
                Ok(renameat(&self.held, from, &self.held, to)?)
            }
            result => Ok(result?),
        }
    }
}

fn is_gone(name: &OsStr) -> io::Error {
    io::Error::new(
        io::ErrorKind::NotFound,
        format!(
            "{} is another file by now: it was removed, renamed or replaced meanwhile",
            name.display()
        ),
    )
}
