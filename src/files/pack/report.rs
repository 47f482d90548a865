//! What a packing has done, and what it left out.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::files::omission::{
    self, EntryFailure, FAILURES_LISTED_MAX, FileDamage, LeftOut, Omission,
};
use crate::files::pattern::Pattern;
use crate::files::pxar::{FAT_FLAGS, Metadata};

/// What a packing has done so far, and in the end what it did.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PackReport {
    /// How many entries were written.
    pub entries: u64,
    /// How many bytes of files were written, before compression.
    pub bytes: u64,
    /// What the format can't hold.
    pub omissions: Vec<Omission>,
    /// Parts of files that are lost: the archive has zeros there. Only a
    /// [`salvage`](super::Pack::salvage) goes on after damage.
    pub damage: Vec<FileDamage>,
    /// Directories of which entries are lost, and hard links to lost files: the first thousand of
    /// them. Only a [`salvage`](super::Pack::salvage) goes on without them.
    pub losses: Vec<EntryFailure>,
    /// How many such directories and hard links there are.
    pub lost: u64,
    /// The patterns of the selection that match nothing; known in the end.
    pub unmatched: Vec<Pattern>,
    /// Time since the start.
    pub elapsed: Duration,
}

/// The report while it is made, and who watches it.
pub(super) struct Progress<'a> {
    report: PackReport,
    begun: Instant,
    observer: &'a mut dyn FnMut(&PackReport),
}

impl Progress<'_> {
    pub(super) fn new(observer: &mut dyn FnMut(&PackReport)) -> Progress<'_> {
        Progress {
            report: PackReport::default(),
            begun: Instant::now(),
            observer,
        }
    }

    /// Counts an entry that was written.
    pub(super) fn add_entry(&mut self) {
        self.report.entries += 1;
        self.observe();
    }

    /// Counts bytes of a file that were written.
    pub(super) fn add_bytes(&mut self, count: usize) {
        self.report.bytes += count as u64;
        self.observe();
    }

    pub(super) fn leave_out(&mut self, what: LeftOut, path: &Path) {
        omission::count(&mut self.report.omissions, what, path);
    }

    /// Notes flags and projects, which no format holds.
    pub(super) fn leave_out_flags(&mut self, path: &Path, metadata: &Metadata) {
        if metadata.flags & !FAT_FLAGS != 0 {
            self.leave_out(LeftOut::Flags, path);
        }
        if metadata.flags & FAT_FLAGS != 0 {
            self.leave_out(LeftOut::FatFlags, path);
        }
        if metadata.quota_project_id.is_some() {
            self.leave_out(LeftOut::ProjectId, path);
        }
    }

    pub(super) fn damage(&mut self) -> &mut Vec<FileDamage> {
        &mut self.report.damage
    }

    /// Notes entries that are lost.
    pub(super) fn add_losses(&mut self, lost: Vec<(PathBuf, Error)>) {
        for (path, error) in lost {
            self.report.lost += 1;
            if self.report.losses.len() < FAILURES_LISTED_MAX {
                self.report.losses.push(EntryFailure::new(&path, error));
            }
        }
    }

    pub(super) fn finish(mut self, unmatched: Vec<Pattern>) -> PackReport {
        self.report.unmatched = unmatched;
        self.report.omissions.sort_by_key(|omission| omission.what);
        self.report.elapsed = self.begun.elapsed();
        self.report
    }

    fn observe(&mut self) {
        self.report.elapsed = self.begun.elapsed();
        (self.observer)(&self.report);
    }
}

impl fmt::Debug for Progress<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Progress")
            .field("report", &self.report)
            .finish_non_exhaustive()
    }
}
