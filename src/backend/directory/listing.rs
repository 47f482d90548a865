//! Lists the namespaces, groups and snapshots in a folder by the names of their folders.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::backend::directory::{Directory, at, links};
use crate::backend::{FetchError, SnapshotInfo, layout};
use crate::format::name::{GroupName, Namespace, SnapshotPath};

/// The entries that were found in a folder, and messages about the folders that are passed over.
pub(super) struct Found<T> {
    pub(super) found: Vec<T>,
    pub(super) passed_over: Vec<String>,
}

/// The groups of a namespace, whose folder must exist.
pub(super) fn groups(
    place: &Directory,
    namespace: &Namespace,
) -> Result<Found<GroupName>, FetchError> {
    check_folder(&place.path(&layout::namespace(namespace)))?;
    let mut groups = Found::none();
    for backup_type in layout::BACKUP_TYPES {
        let folder = place.path(&layout::groups(namespace, backup_type));
        for name in names_in(&folder)? {
            // The other groups can still be listed.
            if let Some(why) = links::broken(&folder.join(&name)) {
                groups
                    .passed_over
                    .push(format!("a backup group is passed over: {why}"));
                continue;
            }
            let group = name
                .to_str()
                .and_then(|id| GroupName::new(backup_type, id).ok());
            groups.take(
                &folder,
                name,
                group,
                "its name is not the id of a backup group",
            );
        }
    }
    Ok(groups)
}

/// The snapshots of a group; none if there is no such group.
pub(super) fn snapshots(
    place: &Directory,
    namespace: &Namespace,
    group: &GroupName,
) -> Result<Found<SnapshotInfo>, FetchError> {
    let folder = place.path(&layout::group(namespace, group));
    let mut snapshots: Found<SnapshotInfo> = Found::none();
    for name in sorted(names_in(&folder)?, group) {
        let path = folder.join(&name);
        let named = name
            .to_str()
            .and_then(|name| layout::parse_snapshot_folder(group, name));
        if let Some(named) = &named
            && snapshots.found.iter().any(|found| found.name == *named)
        {
            let path = path.display();
            snapshots.passed_over.push(format!(
                "the folder {path} is passed over: another one has the snapshot {named}"
            ));
            continue;
        }
        let info = match named {
            Some(name) => {
                let manifest = path.join(layout::MANIFEST);
                // A link that leads nowhere may hide a manifest. If the snapshot counted as
                // unfinished, an older one would be taken for the last of its group.
                let is_finished = exists(&manifest)? || links::check(&manifest).is_err();
                let mut info = SnapshotInfo::new(name, is_finished);
                info.is_protected = Some(exists(&path.join(layout::PROTECTED))?);
                Some(info)
            }
            None => None,
        };
        snapshots.take(
            &folder,
            name,
            info,
            "its name is not the time of a snapshot",
        );
    }
    Ok(snapshots)
}

/// The namespaces directly below a namespace, whose folder must exist.
pub(super) fn namespaces(
    place: &Directory,
    parent: &Namespace,
) -> Result<Found<Namespace>, FetchError> {
    check_folder(&place.path(&layout::namespace(parent)))?;
    let folder = place.path(&layout::namespaces(parent));
    let mut namespaces = Found::none();
    for name in names_in(&folder)? {
        let child = name.to_str().and_then(|name| parent.child(name).ok());
        namespaces.take(&folder, name, child, "its name is not that of a namespace");
    }
    Ok(namespaces)
}

/// The folder of a snapshot, also if a tool changed the colons in its name.
pub(super) fn snapshot_folder(
    place: &Directory,
    snapshot: &SnapshotPath,
) -> Result<PathBuf, FetchError> {
    let folder = place.path(&layout::snapshot(snapshot));
    if exists(&folder)? {
        return Ok(folder);
    }
    let group = snapshot.snapshot.group();
    let folder = place.path(&layout::group(&snapshot.namespace, group));
    let is_meant = |name: &OsString| {
        let name = name.to_str();
        let named = name.and_then(|name| layout::parse_snapshot_folder(group, name));
        named.as_ref() == Some(&snapshot.snapshot)
    };
    let mut names = sorted(names_in(&folder)?, group).into_iter();
    let found = names.find(is_meant).ok_or(FetchError::Missing)?;
    Ok(folder.join(found))
}

impl<T> Found<T> {
    fn none() -> Found<T> {
        Found {
            found: Vec::new(),
            passed_over: Vec::new(),
        }
    }

    /// Adds the meaning of a name. A folder whose name means nothing is noted, unless it is hidden.
    /// Files whose name means nothing, such as `owner`, are not noted.
    fn take(&mut self, folder: &Path, name: OsString, meaning: Option<T>, why: &str) {
        let path = folder.join(&name);
        match meaning {
            Some(meaning) => self.found.push(meaning),
            None if !name.as_encoded_bytes().starts_with(b".") && path.is_dir() => {
                let path = path.display();
                let text = format!("the folder {path} is passed over: {why}");
                self.passed_over.push(text);
            }
            None => {}
        }
    }
}

/// Sorts the names: those spelt as PBS spells them come first, and the order is always the same.
fn sorted(mut names: Vec<OsString>, group: &GroupName) -> Vec<OsString> {
    let is_proper = |name: &OsString| {
        (name.to_str()).is_some_and(|name| layout::is_proper_snapshot_folder(group, name))
    };
    names.sort_by_cached_key(|name| (!is_proper(name), name.clone()));
    names
}

fn check_folder(path: &Path) -> Result<(), FetchError> {
    fs::metadata(path)
        .map(drop)
        .map_err(|error| at(path, error))
}

/// Whether a file or folder with this path exists.
fn exists(path: &Path) -> Result<bool, FetchError> {
    match fs::metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if is_absence(&error) => Ok(false),
        Err(error) => Err(at(path, error)),
    }
}

/// Whether an error says that there is no such path, or that its parent is no folder.
fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// The names in a folder; none if there is no such folder. If the folder is a link that leads
/// nowhere, that is an error.
fn names_in(folder: &Path) -> Result<Vec<OsString>, FetchError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => match at(folder, error) {
            FetchError::Missing => return Ok(Vec::new()),
            error => return Err(error),
        },
    };
    let names = entries.map(|entry| Ok(entry?.file_name()));
    names
        .collect::<io::Result<_>>()
        .map_err(|error| at(folder, error))
}
