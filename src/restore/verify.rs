//! Verifies an archive, or chosen chunks of it, and writes nothing.

use std::io;
use std::sync::Arc;

use crate::datastore::snapshot::Archive;
use crate::digest::Digest;
use crate::error::Result;
use crate::report::{Event, Report};
use crate::restore::Restore;
use crate::restore::plan::Plan;
use crate::target::{Existing, ReadAt, Target};

impl Restore {
    /// Does everything except writing: fetches, decrypts and checks every chunk.
    ///
    /// # Errors
    /// As [`run`](Restore::run).
    ///
    /// # Panics
    /// As [`run_with`](Restore::run_with).
    pub fn verify(&self, archive: &Archive, observer: impl FnMut(Event<'_>)) -> Result<Report> {
        self.verify_chosen(archive, |_| true, observer)
    }

    /// Verifies only the chunks whose digests are chosen, such as those of a
    /// [`Sample`](crate::Sample), or those that no earlier run has verified. `choose` is called for
    /// each position whose chunk is not zeros, before anything is fetched. [`Report::skipped`] says
    /// how much was left out, and [`Event::Fetched`] names each chunk that was fetched and is right.
    ///
    /// ```no_run
    /// use chunk_restore::{Datastore, Restore, Sample};
    ///
    /// # fn main() -> chunk_restore::Result<()> {
    /// let datastore = Datastore::open("/mnt/datastore")?;
    /// let archive = datastore.snapshot("vm/100")?.archive("drive-scsi0.img")?;
    /// let sample: Sample = "3/30".parse()?;
    /// let chosen = |digest: &_| sample.contains(digest);
    /// let report = Restore::new().salvage(true).verify_chosen(&archive, chosen, |_| {})?;
    /// println!("{report}: {} chunks are damaged", report.damage.len());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`run`](Restore::run).
    ///
    /// # Panics
    /// As [`run_with`](Restore::run_with), and where `choose` panics.
    pub fn verify_chosen(
        &self,
        archive: &Archive,
        mut choose: impl FnMut(&Digest) -> bool,
        mut observer: impl FnMut(Event<'_>),
    ) -> Result<Report> {
        let range = self.range.clone();
        let plan = Plan::choosing(archive.index(), archive.key(), range, &mut choose);
        self.run_plan(archive, plan, &mut Nowhere, &mut observer)
    }
}

/// A target that takes all bytes and keeps none. It claims that it can copy, so that each chunk is
/// fetched only once.
struct Nowhere;

impl Target for Nowhere {
    fn existing(&self) -> Existing {
        Existing::Blank(Arc::new(Nowhere))
    }

    fn write(&mut self, _data: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn write_zeros(&mut self, _len: u64) -> io::Result<()> {
        Ok(())
    }

    fn copy(&mut self, _from: u64, _len: u64) -> io::Result<bool> {
        Ok(true)
    }

    fn finish(&mut self, _damaged: bool) -> io::Result<()> {
        Ok(())
    }
}

impl ReadAt for Nowhere {
    fn read_exact_at(&self, _buffer: &mut [u8], _offset: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
