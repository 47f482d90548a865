//! File archives as folders of a mount: what the kernel asks about their entries, and the answers.
//!
//! The number of an entry is the first number of its archive plus the entry's offset in the archive.
//! All names of a file have the number of the entry that holds the file.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chunk_restore::files::pxar::{Entry, EntryKind};
use chunk_restore::files::{FileEntry, FileReader, Files, Node};
use chunk_restore::{Error, ErrorKind};
use fuser::{Errno, FileAttr, FileType, INodeNo};
use parking_lot::Mutex;

use crate::file_archive::{is_damage, name_of};
use crate::mount::attributes::attributes;
use crate::mount::entry_cache::EntryCache;
use crate::mount::folder_reply::FolderReply;
use crate::mount::known_folders::KnownFolders;
use crate::mount::open_folder::{OpenFolder, OpenFolders};
use crate::read_failures::ReadFailures;
use crate::xattrs;

/// The longest name that a file system of Linux can have, in bytes. Programs can't list longer ones.
const NAME_MAX: usize = 255;

/// The offsets of the first entries that a list of a folder has: `.` and `..`.
const DOTS: u64 = 2;

/// A file archive, as a folder.
#[derive(Debug)]
pub(crate) struct Folder {
    /// The name that the folder has in the mount.
    pub(crate) name: String,
    /// The name of the archive.
    pub(crate) archive: String,
    pub(crate) files: Files,
    /// The length of the archive, in bytes; of a split one, that of the half with the metadata.
    pub(crate) len: u64,
}

/// A folder with its numbers.
#[derive(Debug)]
struct Numbered {
    folder: Folder,
    /// The number of an entry at offset 0.
    first: u64,
    root: Arc<Entry>,
}

impl Numbered {
    fn root_number(&self) -> u64 {
        self.first + self.root.offset
    }
}

/// All file archives of a mount.
#[derive(Debug)]
pub(crate) struct Folders {
    folders: Vec<Numbered>,
    known: KnownFolders,
    open_folders: OpenFolders,
    open_files: Mutex<HashMap<u64, FileReader>>,
    /// The next handle of an open file or folder.
    next_handle: AtomicU64,
    cache: EntryCache,
    failures: Arc<ReadFailures>,
}

/// What became of an entry that was to be added to a list.
#[derive(Clone, Copy, Debug)]
enum Added {
    Yes,
    NoRoom,
    /// Programs could not use it.
    LeftOut,
}

/// An answer to the kernel, or why there is none.
type Answer<T> = Result<T, Errno>;

impl Folders {
    /// Gives the entries numbers from `first` on.
    pub(crate) fn new(folders: Vec<Folder>, first: u64, failures: Arc<ReadFailures>) -> Folders {
        let mut next = first;
        let folders = folders.into_iter().map(|folder| {
            let first = next;
            next = next.saturating_add(folder.len);
            let root = Arc::new(folder.files.root().clone());
            Numbered {
                folder,
                first,
                root,
            }
        });
        Folders {
            folders: folders.collect(),
            known: KnownFolders::default(),
            open_folders: OpenFolders::default(),
            open_files: Mutex::default(),
            next_handle: AtomicU64::new(1),
            cache: EntryCache::default(),
            failures,
        }
    }

    /// The name of each folder, with what the kernel is told of it.
    pub(crate) fn roots(&self) -> impl Iterator<Item = (&str, FileAttr)> {
        self.folders.iter().map(|folder| {
            let attributes = attributes(folder.root_number(), &folder.root);
            (folder.folder.name.as_str(), attributes)
        })
    }

    /// The bytes of all archives.
    pub(crate) fn len(&self) -> u64 {
        self.folders.iter().map(|folder| folder.folder.len).sum()
    }

    /// The archive that has the entry with this number.
    fn folder(&self, number: u64) -> Answer<&Numbered> {
        let after = self
            .folders
            .partition_point(|folder| folder.first <= number);
        let folder = after.checked_sub(1).and_then(|at| self.folders.get(at));
        folder.ok_or(Errno::ENOENT)
    }

    /// The entry with a number.
    fn entry(&self, number: u64) -> Answer<Arc<Entry>> {
        let folder = self.folder(number)?;
        if number == folder.root_number() {
            return Ok(Arc::clone(&folder.root));
        }
        if let Some(entry) = self.cache.get(number) {
            return Ok(entry);
        }
        match self.find_again(folder, number)?.node {
            Node::Entry(entry) => {
                let entry = Arc::new(entry);
                self.cache.insert(number, Arc::clone(&entry));
                Ok(entry)
            }
            _ => Err(Errno::EIO),
        }
    }

