//! What a packing has done, and what it left out.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::files::FileDamage;
use crate::files::pxar::Metadata;

/// The bits of [`Metadata::flags`] that FAT file systems have: hidden, system and archive.
const FAT_FLAGS: u64 = 0xe000;

/// What a packing has done so far, and in the end what it did.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PackReport {
    /// How many entries were written.
    pub entries: u64,
    /// How many bytes of files were written, before compression.
    pub bytes: u64,
    /// What the format can't hold.
    pub omissions: Vec<PackOmission>,
    /// Parts of files that are lost: the archive has zeros there. Only a
    /// [`salvage`](super::Pack::salvage) goes on after damage.
    pub damage: Vec<FileDamage>,
    /// Entries that are lost. Only a [`salvage`](super::Pack::salvage) goes on without them.
    pub losses: Vec<PackLoss>,
    /// Time since the start.
    pub elapsed: Duration,
}

/// Entries, or properties of entries, that the format can't hold.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PackOmission {
    /// What was left out.
    pub what: NotPacked,
    /// How many entries are concerned.
    pub count: u64,
    /// The path of the first of these entries.
    pub example: PathBuf,
}

/// What a format can't hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum NotPacked {
    /// A socket.
    Socket,
    /// A named pipe.
    Fifo,
    /// A device.
    Device,
    /// A symbolic link whose target is absolute or could lead outside the archive.
    OutsideSymlink,
    /// That several names are one file: each name has a file of its own in the archive.
    HardLink,
    /// An entry whose path is too long.
    LongPath,
    /// The owner and the owning group.
    Owner,
    /// The time, since it is before 1901 or after 2038.
    Time,
    /// Extended attributes.
    Xattrs,
    /// Capabilities.
    Capabilities,
    /// Access control lists.
    Acls,
    /// Flags of the file system, as `chattr` sets them.
    Flags,
    /// Flags of FAT file systems.
    FatFlags,
    /// The project that the quota counts a file for.
    ProjectId,
}

impl NotPacked {
    /// What was left out, in words: `sockets`, for example.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            NotPacked::Socket => "sockets",
            NotPacked::Fifo => "named pipes",
            NotPacked::Device => "devices",
            NotPacked::OutsideSymlink => "symbolic links that may lead outside",
            NotPacked::HardLink => "hard links (each became a file of its own)",
            NotPacked::LongPath => "entries with too long paths",
            NotPacked::Owner => "owners",
            NotPacked::Time => "times before 1901 or after 2038",
            NotPacked::Xattrs => "extended attributes",
            NotPacked::Capabilities => "capabilities",
            NotPacked::Acls => "access control lists",
            NotPacked::Flags => "file system flags",
            NotPacked::FatFlags => "FAT flags",
            NotPacked::ProjectId => "quota projects",
        }
    }
}

/// Entries that are lost, since the chunk that describes them is lost.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PackLoss {
    /// The directory of which entries are lost, or the hard link of which the file is lost.
    pub path: PathBuf,
    /// Why the chunk could not be fetched.
    pub error: Error,
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

    pub(super) fn leave_out(&mut self, what: NotPacked, path: &Path) {
        let mut omissions = self.report.omissions.iter_mut();
        match omissions.find(|omission| omission.what == what) {
            Some(omission) => omission.count += 1,
            None => self.report.omissions.push(PackOmission {
                what,
                count: 1,
                example: path.to_owned(),
            }),
        }
    }

    /// Notes flags and projects, which no format holds.
    pub(super) fn leave_out_flags(&mut self, path: &Path, metadata: &Metadata) {
        if metadata.flags & !FAT_FLAGS != 0 {
            self.leave_out(NotPacked::Flags, path);
        }
        if metadata.flags & FAT_FLAGS != 0 {
            self.leave_out(NotPacked::FatFlags, path);
        }
        if metadata.quota_project_id.is_some() {
            self.leave_out(NotPacked::ProjectId, path);
        }
    }

    pub(super) fn damage(&mut self) -> &mut Vec<FileDamage> {
        &mut self.report.damage
    }

    /// Notes entries that are lost.
    pub(super) fn add_losses(&mut self, lost: Vec<(PathBuf, Error)>) {
        let losses = lost.into_iter();
        let losses = losses.map(|(path, error)| PackLoss { path, error });
        self.report.losses.extend(losses);
    }

    pub(super) fn finish(mut self) -> PackReport {
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
