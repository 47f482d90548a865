//! What is still to be done for files and directories whose data is not durable yet: they get their
//! times, and directories everything else, only once it is. So a time tells that a file is whole,
//! also after a power cut.

use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, Stat, fstat, openat, statat, utimensat};
use rustix::io::Errno;

use crate::files::extract::attributes::{Attributes, Failed, times};
use crate::files::extract::failure::failure;
use crate::files::extract::folders::Folder;
use crate::files::extract::report::ExtractReport;
use crate::files::extract::request::FileId;
use crate::files::extract::times::Times;
use crate::files::omission::LeftOut;
use crate::files::pxar::{Metadata, Mtime};

/// A file that has its name, and not its time yet.
#[derive(Debug)]
pub(super) struct PendingFile {
    pub(super) path: PathBuf,
    /// Which file it is, where somebody may have given its name to another one.
    pub(super) id: Option<FileId>,
    pub(super) mtime: Mtime,
    /// What times the file's file system keeps.
    pub(super) times: Times,
    pub(super) flags: u64,
}

/// A directory that everything was made in, and that has no properties yet.
#[derive(Debug)]
pub(super) struct PendingDirectory {
    pub(super) path: PathBuf,
    pub(super) metadata: Metadata,
    /// What times the directory's file system keeps.
    pub(super) times: Times,
}

/// Gives files and directories what they lack.
pub(super) struct Sealing<'a> {
    pub(super) target: &'a Folder,
    pub(super) attributes: &'a Attributes,
    /// The last directory that was opened.
    opened: Option<(PathBuf, Folder)>,
}

impl<'a> Sealing<'a> {
    pub(super) fn new(target: &'a Folder, attributes: &'a Attributes) -> Sealing<'a> {
        Sealing {
            target,
            attributes,
            opened: None,
        }
    }

    /// Gives a file its time and its flags.
    pub(super) fn file(&mut self, file: &PendingFile, report: &mut ExtractReport) {
        let sealed = self.seal_file(file, report);
        if let Err(failed) = sealed {
            report.fail(&file.path, failure(failed, &file.path));
        }
    }

    fn seal_file(&mut self, file: &PendingFile, report: &mut ExtractReport) -> Result<(), Failed> {
        let name = file.path.file_name().unwrap_or_default();
        let folder = self
            .folder_of(&file.path)
            .map_err(|error| ("time", error))?;
        let mut left_out = Vec::new();
        file.times.note_loss(file.mtime, &mut left_out);
        // The name may lead to another file meanwhile.
        let check = |found: Result<Stat, Errno>| match (found, file.id) {
            (Err(error), _) => Err(("time", error)),
            (Ok(found), Some(id)) if FileId::of(&found) != id => Err(("time", Errno::STALE)),
            _ => Ok(()),
        };
        if file.flags == 0 {
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            if file.id.is_some() {
                check(statat(folder.as_fd(), name, flags))?;
            }
            let set = utimensat(folder.as_fd(), name, &times(file.mtime), flags);
            let set = (self.attributes).allowing(set, LeftOut::Time, &mut left_out);
            note(report, &file.path, left_out);
            return set.map_err(|error| ("time", error));
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let opened = openat(folder.as_fd(), name, flags, Mode::empty());
        let opened = opened.map_err(|error| ("time", error))?;
        check(fstat(&opened))?;
        let attributes = self.attributes;
        let sealed = attributes.seal(opened.as_fd(), file.mtime, file.flags, &mut left_out);
        note(report, &file.path, left_out);
        sealed
    }

    /// Gives a directory its properties, and then its time and its flags.
    pub(super) fn directory(&mut self, directory: &PendingDirectory, report: &mut ExtractReport) {
        let mut left_out = Vec::new();
        let sealed = self.seal_directory(directory, &mut left_out);
        note(report, &directory.path, left_out);
        if let Err(failed) = sealed {
            report.fail(&directory.path, failure(failed, &directory.path));
        }
    }

    fn seal_directory(
        &mut self,
        directory: &PendingDirectory,
        left_out: &mut Vec<LeftOut>,
    ) -> Result<(), Failed> {
        let opened = match directory.path.file_name() {
            Some(name) => {
                (self.folder_of(&directory.path)).and_then(|folder| folder.open_child(name))
            }
            None => self.target.open_child(OsStr::new(".")),
        };
        let opened = opened.map_err(|error| ("properties", error))?;
        let opened = opened.as_fd();
        let metadata = &directory.metadata;
        self.attributes.unlock(opened, metadata.flags);
        self.attributes.apply(opened, metadata, left_out)?;
        directory.times.note_loss(metadata.mtime, left_out);
        self.attributes
            .seal(opened, metadata.mtime, metadata.flags, left_out)
    }

    /// The directory that a path lies in.
    fn folder_of(&mut self, path: &Path) -> Result<Folder, Errno> {
        let parent = path.parent().unwrap_or(Path::new(""));
        if let Some((opened, folder)) = &self.opened
            && opened == parent
        {
            return Ok(folder.clone());
        }
        let folder = self.target.descend(parent)?;
        self.opened = Some((parent.to_owned(), folder.clone()));
        Ok(folder)
    }
}

/// Notes what an entry lacks.
pub(super) fn note(report: &mut ExtractReport, path: &Path, left_out: Vec<LeftOut>) {
    for property in left_out {
        report.leave_out(property, path);
    }
}
