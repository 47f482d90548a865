//! Why an archive is refused, and where.

use std::error::Error;
use std::fmt::{self, Display};

use crate::files::pxar::item::ItemKind;

/// Why an archive is refused: the problem, and the offset and path where the decoder found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PxarError {
    problem: Problem,
    offset: u64,
    path: Vec<u8>,
}

impl PxarError {
    pub(crate) fn new(problem: Problem, offset: u64, path: &[u8]) -> PxarError {
        PxarError {
            problem,
            offset,
            path: path.to_vec(),
        }
    }

    /// The same error, where the decoder began in the directory of this path.
    pub(crate) fn below(mut self, directory: &[u8]) -> PxarError {
        self.path = match (directory, self.path.as_slice()) {
            (b"", _) => self.path,
            (_, b"") => directory.to_vec(),
            (_, path) => [directory, b"/", path].concat(),
        };
        self
    }

    /// The same error, told of the entry with this path.
    pub(crate) fn of_entry(mut self, path: &[u8]) -> PxarError {
        self.path = path.to_vec();
        self
    }

    /// What is wrong.
    #[must_use]
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// The offset of the item that is wrong, in bytes from the start of the archive.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The path of the entry that is wrong, from the archive's root and without a leading slash;
    /// empty for the root itself.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        &self.path
    }
}

impl Display for PxarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at offset {}", self.offset)?;
        if !self.path.is_empty() {
            write!(f, ", in {}", Shown(&self.path))?;
        }
        write!(f, ": {}", self.problem)
    }
}

impl Error for PxarError {}

/// What can be wrong with an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// The archive ends before the end of its root directory.
    CutShort,
    /// Bytes follow the end of the root directory.
    TrailingBytes,
    /// No item has this number.
    UnknownItem {
        /// The number that stands where the kind of an item should be.
        number: u64,
    },
    /// An item has a size that its kind can't have.
    ItemSize {
        /// The kind of the item.
        kind: ItemKind,
        /// The size that the item states, with its header, in bytes.
        size: u64,
    },
    /// An item states a size that goes beyond the end of the archive.
    BeyondEnd {
        /// The kind of the item.
        kind: ItemKind,
        /// The length of the archive, in bytes.
        len: u64,
    },
    /// An item is where no item of this kind may be.
    Misplaced {
        /// The kind of the item.
        kind: ItemKind,
    },
    /// The archive has a version that this library can't read.
    Version {
        /// The version that the archive states.
        version: u64,
    },
    /// Directories lie deeper than the limit.
    TooDeep {
        /// The limit, in directories.
        limit: usize,
    },
    /// The path of an entry is longer than the limit.
    PathTooLong {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The directories that the decoder is in have more entries than the limit.
    TooManyEntries {
        /// The limit, in entries.
        limit: usize,
    },
    /// The archive has more regular files than the limit.
    TooManyFiles {
        /// The limit, in files.
        limit: usize,
    },
    /// The prelude is longer than the limit.
    PreludeTooLong {
        /// The limit, in bytes.
        limit: u64,
    },
    /// The attributes of one entry are more or longer than the limit.
    TooManyAttributes {
        /// The kind of the item that went beyond the limit.
        kind: ItemKind,
    },
    /// The name of an entry is no file name.
    Name,
    /// A directory has two entries of the same name.
    DuplicateName,
    /// The mode is none that a file can have.
    Mode {
        /// The mode that the entry states.
        mode: u64,
    },
    /// The mode says one type of file, and the item is for another.
    TypeMismatch {
        /// The mode of the entry.
        mode: u32,
        /// The kind of the item that follows.
        kind: ItemKind,
    },
    /// The root is not a directory.
    RootNotDirectory {
        /// The mode of the root.
        mode: u32,
    },
    /// The time has a billion nanoseconds or more.
    Nanoseconds {
        /// The nanoseconds that the entry states.
        nanos: u32,
    },
    /// The name or value of an extended attribute is none that a file can have.
    Xattr,
    /// Two extended attributes of an entry have the same name.
    DuplicateXattr,
    /// An item has a number that is too large for its purpose: an id, a permission, a device.
    Number {
        /// The kind of the item.
        kind: ItemKind,
        /// The number.
        number: u64,
    },
    /// The target of a symbolic link is empty, has no zero byte at its end, or has one before.
    SymlinkTarget,
    /// The path of a hard link has no zero byte at its end, or has one before.
    LinkPath,
    /// A hard link does not lead to an earlier regular file of the archive.
    LinkTarget {
        /// How far before the link its target should be, in bytes.
        distance: u64,
    },
    /// A file's payload should lie in a payload archive, and the archive has none.
    NoPayloadArchive,
    /// A file's payload should lie outside the payload archive.
    PayloadOutside {
        /// The offset of the payload's header in the payload archive.
        offset: u64,
        /// The length of the payload, in bytes.
        len: u64,
    },
    /// A file's payload should lie before the end of the payload of an earlier file.
    /// [`Decoder::payloads_in_any_order`](crate::files::pxar::Decoder::payloads_in_any_order) allows
    /// this.
    PayloadFallsBack {
        /// The offset of the payload's header in the payload archive.
        offset: u64,
    },
    /// The files have more bytes together than the payload archive, so that several of them share
    /// bytes.
    PayloadShared,
    /// The payload archive does not begin as payload archives do.
    PayloadStart,
    /// The payload archive has something else where the payload of a file should be.
    PayloadHeader,
    /// The table of a directory does not fit its entries.
    Table,
}

