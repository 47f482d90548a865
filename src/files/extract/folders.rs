//! Opens directories beneath the target folder. No link is ever followed there: each directory is
//! opened by its name in the directory above it.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};
use std::sync::{Arc, OnceLock};

use rustix::fs::{
    AtFlags, Dir, Mode, OFlags, Stat, StatVfsMountFlags, fchmod, fgetxattr, fstat, fstatvfs,
    mkdirat, open, openat, statat,
};
use rustix::io::Errno;

use crate::files::extract::attributes::{DEFAULT_ACL, remove_inherited_acls};

/// How a directory is opened: never by a link.
const DIRECTORY: OFlags = OFlags::DIRECTORY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// The mode of a directory until everything in it is there.
const PRIVATE: Mode = Mode::RWXU;

/// An open directory beneath the target folder, or the folder itself.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    file: Arc<OwnedFd>,
    /// Whether the extraction has made the directory, and so knows all that is in it.
    pub(super) is_new: bool,
    /// Whether new entries get access control lists from the directory.
    pub(super) hands_down_acls: bool,
    /// The names in the directory, once it was listed: `None` where that can't be done.
    names: Arc<OnceLock<Option<BTreeSet<OsString>>>>,
}

impl Folder {
    /// Opens the target folder, and makes it if nothing is there.
    pub(super) fn target(path: &Path) -> Result<Folder, Errno> {
        let made = match mkdirat(rustix::fs::CWD, path, PRIVATE) {
            Err(Errno::EXIST) => false,
            made => made.map(|()| true)?,
        };
        // The user has named this path: a link in it leads to where they want to be.
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
        let file = open(path, flags, Mode::empty())?;
        Ok(Folder::new(file, made))
    }

    fn new(file: OwnedFd, is_new: bool) -> Folder {
        // A directory that the extraction has made has no such list.
        let hands_down_acls = !is_new && fgetxattr(&file, DEFAULT_ACL, &mut [0; 0][..]).is_ok();
        Folder {
            file: Arc::new(file),
            is_new,
            hands_down_acls,
            names: Arc::default(),
        }
    }

    /// Makes a directory that only its owner may use.
    pub(super) fn make(&self, name: &OsStr) -> Result<Folder, Errno> {
        mkdirat(&self.file, name, PRIVATE)?;
        let file = openat(&self.file, name, DIRECTORY | OFlags::RDONLY, Mode::empty())?;
        if self.hands_down_acls {
            remove_inherited_acls(file.as_fd());
            fchmod(&file, PRIVATE)?;
        }
        Ok(Folder::new(file, true))
    }

    /// Opens a directory in this one. Its owner may use it from then on, since entries are made in
    /// it.
    pub(super) fn open(&self, name: &OsStr) -> Result<Folder, Errno> {
        let file = openat(&self.file, name, DIRECTORY | OFlags::RDONLY, Mode::empty())?;
        let folder = Folder::new(file, false);
        folder.let_owner_in();
        Ok(folder)
    }

    /// Lets the owner of the directory use it. The mode of an earlier extraction may forbid that.
    pub(super) fn let_owner_in(&self) {
        let Ok(found) = fstat(&self.file) else { return };
        let mode = Mode::from_raw_mode(found.st_mode & 0o7777);
        if !mode.contains(PRIVATE) {
            // Only the owner can do it, and who is no owner may have the right to write.
            let _ = fchmod(&self.file, mode | PRIVATE);
        }
    }

    /// Opens the directory at a path in this one.
    pub(super) fn descend(&self, path: &Path) -> Result<Folder, Errno> {
        let mut folder = self.clone();
        for component in path.components() {
            let Component::Normal(name) = component else {
                return Err(Errno::INVAL);
            };
            let flags = DIRECTORY | OFlags::PATH;
            let file = openat(&folder.file, name, flags, Mode::empty())?;
            folder = Folder {
                file: Arc::new(file),
                is_new: false,
                hands_down_acls: false,
                names: Arc::default(),
            };
        }
        Ok(folder)
    }

    /// Opens a directory in this one to give it its properties.
    pub(super) fn open_child(&self, name: &OsStr) -> Result<OwnedFd, Errno> {
        openat(&self.file, name, DIRECTORY | OFlags::RDONLY, Mode::empty())
    }

    /// What has a name in this directory. A link is not followed.
    pub(super) fn look(&self, name: &OsStr) -> Result<Stat, Errno> {
        statat(&self.file, name, AtFlags::SYMLINK_NOFOLLOW)
    }

    /// Whether the directory lists this very name. If it does not, and something has the name, then
    /// the file system takes the name of something else for the same: `a` for `A`, for example.
    ///
    /// The directory is listed once. So a name that has come since counts as another one.
    pub(super) fn lists(&self, name: &OsStr) -> bool {
        // Inodes tell nothing here: some file systems number a file anew each time.
        let names = self.names.get_or_init(|| names(self.as_fd()).ok());
        names.as_ref().is_none_or(|names| names.contains(name))
    }

    /// The number of the file system that the directory is on.
    pub(super) fn device(&self) -> Result<u64, Errno> {
        Ok(fstat(&self.file)?.st_dev)
    }

    /// Whether the directory's file system is mounted for reading only.
    pub(super) fn is_read_only(&self) -> bool {
        let found = fstatvfs(&self.file);
        found.is_ok_and(|found| found.f_flag.contains(StatVfsMountFlags::RDONLY))
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// The names in a directory.
pub(super) fn names(folder: BorrowedFd<'_>) -> Result<BTreeSet<OsString>, Errno> {
    let mut names = BTreeSet::new();
    for entry in Dir::read_from(folder)? {
        let name = OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned();
        if name != "." && name != ".." {
            names.insert(name);
        }
    }
    Ok(names)
}
