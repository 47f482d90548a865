//! A file archive that is read by offset: looks up paths by the tables of directories.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};
use crate::files::content::FileReader;
use crate::files::pxar::{
    Decoder, Entry, EntryKind, HEADER_LEN, Item, Limits, Payload, Problem, PxarError, Search,
    Shown, TABLE_ITEM_LEN, TableItem, Tail, Version, check_payload_header, goodbye_size,
};
use crate::files::{FileEntry, Node};
use crate::read::Reader;

/// How much is read at once of an entry: most fit in.
const ENTRY_READ_LEN: usize = 4096;

/// An archive, or the two halves of a split one.
pub(crate) struct Tree {
    /// What messages call the archive.
    name: String,
    reader: Reader,
    payloads: Option<Reader>,
    limits: Limits,
    version: Version,
    prelude: Option<Vec<u8>>,
    root: Entry,
}

/// Where a directory lies in the archive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Directory {
    /// The offset of its FILENAME; 0 for the root.
    start: u64,
    /// The offset of its ENTRY.
    entry: u64,
    /// The offset after its GOODBYE.
    end: u64,
}

/// The table of a directory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table {
    directory: Directory,
    /// The offset of the GOODBYE.
    goodbye: u64,
    pub(crate) count: u64,
}

impl Table {
    pub(crate) fn goodbye(&self) -> u64 {
        self.goodbye
    }
}

