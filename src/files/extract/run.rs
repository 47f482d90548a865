//! One extraction: takes the entries in the order of the archive, and makes them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use rustix::fs::fsync;

use crate::error::{Error, ErrorKind, Result};
use crate::files::extract::Extract;
use crate::files::extract::attributes::Attributes;
use crate::files::extract::durable::Batch;
use crate::files::extract::failure::{entries_lost, exists};
use crate::files::extract::folders::Folder;
use crate::files::extract::levels::Level;
use crate::files::extract::new_file::Naming;
use crate::files::extract::pending::{PendingDirectory, Sealing};
use crate::files::extract::place::MakeError;
use crate::files::extract::pool::{Common, Pool, with_pool};
use crate::files::extract::report::ExtractReport;
use crate::files::extract::times::Times;
use crate::files::extract::unfinished::{UNFINISHED, Unfinished};
use crate::files::omission::FileDamage;
use crate::files::pieces::PIECE_LEN;
use crate::files::pxar::{EntryKind, Mtime};
use crate::files::selected::Selected;
use crate::files::taken::TakenFiles;
use crate::files::tree::Tree;
use crate::files::{FileEntry, Node};

/// An extraction that is under way.
pub(super) struct Extraction<'a> {
    pub(super) options: &'a Extract,
    pub(super) begun: Instant,
    pub(super) tree: &'a Arc<Tree>,
    pub(super) target: Folder,
    pub(super) unfinished: &'a mut Unfinished,
    pub(super) common: &'a Common,
    pub(super) pool: &'a Pool<'a>,
    pub(super) selected: Selected,
    pub(super) levels: Vec<Level>,
    pub(super) directories: Vec<PendingDirectory>,
    pub(super) taken: TakenFiles,
    /// The file systems that entries were made on.
    pub(super) file_systems: BTreeMap<u64, FileSystem>,
    pub(super) batch: Batch,
    /// A directory that could not be made: nothing in it is.
    pub(super) skipped: Option<PathBuf>,
    pub(super) damage: Vec<FileDamage>,
    pub(super) buffer: Vec<u8>,
}

/// A file system that entries are made on.
pub(super) struct FileSystem {
    /// A directory on it.
    pub(super) folder: Folder,
    pub(super) times: Times,
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
        if options.selection.is_all() && options.wanted.permissions {
            // It gets the mode of the archive's root in the end.
            target.let_owner_in();
        }
        let identity = tree.identity();
        let mut unfinished = Unfinished::begin(target.as_fd(), target.is_new, folder, &identity)?;
        if unfinished.has_made_folder() {
            target.let_owner_in();
        }
        let temporaries = temporaries(tree);
        let naming = Naming::of(target.as_fd(), &format!("{temporaries}-0"));
        let attributes = Attributes::new(options.wanted);
        let common = Common::new(attributes, naming, temporaries, not_durable(tree));
        let extracted = with_pool(&common, |pool| {
            let mut extraction = Extraction {
                options,
                begun,
                tree,
                target: target.clone(),
                unfinished: &mut unfinished,
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
        let mut report = finish(options, &target, folder, unfinished, root, &common)?;
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
            let made = self.take(&entry, observer);
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

    /// Makes an entry.
    fn take(
        &mut self,
        entry: &FileEntry,
        observer: &mut dyn FnMut(&ExtractReport),
    ) -> Result<(), MakeError> {
        if entry.path.as_os_str() == UNFINISHED {
            let error = exists(&entry.path, "the extraction needs this name itself");
            return Err(MakeError::Entry(error));
        }
        match &entry.node {
            Node::Entry(node) => match &node.kind {
                EntryKind::Directory => self.directory(entry, node),
                EntryKind::File(_) => self.file(entry, node, node.offset, observer),
                EntryKind::Symlink(target) => self.symlink(entry, node, target),
                _ => self.special(entry, node),
            },
            Node::HardLink(link) => self.hard_link(entry, link, observer),
        }
    }
}

/// Takes the mark away if the target is complete, and gives the target folder the properties of the
/// `root`.
fn finish(
    options: &Extract,
    target: &Folder,
    folder: &Path,
    unfinished: Unfinished,
    root: Option<PendingDirectory>,
    common: &Common,
) -> Result<ExtractReport> {
    let mut done = common.done.lock();
    let mut report = std::mem::take(&mut done.report);
    // A folder of the user's that takes a part of an archive is still their folder.
    let is_root = unfinished.has_made_folder() || options.selection.is_all();
    // Where nothing was made, there is nothing to go on with.
    let has_begun = done.has_made || report.files > 0;
    if report.is_complete() || (unfinished.is_new() && !has_begun) {
        unfinished.end(target.as_fd()).map_err(|error| {
            let message = format!("{} can't be removed", folder.join(UNFINISHED).display());
            Error::new(ErrorKind::Target, message).because(std::io::Error::from(error))
        })?;
    }
    // Everything before this changes the time of the folder.
    if let Some(root) = root.filter(|_| is_root) {
        Sealing::new(target, &common.attributes).directory(&root, &mut report);
    }
    let _ = fsync(target.as_fd());
    Ok(report)
}

/// The time that a file has where somebody else's may lie, until its data is durable: a time of this
/// archive alone, which no file of the user's has. It lies between 2001 and 2018, in even seconds,
/// so that every file system can keep it.
fn not_durable(tree: &Tree) -> Mtime {
    let checksum = tree.reader().archive().index().csum().to_string();
    let some = checksum
        .get(..7)
        .and_then(|some| u32::from_str_radix(some, 16).ok());
    Mtime {
        secs: 1_000_000_000 + 2 * i64::from(some.unwrap_or_default()),
        nanos: 0,
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

fn is_directory(entry: &FileEntry) -> bool {
    matches!(&entry.node, Node::Entry(entry) if entry.is_directory())
}
