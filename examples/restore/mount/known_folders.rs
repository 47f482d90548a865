//! The folders of file archives that the kernel knows: by their numbers, with their paths.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use parking_lot::Mutex;

/// The folders that the kernel knows, less the roots of archives. The kernel forgets a folder only
/// after everything in it.
#[derive(Debug, Default)]
pub(crate) struct KnownFolders(Mutex<HashMap<u64, Known>>);

#[derive(Debug)]
struct Known {
    /// The number of the folder around it.
    parent: u64,
    name: Vec<u8>,
    /// How many times the kernel was told of the folder.
    told: u64,
}

impl KnownFolders {
    /// Remembers that the kernel is told of a folder.
    pub(crate) fn tell(&self, number: u64, parent: u64, name: &[u8]) {
        let mut known = self.0.lock();
        let folder = known.entry(number).or_insert_with(|| Known {
            parent,
            name: name.to_vec(),
            told: 0,
        });
        folder.told += 1;
    }

    /// The kernel forgets that it was told of a folder so many times.
    pub(crate) fn forget(&self, number: u64, times: u64) {
        let mut known = self.0.lock();
        if let Some(folder) = known.get_mut(&number) {
            folder.told = folder.told.saturating_sub(times);
            if folder.told == 0 {
                known.remove(&number);
            }
        }
    }

    /// The path of a folder below the root of its archive, which has the number `root`; `None` for a
    /// number that is no folder's.
    pub(crate) fn path(&self, number: u64, root: u64) -> Option<PathBuf> {
        let known = self.0.lock();
        let (mut names, mut number) = (Vec::new(), number);
        while number != root {
            let folder = known.get(&number)?;
            names.push(OsStr::from_bytes(&folder.name));
            number = folder.parent;
        }
        names.reverse();
        Some(names.into_iter().collect())
    }

    /// The number of the folder around a folder.
    pub(crate) fn parent(&self, number: u64) -> Option<u64> {
        self.0.lock().get(&number).map(|folder| folder.parent)
    }
}