impl Tree {
    /// Reads how the archive begins.
    pub(crate) fn open(name: String, reader: Reader, payloads: Option<Reader>) -> Result<Tree> {
        let mut tree = Tree {
            name,
            reader,
            payloads,
            limits: Limits::default(),
            version: Version::V1,
            prelude: None,
            root: Entry::default(),
        };
        let mut decoder = tree.decoder();
        let mut buffer = vec![0; ENTRY_READ_LEN];
        loop {
            match tree.next_item(&mut decoder, &mut buffer, b"")? {
                Found::Version(version) => tree.version = version,
                Found::Prelude(prelude) => tree.prelude = Some(prelude),
                Found::Node(Node::Entry(root)) => {
                    tree.root = root;
                    return Ok(tree);
                }
                Found::Node(Node::HardLink(link)) => {
                    return Err(tree.corrupt(Problem::Table, link.offset, b""));
                }
            }
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn root(&self) -> &Entry {
        &self.root
    }

    pub(crate) fn prelude(&self) -> Option<&[u8]> {
        self.prelude.as_deref()
    }

    pub(crate) fn reader(&self) -> &Reader {
        &self.reader
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// A decoder for the archive from its start on.
    pub(crate) fn decoder(&self) -> Decoder {
        self.with_lengths(Decoder::new(self.limits))
    }

    /// A decoder for the entry at an offset.
    pub(crate) fn decoder_at(&self, offset: u64) -> Decoder {
        self.with_lengths(Decoder::at(offset, self.version, self.limits))
    }

    fn with_lengths(&self, decoder: Decoder) -> Decoder {
        let decoder = decoder.archive_len(self.reader.len());
        match &self.payloads {
            Some(payloads) => decoder.payload_archive_len(payloads.len()),
            None => decoder,
        }
    }

    /// The entry at a path, and where it lies if it is a directory.
    pub(crate) fn lookup(&self, path: &Path) -> Result<(FileEntry, Option<Directory>)> {
        let mut entry = FileEntry {
            path: PathBuf::new(),
            node: Node::Entry(self.root.clone()),
        };
        let mut directory = Some(self.root_directory());
        for name in names(path)? {
            let found = match directory {
                Some(directory) => self.find(directory, &entry.path, name)?,
                None => None,
            };
            let Some((node, len)) = found else {
                let path = Shown(path.as_os_str().as_bytes());
                let message = format!("{} has no {path}", self.name);
                return Err(Error::new(ErrorKind::NotFound, message));
            };
            directory = directory_of(&node, len);
            entry.path.push(OsStr::from_bytes(name));
            entry.node = node;
        }
        Ok((entry, directory))
    }

    /// The entry of this name in a directory, with the length that the table states for it.
    fn find(&self, directory: Directory, path: &Path, name: &[u8]) -> Result<Option<(Node, u64)>> {
        let table = self.table(directory, path)?;
        let mut search = Search::new(name, table.count);
        while let Some(position) = search.position() {
            let item = self.table_item(&table, position, path)?;
            let may_be = search.visit(position, item.hash);
            if may_be.map_err(|problem| self.corrupt(problem, table.goodbye, bytes(path)))? {
                let node = self.child(&table, &item, path)?;
                if node.name() == name {
                    return Ok(Some((node, item.len)));
                }
            }
        }
        Ok(None)
    }

    fn root_directory(&self) -> Directory {
        Directory {
            start: 0,
            entry: self.root.offset,
            end: self.reader.len(),
        }
    }

    /// The table of a directory: its tail must agree with its header and with the directory.
    pub(crate) fn table(&self, directory: Directory, path: &Path) -> Result<Table> {
        let corrupt = |problem| self.corrupt(problem, directory.end, bytes(path));
        let damaged = || corrupt(Problem::Table);
        // The tail is the last part of the directory.
        let tail_at = directory.end.checked_sub(Tail::LEN);
        let tail_at = tail_at.filter(|tail| *tail > directory.entry);
        let mut tail = [0; Tail::LEN as usize];
        self.read_exact(&mut tail, tail_at.ok_or_else(damaged)?)?;
        let tail = Tail::parse(&tail).map_err(corrupt)?;
        let goodbye = directory.end.checked_sub(tail.size);
        let goodbye = goodbye.filter(|goodbye| *goodbye > directory.entry);
        let goodbye = goodbye.ok_or_else(damaged)?;
        let from_entry = tail.distance == goodbye - directory.entry;
        let from_start = directory.start == 0 && tail.distance == goodbye;
        let mut header = [0; HEADER_LEN as usize];
        self.read_exact(&mut header, goodbye)?;
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

    fn table_item(&self, table: &Table, position: u64, path: &Path) -> Result<TableItem> {
        let mut item = [0; TABLE_ITEM_LEN as usize];
        let offset = table.goodbye + HEADER_LEN + position * TABLE_ITEM_LEN;
        self.read_exact(&mut item, offset)?;
        self.parse_item(table, &item, path)
    }

    pub(crate) fn parse_item(&self, table: &Table, item: &[u8], path: &Path) -> Result<TableItem> {
        TableItem::parse(item, table.directory.entry, table.goodbye)
            .map_err(|problem| self.corrupt(problem, table.goodbye, bytes(path)))
    }

    /// Reads items of a table from a position on, as many as there is room for in `buffer`.
    pub(crate) fn read_items(&self, table: &Table, at: u64, buffer: &mut [u8]) -> Result<()> {
        let offset = table.goodbye + HEADER_LEN + at * TABLE_ITEM_LEN;
        self.read_exact(buffer, offset)
    }

    /// The entry that an item of a table leads to. It must lie inside the directory.
    pub(crate) fn child(&self, table: &Table, item: &TableItem, path: &Path) -> Result<Node> {
        let node = self.node_at(item.start, path)?;
        let end = match &node {
            Node::Entry(entry) => match entry.kind {
                EntryKind::Directory => item.start.checked_add(item.len),
                EntryKind::File(payload) if !payload.is_split => Some(payload.offset + payload.len),
                _ => None,
            },
            Node::HardLink(_) => None,
        };
        match end {
            Some(end) if end > table.goodbye => {
                Err(self.corrupt(Problem::Table, table.goodbye, bytes(path)))
            }
            _ => Ok(node),
        }
    }

    /// The entry whose FILENAME is at an offset; `path` is that of the directory around it.
    fn node_at(&self, offset: u64, path: &Path) -> Result<Node> {
        let mut decoder = self.decoder_at(offset);
        let mut buffer = vec![0; ENTRY_READ_LEN];
        match self.next_item(&mut decoder, &mut buffer, bytes(path))? {
            Found::Node(node) => Ok(node),
            _ => Err(self.corrupt(Problem::Table, offset, bytes(path))),
        }
    }

    /// The next entry of a decoder, or what stands before the root. The decoder began in the
    /// directory of this path.
    fn next_item(&self, decoder: &mut Decoder, buffer: &mut [u8], path: &[u8]) -> Result<Found> {
        loop {
            let len = self.reader.read_at(buffer, decoder.position())?;
            let mut input = &buffer[..len];
            let item = decoder.decode(&mut input);
            match item.map_err(|error| self.wrap(error.below(path)))? {
                Some(Item::Version(version)) => return Ok(Found::Version(version)),
                Some(Item::Prelude(prelude)) => return Ok(Found::Prelude(prelude)),
                Some(Item::Entry(entry)) => return Ok(Found::Node(Node::Entry(entry))),
                Some(Item::HardLink(link)) => return Ok(Found::Node(Node::HardLink(link))),
                Some(Item::Data(_) | Item::Goodbye(_)) => {}
                None if len == 0 => {
                    let error = PxarError::new(Problem::CutShort, decoder.position(), b"");
                    return Err(self.wrap(error.below(path)));
                }
                None => {}
            }
        }
    }

    pub(crate) fn resolve(&self, entry: &FileEntry) -> Result<Entry> {
        let link = match &entry.node {
            Node::Entry(entry) => return Ok(entry.clone()),
            Node::HardLink(link) => link,
        };
        match self.node_at(link.target, &entry.path)? {
            Node::Entry(file) if matches!(file.kind, EntryKind::File(_)) => Ok(file),
            _ => {
                let distance = link.offset - link.target;
                let problem = Problem::LinkTarget { distance };
                Err(self.corrupt(problem, link.offset, bytes(&entry.path)))
            }
        }
    }

    /// The content of a regular file.
    pub(crate) fn content(&self, entry: &FileEntry) -> Result<FileReader> {
        let path = bytes(&entry.path);
        let EntryKind::File(payload) = self.resolve(entry)?.kind else {
            let message = format!("{} of {} is no regular file", Shown(path), self.name);
            return Err(Error::new(ErrorKind::Invalid, message));
        };
        let Payload { offset, len, .. } = payload;
        let reader = match (&self.payloads, payload.is_split) {
            (_, false) => &self.reader,
            (Some(payloads), true) => payloads,
            (None, true) => return Err(self.corrupt(Problem::NoPayloadArchive, offset, path)),
        };
        if payload.is_split {
            let mut header = [0; HEADER_LEN as usize];
            let header_at = offset - HEADER_LEN;
            read_exact(reader, &mut header, header_at)?;
            let check = check_payload_header(&header, len);
            check.map_err(|problem| self.corrupt(problem, header_at, path))?;
        }
        Ok(FileReader::new(reader.clone(), offset, len))
    }

    fn read_exact(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        read_exact(&self.reader, buffer, offset)
    }

    pub(crate) fn corrupt(&self, problem: Problem, offset: u64, path: &[u8]) -> Error {
        self.wrap(PxarError::new(problem, offset, path))
    }

    /// An error that names the archive.
    pub(crate) fn wrap(&self, error: PxarError) -> Error {
        let message = format!("{} is damaged", self.name);
        Error::new(ErrorKind::Corrupt, message)
            .at_offset(error.offset())
            .because(error)
    }
}

/// What comes before or with an entry.
#[allow(
    clippy::large_enum_variant,
    reason = "it is taken apart at once, and never kept"
)]
enum Found {
    Version(Version),
    Prelude(Vec<u8>),
    Node(Node),
}

fn directory_of(node: &Node, len: u64) -> Option<Directory> {
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

/// The names that a path consists of.
fn names(path: &Path) -> Result<Vec<&[u8]>> {
    let names = bytes(path).split(|byte| *byte == b'/');
    let names: Vec<_> = names
        .filter(|name| !name.is_empty() && *name != b".")
        .collect();
    if names.contains(&&b".."[..]) {
        let message = format!(
            "the path {} has a '..': name the entry itself",
            Shown(bytes(path))
        );
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    Ok(names)
}

fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

fn read_exact(reader: &Reader, buffer: &mut [u8], offset: u64) -> Result<()> {
    let len = reader.read_at(buffer, offset)?;
    if len == buffer.len() {
        return Ok(());
    }
    let message = format!("the archive is cut short at offset {}", reader.len());
    Err(Error::new(ErrorKind::Corrupt, message).at_offset(offset))
}
