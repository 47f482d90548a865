//! The entries of one directory, by its table.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::vec::IntoIter;

use crate::error::{Error, ErrorKind, Result};
use crate::files::FileEntry;
use crate::files::pxar::{Problem, Shown, TABLE_ITEM_LEN, TableItem, hash_of};
use crate::files::table::Table;
use crate::files::tree::Tree;

/// How many items of a table are read at once.
const ITEMS_READ: usize = 1024;

/// The entries of one directory, in the order of the archive. Made by
/// [`Files::list`](super::Files::list).
pub struct List {
    tree: Arc<Tree>,
    path: PathBuf,
    table: Table,
    items: IntoIter<TableItem>,
    /// The offset after the last entry: the next must not lie before it.
    end: u64,
}

impl List {
    pub(super) fn new(tree: Arc<Tree>, path: &Path) -> Result<List> {
        let (path, table, items) = read(&tree, path)?;
        Ok(List {
            tree,
            path,
            table,
            items: items.into_iter(),
            end: 0,
        })
    }
}

/// The offsets of the entries of a directory that begin behind an offset, in the order of the
/// archive.
pub(super) fn starts_behind(tree: &Tree, path: &Path, offset: u64) -> Result<Vec<u64>> {
    let (_, _, items) = read(tree, path)?;
    let starts = items.iter().map(|item| item.start);
    Ok(starts.filter(|start| *start > offset).collect())
}

/// The table of the directory at a path, and its items in the order of the archive.
fn read(tree: &Tree, path: &Path) -> Result<(PathBuf, Table, Vec<TableItem>)> {
    let (entry, directory) = tree.lookup(path)?;
    let shown = Shown(path.as_os_str().as_bytes());
    let Some(directory) = directory else {
        let message = format!("{shown} of {} is no directory", tree.name());
        return Err(Error::new(ErrorKind::Invalid, message));
    };
    let path = entry.path;
    let table = Table::read(tree.source(), directory, path.as_os_str().as_bytes())?;
    let items = items(tree, &table, &path)?;
    Ok((path, table, items))
}

/// The items of a table, in the order of the archive.
fn items(tree: &Tree, table: &Table, path: &Path) -> Result<Vec<TableItem>> {
    let (source, path) = (tree.source(), path.as_os_str().as_bytes());
    let corrupt = |problem| source.corrupt(problem, table.goodbye, path);
    let limit = tree.limits().open_entries;
    let count = usize::try_from(table.count).unwrap_or(usize::MAX);
    if count > limit {
        return Err(corrupt(Problem::TooManyEntries { limit }));
    }
    let mut items = Vec::new();
    let mut buffer = vec![0; count.min(ITEMS_READ) * TABLE_ITEM_LEN as usize];
    while items.len() < count {
        let len = (count - items.len()).min(ITEMS_READ) * TABLE_ITEM_LEN as usize;
        table.read_items(source, items.len() as u64, &mut buffer[..len], path)?;
        for item in buffer[..len].chunks_exact(TABLE_ITEM_LEN as usize) {
            items.push(table.parse(source, item, path)?);
        }
    }
    items.sort_unstable_by_key(|item| item.start);
    let is_doubled = |pair: &[TableItem]| pair[0].start == pair[1].start;
    if items.windows(2).any(is_doubled) {
        return Err(corrupt(Problem::Table));
    }
    Ok(items)
}

impl List {
    fn entry(&mut self, item: &TableItem) -> Result<FileEntry> {
        let (node, end) = self.tree.child(&self.table, item, &self.path)?;
        // An entry that lies inside another may be what somebody wrote into a file.
        let is_apart = item.start >= self.end;
        self.end = self.end.max(end);
        if !is_apart || item.hash != hash_of(node.name()) {
            let path = self.path.as_os_str().as_bytes();
            let offset = self.table.goodbye;
            return Err(self.tree.corrupt(Problem::Table, offset, path));
        }
        Ok(FileEntry {
            path: self.path.join(OsStr::from_bytes(node.name())),
            node,
        })
    }
}

impl Iterator for List {
    type Item = Result<FileEntry>;

    fn next(&mut self) -> Option<Result<FileEntry>> {
        let item = self.items.next()?;
        Some(self.entry(&item))
    }
}

impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("List")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
