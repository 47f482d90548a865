//! The entries of an archive that a selection takes, in the order of the archive.

use std::collections::VecDeque;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result, Scope};
use crate::files::list;
use crate::files::pattern::Pattern;
use crate::files::pxar::{Entry, EntryKind, HEADER_LEN, Problem};
use crate::files::selection::Selection;
use crate::files::tree::Tree;
use crate::files::walk::Walk;
use crate::files::{FileEntry, FileReader, Node};

/// How many entries of a split archive are looked for before the first of them is handed out, so
/// that the chunks of their files come at the same time.
const ENTRIES_AHEAD: usize = 256;

/// How many bytes of files and of extended attributes these entries may have together, before fewer of
/// them are looked for: attributes take memory, and chunks that come too early push out others.
const LEN_AHEAD_MAX: u64 = 16 << 20;

/// How much of each of these files is asked for ahead of time. Who reads a long file on and on gets
/// the rest ahead of time in any case.
const PREFETCH_LEN_MAX: u64 = 4 << 20;

/// The entries that a selection takes. The directories around an entry come before the entry.
pub(crate) struct Selected {
    tree: Arc<Tree>,
    selection: Selection,
    /// The parts that are still to be walked over: the next one is the last.
    parts: Vec<Part>,
    walk: Option<Walk>,
    /// The directories around the last entry of the walk.
    open: Vec<OpenDirectory>,
    /// Entries that are taken and were not handed out yet.
    ready: VecDeque<FileEntry>,
    /// The length of their bytes and extended attributes.
    ready_len: u64,
    /// How many entries are looked for before the first of them is handed out.
    ahead: usize,
    /// How the walks ended, once they have: with an error or without.
    outcome: Option<Option<Error>>,
    /// The length of all files in the payload archive that are taken.
    payload_len: u64,
    /// Where the last chunk of the payload archive ends that was asked for ahead of time.
    prefetched: u64,
    /// The patterns of what is taken that have matched nothing yet.
    unmatched: Vec<Pattern>,
    /// Whether the walk goes on after a lost chunk.
    salvages: bool,
    /// The directories of which entries are lost, and links to lost files, each with the reason.
    lost: Vec<(PathBuf, Error)>,
}

/// A part of the archive that is walked over: entries of one directory, each with all that is in it.
struct Part {
    /// The directories around the part that were not entered yet, the root first.
    around: Vec<FileEntry>,
    /// The directory that the entries lie in.
    above: PathBuf,
    /// The offsets of the entries: the next one is the last. The root's is 0.
    starts: Vec<u64>,
}

struct OpenDirectory {
    entry: FileEntry,
    /// Whether the selection takes the directory and, unless a pattern says otherwise, what is in it.
    is_taken: bool,
    /// Whether the directory was handed out.
    is_out: bool,
}

impl Selected {
    /// Fails once somebody has asked to stop.
    pub(crate) fn check_cancelled(&self) -> Result<()> {
        self.tree.check_cancelled()
    }

    /// # Errors
    /// As [`Files::entry`](super::Files::entry) for a path of the selection.
    pub(crate) fn new(tree: &Arc<Tree>, selection: &Selection) -> Result<Selected> {
        let mut parts = Vec::new();
        match selection.only_paths() {
            Some(paths) => {
                for path in paths {
                    parts.push(Part::new(tree, path)?);
                }
                // The chunks are fetched in the order of the archive.
                parts.sort_by_key(|part| std::cmp::Reverse(part.starts.first().copied()));
            }
            None => {
                for path in selection.paths() {
                    tree.lookup(path)?;
                }
                parts.push(Part {
                    around: Vec::new(),
                    above: PathBuf::new(),
                    starts: vec![0],
                });
            }
        }
        Ok(Selected {
            tree: Arc::clone(tree),
            selection: selection.clone(),
            parts,
            walk: None,
            open: Vec::new(),
            ready: VecDeque::new(),
            ready_len: 0,
            // In an archive that is not split, the files come with their entries.
            ahead: if tree.is_split() { ENTRIES_AHEAD } else { 1 },
            outcome: None,
            payload_len: 0,
            prefetched: 0,
            unmatched: selection.including().cloned().collect(),
            salvages: false,
            lost: Vec::new(),
        })
    }

    /// Goes on after chunks that are missing, corrupt or unreadable: the tables of the directories
    /// around them lead to the entries behind them.
    pub(crate) fn salvaging(mut self, yes: bool) -> Selected {
        self.salvages = yes;
        self
    }

    /// The directories of which entries were lost since the last call, and the links to lost files,
    /// each with the reason.
    pub(crate) fn take_lost(&mut self) -> Vec<(PathBuf, Error)> {
        std::mem::take(&mut self.lost)
    }

