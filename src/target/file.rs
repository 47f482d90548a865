//! A regular file as a target. The file gets its name only when it is complete.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use crate::error::Result;
use crate::target::chunk_data::ChunkData;
use crate::target::earlier::Earlier;
use crate::target::holes::data_end;
use crate::target::output::Output;
use crate::target::partial::Partial;
use crate::target::space;
use crate::target::zeros::Zeros;
use crate::target::{Existing, ReadAt, Target};

/// Restores into a regular file.
///
/// The bytes go to `NAME.partial` in the same folder. That file is locked, so that no other restore
/// writes to it. It gets its final name only when all bytes are there and synced, and then the
/// folder is synced too. Whatever stops a restore, nobody ever sees an incomplete file under the
/// final name. Zeros become holes in blocks of 4 KiB, also zeros within chunks; see
/// [`zeros`](FileTarget::zeros).
///
/// Where a restore fails after bytes were written, `NAME.partial` stays. The next restore to the
/// same name continues with it, and keeps what is right in it. Where zeros stand in for chunks that
/// could not be fetched, the file is called `NAME.damaged` instead, and replaces an older file of
/// that name. The next restore to the same name copies from the damaged file, if that has the right
/// length. It removes the damaged file once the new one is whole and holds everything that the
/// damaged one does.
///
/// The target touches only the files that it opened itself. If somebody meanwhile removes or
/// replaces `NAME.partial` or the folder, the restore fails, and leaves alone whatever has taken
/// their names. A link at `NAME.partial` is not followed, and a file there that belongs to another
/// user is refused.
///
/// Data is written past the page cache where the file system can do that, and up to 4 chunks are
/// written at a time, on threads of the target's own; see [`buffered`](FileTarget::buffered). A file
/// is finished only when all writes have ended and are synced.
///
/// Only its owner may read or write a new file.
///
/// Before anything is written, the target makes sure that [there is room](FileTarget::check_space).
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
    partial: Partial,
    output: Output,
    earlier: Option<Earlier>,
    /// The length that the file had, if it was made longer.
    grown_from: Option<u64>,
    checks_space: bool,
    is_finished: bool,
}

impl FileTarget {
    /// A target that becomes a new file.
    ///
    /// # Errors
    /// [`ErrorKind::Target`](crate::ErrorKind::Target) where a file of this name exists, its folder
    /// doesn't, or the `.partial` file can't be opened or is locked by another restore.
    pub fn create(path: impl AsRef<Path>) -> Result<FileTarget> {
        Ok(FileTarget::new(Partial::create(path.as_ref())?))
    }

    /// A target that replaces the file of this name, if there is one. The old file stays as it is
    /// until the new one is complete. The new file then gets the mode of the old one, and its owner
    /// where that is allowed.
    ///
    /// # Errors
    /// As [`create`](FileTarget::create), but an existing regular file is no error.
    pub fn replace(path: impl AsRef<Path>) -> Result<FileTarget> {
        Ok(FileTarget::new(Partial::replace(path.as_ref())?))
    }

    /// A target that changes the file of this name into what is restored. What is right in the file
    /// is kept, and only the rest is fetched and written. This needs no room for a second file, but
    /// the old contents can't be brought back.
    ///
    /// While the file is being changed it is called `NAME.partial`, so that it never looks
    /// complete. If it turns out that nothing could be changed, the file gets its name back. Other
    /// hard links to it see the changes. The file can become longer; a file that would become
    /// shorter is refused when the restore begins. If there is no file of this name, the target
    /// behaves as [`create`](FileTarget::create) does, and continues with a `NAME.partial` whoever
    /// owns it.
    ///
    /// # Errors
    /// As [`replace`](FileTarget::replace). It is also an error where both the file and its
    /// `.partial` exist, since a restore that was to replace the file was cut off: let that restore
    /// continue with [`replace`](FileTarget::replace), or remove the `.partial` file.
    pub fn reuse(path: impl AsRef<Path>) -> Result<FileTarget> {
        Ok(FileTarget::new(Partial::reuse(path.as_ref())?))
    }

