//! A folder that is held open: files in it are opened, renamed and removed by what they are, whoever changes names
//! meanwhile. Knows nothing of which names there are.

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
    /// The folder that a file of this path is in.
    pub(super) fn of(file: &Path) -> io::Result<Folder> {
        let path = match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => path::absolute(folder)?,
            _ => std::env::current_dir()?,
        };
        // A folder that may be searched and not read will do.
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let held = openat(CWD, &path, flags, Mode::empty())?;
        Ok(Folder { held, path })
    }

    /// Opens a file that is there; `None` where there is none. A link is not followed.
    pub(super) fn open(&self, name: &OsStr, access: OFlags) -> io::Result<Option<File>> {
        // Opening some other kinds of file would wait.
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

    /// Makes a file, for its owner alone; `None` where something has the name.
    pub(super) fn make(&self, name: &OsStr) -> io::Result<Option<File>> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        match openat(&self.held, name, flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => Ok(Some(file.into())),
            Err(Errno::EXIST) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// What has the name; `None` where nothing has. A link is not followed.
    pub(super) fn look(&self, name: &OsStr) -> io::Result<Option<Stat>> {
        match statat(&self.held, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => Ok(Some(found)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the name is this very file's.
    pub(super) fn names(&self, name: &OsStr, file: &File) -> io::Result<bool> {
        let file = file.metadata()?;
        let found = self.look(name)?;
        Ok(found.is_some_and(|found| (found.st_dev, found.st_ino) == (file.dev(), file.ino())))
    }

    /// Gives this very file another name, which another file may have only where it `replaces` that one.
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
        // Another file got the old name after the look: it goes back.
        let _ = self.rename_new(to, from);
        Err(is_gone(from))
    }

    /// Removes this very file, if it still has the name.
    pub(super) fn remove(&self, file: &File, name: &OsStr) -> io::Result<()> {
        if self.names(name, file)? {
            unlinkat(&self.held, name, AtFlags::empty())?;
        }
        Ok(())
    }

    /// Fails where the path leads elsewhere by now: nobody would look for the file where it is.
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

    /// Makes names outlast a power cut, where the file system can say so for a folder.
    pub(super) fn sync(&self) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let synced = match openat(&self.held, ".", flags, Mode::empty()) {
            Ok(folder) => File::from(folder).sync_all(),
            // Who may write to it may not read it.
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
            // Not every file system can: then a file that was made meanwhile is told from none by a look.
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
