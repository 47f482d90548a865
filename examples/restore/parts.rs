//! What `restore get` makes of a snapshot: archives and small files become files, and file archives
//! become folders.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use chunk_restore::Snapshot;
use chunk_restore::files::ArchivePart;

use crate::content;
use crate::destination::SIDE_FILES;
use crate::failure::Failure;

/// What the names of indexes of file archives end with.
const INDEX: &str = ".didx";

/// An archive or a small file of a snapshot, and what it is called in the folder.
#[derive(Debug)]
pub(crate) struct Part {
    /// The server's name.
    pub(crate) file: String,
    /// The name that people use.
    pub(crate) archive: String,
    pub(crate) made: Made,
}

/// What is made of a part.
#[derive(Debug)]
pub(crate) enum Made {
    /// A file with the name of the archive.
    File,
    /// A folder of this name, with the files of a file archive.
    Folder(String),
}

impl Part {
    /// What the part is called in the folder.
    pub(crate) fn name(&self) -> &str {
        match &self.made {
            Made::File => &self.archive,
            Made::Folder(name) => name,
        }
    }

    pub(crate) fn path(&self, folder: &Path) -> PathBuf {
        folder.join(self.name())
    }
}

/// The parts that were asked for, each once; all of the snapshot's if none were asked for. With
/// `is_raw`, file archives become files too.
pub(crate) fn select(
    snapshot: &Snapshot,
    asked: &[String],
    is_raw: bool,
) -> Result<Vec<Part>, Failure> {
    let asked: Vec<String> = (asked.iter())
        .map(|name| match split(snapshot, name) {
            Some(metadata) if !is_raw => metadata,
            _ => name.clone(),
        })
        .collect();
    let files = content::select(snapshot, &asked)?;
    let mut seen = HashSet::new();
    let mut parts = Vec::new();
    for file in files {
        let stem = if is_raw { None } else { stem(snapshot, &file) };
        // The metadata stand for a split archive.
        let file = match &stem {
            Some(stem) if !is_whole(&file) => metadata(stem),
            _ => file,
        };
        if seen.insert(file.clone()) {
            parts.push(Part {
                archive: content::name_of(snapshot, &file).to_owned(),
                made: stem.map_or(Made::File, Made::Folder),
                file,
            });
        }
    }
    Ok(parts)
}

/// The server's name of the metadata of a split archive, if `name` is `root.pxar` and the snapshot
/// has `root.mpxar` in its place.
fn split(snapshot: &Snapshot, name: &str) -> Option<String> {
    let manifest = snapshot.manifest();
    let (stem, _) = ArchivePart::of(name).filter(|_| is_whole(name))?;
    let metadata = metadata(stem);
    let is_split = manifest.file(name).is_none() && manifest.file(&metadata).is_some();
    is_split.then_some(metadata)
}

/// The server's name of the metadata of a split archive.
fn metadata(stem: &str) -> String {
    format!("{}{INDEX}", ArchivePart::Metadata.name(stem))
}

/// Whether a name is that of a file archive in one piece.
fn is_whole(archive: &str) -> bool {
    ArchivePart::of(archive).is_some_and(|(_, part)| part == ArchivePart::Whole)
}

/// Whether a name is that of an archive of the snapshot, as people type it.
pub(crate) fn is_archive(snapshot: &Snapshot, name: &str) -> bool {
    snapshot.manifest().file(name).is_some() || split(snapshot, name).is_some()
}

/// The name of a file archive without its ending. Other archives have none, and neither has a half
/// of a split archive without the other half.
fn stem(snapshot: &Snapshot, file: &str) -> Option<String> {
    let (stem, part) = ArchivePart::of(file.strip_suffix(INDEX)?)?;
    let is_listed = |half: &ArchivePart| {
        let name = format!("{}{INDEX}", half.name(stem));
        snapshot.manifest().file(&name).is_some()
    };
    let mut halves = [ArchivePart::Metadata, ArchivePart::Payloads].iter();
    if part != ArchivePart::Whole && !halves.all(is_listed) {
        return None;
    }
    // These would be no names of folders in the folder.
    (!["", ".", ".."].contains(&stem)).then(|| stem.to_owned())
}

/// Refuses parts if one would be written over another, or over a file that is kept next to another
/// while it is restored. This includes archives of the snapshot that are in the folder from an
/// earlier run.
pub(crate) fn check_names(
    snapshot: &Snapshot,
    parts: &[Part],
    folder: &Path,
) -> Result<(), Failure> {
    let mut own: HashMap<&str, &str> = HashMap::new();
    for part in parts {
        if let Some(other) = own.insert(part.name(), &part.archive) {
            let (name, archive) = (part.name(), &part.archive);
            return Err(Failure::refused(format!(
                "{other} and {archive} can't be restored into one folder, where both are called {name}: name one of them, \
                 and restore the other into another folder"
            )));
        }
    }
    let is_kept = |name: &str| {
        let is_listed = |name| snapshot.manifest().file(name).is_some();
        own.contains_key(name) || is_listed(name) && folder.join(name).exists()
    };
    let files = (parts.iter()).filter(|part| matches!(part.made, Made::File));
    for name in files.map(Part::name) {
        let beside = SIDE_FILES.map(|suffix| format!("{name}{suffix}"));
        if let Some(other) = beside.iter().find(|beside| is_kept(beside)) {
            return Err(Failure::refused(format!(
                "{name} and {other} can't be restored into one folder, where {other} may be made for {name}: name one of them, \
                 and restore the other into another folder"
            )));
        }
    }
    Ok(())
}