    /// What the target does for zeros. [`Zeros::Auto`], the default, makes holes.
    #[must_use]
    pub fn zeros(mut self, zeros: Zeros) -> FileTarget {
        self.output.set_zeros(zeros);
        self
    }

    /// Whether the target must make sure, before it writes anything, that there is room for all
    /// bytes that are not zeros. By default it must. Switch the check off for a file system that
    /// compresses data, or that stores equal data only once.
    #[must_use]
    pub fn check_space(mut self, yes: bool) -> FileTarget {
        self.checks_space = yes;
        self
    }

    /// Whether everything goes through the page cache, which then keeps it. By default the target
    /// writes past the page cache where the file system can do that, so that other programs keep what
    /// they have there.
    #[must_use]
    pub fn buffered(mut self, yes: bool) -> FileTarget {
        self.output.set_buffered(yes);
        self
    }

    /// The path of the file that the bytes go to until it is complete.
    #[must_use]
    pub fn partial_path(&self) -> &Path {
        self.partial.partial_path()
    }

    /// Whether the `.partial` file is locked, so that no other restore can write to it. It is not
    /// locked where the file system has no locks: then the caller must see to it that no other
    /// restore to this name runs.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.partial.is_locked()
    }

    /// Gets ready for bytes in any order: [`seek`](FileTarget::seek) says which come next. They are
    /// kept in the page cache, since whoever fills a file also reads it. A damaged file of an earlier
    /// restore is left alone.
    ///
    /// # Errors
    /// As for [`Target::begin`].
    pub(crate) fn begin_in_any_order(&mut self, len: u64, zeros: u64) -> io::Result<()> {
        self.output.set_buffered(true);
        self.begin(len, zeros)?;
        self.earlier = None;
        Ok(())
    }

    /// The bytes of the file, which can be read while others are written.
    pub(crate) fn reader(&self) -> Arc<dyn ReadAt> {
        self.output.reader()
    }

    /// Whether the file may hold something of an earlier restore.
    pub(crate) fn is_begun(&self) -> bool {
        self.partial.is_found() && self.output.zeros() != Zeros::Discard
    }

    /// The next bytes are those from this offset on. Each byte is to be written once.
    pub(crate) fn seek(&mut self, offset: u64) {
        self.output.seek(offset);
    }

    fn new(partial: Partial) -> FileTarget {
        FileTarget {
            output: Output::file(Arc::clone(partial.file())),
            partial,
            earlier: None,
            grown_from: None,
            checks_space: true,
            is_finished: false,
        }
    }
}

impl FileTarget {
    /// Compares the next bytes, which are about to be written, with those of the damaged file;
    /// `None` stands for zeros.
    fn instead(&mut self, len: u64, new: Option<&[u8]>) {
        if let Some(earlier) = &mut self.earlier {
            earlier.differs(self.output.offset(), len, new);
        }
    }

    fn passed(&self) {
        if let Some(earlier) = &self.earlier {
            earlier.passed(self.output.offset());
        }
    }
}

