//! File archives: the files of a container or a host, one by one.
//!
//! [`Files`] opens an archive of a snapshot: it lists the entries, looks up a path, and reads single
//! files. Only the chunks that are needed are fetched. [`pxar`] and [`catalog`] decode the formats
//! and do no I/O.

mod again;
pub mod catalog;
mod content;
mod extract;
mod list;
mod name;
mod omission;
mod open;
mod pack;
mod pattern;
mod pieces;
pub mod pxar;
mod selected;
mod selection;
mod source;
mod table;
mod taken;
mod tree;
mod walk;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::datastore::snapshot::Snapshot;
use crate::error::Result;
use crate::files::pxar::{Entry, HardLink};
use crate::files::tree::Tree;
use crate::restore::Restore;

pub use content::FileReader;
pub use extract::{Extract, ExtractReport};
pub use list::List;
pub use name::ArchivePart;
pub use omission::{EntryFailure, FileDamage, LeftOut, Omission};
pub use pack::{Pack, PackReport};
pub use pattern::Pattern;
pub use selection::Selection;
pub use walk::Walk;

/// A file archive of a snapshot, open for lookups and reads. Cheap to clone, and usable from several
/// threads at once.
///
/// Paths begin at the archive's root, with or without a slash. They are bytes: a name need not be
/// UTF-8. No link is followed.
///
/// ```no_run
/// use chunk_restore::files::Files;
/// use chunk_restore::{Datastore, Restore};
///
/// let datastore = Datastore::open("/mnt/datastore")?;
/// let snapshot = datastore.snapshot("ct/101")?;
/// let files = Files::open(&Restore::new(), &snapshot, "root.pxar")?;
/// let mut hosts = String::new();
/// std::io::Read::read_to_string(&mut files.read("etc/hosts")?, &mut hosts)?;
/// print!("{hosts}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Files(Arc<Tree>);

/// An entry of a file archive, with its path.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileEntry {
    /// The path from the archive's root; empty for the root itself.
    pub path: PathBuf,
    /// The entry itself.
    pub node: Node,
}

/// What a path of a file archive leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Node {
    /// An entry with metadata of its own.
    Entry(Entry),
    /// Another name of a regular file: [`Files::resolve`] finds the file.
    HardLink(HardLink),
}

impl Node {
    /// The offset of the entry in the archive, in bytes.
    #[must_use]
    pub fn offset(&self) -> u64 {
        match self {
            Node::Entry(entry) => entry.offset,
            Node::HardLink(link) => link.offset,
        }
    }

    pub(crate) fn name(&self) -> &[u8] {
        match self {
            Node::Entry(entry) => &entry.name,
            Node::HardLink(link) => &link.name,
        }
    }
}

impl Files {
    /// Opens a file archive of a snapshot: `root.pxar`, for example. If the snapshot has a split
    /// archive instead, the same name opens `root.mpxar` and `root.ppxar` together; so does the
    /// name of either.
    ///
    /// `restore` says how chunks are fetched: its threads, memory, attempts and so on.
    ///
    /// # Errors
    /// As [`Snapshot::archive`]; [`Invalid`](crate::ErrorKind::Invalid) if `archive` is not the
    /// name of a file archive; [`Corrupt`](crate::ErrorKind::Corrupt) if the archive, or either half
    /// of it, does not begin as a file archive does; otherwise why its first chunks could not be
    /// fetched. If the first chunk of `root.ppxar` is lost, the archive can be opened all the same.
    pub fn open(restore: &Restore, snapshot: &Snapshot, archive: &str) -> Result<Files> {
        let tree = open::open(restore, snapshot, archive)?;
        Ok(Files(Arc::new(tree)))
    }

    /// The root directory's own entry.
    #[must_use]
    pub fn root(&self) -> &Entry {
        self.0.root()
    }

    /// The archive's prelude, which says what the backup left out. In archives of version 2 it is
    /// JSON with a member `exclude-patterns`. Archives of version 1 have none.
    #[must_use]
    pub fn prelude(&self) -> Option<&[u8]> {
        self.0.prelude()
    }

    /// All entries, in the order of the archive: the root first, each directory before its entries.
    ///
    /// This reads all metadata of the archive. An archive that is not split has its files between
    /// the metadata. Chunks that hold nothing but parts of files are not needed, also if they are
    /// lost. They are not fetched, save those that come next while the walk reads chunk after chunk:
    /// such chunks are fetched ahead.
    #[must_use]
    pub fn entries(&self) -> Walk {
        Walk::new(Arc::clone(&self.0))
    }

    /// An entry with all that is in it, if it is a directory, in the order of the archive.
    ///
    /// # Errors
    /// As [`entry`](Files::entry).
    pub fn walk(&self, path: impl AsRef<Path>) -> Result<Walk> {
        let (entry, _) = self.0.lookup(path.as_ref())?;
        Ok(Walk::of(Arc::clone(&self.0), &entry))
    }

    /// The entries of one directory, in the order of the archive. An entry that is damaged gives an
    /// error, and the others follow.
    ///
    /// # Errors
    /// As [`entry`](Files::entry), and [`Invalid`](crate::ErrorKind::Invalid) if the path leads to
    /// something else than a directory.
    pub fn list(&self, path: impl AsRef<Path>) -> Result<List> {
        List::new(Arc::clone(&self.0), path.as_ref())
    }

    /// Looks up a path. This reads the tables of the directories on the way, and not their entries.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if the archive has no such path;
    /// [`Invalid`](crate::ErrorKind::Invalid) for a path with `..`;
    /// [`Corrupt`](crate::ErrorKind::Corrupt) if the archive is damaged; otherwise why a chunk
    /// could not be fetched.
    pub fn entry(&self, path: impl AsRef<Path>) -> Result<FileEntry> {
        self.0.lookup(path.as_ref()).map(|(entry, _)| entry)
    }

    /// The entry that a hard link is another name of; a copy of `entry` if it is no hard link.
    ///
    /// # Errors
    /// [`Corrupt`](crate::ErrorKind::Corrupt) if the link does not lead to a regular file;
    /// otherwise why a chunk could not be fetched.
    pub fn resolve(&self, entry: &FileEntry) -> Result<Entry> {
        self.0.resolve(entry)
    }

    /// The bytes of a regular file. Hard links are resolved, symbolic links are not.
    ///
    /// # Errors
    /// As [`entry`](Files::entry), and [`Invalid`](crate::ErrorKind::Invalid) if the path does not
    /// lead to a regular file.
    pub fn read(&self, path: impl AsRef<Path>) -> Result<FileReader> {
        let entry = self.entry(path)?;
        self.0.content(&entry)
    }

    /// The bytes of a regular file that was found before.
    ///
    /// # Errors
    /// As [`resolve`](Files::resolve), and [`Invalid`](crate::ErrorKind::Invalid) if the entry is
    /// no regular file.
    pub fn read_entry(&self, entry: &FileEntry) -> Result<FileReader> {
        self.0.content(entry)
    }

    /// All entries that match a pattern, in the order of the archive. This reads as much as
    /// [`entries`](Files::entries).
    pub fn find(&self, pattern: &Pattern) -> impl Iterator<Item = Result<FileEntry>> {
        self.entries().filter(|entry| {
            let Ok(entry) = entry else {
                return true;
            };
            let is_directory = matches!(&entry.node, Node::Entry(entry) if entry.is_directory());
            pattern.matches(&entry.path, is_directory)
        })
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files")
            .field("archive", &self.0.name())
            .finish_non_exhaustive()
    }
}
