//! One extraction: takes the entries in the order of the archive, and makes them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::{FileType, Stat, fsync, syncfs};
use rustix::io::Errno;

use crate::error::{Error, ErrorKind, Result};
use crate::files::extract::Extract;
use crate::files::extract::attributes::Attributes;
use crate::files::extract::content::{PIECE_LEN, Piece, Pieces};
use crate::files::extract::failure::{entries_lost, exists, not_made};
use crate::files::extract::folders::Folder;
use crate::files::extract::make::{
    self, FileRequest, MakeError, OVERWRITE_FILES, OVERWRITE_HARD_LINKS, OVERWRITE_SYMLINKS, Place,
    REPLACES_NOTHING,
};
use crate::files::extract::new_file::Naming;
use crate::files::extract::pending::{PendingDirectory, Sealing, note};
use crate::files::extract::pool::{Common, Pool, SmallFile, with_pool};
use crate::files::extract::report::{ExtractReport, FileDamage, LeftOut};
use crate::files::extract::unfinished::{UNFINISHED, Unfinished};
use crate::files::pxar::{Entry, EntryKind, HardLink, Mtime};
use crate::files::selected::Selected;
use crate::files::taken::TakenFiles;
use crate::files::tree::Tree;
use crate::files::{FileEntry, FileReader, Node};

/// Files up to this length are made by the threads of the pool.
const SMALL_LEN_MAX: u64 = 256 << 10;

/// How much is made before it becomes durable and gets its times: bytes, files, and how long it
/// takes to make them.
const BATCH_LEN: u64 = 256 << 20;
const BATCH_FILES: u64 = 20_000;
const BATCH_TIME: Duration = Duration::from_secs(30);

/// How many directories are held open at most. Deeper ones are opened again when they are needed.
const OPEN_DIRECTORIES_MAX: usize = 64;

/// An extraction that is under way.
pub(super) struct Extraction<'a> {
    options: &'a Extract,
    begun: Instant,
    tree: &'a Arc<Tree>,
    target: Folder,
    unfinished: &'a Unfinished,
    common: &'a Common,
    pool: &'a Pool<'a>,
    selected: Selected,
    levels: Vec<Level>,
    directories: Vec<PendingDirectory>,
    taken: TakenFiles,
    /// The file systems that entries were made on, each with a directory on it.
    file_systems: BTreeMap<u64, Folder>,
    batch: Batch,
    /// A directory that could not be made: nothing in it is.
    skipped: Option<PathBuf>,
    damage: Vec<FileDamage>,
    buffer: Vec<u8>,
}

/// A directory that entries are being made in.
struct Level {
    path: PathBuf,
    entry: Entry,
    /// `None` while too many other directories are open.
    folder: Option<Folder>,
}

/// What was made since the data became durable.
struct Batch {
    bytes: u64,
    files: u64,
    begun: Instant,
}

impl Batch {
    fn new() -> Batch {
        Batch {
            bytes: 0,
            files: 0,
            begun: Instant::now(),
        }
    }

    fn is_full(&self) -> bool {
        let is_late = self.files > 0 && self.begun.elapsed() >= BATCH_TIME;
        is_late || self.bytes >= BATCH_LEN || self.files >= BATCH_FILES
    }
}