impl Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Problem::CutShort => "the archive is cut short",
            Problem::TrailingBytes => "bytes follow the end of the root directory",
            Problem::Name => "the name of an entry is no file name",
            Problem::DuplicateName => "the directory has two entries of this name",
            Problem::Xattr => "no file can have this extended attribute",
            Problem::DuplicateXattr => "the entry has two extended attributes of the same name",
            Problem::SymlinkTarget => "the target of the symbolic link is no path",
            Problem::LinkPath => "the path of the hard link is no path",
            Problem::NoPayloadArchive => "the payload lies in another archive, and there is none",
            Problem::PayloadShared => "the files are longer together than the payload archive",
            Problem::PayloadStart => "a payload archive does not begin like this",
            Problem::PayloadHeader => "the payload archive has no such payload at this offset",
            Problem::Table => "the table of the directory does not fit its entries",
            Problem::UnknownItem { .. }
            | Problem::ItemSize { .. }
            | Problem::BeyondEnd { .. }
            | Problem::Misplaced { .. }
            | Problem::Version { .. } => return self.fmt_item(f),
            Problem::TooDeep { .. }
            | Problem::PathTooLong { .. }
            | Problem::TooManyEntries { .. }
            | Problem::TooManyFiles { .. }
            | Problem::PreludeTooLong { .. }
            | Problem::TooManyAttributes { .. } => return self.fmt_limit(f),
            Problem::Mode { .. }
            | Problem::TypeMismatch { .. }
            | Problem::RootNotDirectory { .. }
            | Problem::Nanoseconds { .. }
            | Problem::Number { .. }
            | Problem::LinkTarget { .. }
            | Problem::PayloadOutside { .. }
            | Problem::PayloadFallsBack { .. } => return self.fmt_entry(f),
        })
    }
}

