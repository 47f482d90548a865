//! A regular file as a target: it gets its name only when it is complete. Knows nothing of what is written.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use crate::error::Result;
use crate::target::output::Output;
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
/// called `NAME.damaged` instead, and takes the place of an older one; the next restore to the same name begins with
/// it.
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
    /// one is complete.
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
    /// could be changed, it gets its name back. Other hard links to it see the changes. If there is no file of this
    /// name, it is as with [`create`](FileTarget::create): what was cut off goes on.
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

    fn new(partial: Partial) -> FileTarget {
        FileTarget {
            output: Output::file(Arc::clone(partial.file())),
            partial,
            checks_space: true,
            is_finished: false,
        }
    }
}

impl Target for FileTarget {
    /// # Errors
    /// [`StorageFull`](io::ErrorKind::StorageFull) where there is too little room: nothing was changed then.
    fn begin(&mut self, len: u64, zeros: u64) -> io::Result<()> {
        let file = Arc::clone(self.partial.file());
        let held = file.metadata()?;
        let policy = self.output.zeros();
        if self.checks_space {
            let zeros = if policy == Zeros::Write { 0 } else { zeros };
            let data = len.saturating_sub(zeros);
            space::check(&file, data.saturating_sub(held.blocks() * 512))?;
        }
        self.partial.begin()?;
        let mut stale = held.len().min(len);
        if held.len() != len && self.partial.is_found() {
            self.output.set_changed();
        }
        if policy == Zeros::Discard {
            self.output.set_changed();
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
        if self.partial.is_found() && self.output.zeros() != Zeros::Discard {
            Existing::Similar(reader)
        } else {
            Existing::Nothing(reader)
        }
    }

    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        self.output.write(data)
    }

    fn write_zeros(&mut self, len: u64) -> io::Result<()> {
        self.output.write_zeros(len)
    }

    fn keep(&mut self, len: u64) -> io::Result<()> {
        self.output.keep(len)
    }

    fn copy(&mut self, from: u64, len: u64) -> io::Result<bool> {
        self.output.copy(from, len)
    }

    fn finish(&mut self, damaged: bool) -> io::Result<()> {
        self.output.sync()?;
        self.partial.finish(damaged)?;
        self.is_finished = true;
        Ok(())
    }
}

impl Drop for FileTarget {
    /// A file that no byte was written to helps nobody.
    fn drop(&mut self) {
        if !self.is_finished && !self.output.is_changed() {
            self.partial.undo();
        }
    }
}
