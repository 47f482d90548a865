//! Folders of file archives that programs have open: which entry the kernel asks for next.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use chunk_restore::Error;
use chunk_restore::files::{FileEntry, Files, List};
use parking_lot::Mutex;

/// How many open folders keep their tables in memory. Most tables take some kilobytes, and the largest
/// that the library takes 200 MB.
const TABLES_MAX: usize = 16;

/// A folder that is open.
#[derive(Debug)]
pub(crate) struct OpenFolder {
    path: PathBuf,
    /// The entries from `position` on, without the one that was put back; `None` if they must be
    /// listed anew.
    list: Option<List>,
    /// An entry that the kernel had no more room for.
    put_back: Option<FileEntry>,
    /// How many entries come before the next one. Damaged ones count.
    position: u64,
    /// Whether an entry could not be read.
    pub(crate) is_damaged: bool,
}

impl OpenFolder {
    pub(crate) fn new(path: PathBuf) -> OpenFolder {
        OpenFolder {
            path,
            list: None,
            put_back: None,
            position: 0,
            is_damaged: false,
        }
    }

    /// Goes to an entry: the kernel usually asks for the one that comes next.
    pub(crate) fn seek(&mut self, files: &Files, position: u64) -> Result<(), Error> {
        if self.list.is_some() && position == self.position {
            return Ok(());
        }
        if position == 0 {
            self.is_damaged = false;
        }
        self.forget_table();
        let mut list = files.list(&self.path)?;
        let skipped = list.by_ref().take(position as usize).count();
        (self.list, self.position) = (Some(list), skipped as u64);
        Ok(())
    }

    /// The next entry with the number of entries up to it.
    pub(crate) fn next(&mut self) -> Option<(u64, Result<FileEntry, Error>)> {
        let put_back = self.put_back.take().map(Ok);
        let entry = put_back.or_else(|| self.list.as_mut()?.next())?;
        self.position += 1;
        Some((self.position, entry))
    }

    /// Gives the last entry another time.
    pub(crate) fn put_back(&mut self, entry: FileEntry) {
        self.position -= 1;
        self.put_back = Some(entry);
    }

    /// Frees the memory of the table. It is read again when it is needed.
    pub(crate) fn forget_table(&mut self) {
        self.list = None;
        self.put_back = None;
    }
}

/// All open folders, by their handles.
#[derive(Debug, Default)]
pub(crate) struct OpenFolders(Mutex<Handles>);

#[derive(Debug, Default)]
struct Handles {
    folders: HashMap<u64, Arc<Mutex<OpenFolder>>>,
    /// The folders that were read last, the latest at the end.
    with_tables: VecDeque<u64>,
}

impl OpenFolders {
    pub(crate) fn insert(&self, handle: u64, folder: OpenFolder) {
        let folder = Arc::new(Mutex::new(folder));
        self.0.lock().folders.insert(handle, folder);
    }

    /// The folder with this handle, which will be read now. Another one may have to free its table.
    pub(crate) fn get(&self, handle: u64) -> Option<Arc<Mutex<OpenFolder>>> {
        let mut handles = self.0.lock();
        let found = handles.folders.get(&handle).map(Arc::clone)?;
        handles.with_tables.retain(|other| *other != handle);
        handles.with_tables.push_back(handle);
        if handles.with_tables.len() > TABLES_MAX
            && let Some(oldest) = handles.with_tables.pop_front()
            && let Some(oldest) = handles.folders.get(&oldest)
            // Who reads it now needs the table.
            && let Some(mut oldest) = oldest.try_lock()
        {
            oldest.forget_table();
        }
        Some(found)
    }

    pub(crate) fn remove(&self, handle: u64) {
        let mut handles = self.0.lock();
        handles.folders.remove(&handle);
        handles.with_tables.retain(|other| *other != handle);
    }
}