impl Problem {
    /// The text of a problem with an item as such.
    fn fmt_item(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::UnknownItem { number } => {
                write!(f, "there is no item with the number {number:016x}")
            }
            Problem::ItemSize { kind, size } => {
                write!(f, "an item {kind} can't have a size of {size} bytes")
            }
            Problem::BeyondEnd { kind, len } => write!(
                f,
                "the item {kind} goes beyond the end of the archive, which has {len} bytes"
            ),
            Problem::Misplaced { kind } => write!(f, "the item {kind} is out of place"),
            Problem::Version { version } => write!(
                f,
                "the archive has version {version} of the format; versions 1 and 2 can be read"
            ),
            _ => Ok(()),
        }
    }

    /// The text of a limit that the archive goes beyond.
    fn fmt_limit(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::TooDeep { limit } => {
                write!(f, "directories lie deeper than the limit of {limit}")
            }
            Problem::PathTooLong { limit } => {
                write!(f, "a path in this directory is longer than {limit} bytes")
            }
            Problem::TooManyEntries { limit } => write!(
                f,
                "the directory and those around it have more than {limit} entries"
            ),
            Problem::TooManyFiles { limit } => {
                write!(f, "the archive has more than {limit} files")
            }
            Problem::PreludeTooLong { limit } => {
                write!(f, "the prelude is longer than {limit} bytes")
            }
            Problem::TooManyAttributes { kind } => {
                write!(f, "the entry has too many or too long items {kind}")
            }
            _ => Ok(()),
        }
    }

    /// The text of a problem with the number that an entry states.
    fn fmt_entry(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Mode { mode } => write!(f, "no file can have the mode {mode:o}"),
            Problem::TypeMismatch { mode, kind } => {
                write!(f, "the mode {mode:o} does not fit the item {kind}")
            }
            Problem::RootNotDirectory { mode } => {
                write!(f, "the root is not a directory: its mode is {mode:o}")
            }
            Problem::Nanoseconds { nanos } => {
                write!(f, "the time has {nanos} nanoseconds, a second or more")
            }
            Problem::Number { kind, number } => {
                write!(f, "the number {number} in the item {kind} is too large")
            }
            Problem::LinkTarget { distance } => write!(
                f,
                "the hard link leads {distance} bytes back, where no regular file begins"
            ),
            Problem::PayloadOutside { offset, len } => write!(
                f,
                "the payload of {len} bytes at offset {offset} lies outside the payload archive"
            ),
            Problem::PayloadFallsBack { offset } => write!(
                f,
                "the payload at offset {offset} lies before the end of an earlier one"
            ),
            _ => Ok(()),
        }
    }
}

impl Error for Problem {}

/// A path for people: control characters can do no harm in a terminal.
pub(crate) struct Shown<'a>(pub(crate) &'a [u8]);

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                if character.is_control() || character == '\\' {
                    write!(f, "{}", character.escape_default())?;
                } else {
                    write!(f, "{character}")?;
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_an_error_begins_with_the_directory_and_ends_with_no_slash() {
        let below = |directory: &[u8], path: &[u8]| {
            let error = PxarError::new(Problem::Table, 0, path).below(directory);
            error.path().to_vec()
        };
        assert_eq!(below(b"etc", b"hosts"), b"etc/hosts");
        assert_eq!(below(b"etc", b""), b"etc");
        assert_eq!(below(b"", b"etc"), b"etc");
        assert_eq!(below(b"", b""), b"");
    }

    #[test]
    fn each_problem_with_a_number_is_told_with_it() {
        let kind = ItemKind::Xattr;
        let (number, size, len, offset, limit) = (7, 7, 7, 7, 7);
        for problem in [
            Problem::UnknownItem { number },
            Problem::ItemSize { kind, size },
            Problem::BeyondEnd { kind, len },
            Problem::Version { version: 7 },
            Problem::TooDeep { limit: 7 },
            Problem::PathTooLong { limit: 7 },
            Problem::TooManyEntries { limit: 7 },
            Problem::TooManyFiles { limit: 7 },
            Problem::PreludeTooLong { limit },
            Problem::Mode { mode: 7 },
            Problem::TypeMismatch { mode: 7, kind },
            Problem::RootNotDirectory { mode: 7 },
            Problem::Nanoseconds { nanos: 7 },
            Problem::Number { kind, number },
            Problem::LinkTarget { distance: 7 },
            Problem::PayloadOutside { offset, len },
            Problem::PayloadFallsBack { offset },
        ] {
            assert!(problem.to_string().contains('7'), "{problem:?}");
        }
        for problem in [
            Problem::Misplaced { kind },
            Problem::TooManyAttributes { kind },
        ] {
            assert!(problem.to_string().contains("XATTR"), "{problem:?}");
        }
    }
}