impl<'a> Extraction<'a> {
    pub(super) fn run(
        options: &Extract,
        tree: &Arc<Tree>,
        folder: &Path,
        observer: &mut dyn FnMut(&ExtractReport),
    ) -> Result<ExtractReport> {
        let begun = Instant::now();
        // A path that the archive doesn't have fails before anything is made.
        let selected = Selected::new(tree, &options.selection)?.salvaging(options.salvage);
        let target = Folder::target(folder).map_err(|error| {
            let message = format!("the folder {} can't be made or opened", folder.display());
            Error::new(ErrorKind::Target, message).because(std::io::Error::from(error))
        })?;
        let unfinished = Unfinished::begin(target.as_fd(), folder, &tree.identity())?;
        let temporaries = temporaries(tree);
        let naming = Naming::of(target.as_fd(), &format!("{temporaries}-0"));
        let common = Common::new(Attributes::new(options.wanted), naming, temporaries);
        let extracted = with_pool(&common, |pool| {
            let mut extraction = Extraction {
                options,
                begun,
                tree,
                target: target.clone(),
                unfinished: &unfinished,
                common: &common,
                pool,
                selected,
                levels: Vec::new(),
                directories: Vec::new(),
                taken: TakenFiles::default(),
                file_systems: BTreeMap::new(),
                batch: Batch::new(),
                skipped: None,
                damage: Vec::new(),
                buffer: vec![0; PIECE_LEN],
            };
            match extraction.take_all(observer) {
                Ok(()) => extraction.end(),
                Err(error) => {
                    // What is whole gets its time, so that the next extraction keeps it. Only the
                    // first error matters.
                    let _ = extraction.seal();
                    Err(error)
                }
            }
        });
        let root = extracted?;
        let mut report = std::mem::take(&mut common.done.lock().report);
        // Where nothing was made, there is nothing to go on with.
        let has_begun = report.files > 0 || report.directories > 1;
        if report.is_complete() || (unfinished.is_new() && !has_begun) {
            unfinished.end(target.as_fd()).map_err(|error| {
                let message = format!("{} can't be removed", folder.join(UNFINISHED).display());
                Error::new(ErrorKind::Target, message).because(std::io::Error::from(error))
            })?;
        }
        // A folder of the user's that takes a part of an archive is still their folder.
        let is_root = target.is_new || options.selection.is_all();
        // Everything before this changes the time of the folder.
        if let Some(root) = root.filter(|_| is_root) {
            Sealing::new(&target, &common.attributes).directory(&root, &mut report);
        }
        let _ = fsync(target.as_fd());
        report.elapsed = begun.elapsed();
        observer(&report);
        Ok(report)
    }

    fn take_all(&mut self, observer: &mut dyn FnMut(&ExtractReport)) -> Result<()> {
        while let Some(entry) = self.selected.next_entry()? {
            self.tree.check_cancelled()?;
            self.leave_directories(&entry.path);
            if self
                .skipped
                .as_ref()
                .is_some_and(|skipped| entry.path.starts_with(skipped))
            {
                continue;
            }
            self.skipped = None;
            let made = self.take(&entry, observer)?;
            let lost = self.selected.take_lost();
            let mut done = self.common.done.lock();
            for (directory, error) in lost {
                done.report
                    .fail(&directory, entries_lost(error, &directory));
            }
            match made {
                Ok(()) => {}
                Err(MakeError::Entry(error)) => {
                    done.report.fail(&entry.path, error);
                    if is_directory(&entry) {
                        self.skipped = Some(entry.path.clone());
                    }
                }
                Err(MakeError::Everything(error)) => return Err(error),
            }
            if let Some(error) = done.fatal.take() {
                return Err(error);
            }
            done.report.damage.append(&mut self.damage);
            done.report.elapsed = self.begun.elapsed();
            observer(&done.report);
            drop(done);
            if self.batch.is_full() {
                self.seal()?;
            }
        }
        for (directory, error) in self.selected.take_lost() {
            let error = entries_lost(error, &directory);
            self.common.done.lock().report.fail(&directory, error);
        }
        Ok(())
    }

    /// Gives everything its times, and makes them durable too. Returns the target folder, which
    /// lacks its time.
    fn end(&mut self) -> Result<Option<PendingDirectory>> {
        while let Some(level) = self.levels.pop() {
            self.leave(level);
        }
        self.common.done.lock().report.unmatched = self.selected.take_unmatched();
        let root = self.directories.pop();
        self.seal()?;
        self.sync()?;
        Ok(root)
    }

    /// Makes an entry. An error of the outer result comes from the archive.
    fn take(
        &mut self,
        entry: &FileEntry,
        observer: &mut dyn FnMut(&ExtractReport),
    ) -> Result<Result<(), MakeError>> {
        if entry.path.as_os_str() == UNFINISHED {
            let error = exists(&entry.path, "the extraction needs this name itself");
            return Ok(Err(MakeError::Entry(error)));
        }
        match &entry.node {
            Node::Entry(node) => match &node.kind {
                EntryKind::Directory => Ok(self.directory(entry, node)),
                EntryKind::File(_) => self.file(entry, node, node.offset, observer),
                EntryKind::Symlink(target) => Ok(self.symlink(entry, node, target)),
                _ => Ok(self.special(entry, node)),
            },
            Node::HardLink(link) => self.hard_link(entry, link, observer),
        }
    }

