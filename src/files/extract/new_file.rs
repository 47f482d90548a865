//! A regular file that gets its name only once it is whole.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use parking_lot::Mutex;
use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, RenameFlags, ftruncate, linkat, openat, renameat, renameat_with,
    statat, unlinkat,
};
use rustix::io::{Errno, pwrite};

use crate::target::zeros::{Run, runs};

/// How a file without a name gets one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Naming {
    /// By its descriptor.
    Descriptor,
    /// By its path below `/proc`.
    Proc,
    /// Not at all: the file has another name meanwhile.
    Rename,
}

impl Naming {
    /// Tries which way works in a folder, with a name that nothing else has.
    pub(super) fn of(folder: BorrowedFd<'_>, temporary: &str) -> Naming {
        for naming in [Naming::Descriptor, Naming::Proc] {
            let made = NewFile::create(folder, temporary, naming).and_then(NewFile::try_name);
            if made.is_ok() {
                return naming;
            }
        }
        Naming::Rename
    }
}

/// A file that is being written. Unless it gets its name, nothing is left of it.
pub(super) struct NewFile<'a> {
    folder: BorrowedFd<'a>,
    file: OwnedFd,
    naming: Naming,
    /// The name that the file has meanwhile, or may need for a moment; empty once it is over.
    temporary: &'a str,
    len: u64,
    ends_in_hole: bool,
}

