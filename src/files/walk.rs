//! The entries of an archive, or of a part of it, one after the other.

use std::ffi::OsStr;
use std::fmt;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::Result;
use crate::files::pxar::{Decoder, EntryKind, Item, Payload, Problem, PxarError};
use crate::files::tree::Tree;
use crate::files::{FileEntry, Node};

/// How much of the archive is read at once.
const READ_LEN: usize = 64 << 10;

/// The entries of an archive, or of a part of it, in the order of the archive. Made by
/// [`Files::entries`](super::Files::entries) and [`Files::walk`](super::Files::walk). After an error
/// there are no more.
pub struct Walk {
    tree: Arc<Tree>,
    decoder: Decoder,
    /// The path of the directory around the entry that the walk begins with.
    above: PathBuf,
    is_whole: bool,
    is_over: bool,
    buffer: Vec<u8>,
    /// The part of the buffer that the decoder has not taken yet.
    unread: Range<usize>,
    /// The offset of the last entry; before the first one, that where the walk began.
    last_offset: u64,
    /// Where the buffer holds the whole file that was the last entry.
    payload: Option<Range<usize>>,
}

impl Walk {
    /// Walks over the whole archive.
    pub(super) fn new(tree: Arc<Tree>) -> Walk {
        let decoder = tree.decoder();
        Walk {
            tree,
            decoder,
            above: PathBuf::new(),
            is_whole: true,
            is_over: false,
            buffer: vec![0; READ_LEN],
            unread: 0..0,
            last_offset: 0,
            payload: None,
        }
    }

    /// Walks over an entry and everything in it.
    pub(super) fn of(tree: Arc<Tree>, entry: &FileEntry) -> Walk {
        match entry.path.parent() {
            Some(above) => Walk::at(tree, above.to_owned(), entry.node.offset()),
            None => Walk::new(tree),
        }
    }

    /// Walks over the entry at this offset of the archive, which lies in the directory `above`.
    pub(super) fn at(tree: Arc<Tree>, above: PathBuf, start: u64) -> Walk {
        Walk {
            decoder: tree.decoder_at(start),
            above,
            is_whole: false,
            last_offset: start,
            ..Walk::new(tree)
        }
    }

    /// Whether the directory at this path is the entry that the walk began with, or lies in it.
    pub(super) fn holds(&self, directory: &Path) -> bool {
        self.is_whole || (directory != self.above && directory.starts_with(&self.above))
    }

    /// The directory around the entry that the walk began with.
    pub(super) fn above(&self) -> &Path {
        &self.above
    }

    /// The offset of the last entry; before the first one, that where the walk began.
    pub(super) fn last_offset(&self) -> u64 {
        self.last_offset
    }

    /// The offset of the next byte that the walk needs.
    pub(super) fn position(&self) -> u64 {
        self.decoder.position()
    }

    /// The bytes of the file that was the last entry, if all of them were read with it.
    pub(super) fn payload_at_hand(&self) -> Option<&[u8]> {
        self.buffer.get(self.payload.clone()?)
    }

    fn find_next(&mut self) -> Result<Option<FileEntry>> {
        self.payload = None;
        loop {
            // What follows the part that is walked over is of no concern.
            if !self.is_whole && self.decoder.is_complete() {
                return Ok(None);
            }
            let mut input = &self.buffer[self.unread.clone()];
            let item = self.decoder.decode(&mut input);
            let above = self.above.as_os_str().as_bytes();
            let node = match item.map_err(|error| self.tree.wrap(error.below(above)))? {
                Some(Item::Entry(entry)) => Some(Node::Entry(entry)),
                Some(Item::HardLink(link)) => Some(Node::HardLink(link)),
                Some(_) => None,
                None => {
                    if !self.read_on()? {
                        return Ok(None);
                    }
                    continue;
                }
            };
            self.unread.start = self.unread.end - input.len();
            let Some(node) = node else {
                continue;
            };
            self.last_offset = node.offset();
            if let Node::Entry(entry) = &node
                && let EntryKind::File(payload) = entry.kind
            {
                self.skip_payload(payload);
            }
            let path = self.above.join(OsStr::from_bytes(self.decoder.path()));
            return Ok(Some(FileEntry { path, node }));
        }
    }

    fn skip_payload(&mut self, payload: Payload) {
        let start = self.unread.start;
        let skipped = usize::try_from(self.decoder.skip_payload());
        let skipped = skipped.map_or(self.unread.len(), |skipped| skipped.min(self.unread.len()));
        self.unread.start += skipped;
        let is_at_hand = !payload.is_split && skipped as u64 == payload.len;
        self.payload = is_at_hand.then_some(start..self.unread.start);
    }

    /// Fills the buffer again; `false` if the walk is over.
    fn read_on(&mut self) -> Result<bool> {
        let position = self.decoder.position();
        if self.decoder.is_complete() && position >= self.tree.reader().len() {
            return Ok(false);
        }
        let source = self.tree.source();
        let len = source.read_in_chunk(&mut self.buffer, position)?;
        if len == 0 {
            let error = PxarError::new(Problem::CutShort, position, self.decoder.path());
            let error = error.below(self.above.as_os_str().as_bytes());
            return Err(self.tree.wrap(error));
        }
        self.unread = 0..len;
        Ok(true)
    }
}

impl Iterator for Walk {
    type Item = Result<FileEntry>;

    fn next(&mut self) -> Option<Result<FileEntry>> {
        if self.is_over {
            return None;
        }
        let found = self.find_next().transpose();
        self.is_over = !matches!(found, Some(Ok(_)));
        found
    }
}

impl fmt::Debug for Walk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Walk")
            .field("decoder", &self.decoder)
            .finish_non_exhaustive()
    }
}
