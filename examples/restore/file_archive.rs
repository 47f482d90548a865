//! Opens a file archive of a snapshot, and looks up what the command line names in it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use chunk_restore::files::pxar::{Entry, EntryKind};
use chunk_restore::files::{ArchivePart, FileEntry, FileReader, Files, Node};
use chunk_restore::{Error, ErrorKind, Restore, Snapshot};

use crate::content;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::file_arguments;
use crate::interrupt::Interrupt;
use crate::job;
use crate::options::Options;
use crate::output::Output;
use crate::place;
use crate::program;
use crate::retries;
use crate::shown::shown_name;

/// The list of what is in the file archives of a snapshot.
const CATALOG: &str = "catalog.pcat1";

/// An open file archive.
#[derive(Debug)]
pub(crate) struct FileArchive {
    pub(crate) files: Files,
    /// The snapshot and the archive, as commands name them.
    name: String,
}

impl FileArchive {
    pub(crate) fn open(
        named: &file_arguments::FileArchive,
        options: &Options,
        interrupt: &Interrupt,
        output: &Output,
    ) -> Result<FileArchive, Failure> {
        let snapshot = place::snapshot(options, &named.snapshot, output)?;
        let restore = job::settings(options, interrupt).patience(options.patience());
        let _running = interrupt.run()?;
        let restore = retries::telling(restore, &named.archive, output);
        let files = open(&snapshot, &named.archive, &restore)?;
        let name = format!("{} {}", named.snapshot, named.archive);
        Ok(FileArchive { files, name })
    }

    /// What a path leads to.
    pub(crate) fn entry(&self, path: &Path) -> Result<FileEntry, Failure> {
        self.files
            .entry(path)
            .map_err(|error| self.not_found(path, error))
    }

    /// The bytes of the regular file at a path.
    pub(crate) fn read(&self, path: &Path) -> Result<FileReader, Failure> {
        let entry = self.entry(path)?;
        self.files.read_entry(&entry).map_err(|error| {
            let is_other = error.kind() == ErrorKind::Invalid;
            let failure = Failure::from(error);
            match (&entry.node, is_other) {
                (Node::Entry(entry), true) => self.no_file(failure, path, entry),
                _ => failure,
            }
        })
    }

    /// Says what is at a path instead of a regular file.
    fn no_file(&self, failure: Failure, path: &Path, entry: &Entry) -> Failure {
        match &entry.kind {
            EntryKind::Directory => {
                let path = shown_name(path.as_os_str().as_bytes());
                failure.advises(format!(
                    "it is a directory: `{} ls {} {path}`",
                    program::name(),
                    self.name
                ))
            }
            EntryKind::Symlink(target) => failure.advises(format!(
                "it is a symbolic link to {}, and links are not followed: name the file itself",
                shown_name(target)
            )),
            _ => failure,
        }
    }

    /// Adds to an error about a path that is not in the archive what was found on the way.
    fn not_found(&self, path: &Path, error: Error) -> Failure {
        let is_unknown = error.kind() == ErrorKind::NotFound;
        let failure = Failure::from(error);
        if !is_unknown {
            return failure;
        }
        // The nearest folder that there is comes first.
        for above in path.ancestors().skip(1) {
            let Ok(found) = self.files.entry(above) else {
                continue;
            };
            let above = shown_name(above.as_os_str().as_bytes());
            let Node::Entry(entry) = &found.node else {
                break;
            };
            return match &entry.kind {
                EntryKind::Directory => failure.advises(format!(
                    "`{} find {} PATTERN` looks for files by their names",
                    program::name(),
                    self.name
                )),
                EntryKind::Symlink(target) => failure.advises(format!(
                    "{above} is a symbolic link to {}, and links are not followed: name the file itself",
                    shown_name(target)
                )),
                _ => failure.advises(format!("{above} is no directory")),
            };
        }
        failure
    }
}

/// Opens a file archive of a snapshot.
pub(crate) fn open(snapshot: &Snapshot, name: &str, restore: &Restore) -> Result<Files, Failure> {
    Files::open(restore, snapshot, name).map_err(|error| {
        let is_other = error.kind() == ErrorKind::Invalid;
        let failure = content::with_key(error);
        let (program, snapshot) = (program::name(), snapshot.name());
        match (is_other, failure.exit()) {
            (true, _) => failure.advises(format!(
                "`{program} list {snapshot}` shows which archives there are"
            )),
            (false, Exit::Integrity) => failure.advises(format!(
                "without its beginning, no file of {name} can be read: another snapshot may have \
                 the files, and `{program} image {snapshot} {name} FILE --salvage` gets the bytes \
                 that are left"
            )),
            (false, _) => failure,
        }
    })
}

/// The name of a file archive without its ending; `None` for other archives, and for the half of a
/// split one that is opened with the other half.
pub(crate) fn stem(archive: &str) -> Option<&str> {
    let (stem, part) = ArchivePart::of(archive)?;
    (part != ArchivePart::Payloads).then_some(stem)
}

/// Whether an archive is a file archive, or belongs to file archives: the catalog lists what they
/// hold.
pub(crate) fn is_part(archive: &str) -> bool {
    ArchivePart::of(archive).is_some() || archive == CATALOG
}

/// Refuses patterns that all exclude, with which nothing can be found.
pub(crate) fn check_includes(patterns: &[OsString]) -> Result<(), Failure> {
    let mut patterns = patterns.iter();
    match patterns.all(|pattern| pattern.as_bytes().starts_with(b"!")) {
        true => Err(
            Failure::usage("each pattern excludes, so that nothing can be found").advises(
                "name what to look for first, such as '**', and what to leave out after it",
            ),
        ),
        false => Ok(()),
    }
}

/// The path of an entry with a slash at its start, as pattern and path arguments may have it.
pub(crate) fn absolute(entry: &FileEntry) -> Vec<u8> {
    [b"/", entry.path.as_os_str().as_bytes()].concat()
}

/// The last name of an entry's path.
pub(crate) fn name_of(entry: &FileEntry) -> &[u8] {
    entry
        .path
        .file_name()
        .map(OsStr::as_bytes)
        .unwrap_or_default()
}

/// Whether an error is damage of the archive, so that the entries beside it may be right.
pub(crate) fn is_damage(error: &Error) -> bool {
    Exit::of(error) == Exit::Integrity
}
