//! A regular file as a target: it gets its name only when it is complete. Knows nothing of what is written.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use crate::error::Result;
use crate::target::earlier::Earlier;
use crate::target::output::{Output, data_end};
use crate::target::partial::Partial;
use crate::target::space;
use crate::target::zeros::Zeros;
use crate::target::{Existing, Target};

/// Restores into a regular file.
///
/// The bytes go to `NAME.partial` in the same folder, which is locked so that no other restore writes to it. Only when
/// all are there and synced does it get its name, and the folder is synced too: whatever stops a restore, nothing
/// incomplete is ever seen under the final name. Zeros become holes, also those within chunks, by 4 KiB; see
/// [`zeros`](FileTarget::zeros).
///
/// Where a restore fails after bytes were written, `NAME.partial` stays, and the next restore to the same name goes
/// on with it: what is right in it is kept. Where there are zeros for chunks that could not be had, the file is
/// called `NAME.damaged` instead, and takes the place of an older one. The next restore to the same name copies from it,
/// if it has the right length, and removes it when it is whole and holds all that the damaged one does.
///
/// Names are those of the very files that are held: where somebody removes or replaces `NAME.partial`, or the folder,
/// meanwhile, the restore fails, and touches nothing that is not its own. A link at `NAME.partial` is not followed, and a
/// file there that belongs to another user is refused.
///
/// A new file is for its owner alone.
///
/// Before anything is written, it is made sure that [there is room](FileTarget::check_space).
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
    /// How long a file was that was made longer.
    grown_from: Option<u64>,
    checks_space: bool,
    is_finished: bool,
}

impl FileTarget {
    /// A target that becomes a new file.
    ///
    /// # Errors
    /// [`ErrorKind::Target`](crate::ErrorKind::Target) where a file of this name exists, its folder doesn't, or the
    /// `.partial` file can't be opened or is locked by another restore.
    pub fn create(path: impl AsRef<Path>) -> Result<FileTarget> {
        Ok(FileTarget::new(Partial::create(path.as_ref())?))
    }

    /// A target that takes the place of a file of this name, if there is one. That one stays as it is until the new
    /// one is complete, which gets its mode, and its owner where that is allowed.
    ///
    /// # Errors
    /// As [`create`](FileTarget::create), but for an existing regular file.
    pub fn replace(path: impl AsRef<Path>) -> Result<FileTarget> {
        Ok(FileTarget::new(Partial::replace(path.as_ref())?))
    }

    /// A target that changes the file of this name into what is restored: what is right in it is kept, and only the
    /// rest is fetched and written. Needs no room for a second file, but there is no way back to what it was.
    ///
    /// While it is changed it is called `NAME.partial`, so that it never looks complete; if it turns out that nothing
    /// could be changed, it gets its name back. Other hard links to it see the changes. It can become longer; one that
    /// would become shorter is refused when the restore begins. If there is no file of this name, it is as with
    /// [`create`](FileTarget::create): what was cut off goes on, whoever owns it.
    ///
    /// # Errors
    /// As [`replace`](FileTarget::replace); also where both the file and its `.partial` exist, as a restore that was to
    /// replace it was cut off: let that one go on by [`replace`](FileTarget::replace), or remove what it left.
    pub fn reuse(path: impl AsRef<Path>) -> Result<FileTarget> {
        Ok(FileTarget::new(Partial::reuse(path.as_ref())?))
    }

    /// What is done for zeros. [`Zeros::Auto`], the default, makes holes.
    #[must_use]
    pub fn zeros(mut self, zeros: Zeros) -> FileTarget {
        self.output.set_zeros(zeros);
        self
    }

    /// Whether it must be certain, before anything is written, that there is room for all that is not zeros; by
    /// default it must. Switch it off for a file system that compresses, or shares what is the same.
    #[must_use]
    pub fn check_space(mut self, yes: bool) -> FileTarget {
        self.checks_space = yes;
        self
    }

    /// Where the bytes are until the file is complete.
    #[must_use]
    pub fn partial_path(&self) -> &Path {
        self.partial.partial_path()
    }

    /// Whether it is locked, so that no other restore can write to it. It is not where the file system has no locks: then it
    /// is up to the caller that there is no other restore to this name.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.partial.is_locked()
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
    /// Says what comes next in place of what the damaged file holds there.
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
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) where a file that is [reused](FileTarget::reuse) would become shorter:
    /// nothing was changed then.
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
                // Then it gets its room as it is written.
                Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
                Err(error) => return Err(self.output.explain(error.into())),
            }
        }
        Ok(())
    }

    fn existing(&self) -> Existing {
        let reader = self.output.reader();
        if let Some(earlier) = &self.earlier {
            return Existing::Similar(earlier.reader(reader));
        }
        if self.partial.is_found() && self.output.zeros() != Zeros::Discard {
            Existing::Similar(reader)
        } else {
            Existing::Blank(reader)
        }
    }

    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        self.instead(data.len() as u64, Some(data));
        self.output.write(data)?;
        self.passed();
        Ok(())
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
        // It was compared before, and differs.
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
    /// A file that no byte was written to helps nobody; a whole one becomes what it was.
    fn drop(&mut self) {
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