    /// The patterns of what is taken that have matched no entry so far.
    pub(crate) fn take_unmatched(&mut self) -> Vec<Pattern> {
        std::mem::take(&mut self.unmatched)
    }

    /// The next entry; `None` after the last one.
    pub(crate) fn next_entry(&mut self) -> Result<Option<FileEntry>> {
        while self.is_ahead_too_little() && self.outcome.is_none() {
            match self.advance() {
                Ok(true) => {}
                Ok(false) => self.outcome = Some(None),
                Err(error) => self.outcome = Some(Some(error)),
            }
        }
        let next = self.ready.pop_front();
        let len = next.as_ref().map_or(0, len_of);
        self.ready_len = self.ready_len.saturating_sub(len);
        match (next, &self.outcome) {
            (None, Some(Some(error))) => Err(error.clone()),
            (entry, _) => Ok(entry),
        }
    }

    fn is_ahead_too_little(&self) -> bool {
        self.ready.is_empty() || (self.ready.len() < self.ahead && self.ready_len < LEN_AHEAD_MAX)
    }

    /// Walks to the next entry, whether it is taken or not; `false` after the last one.
    fn advance(&mut self) -> Result<bool> {
        let next = match self.walk.as_mut().and_then(Iterator::next).transpose() {
            Err(error) if self.salvages && error.scope() == Some(Scope::Chunk) => {
                self.step_over(error)?;
                return Ok(true);
            }
            next => next?,
        };
        if let Some(entry) = next {
            let is_directory = is_directory(&entry);
            self.unmatched
                .retain(|pattern| !pattern.matches(&entry.path, is_directory));
            self.leave_directories(&entry.path);
            let is_directory_taken = self.open.last().is_some_and(|open| open.is_taken);
            let is_taken = self.selection.is_all()
                || (self.selection).takes(&entry.path, is_directory, is_directory_taken);
            if is_taken {
                self.count_payload(&entry)?;
            }
            self.enter(entry, is_directory, is_taken);
            return Ok(true);
        }
        let Some(part) = self.parts.last_mut() else {
            return Ok(false);
        };
        let Some(start) = part.starts.pop() else {
            self.parts.pop();
            return Ok(true);
        };
        let (around, above) = (std::mem::take(&mut part.around), part.above.clone());
        // The directories that are left are those around the part, as far as they were entered.
        self.leave_directories(&above);
        for directory in around.into_iter().skip(self.open.len()) {
            self.enter(directory, true, false);
        }
        let tree = Arc::clone(&self.tree);
        self.walk = Some(match start {
            0 => Walk::new(tree),
            start => Walk::at(tree, above, start),
        });
        Ok(true)
    }

    /// The bytes of a file, if it was the last entry of the walk and all of them are in memory
    /// already.
    pub(crate) fn content_at_hand(&self, entry: &FileEntry) -> Option<&[u8]> {
        let walk = self.walk.as_ref()?;
        let is_last = walk.last_offset() == entry.node.offset();
        walk.payload_at_hand().filter(|_| is_last)
    }

    /// The file that a hard link is another name of; `None` if it is lost.
    pub(crate) fn resolve(&mut self, link: &FileEntry) -> Result<Option<Entry>> {
        match self.tree.resolve(link) {
            Err(error) if self.salvages && error.scope() == Some(Scope::Chunk) => {
                self.lost.push((link.path.clone(), error));
                Ok(None)
            }
            file => file.map(Some),
        }
    }

    /// The bytes of a regular file, or of the file that a hard link leads to.
    pub(crate) fn content(&self, entry: &FileEntry) -> Result<FileReader> {
        match self.salvages {
            true => self.tree.content_for_salvage(entry),
            false => self.tree.content(entry),
        }
    }

    /// Goes on behind the chunk that the walk could not read, in each directory around it.
    fn step_over(&mut self, error: Error) -> Result<()> {
        let Some(walk) = self.walk.take() else {
            return Err(error);
        };
        let lost = walk.last_offset()..self.tree.reader().chunk_end(walk.position());
        let open = self.open.iter().map(|open| &open.entry.path);
        let around: Vec<PathBuf> = open.filter(|path| walk.holds(path)).cloned().collect();
        if around.is_empty() {
            self.lost.push((walk.above().to_owned(), error.clone()));
        }
        // The innermost directory comes first, so its entries are pushed last.
        for directory in around {
            let mut starts = match list::starts_behind(&self.tree, &directory, lost.start) {
                // The table of the directory is lost as well.
                Err(error) if error.scope() == Some(Scope::Chunk) => {
                    self.lost.push((directory, error));
                    continue;
                }
                starts => starts?,
            };
            let lost_entries = starts.partition_point(|start| *start < lost.end);
            if lost_entries > 0 {
                self.lost.push((directory.clone(), error.clone()));
            }
            starts.drain(..lost_entries);
            starts.reverse();
            self.parts.push(Part {
                around: Vec::new(),
                above: directory,
                starts,
            });
            self.check_parts()?;
        }
        Ok(())
    }

