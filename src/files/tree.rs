//! A file archive that is read by offset: looks up paths by the tables of directories.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result, Scope};
use crate::files::content::FileReader;
use crate::files::pxar::{
    Decoder, Entry, EntryKind, HEADER_LEN, Item, Limits, Payload, Problem, PxarError, Search,
    Shown, TableItem, Version, check_payload_header, check_payload_start,
};
use crate::files::source::Source;
use crate::files::table::{Directory, Table};
use crate::files::{FileEntry, Node};
use crate::read::Reader;

/// How much is read at once of an entry: most fit in.
const ENTRY_READ_LEN: usize = 4096;

/// An archive, or the two halves of a split one.
pub(crate) struct Tree {
    /// The archive, or the half with the metadata.
    source: Source,
    /// The half with the payloads.
    payloads: Option<Source>,
    limits: Limits,
    version: Version,
    prelude: Option<Vec<u8>>,
    root: Entry,
}

impl Tree {
    /// Reads how the archive begins.
    pub(super) fn open(source: Source, payloads: Option<Source>) -> Result<Tree> {
        let mut tree = Tree {
            source,
            payloads,
            limits: Limits::default(),
            version: Version::V1,
            prelude: None,
            root: Entry::default(),
        };
        let mut decoder = tree.decoder();
        let mut buffer = vec![0; ENTRY_READ_LEN];
        loop {
            match tree.next_item(&mut decoder, &mut buffer, |error| error)? {
                Found::Version(version) => tree.version = version,
                Found::Prelude(prelude) => tree.prelude = Some(prelude),
                Found::Node(Node::Entry(root)) => {
                    tree.root = root;
                    tree.check_payload_start()?;
                    return Ok(tree);
                }
                Found::Node(Node::HardLink(link)) => {
                    return Err(tree.corrupt(Problem::Table, link.offset, b""));
                }
            }
        }
    }

    /// Makes sure that the other half is a payload archive.
    fn check_payload_start(&self) -> Result<()> {
        let Some(payloads) = &self.payloads else {
            return Ok(());
        };
        let mut start = [0; HEADER_LEN as usize];
        match payloads.read_exact(&mut start, 0, b"") {
            // All files outside of this chunk can be read: only reads of the others may fail.
            Err(error) if error.scope() == Some(Scope::Chunk) => return Ok(()),
            result => result?,
        }
        check_payload_start(&start).map_err(|problem| payloads.corrupt(problem, 0, b""))
    }

    pub(crate) fn name(&self) -> &str {
        self.source.name()
    }

    /// What tells the archive from any other one: its name and the checksum of its index.
    pub(crate) fn identity(&self) -> String {
        format!(
            "{} {}",
            self.source.name(),
            self.source.reader().archive().index().csum()
        )
    }

    /// Fails once somebody has asked to stop.
    pub(crate) fn check_cancelled(&self) -> Result<()> {
        match self.source.reader().cancel().is_cancelled() {
            true => Err(Error::new(ErrorKind::Cancelled, "the restore was stopped")),
            false => Ok(()),
        }
    }

    pub(crate) fn root(&self) -> &Entry {
        &self.root
    }

    pub(crate) fn prelude(&self) -> Option<&[u8]> {
        self.prelude.as_deref()
    }

    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    pub(crate) fn reader(&self) -> &Reader {
        self.source.reader()
    }

    /// Whether the files lie in an archive of their own.
    pub(crate) fn is_split(&self) -> bool {
        self.payloads.is_some()
    }