    fn directory(&mut self, entry: &FileEntry, node: &Entry) -> Result<(), MakeError> {
        let folder = if entry.path.as_os_str().is_empty() {
            self.target.clone()
        } else {
            let name = entry.path.file_name().unwrap_or_default();
            let around = self.folder_around(&entry.path)?;
            let not_made = |error| {
                self.place(&around, &entry.path, false, DIRECTORIES)
                    .not_made(error)
            };
            match around.make(name) {
                Ok(folder) => folder,
                Err(Errno::EXIST)
                    if self.options.allows_existing_directories
                        || self.unfinished.is_own(&entry.path) =>
                {
                    around.open(name).map_err(|error| match error {
                        Errno::NOTDIR | Errno::LOOP => {
                            MakeError::Entry(exists(&entry.path, "it is no directory"))
                        }
                        error => not_made(error),
                    })?
                }
                Err(error) => return Err(not_made(error)),
            }
        };
        if !folder.is_new {
            let device = folder
                .device()
                .map_err(|error| entry_error(error, &entry.path))?;
            (self.file_systems)
                .entry(device)
                .or_insert_with(|| folder.clone());
        }
        if self.levels.is_empty() {
            let device = folder
                .device()
                .map_err(|error| entry_error(error, &entry.path))?;
            self.file_systems.insert(device, folder.clone());
        }
        self.common.done.lock().report.directories += 1;
        // A level as deep as this one closes another one.
        if let Some(far) = self.levels.len().checked_sub(OPEN_DIRECTORIES_MAX) {
            self.levels[far].folder = None;
        }
        self.levels.push(Level {
            path: entry.path.clone(),
            entry: node.clone(),
            folder: Some(folder),
        });
        Ok(())
    }

    fn file(
        &mut self,
        entry: &FileEntry,
        file: &Entry,
        offset: u64,
        observer: &mut dyn FnMut(&ExtractReport),
    ) -> Result<Result<(), MakeError>> {
        let EntryKind::File(payload) = file.kind else {
            return Ok(Ok(()));
        };
        let folder = match self.folder_around(&entry.path) {
            Ok(folder) => folder,
            Err(error) => return Ok(Err(error)),
        };
        let replaces = self.options.overwrite.files || self.unfinished.is_own(&entry.path);
        let place = self.place(&folder, &entry.path, replaces, OVERWRITE_FILES);
        let found = match place.look() {
            Ok(found) => found,
            Err(error) => return Ok(Err(error)),
        };
        if let Some(found) = &found {
            if self.is_whole(found, file, payload.len, &place, entry)? {
                let report = &mut self.common.done.lock().report;
                report.kept += 1;
                report.kept_bytes += payload.len;
                self.taken.push_any(file.offset, offset, &entry.path);
                return Ok(Ok(()));
            }
            if let Err(error) = place.check_replaces(found) {
                return Ok(Err(error));
            }
        }
        self.taken.push_any(file.offset, offset, &entry.path);
        self.batch.files += 1;
        self.batch.bytes += payload.len + entry.path.as_os_str().len() as u64;
        let request = FileRequest {
            name: entry.path.file_name().unwrap_or_default().to_owned(),
            folder,
            path: entry.path.clone(),
            metadata: file.metadata.clone(),
            temporary: format!("{}-{offset:x}", self.common.temporaries),
            // What comes there later may be another entry.
            replaces: replaces && found.is_some(),
        };
        if payload.len + file.metadata.attributes_len() <= SMALL_LEN_MAX {
            self.small_file(entry, request)?;
            return Ok(Ok(()));
        }
        self.large_file(entry, request, observer)
    }

    /// Has a file made by the threads of the pool.
    fn small_file(&mut self, entry: &FileEntry, request: FileRequest) -> Result<()> {
        let damaged = self.damage.len();
        let content = match self.selected.content_at_hand(entry) {
            Some(content) => content.to_vec(),
            _ => {
                let reader = self.selected.content(entry)?;
                let mut content = Vec::with_capacity(reader.len() as usize);
                let mut pieces = Pieces::new(&reader, &entry.path, self.options.salvage);
                while let Some(piece) = pieces.next(&mut self.buffer, &mut self.damage)? {
                    match piece {
                        Piece::Data(data) => content.extend_from_slice(data),
                        Piece::Lost(len) => content.resize(content.len() + len as usize, 0),
                    }
                }
                content
            }
        };
        self.pool.make(SmallFile {
            request,
            content,
            is_damaged: self.damage.len() > damaged,
        });
        Ok(())
    }