impl Target for FileTarget {
    /// # Errors
    /// [`StorageFull`](io::ErrorKind::StorageFull) where there is too little room, and
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) where a file that is
    /// [reused](FileTarget::reuse) would become shorter. Nothing was changed then.
    fn begin(&mut self, len: u64, zeros: u64) -> io::Result<()> {
        let file = Arc::clone(self.partial.file());
        let held = file.metadata()?;
        let policy = self.output.zeros();
        if self.partial.is_whole() && held.len() > len {
            return Err(would_shorten(held.len(), len));
        }
        if self.checks_space {
            let zeros = if policy == Zeros::Write { 0 } else { zeros };
            let data = len.saturating_sub(zeros);
            space::check(&file, data.saturating_sub(held.blocks() * 512))?;
        }
        self.partial.begin()?;
        let mut stale = held.len().min(len);
        self.earlier = match policy {
            Zeros::Discard => None,
            _ if self.partial.is_whole() => None,
            _ => (self.partial.damaged())
                .filter(|damaged| damaged.metadata().is_ok_and(|found| found.len() == len))
                .map(|damaged| data_end(&file, stale).map(|end| Earlier::new(damaged.into(), end)))
                .transpose()?,
        };
        self.grown_from = (held.len() < len).then_some(held.len());
        if policy == Zeros::Discard {
            if held.len() > 0 {
                self.output.set_changed();
            }
            file.set_len(0)?;
            stale = 0;
        }
        file.set_len(len)?;
        self.output.begin(len, stale);
        if policy == Zeros::Write && len > 0 {
            match fallocate(&file, FallocateFlags::empty(), 0, len) {
                // The file system can't reserve room: the file gets it as it is written.
                Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
                Err(error) => return Err(self.output.fail(error.into())),
            }
        }
        Ok(())
    }

    fn existing(&self) -> Existing {
        let reader = self.output.reader();
        if let Some(earlier) = &self.earlier {
            return Existing::Similar(earlier.reader(reader));
        }
        match self.is_begun() {
            true => Existing::Similar(reader),
            false => Existing::Blank(reader),
        }
    }

    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        self.instead(data.len() as u64, Some(data));
        self.output.write(data)?;
        self.passed();
        Ok(())
    }

    fn write_behind(&mut self, data: ChunkData) -> io::Result<()> {
        self.instead(data.len() as u64, Some(&data));
        self.output.write_behind(data)?;
        self.passed();
        Ok(())
    }

    fn written(&mut self, given: u64) -> u64 {
        self.output.written(given)
    }

    fn write_zeros(&mut self, len: u64) -> io::Result<()> {
        self.instead(len, None);
        self.output.write_zeros(len)?;
        self.passed();
        Ok(())
    }

    fn keep(&mut self, len: u64) -> io::Result<()> {
        let Some(earlier) = &self.earlier else {
            return self.output.keep(len);
        };
        let held = earlier.held().saturating_sub(self.output.offset());
        self.output.keep(held.min(len))?;
        let rest = len.saturating_sub(held);
        if rest > 0 {
            self.output.take(earlier.file(), rest)?;
        }
        self.passed();
        Ok(())
    }

    fn copy(&mut self, from: u64, len: u64) -> io::Result<bool> {
        if !self.output.copy(from, len)? {
            return Ok(false);
        }
        // The damaged file's bytes were compared before, and they differ from the new ones.
        if let Some(earlier) = &mut self.earlier {
            earlier.differs(self.output.offset() - len, len, None);
        }
        self.passed();
        Ok(true)
    }

    fn finish(&mut self, damaged: bool) -> io::Result<()> {
        self.partial.settle()?;
        self.output.sync()?;
        let earlier = self
            .earlier
            .as_ref()
            .filter(|earlier| !earlier.is_missed())
            .map(Earlier::file);
        self.partial.finish(damaged, earlier)?;
        self.is_finished = true;
        Ok(())
    }
}

impl Drop for FileTarget {
    /// Removes a file that no byte was written to, as it helps nobody; a whole file that was to be
    /// changed becomes what it was.
    fn drop(&mut self) {
        // The lock ends with the target, so nothing may be written after it.
        self.output.end_writes();
        if self.is_finished || self.output.is_changed() {
            return;
        }
        let shrunk = self
            .grown_from
            .filter(|_| self.partial.is_whole())
            .map(|len| self.partial.file().set_len(len));
        if shrunk.is_none_or(|shrunk| shrunk.is_ok()) {
            self.partial.undo();
        }
    }
}

fn would_shorten(held: u64, len: u64) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!(
            "it has {held} bytes, and would be cut to {len}: shorten it before, or let another file replace it"
        ),
    )
}
