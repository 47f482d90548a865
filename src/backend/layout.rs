//! Where a datastore keeps its manifests, indexes, blobs and chunks, relative to its root: the same in a folder, on a web
//! server and in a bucket, except that in a bucket all but the chunks lie below `.cnt/`.
//!
//! ```text
//! .chunks/0a1b/0a1b2c…                                  a chunk, in a folder named after the first digits of its digest
//! vm/100/owner                                          the user or token that the group vm/100 belongs to
//! vm/100/2026-01-02T03:04:05Z/index.json.blob           the manifest of a snapshot
//! vm/100/2026-01-02T03:04:05Z/drive-scsi0.img.fidx      the index of an archive
//! vm/100/2026-01-02T03:04:05Z/qemu-server.conf.blob     a blob
//! vm/100/2026-01-02T03:04:05Z/.protected                exists if the snapshot must not be pruned
//! ns/team/ns/a/vm/100/…                                 the same in the namespace team/a
//! ```
//!
//! Paths are made of names that their types have checked: letters, digits, `.`, `_` and `-`, and the `:` of a time. None of
//! them is `.` or `..`, a namespace is at most 7 deep, and nothing needs escaping in a path or a URL. All folders end with
//! a slash, and the root is the empty text.

use crate::digest::Digest;
use crate::format::name::{BackupType, GroupName, Namespace, SnapshotName, SnapshotPath};

/// The folder of all chunks.
pub(crate) const CHUNKS: &str = ".chunks";

/// The file of a snapshot that holds its manifest. A snapshot without this file is unfinished.
pub(crate) const MANIFEST: &str = "index.json.blob";

/// The file of a snapshot that holds the log of its backup.
pub(crate) const CLIENT_LOG: &str = "client.log.blob";

/// The file of a snapshot that holds its key, encrypted with the master key. This file is never
/// encrypted with the key itself.
pub(crate) const WRAPPED_KEY: &str = "rsa-encrypted.key.blob";

/// The file that a snapshot has if it must not be pruned.
pub(crate) const PROTECTED: &str = ".protected";

/// The most bytes that are read of a group's `owner` file, which is one line.
pub(crate) const OWNER_LEN_MAX: u64 = 4 << 10;

/// The folder in a bucket that holds all but the chunks.
#[cfg(feature = "s3")]
pub(crate) const S3_CONTENTS: &str = ".cnt/";

/// All types of backup, each of which has a folder in a namespace.
pub(crate) const BACKUP_TYPES: [BackupType; 3] = [BackupType::Vm, BackupType::Ct, BackupType::Host];

/// The path of a chunk.
#[must_use]
pub fn chunk(digest: &Digest) -> String {
    let name = digest.to_string();
    format!("{CHUNKS}/{}/{name}", &name[..4])
}

/// The path of a file of a snapshot, such as `index.json.blob` or `drive-scsi0.img.fidx`.
#[must_use]
pub fn file(snapshot: &SnapshotPath, file: &str) -> String {
    format!("{}{file}", self::snapshot(snapshot))
}

/// The folder of a snapshot.
#[must_use]
pub fn snapshot(snapshot: &SnapshotPath) -> String {
    format!("{}{}/", namespace(&snapshot.namespace), snapshot.snapshot)
}

/// The folder of a group, in which its snapshots and the file of its [`owner`] lie.
#[must_use]
pub fn group(namespace: &Namespace, group: &GroupName) -> String {
    format!("{}{group}/", self::namespace(namespace))
}

/// The path of the file that names the owner of a group.
#[must_use]
pub fn owner(namespace: &Namespace, group: &GroupName) -> String {
    format!("{}owner", self::group(namespace, group))
}

/// The folder of all groups of one type in a namespace.
#[must_use]
pub fn groups(namespace: &Namespace, backup_type: BackupType) -> String {
    format!("{}{backup_type}/", self::namespace(namespace))
}

/// The folder of a namespace.
#[must_use]
pub fn namespace(namespace: &Namespace) -> String {
    let names = namespace.components();
    names.map(|name| format!("ns/{name}/")).collect()
}