    /// Bounds the memory for what is still to be walked over, as for the directories that a decoder
    /// is in.
    fn check_parts(&self) -> Result<()> {
        let limit = self.tree.limits().open_entries;
        let entries: usize = self.parts.iter().map(|part| part.starts.len()).sum();
        match (entries > limit, self.parts.last()) {
            (true, Some(part)) => {
                let offset = part.starts.last().copied().unwrap_or_default();
                let path = part.above.as_os_str().as_bytes();
                let problem = Problem::TooManyEntries { limit };
                Err(self.tree.corrupt(problem, offset, path))
            }
            _ => Ok(()),
        }
    }

    /// Refuses a payload archive of which the files take more than it has: payloads may come in any
    /// order, and a small archive could otherwise fill any disk.
    fn count_payload(&mut self, entry: &FileEntry) -> Result<()> {
        if let Node::Entry(file) = &entry.node
            && let EntryKind::File(payload) = file.kind
            && let Some(payloads) = self.tree.payloads().filter(|_| payload.is_split)
        {
            self.payload_len = self.payload_len.saturating_add(payload.len);
            if self.payload_len > payloads.len() {
                let path = entry.path.as_os_str().as_bytes();
                let problem = Problem::PayloadShared;
                return Err(self.tree.corrupt(problem, file.offset, path));
            }
        }
        Ok(())
    }

    /// Asks for the chunks of a file in the payload archive that will be read soon.
    fn prefetch(&mut self, entry: &FileEntry) {
        let Node::Entry(entry) = &entry.node else {
            return;
        };
        if let EntryKind::File(payload) = entry.kind
            && let Some(payloads) = self.tree.payloads().filter(|_| payload.is_split)
        {
            let begin = payload.offset.saturating_sub(HEADER_LEN);
            let begin = begin.max(self.prefetched);
            let end = payload.offset + payload.len.min(PREFETCH_LEN_MAX);
            if begin < end {
                payloads.prefetch(begin..end);
                self.prefetched = payloads.chunk_end(end - 1);
            }
        }
    }

    fn leave_directories(&mut self, path: &Path) {
        while self
            .open
            .last()
            .is_some_and(|open| !path.starts_with(&open.entry.path))
        {
            self.open.pop();
        }
    }

    fn enter(&mut self, entry: FileEntry, is_directory: bool, is_taken: bool) {
        // The root stands for the folder that everything goes to.
        let is_out = is_taken || entry.path.as_os_str().is_empty();
        if is_out {
            for directory in self.open.iter_mut().filter(|open| !open.is_out) {
                directory.is_out = true;
                self.ready_len = self.ready_len.saturating_add(len_of(&directory.entry));
                self.ready.push_back(directory.entry.clone());
            }
            self.prefetch(&entry);
            self.ready_len = self.ready_len.saturating_add(len_of(&entry));
            self.ready.push_back(entry.clone());
        }
        if is_directory {
            self.open.push(OpenDirectory {
                entry,
                is_taken,
                is_out,
            });
        }
    }
}

impl Part {
    fn new(tree: &Arc<Tree>, path: &Path) -> Result<Part> {
        let (entry, _) = tree.lookup(path)?;
        let mut around = Vec::new();
        for directory in path.ancestors().skip(1) {
            around.push(tree.lookup(directory)?.0);
        }
        around.reverse();
        let above = path.parent().unwrap_or(Path::new("")).to_owned();
        let is_root = path.as_os_str().is_empty();
        Ok(Part {
            around,
            above,
            starts: vec![if is_root { 0 } else { entry.node.offset() }],
        })
    }
}

/// The length of an entry's bytes and extended attributes.
fn len_of(entry: &FileEntry) -> u64 {
    let Node::Entry(entry) = &entry.node else {
        return 0;
    };
    let attributes_len = entry.metadata.attributes_len();
    match entry.kind {
        EntryKind::File(payload) => attributes_len.saturating_add(payload.len),
        _ => attributes_len,
    }
}

fn is_directory(entry: &FileEntry) -> bool {
    matches!(&entry.node, Node::Entry(entry) if entry.is_directory())
}