    fn large_file(
        &mut self,
        entry: &FileEntry,
        request: FileRequest,
        observer: &mut dyn FnMut(&ExtractReport),
    ) -> Result<Result<(), MakeError>> {
        let reader = self.selected.content(entry)?;
        let mut file = match request.create(self.common.naming) {
            Ok(file) => file,
            Err(error) => return Ok(Err(error)),
        };
        let damaged = self.damage.len();
        let mut pieces = Pieces::new(&reader, &entry.path, self.options.salvage);
        let mut position = 0;
        while let Some(piece) = pieces.next(&mut self.buffer, &mut self.damage)? {
            self.tree.check_cancelled()?;
            let (len, written) = match piece {
                Piece::Data(data) => (data.len() as u64, file.write(data)),
                Piece::Lost(len) => {
                    file.skip(len);
                    (len, Ok(()))
                }
            };
            if let Err(error) = written {
                return Ok(Err(request.place().not_made(error)));
            }
            position += len;
            // The bytes of a file count for good only when it has its name.
            let report = &mut self.common.done.lock().report;
            report.bytes += position;
            report.elapsed = self.begun.elapsed();
            observer(report);
            report.bytes -= position;
        }
        let mut left_out = Vec::new();
        let made = request.finish(file, &self.common.attributes, &mut left_out);
        let is_damaged = self.damage.len() > damaged;
        (self.common).settle(request, reader.len(), is_damaged, made, left_out);
        Ok(Ok(()))
    }

    /// Whether a file that is there is the archive's: by its length and time, or by its bytes.
    fn is_whole(
        &mut self,
        found: &Stat,
        file: &Entry,
        len: u64,
        place: &Place<'_>,
        entry: &FileEntry,
    ) -> Result<bool> {
        let is_file = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile;
        let has_len = u64::try_from(found.st_size).is_ok_and(|found| found == len);
        if !is_file || !has_len || !has_time(found, file.metadata.mtime) {
            return Ok(false);
        }
        if !self.options.verify {
            return Ok(true);
        }
        let reader = self.selected.content(entry)?;
        self.has_content(place, &reader)
    }

    fn has_content(&mut self, place: &Place<'_>, reader: &FileReader) -> Result<bool> {
        let Ok(found) = place.open() else {
            return Ok(false);
        };
        let mut found_piece = vec![0; PIECE_LEN];
        let mut damage = Vec::new();
        let mut pieces = Pieces::new(reader, place.path, self.options.salvage);
        let mut position = 0;
        while let Some(piece) = pieces.next(&mut self.buffer, &mut damage)? {
            match piece {
                // What the archive has lost can't be compared.
                Piece::Lost(len) => position += len,
                Piece::Data(data) => {
                    let found_piece = &mut found_piece[..data.len()];
                    let read =
                        std::os::unix::fs::FileExt::read_exact_at(&found, found_piece, position);
                    if read.is_err() || *found_piece != *data {
                        return Ok(false);
                    }
                    position += data.len() as u64;
                }
            }
        }
        Ok(true)
    }

    fn symlink(&mut self, entry: &FileEntry, node: &Entry, target: &[u8]) -> Result<(), MakeError> {
        let folder = self.folder_around(&entry.path)?;
        let replaces = self.options.overwrite.symlinks || self.unfinished.is_own(&entry.path);
        let place = self.place(&folder, &entry.path, replaces, OVERWRITE_SYMLINKS);
        let mut left_out = Vec::new();
        let attributes = &self.common.attributes;
        make::symlink(place, target, &node.metadata, attributes, &mut left_out)?;
        let report = &mut self.common.done.lock().report;
        report.symlinks += 1;
        note(report, &entry.path, left_out);
        Ok(())
    }

    fn special(&mut self, entry: &FileEntry, node: &Entry) -> Result<(), MakeError> {
        let is_device = matches!(
            node.kind,
            EntryKind::BlockDevice(_) | EntryKind::CharDevice(_)
        );
        let leave_out = || {
            let report = &mut self.common.done.lock().report;
            report.leave_out(LeftOut::Device, &entry.path);
            Ok(())
        };
        if is_device && !self.options.wanted.special {
            return leave_out();
        }
        let folder = self.folder_around(&entry.path)?;
        let replaces = self.unfinished.is_own(&entry.path);
        let place = self.place(&folder, &entry.path, replaces, REPLACES_NOTHING);
        let mut left_out = Vec::new();
        let attributes = &self.common.attributes;
        match make::special(place, node, attributes, &mut left_out) {
            Err(MakeError::Entry(_))
                if is_device
                    && (self.options.ignores_device_errors || !attributes.is_privileged) =>
            {
                return leave_out();
            }
            made => made?,
        }
        let report = &mut self.common.done.lock().report;
        report.specials += 1;
        note(report, &entry.path, left_out);
        Ok(())
    }