    /// Reads an entry that the kernel was told of before.
    fn find_again(&self, folder: &Numbered, number: u64) -> Answer<FileEntry> {
        let found = folder.folder.files.entry_at("", number - folder.first);
        found.map_err(|error| self.fail(folder, &error))
    }

    /// The number of an entry that was found, and the entry; the file itself for a hard link.
    fn resolve(&self, folder: &Numbered, found: &FileEntry) -> Result<(u64, Arc<Entry>), Error> {
        let offset = match &found.node {
            Node::HardLink(link) => link.target,
            node => node.offset(),
        };
        let number = folder.first + offset;
        if let Some(entry) = self.cache.get(number) {
            return Ok((number, entry));
        }
        let entry = Arc::new(folder.folder.files.resolve(found)?);
        self.cache.insert(number, Arc::clone(&entry));
        Ok((number, entry))
    }

    pub(crate) fn attributes(&self, number: u64) -> Answer<FileAttr> {
        Ok(attributes(number, &*self.entry(number)?))
    }

    /// Looks up a name in a folder.
    pub(crate) fn lookup(&self, parent: u64, name: &OsStr) -> Answer<FileAttr> {
        let folder = self.folder(parent)?;
        let path = self.known.path(parent, folder.root_number());
        let path = path.ok_or(Errno::ESTALE)?.join(name);
        let found = folder.folder.files.entry(&path);
        let found = found.and_then(|found| self.resolve(folder, &found));
        let (number, entry) = found.map_err(|error| self.fail(folder, &error))?;
        if entry.is_directory() {
            self.known.tell(number, parent, name.as_bytes());
        }
        Ok(attributes(number, &entry))
    }

    /// The kernel forgets that it was told of an entry so many times.
    pub(crate) fn forget(&self, number: u64, times: u64) {
        self.known.forget(number, times);
    }

