//! The folders of groups and snapshots, by the names that they have, or were given by a tool that could not keep a ':'. Knows
//! nothing of what is in the files.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::backend::directory::{at, links};
use crate::backend::{FetchError, SnapshotInfo};
use crate::format::name::{BackupType, GroupName, Namespace, SnapshotName};

/// The manifest's file: a snapshot that has none is unfinished.
const MANIFEST: &str = "index.json.blob";

/// The file that tells that a snapshot is not to be pruned.
const PROTECTED: &str = ".protected";

const TYPES: [BackupType; 3] = [BackupType::Vm, BackupType::Ct, BackupType::Host];

/// What was found in a folder, and what in it is passed over, and why.
pub(super) struct Found<T> {
    pub(super) found: Vec<T>,
    pub(super) passed_over: Vec<String>,
}

/// The groups in the folder of a namespace, which must exist.
pub(super) fn groups(namespace: &Path) -> Result<Found<GroupName>, FetchError> {
    fs::metadata(namespace).map_err(|error| at(namespace, error))?;
    let mut groups = Found::none();
    for backup_type in TYPES {
        let folder = namespace.join(backup_type.to_string());
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

/// The snapshots in the folder of a group.
pub(super) fn snapshots(
    folder: &Path,
    group: &GroupName,
) -> Result<Found<SnapshotInfo>, FetchError> {
    let mut snapshots: Found<SnapshotInfo> = Found::none();
    for name in sorted(names_in(folder)?, group) {
        let path = folder.join(&name);
        let named = name.to_str().and_then(|name| snapshot_named(group, name));
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
                let manifest = path.join(MANIFEST);
                // Behind a link that leads nowhere may be a manifest. Were the snapshot unfinished, an older one would be taken
                // for the last of its group.
                let is_finished = exists(&manifest)? || links::check(&manifest).is_err();
                let mut info = SnapshotInfo::new(name, is_finished);
                info.is_protected = Some(exists(&path.join(PROTECTED))?);
                Some(info)
            }
            None => None,
        };
        snapshots.take(folder, name, info, "its name is not the time of a snapshot");
    }
    Ok(snapshots)
}

/// The namespaces in the folder of a namespace, which must exist.
pub(super) fn namespaces(
    folder: &Path,
    parent: &Namespace,
) -> Result<Found<Namespace>, FetchError> {
    fs::metadata(folder).map_err(|error| at(folder, error))?;
    let folder = folder.join("ns");
    let mut namespaces = Found::none();
    for name in names_in(&folder)? {
        let child = name.to_str().and_then(|name| parent.child(name).ok());
        namespaces.take(&folder, name, child, "its name is not that of a namespace");
    }
    Ok(namespaces)
}

/// The folder of a snapshot, below that of its group.
pub(super) fn snapshot_folder(group: &Path, name: &SnapshotName) -> Result<PathBuf, FetchError> {
    let folder = group.join(name.time_text());
    if exists(&folder)? {
        return Ok(folder);
    }
    let names = sorted(names_in(group)?, name.group()).into_iter();
    let is_named = |other: &OsString| {
        let other = other
            .to_str()
            .and_then(|other| snapshot_named(name.group(), other));
        other.as_ref() == Some(name)
    };
    let found = names.into_iter().find(is_named);
    found
        .map(|name| group.join(name))
        .ok_or(FetchError::Missing)
}

impl<T> Found<T> {
    fn none() -> Found<T> {
        Found {
            found: Vec::new(),
            passed_over: Vec::new(),
        }
    }

    /// Takes what a name means. A folder whose name means nothing is noted, unless it is hidden; files are not, such as
    /// `owner`.
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

/// Those first that are spelt as they should be, and each time in the same order.
fn sorted(mut names: Vec<OsString>, group: &GroupName) -> Vec<OsString> {
    let is_odd = |name: &OsString| {
        let snapshot = name.to_str().map(|name| format!("{group}/{name}"));
        snapshot.is_none_or(|name| name.parse::<SnapshotName>().is_err())
    };
    names.sort_by_cached_key(|name| (is_odd(name), name.clone()));
    names
}

/// The snapshot whose folder has this name, also where a tool put something else in place of each ':', or nothing. Whether it
/// is that one its manifest says.
fn snapshot_named(group: &GroupName, name: &str) -> Option<SnapshotName> {
    let name = name.replace("%3A", ":").replace("%3a", ":");
    let (date, time) = name.split_once('T')?;
    let mut rest = time.strip_suffix('Z')?;
    let mut parts = [""; 3];
    for (number, part) in parts.iter_mut().enumerate() {
        if number > 0 {
            let replaced = rest.chars().next().filter(|c| !c.is_ascii_alphanumeric());
            rest = &rest[replaced.map_or(0, char::len_utf8)..];
        }
        (*part, rest) = rest.split_at_checked(2)?;
    }
    let [hours, minutes, seconds] = parts;
    let name = format!("{group}/{date}T{hours}:{minutes}:{seconds}Z{rest}");
    name.parse().ok()
}

/// Whether something of this name exists.
fn exists(path: &Path) -> Result<bool, FetchError> {
    match fs::metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if is_absence(&error) => Ok(false),
        Err(error) => Err(at(path, error)),
    }
}

/// Nothing of that name is there, or what is above it is no folder.
fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// The names in a folder; none where there is no such folder. A link in its place that leads nowhere is an error.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshots_folder_is_known_whatever_became_of_its_colons() {
        let group: GroupName = "vm/100".parse().expect("it is the name of a group");
        for name in [
            "2026-11-23T10:00:05Z",
            "2026-11-23T10\u{ff1a}00\u{ff1a}05Z",
            "2026-11-23T10_00_05Z",
            "2026-11-23T10-00-05Z",
            "2026-11-23T10.00.05Z",
            "2026-11-23T10%3A00%3a05Z",
            "2026-11-23T10\u{f03a}00\u{f03a}05Z",
            "2026-11-23T100005Z",
        ] {
            let found = snapshot_named(&group, name).map(|found| found.to_string());
            assert_eq!(
                found.as_deref(),
                Some("vm/100/2026-11-23T10:00:05Z"),
                "{name}"
            );
        }
        for name in [
            "2026-11-23",
            "2026-11-23T10:00:05",
            "2026-11-23T10h00m05Z",
            "2026-11-23T10__00__05Z",
            "2026-11-23T10_00_05Z (1)",
            "2026-11-23T10_00_05Z.bak",
            "2026-11-23T10_00_05_00Z",
            "2026-11-23T25_00_05Z",
            "2026-13-23T10_00_05Z",
            "TZ",
            "T\u{ff1a}Z",
            "",
        ] {
            assert_eq!(snapshot_named(&group, name), None, "{name}");
        }
    }
}
