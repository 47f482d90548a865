//! The paths of the regular files that were taken, by their offsets: hard links lead to an offset.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The regular files that were taken of an archive. A file takes some 24 bytes and its name.
#[derive(Debug, Default)]
pub(crate) struct TakenFiles {
    /// In the order of the offsets.
    files: Vec<TakenFile>,
    /// The names of the files, one after the other.
    names: Vec<u8>,
    directories: Vec<PathBuf>,
    /// Files that were taken when the first of their links came, since they were not taken before.
    by_links: BTreeMap<u64, PathBuf>,
}

#[derive(Debug)]
struct TakenFile {
    /// The offset of the file in the archive.
    offset: u64,
    /// Where its name begins in the names. It ends where the next one begins.
    name: usize,
    directory: u32,
}

impl TakenFiles {
    /// Notes a file. Files come in the order of the archive.
    pub(crate) fn push(&mut self, offset: u64, path: &Path) {
        let directory = path.parent().unwrap_or(Path::new(""));
        if self.directories.last().is_none_or(|last| last != directory) {
            self.directories.push(directory.to_owned());
        }
        self.files.push(TakenFile {
            offset,
            name: self.names.len(),
            directory: u32::try_from(self.directories.len() - 1).unwrap_or(u32::MAX),
        });
        let name = path.file_name().unwrap_or_default();
        self.names.extend_from_slice(name.as_bytes());
    }

    /// Notes a file that was taken under the name of a link to it.
    pub(crate) fn push_link(&mut self, target: u64, path: &Path) {
        self.by_links.insert(target, path.to_owned());
    }

    /// The number of the file at an offset, counted from 0 in the order of [`push`](Self::push).
    pub(crate) fn number(&self, offset: u64) -> Option<usize> {
        let at = self.files.binary_search_by_key(&offset, |file| file.offset);
        at.ok()
    }

    /// Notes a file that was taken under the name of the entry at the offset `taken_at`: its own, or
    /// that of a link to it.
    pub(crate) fn push_any(&mut self, offset: u64, taken_at: u64, path: &Path) {
        match taken_at == offset {
            true => self.push(offset, path),
            false => self.push_link(offset, path),
        }
    }

    /// The path of the file at an offset, if it was taken.
    pub(crate) fn path(&self, offset: u64) -> Option<PathBuf> {
        if let Some(path) = self.by_links.get(&offset) {
            return Some(path.clone());
        }
        let at = self.number(offset)?;
        let file = self.files.get(at)?;
        let end = self
            .files
            .get(at + 1)
            .map_or(self.names.len(), |next| next.name);
        let directory = self.directories.get(file.directory as usize)?;
        Some(directory.join(OsStr::from_bytes(&self.names[file.name..end])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_by_their_offsets() {
        let mut files = TakenFiles::default();
        for (offset, path) in [(7, "a"), (9, "d/b"), (30, "d/c"), (50, "e")] {
            files.push(offset, Path::new(path));
        }
        files.push_link(20, Path::new("d/link"));
        assert_eq!(files.path(9), Some(PathBuf::from("d/b")));
        assert_eq!(files.path(30), Some(PathBuf::from("d/c")));
        assert_eq!(files.path(50), Some(PathBuf::from("e")));
        assert_eq!(files.path(20), Some(PathBuf::from("d/link")));
        assert_eq!(files.path(8), None);
    }
}