    /// The reader of the payload archive of a split archive.
    pub(crate) fn payloads(&self) -> Option<&Reader> {
        self.payloads.as_ref().map(Source::reader)
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The reader of the archive, or those of both halves.
    pub(crate) fn readers(&self) -> impl Iterator<Item = &Reader> {
        let sources = [&self.source].into_iter().chain(&self.payloads);
        sources.map(Source::reader)
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
        let decoder = decoder.archive_len(self.source.len());
        match &self.payloads {
            // Payloads are read by offset.
            Some(payloads) => decoder
                .payload_archive_len(payloads.len())
                .payloads_in_any_order(),
            None => decoder,
        }
    }

    /// The entry at a path, and where it lies if it is a directory.
    pub(super) fn lookup(&self, path: &Path) -> Result<(FileEntry, Option<Directory>)> {
        let mut entry = FileEntry {
            path: PathBuf::new(),
            node: Node::Entry(self.root.clone()),
        };
        let mut directory = Some(Directory::root(&self.root, self.source.len()));
        for name in names(path)? {
            let found = match directory {
                Some(directory) => self.find(directory, &entry.path, name)?,
                None => None,
            };
            let Some((node, len)) = found else {
                let path = Shown(path.as_os_str().as_bytes());
                let message = format!("{} has no {path}", self.name());
                return Err(Error::new(ErrorKind::NotFound, message));
            };
            directory = Directory::of(&node, len);
            entry.path.push(OsStr::from_bytes(name));
            entry.node = node;
        }
        Ok((entry, directory))
    }

    /// The entry of this name in a directory, with the length that the table states for it.
    fn find(&self, directory: Directory, path: &Path, name: &[u8]) -> Result<Option<(Node, u64)>> {
        let table = Table::read(&self.source, directory, bytes(path))?;
        let mut search = Search::new(name, table.count);
        while let Some(position) = search.position() {
            let item = table.item(&self.source, position, bytes(path))?;
            let may_be = search.visit(position, item.hash);
            if may_be.map_err(|problem| self.corrupt(problem, table.goodbye, bytes(path)))? {
                let (node, _) = self.child(&table, &item, path)?;
                if node.name() == name {
                    return Ok(Some((node, item.len)));
                }
            }
        }
        Ok(None)
    }

    /// The entry that an item of a table leads to, and the offset after this entry. It must lie
    /// inside the directory.
    pub(super) fn child(
        &self,
        table: &Table,
        item: &TableItem,
        path: &Path,
    ) -> Result<(Node, u64)> {
        let path = bytes(path);
        let (node, end) = self.node_at(item.start, |error| error.below(path))?;
        let end = match &node {
            Node::Entry(entry) if entry.is_directory() => {
                let stated = item.start.checked_add(item.len);
                stated.filter(|stated| *stated > end)
            }
            _ => Some(end),
        };
        let end = end.filter(|end| *end <= table.goodbye);
        let end = end.ok_or_else(|| self.corrupt(Problem::Table, table.goodbye, path))?;
        Ok((node, end))
    }

    /// The entry whose FILENAME is at an offset, and the offset after this entry; after the metadata
    /// if it is a directory. `locate` puts a path into an error.
    fn node_at(&self, offset: u64, locate: impl Fn(PxarError) -> PxarError) -> Result<(Node, u64)> {
        let mut decoder = self.decoder_at(offset);
        let mut buffer = vec![0; ENTRY_READ_LEN];
        match self.next_item(&mut decoder, &mut buffer, &locate)? {
            Found::Node(node) => {
                let end = end_of(&node, decoder.position());
                Ok((node, end))
            }
            _ => {
                let error = PxarError::new(Problem::Table, offset, b"");
                Err(self.wrap(locate(error)))
            }
        }
    }

    /// The next entry of a decoder, or what stands before the root. `locate` puts a path into an
    /// error.
    fn next_item(
        &self,
        decoder: &mut Decoder,
        buffer: &mut [u8],
        locate: impl Fn(PxarError) -> PxarError,
    ) -> Result<Found> {
        loop {
            let len = self.source.read_in_chunk(buffer, decoder.position())?;
            let mut input = &buffer[..len];
            let item = decoder.decode(&mut input);
            match item.map_err(|error| self.wrap(locate(error)))? {
                Some(Item::Version(version)) => return Ok(Found::Version(version)),
                Some(Item::Prelude(prelude)) => return Ok(Found::Prelude(prelude)),
                Some(Item::Entry(entry)) => return Ok(Found::Node(Node::Entry(entry))),
                Some(Item::HardLink(link)) => return Ok(Found::Node(Node::HardLink(link))),
                Some(Item::Data(_) | Item::Goodbye(_)) => {}
                None if len == 0 => {
                    let error = PxarError::new(Problem::CutShort, decoder.position(), b"");
                    return Err(self.wrap(locate(error)));
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
        let path = bytes(&entry.path);
        match self.node_at(link.target, |error| error.of_entry(path))? {
            (Node::Entry(file), _) if matches!(file.kind, EntryKind::File(_)) => Ok(file),
            _ => {
                let distance = link.offset - link.target;
                let problem = Problem::LinkTarget { distance };
                Err(self.corrupt(problem, link.offset, path))
            }
        }
    }

    /// The content of a regular file.
    pub(crate) fn content(&self, entry: &FileEntry) -> Result<FileReader> {
        let (content, checked) = self.content_and_check(entry)?;
        checked.map(|()| content)
    }

    /// The content of a regular file. Whether its header could be checked does not matter if the
    /// chunk with the header is lost.
    pub(crate) fn content_for_salvage(&self, entry: &FileEntry) -> Result<FileReader> {
        let (content, checked) = self.content_and_check(entry)?;
        match checked {
            Err(error) if error.scope() != Some(Scope::Chunk) => Err(error),
            _ => Ok(content),
        }
    }

    /// The content of a regular file, and whether the header before it in the payload archive
    /// agrees.
    fn content_and_check(&self, entry: &FileEntry) -> Result<(FileReader, Result<()>)> {
        let path = bytes(&entry.path);
        let EntryKind::File(payload) = self.resolve(entry)?.kind else {
            let subject = match path {
                b"" => "the root".to_owned(),
                path => Shown(path).to_string(),
            };
            let message = format!("{subject} of {} is no regular file", self.name());
            return Err(Error::new(ErrorKind::Invalid, message));
        };
        let Payload { offset, len, .. } = payload;
        let source = match (&self.payloads, payload.is_split) {
            (_, false) => &self.source,
            (Some(payloads), true) => payloads,
            (None, true) => return Err(self.corrupt(Problem::NoPayloadArchive, offset, path)),
        };
        let content = FileReader::new(source.reader().clone(), offset, len);
        if !payload.is_split {
            return Ok((content, Ok(())));
        }
        let mut header = [0; HEADER_LEN as usize];
        let header_at = offset - HEADER_LEN;
        let checked = source.read_exact(&mut header, header_at, path);
        let checked = checked.and_then(|()| {
            let check = check_payload_header(&header, len);
            check.map_err(|problem| source.corrupt(problem, header_at, path))
        });
        Ok((content, checked))
    }

    pub(crate) fn corrupt(&self, problem: Problem, offset: u64, path: &[u8]) -> Error {
        self.source.corrupt(problem, offset, path)
    }

    /// An error of the decoder, with the name of the archive.
    pub(crate) fn wrap(&self, error: PxarError) -> Error {
        self.source.wrap(error)
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

/// The offset after an entry, or after the metadata of a directory. The decoder handed out the entry
/// when it was at `position`.
fn end_of(node: &Node, position: u64) -> u64 {
    let Node::Entry(entry) = node else {
        return position;
    };
    match entry.kind {
        EntryKind::File(payload) if !payload.is_split => payload.offset + payload.len,
        // The decoder has read the header of the next item.
        EntryKind::Directory | EntryKind::Fifo | EntryKind::Socket => position - HEADER_LEN,
        _ => position,
    }
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
