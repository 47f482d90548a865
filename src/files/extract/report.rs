//! What an extraction has done, what it left out, and what failed.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, ErrorKind};
use crate::files::pattern::Pattern;

/// How many failures are listed. The others are only counted.
const FAILURES_LISTED_MAX: usize = 1000;

/// What an extraction has done so far, and in the end what it did.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ExtractReport {
    /// How many directories were made or found, with the target folder itself.
    pub directories: u64,
    /// How many regular files were written.
    pub files: u64,
    /// How many bytes the files have that were written.
    pub bytes: u64,
    /// How many regular files were there already, whole, and were kept.
    pub kept: u64,
    /// How many bytes the files have that were kept.
    pub kept_bytes: u64,
    /// How many hard links were made or found.
    pub hard_links: u64,
    /// How many symbolic links were made or found.
    pub symlinks: u64,
    /// How many devices, named pipes and sockets were made or found.
    pub specials: u64,
    /// Patterns of the selection that say what is taken and match no entry of the archive. They are
    /// listed at the end of the extraction.
    pub unmatched: Vec<Pattern>,
    /// What could not be restored because of the file system, the user's rights or an option.
    pub omissions: Vec<Omission>,
    /// Entries that could not be restored: the first thousand of them.
    pub failures: Vec<ExtractFailure>,
    /// How many entries could not be restored.
    pub failed: u64,
    /// Parts of files that are lost: the files have zeros there.
    pub damage: Vec<FileDamage>,
    /// Time since the start.
    pub elapsed: Duration,
}

/// A property of entries that was not restored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Omission {
    /// Which property.
    pub property: LeftOut,
    /// How many entries lack it.
    pub count: u64,
    /// The path of the first of these entries.
    pub example: PathBuf,
}

/// The properties of entries that an extraction may leave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LeftOut {
    /// The owner and the owning group.
    Owner,
    /// The bits setuid and setgid of the mode, since the owner is not the right one or special
    /// entries are not wanted.
    SetId,
    /// The permissions.
    Permissions,
    /// Extended attributes.
    Xattrs,
    /// Access control lists.
    Acls,
    /// Capabilities.
    Capabilities,
    /// Flags of the file system, as `chattr` sets them.
    Flags,
    /// Flags of FAT file systems.
    FatFlags,
    /// The project that the quota counts a file for.
    ProjectId,
    /// A whole device.
    Device,
}

impl LeftOut {
    /// The property in words: `owner`, for example.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            LeftOut::Owner => "owner",
            LeftOut::SetId => "setuid or setgid",
            LeftOut::Permissions => "permissions",
            LeftOut::Xattrs => "extended attributes",
            LeftOut::Acls => "access control lists",
            LeftOut::Capabilities => "capabilities",
            LeftOut::Flags => "file system flags",
            LeftOut::FatFlags => "FAT flags",
            LeftOut::ProjectId => "quota project",
            LeftOut::Device => "devices",
        }
    }
}

/// An entry that could not be restored. A regular file that only lacks properties is there, for its
/// owner alone and without its time.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ExtractFailure {
    /// The entry's path in the archive. If it is a directory, nothing in it was restored either.
    pub path: PathBuf,
    /// Why it could not be restored.
    pub error: Error,
}

/// A part of a file that is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileDamage {
    /// The file's path in the archive.
    pub path: PathBuf,
    /// The lost bytes of the file.
    pub range: Range<u64>,
    /// [`Missing`](ErrorKind::Missing), [`Corrupt`](ErrorKind::Corrupt) or
    /// [`Unreadable`](ErrorKind::Unreadable), as for the chunk that the bytes lie in.
    pub kind: ErrorKind,
}

impl ExtractReport {
    /// Whether all entries were restored, with all of their bytes. Omissions don't count.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.failed == 0 && self.damage.is_empty()
    }

    pub(super) fn leave_out(&mut self, property: LeftOut, path: &Path) {
        let mut omissions = self.omissions.iter_mut();
        match omissions.find(|omission| omission.property == property) {
            Some(omission) => omission.count += 1,
            None => self.omissions.push(Omission {
                property,
                count: 1,
                example: path.to_owned(),
            }),
        }
    }

    pub(super) fn fail(&mut self, path: &Path, error: Error) {
        self.failed += 1;
        if self.failures.len() < FAILURES_LISTED_MAX {
            self.failures.push(ExtractFailure {
                path: path.to_owned(),
                error,
            });
        }
    }
}
