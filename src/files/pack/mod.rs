//! Packs entries of a file archive into a tar or zip archive, as a stream.

mod content;
mod report;
mod tar;
mod zip;

use std::io::Write;

use crate::error::{Error, ErrorKind, Result};
use crate::files::pack::content::Contents;
use crate::files::pack::report::Progress;
use crate::files::pxar::Entry;
use crate::files::selected::Selected;
use crate::files::selection::Selection;
use crate::files::{FileEntry, Files};

pub use report::PackReport;

/// How much is collected before it is written to the output.
const WRITE_LEN: usize = 256 << 10;

/// Entries of a file archive that become a tar or zip archive. Made by [`Files::pack`].
///
/// The archive is written in one go, in the order of the file archive; the output need not be able
/// to seek. Holes of files are written as zeros.
///
/// ```no_run
/// use chunk_restore::files::{Files, Selection};
/// use chunk_restore::{Datastore, Restore};
///
/// let datastore = Datastore::open("/mnt/datastore")?;
/// let snapshot = datastore.snapshot("ct/101")?;
/// let files = Files::open(&Restore::new(), &snapshot, "root.pxar")?;
/// let etc = Selection::default().path("etc");
/// let report = files.pack(&etc).tar(std::io::stdout().lock(), |_| ())?;
/// for omission in &report.omissions {
///     eprintln!("left out {}: {}", omission.what.name(), omission.count);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Pack {
    files: Files,
    selection: Selection,
    salvage: bool,
}

impl Files {
    /// Packs the selected entries, with all directories around them, into a tar or zip archive.
    #[must_use]
    pub fn pack(&self, selection: &Selection) -> Pack {
        Pack {
            files: self.clone(),
            selection: selection.clone(),
            salvage: false,
        }
    }
}

impl Pack {
    /// Whether the bytes of files that lie in lost chunks become zeros, listed in
    /// [`PackReport::damage`]; by default they fail the packing. A chunk is lost if it is missing or
    /// damaged at all places. Entries that are described in lost chunks are left out, and listed in
    /// [`PackReport::losses`].
    #[must_use]
    pub fn salvage(mut self, yes: bool) -> Pack {
        self.salvage = yes;
        self
    }

    /// Writes a tar archive that GNU tar and bsdtar unpack with everything that they can restore:
    /// owners by number, times to the nanosecond, hard links, devices, extended attributes,
    /// capabilities and access control lists. Names are the same bytes as in the file archive. The
    /// root directory comes first, as `./`.
    ///
    /// A tar archive can't hold sockets, file system flags and quota projects. They are left out and
    /// counted in the report. A hard link to a file that was not selected becomes the file itself.
    ///
    /// `observer` is called after each entry and after each piece of a file. The output is flushed
    /// at the end. After an error, the output is cut off, without the end mark of an archive.
    ///
    /// # Errors
    /// [`Target`](ErrorKind::Target) if the output can't be written, with the [`std::io::Error`] as
    /// its source; [`NotFound`](ErrorKind::NotFound) if the archive has not all paths of the
    /// selection; [`Corrupt`](ErrorKind::Corrupt) if the file archive is damaged; otherwise why a
    /// chunk could not be fetched; [`Cancelled`](ErrorKind::Cancelled), which is looked for before each
    /// entry and each piece of a file.
    pub fn tar(
        &self,
        output: impl Write,
        mut observer: impl FnMut(&PackReport),
    ) -> Result<PackReport> {
        let mut packing = self.start(&mut observer)?;
        tar::write(&mut packing, output)?;
        let unmatched = packing.selected.take_unmatched();
        Ok(packing.progress.finish(unmatched))
    }

    /// Writes a zip archive for desktops: directories, files, and symbolic links that stay inside,
    /// with the permission bits and the time in whole seconds. Files are compressed by deflate.
    ///
    /// A zip archive can't hold owners, devices, named pipes, sockets, extended attributes and
    /// access control lists. They are left out and counted in the report. Hard links become files of
    /// their own.
    ///
    /// No entry can lead an unpacker outside its folder. Bytes of names that are not UTF-8,
    /// backslashes, control characters, the colon of a drive letter and the last byte of a name
    /// that has only dots and blanks are written as `%` and two hexadecimal digits: `a\b` becomes
    /// `a%5Cb`. So is `%` itself, in a name that would be read wrongly otherwise. A symbolic link
    /// is left out if its target is absolute or leads outside the archive, or if it has a `..` after
    /// a name, since other links could make that lead outside.
    ///
    /// `observer`, the output and its end are as for [`tar`](Pack::tar).
    ///
    /// # Errors
    /// As for [`tar`](Pack::tar).
    pub fn zip(
        &self,
        output: impl Write,
        mut observer: impl FnMut(&PackReport),
    ) -> Result<PackReport> {
        let mut packing = self.start(&mut observer)?;
        zip::write(&mut packing, output)?;
        let unmatched = packing.selected.take_unmatched();
        Ok(packing.progress.finish(unmatched))
    }

    fn start<'a>(&self, observer: &'a mut dyn FnMut(&PackReport)) -> Result<Packing<'a>> {
        Ok(Packing {
            selected: Selected::new(&self.files.0, &self.selection)?.salvaging(self.salvage),
            contents: Contents::new(self.salvage),
            progress: Progress::new(observer),
        })
    }
}

/// What the formats share: the entries that are packed, their contents, and the report.
struct Packing<'a> {
    selected: Selected,
    contents: Contents,
    progress: Progress<'a>,
}

impl Packing<'_> {
    /// The next entry; `None` after the last one.
    fn next_entry(&mut self) -> Result<Option<FileEntry>> {
        self.selected.check_cancelled()?;
        let entry = self.selected.next_entry()?;
        self.progress.add_losses(self.selected.take_lost());
        Ok(entry)
    }

    /// The file that a hard link is another name of; `None` if it is lost.
    fn resolve(&mut self, link: &FileEntry) -> Result<Option<Entry>> {
        let file = self.selected.resolve(link)?;
        self.progress.add_losses(self.selected.take_lost());
        Ok(file)
    }
}

/// An error of the output.
fn output_error(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Target, "the output can't be written").because(error)
}
