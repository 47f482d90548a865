//! Where a directory lies in an archive, and its table.

use crate::error::Result;
use crate::files::Node;
use crate::files::pxar::{
    Entry, HEADER_LEN, Problem, TABLE_ITEM_LEN, TableItem, Tail, goodbye_size,
};
use crate::files::source::Source;

/// Where a directory lies in the archive.
#[derive(Clone, Copy, Debug)]
pub(super) struct Directory {
    /// The offset of its FILENAME; 0 for the root.
    start: u64,
    /// The offset of its ENTRY.
    entry: u64,
    /// The offset after its GOODBYE.
    end: u64,
}

impl Directory {
    /// The root of an archive of `len` bytes.
    pub(super) fn root(root: &Entry, len: u64) -> Directory {
        Directory {
            start: 0,
            entry: root.offset,
            end: len,
        }
    }

    /// The directory that an entry of `len` bytes is, if it is one.
    pub(super) fn of(node: &Node, len: u64) -> Option<Directory> {
        let Node::Entry(entry) = node else {
            return None;
        };
        // FILENAME lies between the start and the ENTRY: a header, the name, a zero byte.
        let filename_len = HEADER_LEN + entry.name.len() as u64 + 1;
        entry.is_directory().then_some(Directory {
            start: entry.offset,
            entry: entry.offset + filename_len,
            end: entry.offset.saturating_add(len),
        })
    }
}

/// The table of a directory. All paths are those of the directory, for messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table {
    directory: Directory,
    /// The offset of the GOODBYE.
    pub(super) goodbye: u64,
    /// How many items the table has.
    pub(super) count: u64,
}

impl Table {
    /// The table of a directory: its tail must agree with its header and with the directory.
    pub(super) fn read(source: &Source, directory: Directory, path: &[u8]) -> Result<Table> {
        let corrupt = |problem| source.corrupt(problem, directory.end, path);
        let damaged = || corrupt(Problem::Table);
        // The tail is the last part of the directory.
        let tail_at = directory.end.checked_sub(Tail::LEN);
        let tail_at = tail_at.filter(|tail| *tail > directory.entry);
        let mut tail = [0; Tail::LEN as usize];
        source.read_exact(&mut tail, tail_at.ok_or_else(damaged)?, path)?;
        let tail = Tail::parse(&tail).map_err(corrupt)?;
        let goodbye = directory.end.checked_sub(tail.size);
        let goodbye = goodbye.filter(|goodbye| *goodbye > directory.entry);
        let goodbye = goodbye.ok_or_else(damaged)?;
        let from_entry = tail.distance == goodbye - directory.entry;
        let from_start = directory.start == 0 && tail.distance == goodbye;
        let mut header = [0; HEADER_LEN as usize];
        source.read_exact(&mut header, goodbye, path)?;
        let has_header = goodbye_size(&header, goodbye) == Ok(tail.size);
        if !has_header || !(from_entry || from_start) {
            return Err(damaged());
        }
        Ok(Table {
            directory,
            goodbye,
            count: tail.count(),
        })
    }

    /// The item at a position.
    pub(super) fn item(&self, source: &Source, position: u64, path: &[u8]) -> Result<TableItem> {
        let mut item = [0; TABLE_ITEM_LEN as usize];
        self.read_items(source, position, &mut item, path)?;
        self.parse(source, &item, path)
    }

    /// Reads the bytes of items from a position on, as many as there is room for in `buffer`.
    pub(super) fn read_items(
        &self,
        source: &Source,
        position: u64,
        buffer: &mut [u8],
        path: &[u8],
    ) -> Result<()> {
        let offset = self.goodbye + HEADER_LEN + position * TABLE_ITEM_LEN;
        source.read_exact(buffer, offset, path)
    }

    /// Reads an item from its bytes.
    pub(super) fn parse(&self, source: &Source, item: &[u8], path: &[u8]) -> Result<TableItem> {
        TableItem::parse(item, self.directory.entry, self.goodbye)
            .map_err(|problem| source.corrupt(problem, self.goodbye, path))
    }
}
