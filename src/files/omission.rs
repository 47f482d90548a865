//! What an extraction or a packing left out, what failed, and what is lost.

use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind};

/// How many failures are listed. The others are only counted.
pub(crate) const FAILURES_LISTED_MAX: usize = 1000;

/// Entries, or properties of entries, that were left out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Omission {
    /// What was left out.
    pub what: LeftOut,
    /// How many entries are concerned.
    pub count: u64,
    /// The path of the first of these entries.
    pub example: PathBuf,
}

/// What an extraction may leave out because of the file system, the user's rights or an option, and
/// a tar or zip archive because of its format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LeftOut {
    /// A socket.
    Socket,
    /// A named pipe.
    Fifo,
    /// A device.
    Device,
    /// A symbolic link, since the file system has none.
    Symlink,
    /// A symbolic link whose target is absolute or could lead outside the archive.
    OutsideSymlink,
    /// That several names are one file: each name has a file of its own.
    HardLink,
    /// An entry whose path is too long.
    LongPath,
    /// The owner and the owning group.
    Owner,
    /// The bits setuid and setgid of the mode, since the owner is not the right one or special
    /// entries are not wanted.
    SetId,
    /// The permissions.
    Permissions,
    /// The time, since the format or the file system can't hold times so early or so late, or since
    /// the user may not set it.
    Time,
    /// The exact time, since the file system holds times in larger units: in seconds, for example.
    ExactTime,
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

impl LeftOut {
    /// What was left out, in words: `owners`, for example.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            LeftOut::Socket => "sockets",
            LeftOut::Fifo => "named pipes",
            LeftOut::Device => "devices",
            LeftOut::Symlink => "symbolic links",
            LeftOut::OutsideSymlink => "symbolic links that may lead outside",
            LeftOut::HardLink => "hard links (each became a file of its own)",
            LeftOut::LongPath => "entries with too long paths",
            LeftOut::Owner => "owners",
            LeftOut::SetId => "setuid or setgid",
            LeftOut::Permissions => "permissions",
            LeftOut::Time => "times",
            LeftOut::ExactTime => "exact times",
            LeftOut::Xattrs => "extended attributes",
            LeftOut::Capabilities => "capabilities",
            LeftOut::Acls => "access control lists",
            LeftOut::Flags => "file system flags",
            LeftOut::FatFlags => "FAT flags",
            LeftOut::ProjectId => "quota projects",
        }
    }
}

/// Counts an entry that is, or lacks, what is left out.
pub(crate) fn count(omissions: &mut Vec<Omission>, what: LeftOut, path: &Path) {
    match omissions.iter_mut().find(|omission| omission.what == what) {
        Some(omission) => omission.count += 1,
        None => omissions.push(Omission {
            what,
            count: 1,
            example: path.to_owned(),
        }),
    }
}

/// An entry that could not be restored, or is lost.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EntryFailure {
    /// The entry's path in the archive. Nothing in a directory that could not be made was restored
    /// either. A directory is named too if entries of it are lost. A regular file that only lacks
    /// properties is there, for its owner alone and without its time.
    pub path: PathBuf,
    /// Why it could not be restored.
    pub error: Error,
}

impl EntryFailure {
    pub(crate) fn new(path: &Path, error: Error) -> EntryFailure {
        EntryFailure {
            path: path.to_owned(),
            error,
        }
    }
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