    /// The target of a symbolic link.
    pub(crate) fn target(&self, number: u64) -> Answer<Vec<u8>> {
        match &self.entry(number)?.kind {
            EntryKind::Symlink(target) => Ok(target.clone()),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Opens a file, and returns its handle.
    pub(crate) fn open(&self, number: u64) -> Answer<u64> {
        let folder = self.folder(number)?;
        let entry = self.find_again(folder, number)?;
        let reader = folder.folder.files.read_entry(&entry);
        let reader = reader.map_err(|error| self.fail(folder, &error))?;
        let handle = self.new_handle();
        self.open_files.lock().insert(handle, reader);
        Ok(handle)
    }

    pub(crate) fn close(&self, handle: u64) {
        self.open_files.lock().remove(&handle);
    }

    /// Reads bytes of an open file, and returns how many.
    pub(crate) fn read(
        &self,
        number: u64,
        handle: u64,
        offset: u64,
        buffer: &mut [u8],
    ) -> Answer<usize> {
        let folder = self.folder(number)?;
        let reader = self.open_files.lock().get(&handle).cloned();
        let read = reader.ok_or(Errno::EBADF)?.read_at(buffer, offset);
        read.map_err(|error| self.fail(folder, &error))
    }

    /// The value of an extended attribute.
    pub(crate) fn xattr(&self, number: u64, name: &OsStr) -> Answer<Vec<u8>> {
        let xattrs = xattrs::all(&self.entry(number)?.metadata);
        let found = xattrs.into_iter().find(|(own, _)| own == name.as_bytes());
        found.map(|(_, value)| value).ok_or(Errno::NO_XATTR)
    }

    /// The names of all extended attributes, each with a zero byte after it.
    pub(crate) fn xattr_names(&self, number: u64) -> Answer<Vec<u8>> {
        let xattrs = xattrs::all(&self.entry(number)?.metadata);
        let names = xattrs
            .into_iter()
            .map(|(name, _)| [&name[..], b"\0"].concat());
        Ok(names.collect::<Vec<_>>().concat())
    }

    /// Opens a folder, and returns its handle.
    pub(crate) fn open_folder(&self, number: u64) -> Answer<u64> {
        let folder = self.folder(number)?;
        let path = self.known.path(number, folder.root_number());
        let handle = self.new_handle();
        let opened = OpenFolder::new(path.ok_or(Errno::ESTALE)?);
        self.open_folders.insert(handle, opened);
        Ok(handle)
    }

    pub(crate) fn close_folder(&self, handle: u64) {
        self.open_folders.remove(handle);
    }

    /// Lists the entries of an open folder from an offset on, as far as they fit into the reply.
    /// Damaged entries are left out, and the end of the list is an error then.
    pub(crate) fn list(&self, number: u64, handle: u64, offset: u64, mut to: FolderReply) {
        match self.add_entries(number, handle, offset, &mut to) {
            Ok(()) => to.ok(),
            Err(error) => to.error(error),
        }
    }

    fn add_entries(
        &self,
        number: u64,
        handle: u64,
        offset: u64,
        to: &mut FolderReply,
    ) -> Answer<()> {
        let folder = self.folder(number)?;
        let open = self.open_folders.get(handle).ok_or(Errno::EBADF)?;
        let mut open = open.lock();
        let position = offset.saturating_sub(DOTS);
        open.seek(&folder.folder.files, position)
            .map_err(|error| self.fail(folder, &error))?;
        let mut is_empty = !self.add_dots(folder, number, offset, to);
        while let Some((count, found)) = open.next() {
            let added = found.and_then(|found| {
                let added = self.add(folder, number, count + DOTS, &found, to)?;
                Ok((added, found))
            });
            match added {
                Ok((Added::Yes, _)) => is_empty = false,
                Ok((Added::NoRoom, found)) => {
                    open.put_back(found);
                    return Ok(());
                }
                Ok((Added::LeftOut, _)) => open.is_damaged = true,
                Err(error) if is_damage(&error) => {
                    self.fail(folder, &error);
                    open.is_damaged = true;
                }
                Err(error) => {
                    // The entry may be there when the kernel asks again.
                    open.forget_table();
                    return Err(self.fail(folder, &error));
                }
            }
        }
        match is_empty && open.is_damaged {
            true => Err(Errno::EIO),
            false => Ok(()),
        }
    }

    /// Adds `.` and `..`, and returns whether it did.
    fn add_dots(&self, folder: &Numbered, number: u64, offset: u64, to: &mut FolderReply) -> bool {
        let parent = match number == folder.root_number() {
            true => u64::from(INodeNo::ROOT),
            false => self.known.parent(number).unwrap_or(number),
        };
        for (at, (name, number)) in (1..).zip([(".", number), ("..", parent)]) {
            // Of these, the kernel takes the numbers alone. They always fit.
            if offset < at {
                let _ = to.add(at, OsStr::new(name), &attributes(number, &folder.root));
            }
        }
        offset < DOTS
    }

    /// Adds an entry to a list.
    fn add(
        &self,
        folder: &Numbered,
        parent: u64,
        offset: u64,
        found: &FileEntry,
        to: &mut FolderReply,
    ) -> Result<Added, Error> {
        let name = name_of(found);
        if name.len() > NAME_MAX {
            self.failures.tell_long_name(&folder.folder.archive);
            return Ok(Added::LeftOut);
        }
        let name = OsStr::from_bytes(name);
        if let (FolderReply::Plain(reply), Node::HardLink(link)) = (&mut *to, &found.node) {
            let number = INodeNo(folder.first + link.target);
            return Ok(
                match reply.add(number, offset, FileType::RegularFile, name) {
                    true => Added::NoRoom,
                    false => Added::Yes,
                },
            );
        }
        let (number, entry) = self.resolve(folder, found)?;
        if to.add(offset, name, &attributes(number, &entry)) {
            return Ok(Added::NoRoom);
        }
        if matches!(to, FolderReply::WithAttributes(_)) && entry.is_directory() {
            self.known.tell(number, parent, name.as_bytes());
        }
        Ok(Added::Yes)
    }

    fn new_handle(&self) -> u64 {
        self.next_handle.fetch_add(1, Ordering::Relaxed)
    }

    /// The kernel's number for an error. All but those that are nobody's fault are told.
    fn fail(&self, folder: &Numbered, error: &Error) -> Errno {
        match error.kind() {
            ErrorKind::NotFound => Errno::ENOENT,
            ErrorKind::Invalid => Errno::EINVAL,
            _ => {
                self.failures.tell(&folder.folder.archive, error);
                Errno::EIO
            }
        }
    }
}