/// The folder of the namespaces directly below a namespace.
#[must_use]
pub fn namespaces(parent: &Namespace) -> String {
    format!("{}ns/", namespace(parent))
}

/// The owner that an `owner` file names: its first line.
pub(crate) fn parse_owner(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// Splits a path that is relative to its namespace into the snapshot and the name of the file.
/// `None` if the path is not that of a snapshot's file, such as the `owner` of a group.
#[cfg(feature = "s3")]
pub(crate) fn parse_file(path: &str) -> Option<(SnapshotName, &str)> {
    let (snapshot, file) = path.rsplit_once('/')?;
    Some((snapshot.parse().ok()?, file))
}

/// The snapshot whose folder has this name, also if a tool put something else, or nothing, in place
/// of each ':'. Only the manifest in the folder tells whether it is that snapshot.
pub(crate) fn parse_snapshot_folder(group: &GroupName, name: &str) -> Option<SnapshotName> {
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

/// Whether the folder of a snapshot is spelt as PBS spells it.
pub(crate) fn is_proper_snapshot_folder(group: &GroupName, name: &str) -> bool {
    format!("{group}/{name}").parse::<SnapshotName>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(namespace: &str) -> SnapshotPath {
        SnapshotPath {
            namespace: namespace.parse().expect("it is a namespace"),
            snapshot: "vm/100/2026-01-02T03:04:05Z"
                .parse()
                .expect("it is a snapshot"),
        }
    }

    #[test]
    fn paths_are_those_of_pbs() {
        let root = path("");
        let group = root.snapshot.group().clone();
        assert_eq!(
            file(&root, MANIFEST),
            "vm/100/2026-01-02T03:04:05Z/index.json.blob"
        );
        assert_eq!(owner(&root.namespace, &group), "vm/100/owner");
        assert_eq!(groups(&root.namespace, BackupType::Host), "host/");
        assert_eq!(namespace(&root.namespace), "");
        assert_eq!(namespaces(&root.namespace), "ns/");
        let digest = Digest::from([0xab; 32]);
        assert_eq!(chunk(&digest), format!(".chunks/abab/{digest}"));
    }

    #[test]
    fn namespaces_nest_as_deep_as_pbs_lets_them() {
        let below = path("team/a");
        assert_eq!(
            snapshot(&below),
            "ns/team/ns/a/vm/100/2026-01-02T03:04:05Z/"
        );
        assert_eq!(namespaces(&below.namespace), "ns/team/ns/a/ns/");
        let deepest = path("1/2/3/4/5/6/7").namespace;
        assert_eq!(namespace(&deepest).matches("ns/").count(), 7);
        assert!(deepest.child("8").is_err());
    }

    #[test]
    fn no_name_leads_out_of_its_folder() {
        for name in ["..", ".", "../a", "a/../b", "%2e%2e/a", "a b", "a?b", ""] {
            assert!(GroupName::new(BackupType::Vm, name).is_err(), "{name}");
            assert!(Namespace::default().child(name).is_err(), "{name}");
        }
    }

    #[test]
    fn an_owner_is_one_line() {
        assert_eq!(parse_owner("joe@pbs\nmore\n"), "joe@pbs");
        assert_eq!(parse_owner(""), "");
    }

    #[cfg(feature = "s3")]
    #[test]
    fn only_files_of_snapshots_are_told_from_their_paths() {
        let (name, file) = parse_file("vm/100/2026-01-02T03:04:05Z/a.fidx").expect("it is one");
        assert_eq!((name, file), (path("").snapshot, "a.fidx"));
        for other in ["vm/100/owner", "vm/100/2026/a.fidx", "a.fidx", ""] {
            assert!(parse_file(other).is_none(), "{other}");
        }
    }

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
            let found = parse_snapshot_folder(&group, name).map(|found| found.to_string());
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
            assert_eq!(parse_snapshot_folder(&group, name), None, "{name}");
        }
        assert!(is_proper_snapshot_folder(&group, "2026-11-23T10:00:05Z"));
        assert!(!is_proper_snapshot_folder(&group, "2026-11-23T10_00_05Z"));
    }
}