    fn hard_link(
        &mut self,
        entry: &FileEntry,
        link: &HardLink,
        observer: &mut dyn FnMut(&ExtractReport),
    ) -> Result<Result<(), MakeError>> {
        let Some(target) = self.taken.path(link.target) else {
            // The file itself is not taken, so that the first of its links becomes the file.
            let Some(file) = self.selected.resolve(entry)? else {
                return Ok(Ok(()));
            };
            return self.file(entry, &file, link.offset, observer);
        };
        self.common.wait_until_idle();
        Ok(self.link_to(entry, &target))
    }

    fn link_to(&mut self, entry: &FileEntry, target: &Path) -> Result<(), MakeError> {
        let folder = self.folder_around(&entry.path)?;
        let replaces = self.options.overwrite.hard_links || self.unfinished.is_own(&entry.path);
        let place = self.place(&folder, &entry.path, replaces, OVERWRITE_HARD_LINKS);
        let around = target.parent().unwrap_or(Path::new(""));
        let target_folder = match self.levels.last() {
            Some(level) if level.path == around => folder.clone(),
            _ => (self.target.descend(around)).map_err(|error| place.not_made(error))?,
        };
        let name = target.file_name().unwrap_or_default();
        make::hard_link(place, &target_folder, name)?;
        self.common.done.lock().report.hard_links += 1;
        Ok(())
    }

    fn place<'p>(
        &self,
        folder: &'p Folder,
        path: &'p Path,
        replaces: bool,
        advice: &'static str,
    ) -> Place<'p>
    where
        'a: 'p,
    {
        Place {
            folder,
            path,
            replaces,
            advice,
            temporary: &self.common.temporaries,
        }
    }

    /// The directory that a path lies in: the innermost one that is being taken.
    fn folder_around(&mut self, path: &Path) -> Result<Folder, MakeError> {
        let target = &self.target;
        let Some(level) = self.levels.last_mut() else {
            return Err(entry_error(Errno::NOENT, path));
        };
        if let Some(folder) = &level.folder {
            return Ok(folder.clone());
        }
        let opened = target.descend(&level.path);
        let opened = opened.map_err(|error| entry_error(error, path))?;
        Ok(level.folder.insert(opened).clone())
    }

    fn leave_directories(&mut self, path: &Path) {
        while let Some(level) = self.levels.pop_if(|level| !path.starts_with(&level.path)) {
            self.leave(level);
        }
    }

    fn leave(&mut self, level: Level) {
        let path_len = level.path.as_os_str().len() as u64;
        self.batch.files += 1;
        self.batch.bytes += path_len + level.entry.metadata.attributes_len();
        self.directories.push(PendingDirectory {
            path: level.path,
            metadata: level.entry.metadata,
        });
    }

    /// Makes durable what was made, and then gives it its times.
    fn seal(&mut self) -> Result<()> {
        self.common.wait_until_idle();
        self.batch = Batch::new();
        self.sync()?;
        let mut done = self.common.done.lock();
        let mut sealing = Sealing::new(&self.target, &self.common.attributes);
        let files = std::mem::take(&mut done.files);
        for file in &files {
            sealing.file(file, &mut done.report);
        }
        for directory in self.directories.drain(..) {
            sealing.directory(&directory, &mut done.report);
        }
        done.fatal.take().map_or(Ok(()), Err)
    }

    /// Makes durable what was written.
    fn sync(&self) -> Result<()> {
        for folder in self.file_systems.values() {
            syncfs(folder.as_fd()).map_err(|error| {
                let message = "the data that was written can't be made durable";
                Error::new(ErrorKind::Target, message).because(std::io::Error::from(error))
            })?;
        }
        Ok(())
    }
}

/// How the names of files begin that are there only for a moment. The name has a part of the archive's
/// checksum in it, so that no entry of the archive can have such a name, and an extraction that goes
/// on with an earlier one knows what that has left.
fn temporaries(tree: &Tree) -> String {
    let checksum = tree.reader().archive().index().csum().to_string();
    let some = checksum.get(..16).unwrap_or(&checksum);
    format!(".chunk-restore-{some}")
}

const DIRECTORIES: &str = "existing directories are not allowed";

fn entry_error(error: Errno, path: &Path) -> MakeError {
    MakeError::Entry(not_made(error, path))
}

fn is_directory(entry: &FileEntry) -> bool {
    matches!(&entry.node, Node::Entry(entry) if entry.is_directory())
}

/// Whether a file has the time of the archive's, as far as its file system keeps times.
fn has_time(found: &Stat, mtime: Mtime) -> bool {
    let nanos = found.st_mtime_nsec;
    found.st_mtime == mtime.secs && (nanos == u64::from(mtime.nanos) || nanos == 0)
}