impl<'a> NewFile<'a> {
    /// Makes a file that only its owner may use. The name `temporary` must be another one for each
    /// file, and no file of the user's or of the archive may have it.
    pub(super) fn create(
        folder: BorrowedFd<'a>,
        temporary: &'a str,
        naming: Naming,
    ) -> Result<NewFile<'a>, Errno> {
        let access = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let mode = Mode::RUSR | Mode::WUSR;
        let unnamed = match naming {
            Naming::Rename => Err(Errno::OPNOTSUPP),
            _ => openat(folder, ".", access | OFlags::TMPFILE, mode),
        };
        let (file, naming) = match unnamed {
            Ok(file) => (file, naming),
            // A part of the target may be another file system, which can't do it.
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOSYS | Errno::INVAL) => {
                let access = access | OFlags::CREATE | OFlags::EXCL;
                let file = match openat(folder, temporary, access, mode) {
                    // An extraction that was cut off has left it.
                    Err(Errno::EXIST) => {
                        unlinkat(folder, temporary, AtFlags::empty())?;
                        openat(folder, temporary, access, mode)?
                    }
                    made => made?,
                };
                (file, Naming::Rename)
            }
            Err(error) => return Err(error),
        };
        Ok(NewFile {
            folder,
            file,
            naming,
            temporary,
            len: 0,
            ends_in_hole: false,
        })
    }

    /// Appends bytes. Blocks of zeros become holes.
    pub(super) fn write(&mut self, data: &[u8]) -> Result<(), Errno> {
        for run in runs(data, self.len) {
            match run {
                Run::Zeros(len) => self.skip(len),
                Run::Data(data) => self.write_data(data)?,
            }
        }
        Ok(())
    }

    /// Appends zeros as a hole.
    pub(super) fn skip(&mut self, len: u64) {
        self.len += len;
        self.ends_in_hole |= len > 0;
    }

    fn write_data(&mut self, mut data: &[u8]) -> Result<(), Errno> {
        while !data.is_empty() {
            match pwrite(&self.file, data, self.len) {
                Ok(0) => return Err(Errno::IO),
                Ok(count) => {
                    self.len += count as u64;
                    data = &data[count..];
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        self.ends_in_hole = false;
        Ok(())
    }

    /// Makes the file as long as what was appended.
    pub(super) fn end(&mut self) -> Result<(), Errno> {
        if std::mem::take(&mut self.ends_in_hole) {
            match ftruncate(&self.file, self.len) {
                // Some file systems make no file longer in this way.
                Err(Errno::PERM | Errno::OPNOTSUPP) => {
                    pwrite(&self.file, &[0], self.len - 1).map(drop)?;
                }
                ended => ended?,
            }
        }
        Ok(())
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Gives the file its name. If something else than a directory has the name, this is an error,
    /// unless the file `replaces` it.
    pub(super) fn name(mut self, name: &OsStr, replaces: bool) -> Result<(), Errno> {
        if self.naming == Naming::Rename {
            match replaces {
                true => renameat(self.folder, self.temporary, self.folder, name)?,
                false => rename_new(self.folder, self.temporary, name)?,
            }
            self.temporary = "";
            return Ok(());
        }
        match self.link(name) {
            Err(Errno::EXIST) if replaces => {
                let temporary = self.temporary;
                self.link(OsStr::new(temporary)).or_else(|error| {
                    if error != Errno::EXIST {
                        return Err(error);
                    }
                    unlinkat(self.folder, temporary, AtFlags::empty())?;
                    self.link(OsStr::new(temporary))
                })?;
                self.naming = Naming::Rename;
                renameat(self.folder, temporary, self.folder, name)?;
                self.temporary = "";
                Ok(())
            }
            linked => linked,
        }
    }

    fn link(&self, name: &OsStr) -> Result<(), Errno> {
        match self.naming {
            Naming::Proc => {
                let path = proc_path(self.file.as_fd());
                linkat(CWD, &path, self.folder, name, AtFlags::SYMLINK_FOLLOW)
            }
            _ => linkat(&self.file, "", self.folder, name, AtFlags::EMPTY_PATH),
        }
    }

    /// Gives the file a name for a moment.
    fn try_name(mut self) -> Result<(), Errno> {
        if self.naming == Naming::Rename {
            return Err(Errno::OPNOTSUPP);
        }
        let linked = self.link(OsStr::new(self.temporary));
        if linked.is_err() && linked != Err(Errno::EXIST) {
            return linked;
        }
        // The drop takes the name away, also one that an earlier try has left.
        self.naming = Naming::Rename;
        Ok(())
    }
}

impl Drop for NewFile<'_> {
    fn drop(&mut self) {
        if self.naming == Naming::Rename && !self.temporary.is_empty() {
            let _ = unlinkat(self.folder, self.temporary, AtFlags::empty());
        }
    }
}

/// The path of an open file below `/proc`.
pub(super) fn proc_path(file: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// Renames a file, if nothing has the new name.
pub(super) fn rename_new(folder: BorrowedFd<'_>, from: &str, to: &OsStr) -> Result<(), Errno> {
    match renameat_with(folder, from, folder, to, RenameFlags::NOREPLACE) {
        // Some file systems can't do this. A link fails as well if something has the name.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            match linkat(folder, from, folder, to, AtFlags::empty()) {
                Ok(()) => unlinkat(folder, from, AtFlags::empty()),
                Err(Errno::PERM | Errno::NOSYS | Errno::OPNOTSUPP) => rename_free(folder, from, to),
                Err(error) => Err(error),
            }
        }
        renamed => renamed,
    }
}

/// Renames a file, if nothing had the new name a moment before: some file systems, which have no
/// links either, can do no better. Only one thread at a time does so, since two entries may have names
/// that are one to such a file system.
fn rename_free(folder: BorrowedFd<'_>, from: &str, to: &OsStr) -> Result<(), Errno> {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock();
    match statat(folder, to, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => renameat(folder, from, folder, to),
        Err(error) => Err(error),
        Ok(_) => Err(Errno::EXIST),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_gets_its_name_in_each_way() {
        let folder = tempfile::tempdir().unwrap();
        let open = fs::File::open(folder.path()).unwrap();
        let found = |name: &str| fs::read_to_string(folder.path().join(name)).ok();
        for naming in [Naming::of(open.as_fd(), "t"), Naming::Rename] {
            let make = |content: &str| {
                let mut file = NewFile::create(open.as_fd(), "t", naming).unwrap();
                file.write(content.as_bytes()).unwrap();
                file
            };
            fs::write(folder.path().join("old"), "old").unwrap();
            let _ = fs::remove_file(folder.path().join("new"));
            make("new").name(OsStr::new("new"), false).unwrap();
            // An earlier extraction has left this.
            fs::write(folder.path().join("t"), "left").unwrap();
            let named = make("other").name(OsStr::new("old"), false);
            assert_eq!(named, Err(Errno::EXIST), "{naming:?}");
            assert_eq!(found("old").unwrap(), "old");
            make("other").name(OsStr::new("old"), true).unwrap();
            assert_eq!(
                (found("old").unwrap(), found("new").unwrap()),
                ("other".into(), "new".into())
            );
            drop(make("nothing"));
            assert_eq!(found("t"), None, "{naming:?}");
        }
    }
}
