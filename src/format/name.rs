//! Names as people type them: of snapshots, groups, namespaces and archives.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;

use crate::error::{Error, ErrorKind, Result};

/// The limits that Proxmox Backup Server sets.
const NAMESPACE_DEPTH: usize = 7;
const NAMESPACE_LEN: usize = 256;
const NAMESPACE_COMPONENT_LEN: usize = 32;
const BACKUP_ID_LEN: usize = 128;
const FILE_NAME_LEN: usize = 255;

/// The last second that jiff can name, a day before the year 10000.
const LAST_SECOND: i64 = 253_402_207_200;

/// What was backed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum BackupType {
    /// A virtual machine, `vm`.
    Vm,
    /// A container, `ct`.
    Ct,
    /// Anything that the backup client saved, `host`.
    Host,
}

impl fmt::Display for BackupType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BackupType::Vm => "vm",
            BackupType::Ct => "ct",
            BackupType::Host => "host",
        })
    }
}

impl FromStr for BackupType {
    type Err = Error;

    /// Reads `vm`, `ct` or `host`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for anything else.
    fn from_str(text: &str) -> Result<BackupType> {
        match text {
            "vm" => Ok(BackupType::Vm),
            "ct" => Ok(BackupType::Ct),
            "host" => Ok(BackupType::Host),
            _ => Err(invalid(text, "a backup type: vm, ct or host")),
        }
    }
}

/// A namespace of a datastore, such as `team/a`. The default is the root namespace, which is
/// written as an empty text.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace(String);

impl Namespace {
    /// Whether this is the root namespace.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The names from the root down to this namespace. The root has none.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|component| !component.is_empty())
    }

    /// The namespace `name` inside this one.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] where `name` is not one component, or the result is too deep or too
    /// long.
    pub fn child(&self, name: &str) -> Result<Namespace> {
        if name.is_empty() || name.contains('/') {
            return Err(invalid(name, "the name of one namespace"));
        }
        if self.is_root() {
            return name.parse();
        }
        format!("{self}/{name}").parse()
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Namespace {
    type Err = Error;

    /// Reads names joined by `/`: at most 7 names of at most 32 letters, digits, `.`, `_` and `-`
    /// each.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for anything else.
    fn from_str(text: &str) -> Result<Namespace> {
        let fits = text.len() <= NAMESPACE_LEN
            && text.split('/').count() <= NAMESPACE_DEPTH
            && text
                .split('/')
                .all(|name| name.len() <= NAMESPACE_COMPONENT_LEN && is_safe(name));
        if text.is_empty() || fits {
            return Ok(Namespace(text.to_owned()));
        }
        Err(invalid(
            text,
            "a namespace: at most 7 names, joined by '/', of at most 32 letters, digits, '.', '_' and '-' each",
        ))
    }
}

/// All backups of one thing, such as `vm/100`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupName {
    backup_type: BackupType,
    id: String,
}

impl GroupName {
    /// The group of all backups of a thing.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for an id that has other characters than letters, digits, `.`, `_`
    /// and `-`, has more than 128 of them, is empty, or begins with `.` or `-`.
    pub fn new(backup_type: BackupType, id: &str) -> Result<GroupName> {
        format!("{backup_type}/{id}").parse()
    }

    /// What was backed up.
    #[must_use]
    pub fn backup_type(&self) -> BackupType {
        self.backup_type
    }

    /// The id of the thing among those of its type: a guest's number, or a host's name.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.backup_type, self.id)
    }
}

impl FromStr for GroupName {
    type Err = Error;

    /// Reads a type and an id joined by `/`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for anything else.
    fn from_str(text: &str) -> Result<GroupName> {
        parse_group(text).ok_or_else(|| invalid(text, "a backup group, such as vm/100"))
    }
}

/// The name of one backup, such as `vm/100/2024-06-10T10:00:00Z`. Names are ordered by group, then
/// by time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotName {
    group: GroupName,
    time: i64,
}

impl SnapshotName {
    /// The backup of `group` that was begun at `time`, in Unix seconds.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] where the time is before 1970 or after the year 9999.
    pub fn new(group: GroupName, time: i64) -> Result<SnapshotName> {
        if !(0..=LAST_SECOND).contains(&time) {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "{time} is not the time of a backup: it is before 1970 or after the year 9999"
                ),
            ));
        }
        Ok(SnapshotName { group, time })
    }

    /// The group that the snapshot belongs to.
    #[must_use]
    pub fn group(&self) -> &GroupName {
        &self.group
    }

    /// When the backup was begun, in Unix seconds.
    #[must_use]
    pub fn time(&self) -> i64 {
        self.time
    }

    /// The time as it stands in the name, such as `2024-06-10T10:00:00Z`.
    #[must_use]
    pub fn time_text(&self) -> String {
        let time = Timestamp::from_second(self.time)
            .expect("the constructor admits only times that have a calendar date");
        time.to_string()
    }
}

impl fmt::Display for SnapshotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.group, self.time_text())
    }
}

impl FromStr for SnapshotName {
    type Err = Error;

    /// Reads a type, an id and a time joined by `/`. The time is in UTC. It must be spelt exactly
    /// as the server spells it, since it is also the name of a folder.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for anything else.
    fn from_str(text: &str) -> Result<SnapshotName> {
        parse_snapshot(text)
            .ok_or_else(|| invalid(text, "a snapshot, such as vm/100/2024-06-10T10:00:00Z"))
    }
}

/// Where a snapshot is in a datastore.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotPath {
    /// The namespace that holds the snapshot.
    pub namespace: Namespace,
    /// The name of the snapshot in that namespace.
    pub snapshot: SnapshotName,
}

impl fmt::Display for SnapshotPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.snapshot)?;
        if self.namespace.is_root() {
            return Ok(());
        }
        write!(f, " in namespace {}", self.namespace)
    }
}

/// The name that people type for a file of a snapshot: `drive-scsi0.img` for
/// `drive-scsi0.img.fidx`. `None` where `file` is not a name that a file of a snapshot may have;
/// this is checked because the name becomes part of a path.
pub(crate) fn archive_name(file: &str) -> Option<&str> {
    if file.len() > FILE_NAME_LEN || !is_safe(file) {
        return None;
    }
    [".fidx", ".didx", ".blob"]
        .into_iter()
        .find_map(|suffix| file.strip_suffix(suffix))
        .filter(|name| !name.is_empty())
}

fn parse_group(text: &str) -> Option<GroupName> {
    let (backup_type, id) = text.split_once('/')?;
    if id.len() > BACKUP_ID_LEN || !is_safe(id) {
        return None;
    }
    Some(GroupName {
        backup_type: backup_type.parse().ok()?,
        id: id.to_owned(),
    })
}

fn parse_snapshot(text: &str) -> Option<SnapshotName> {
    let (group, time) = text.rsplit_once('/')?;
    let time: Timestamp = time.parse().ok()?;
    let name = SnapshotName::new(parse_group(group)?, time.as_second()).ok()?;
    (name.to_string() == text).then_some(name)
}

/// Whether `text` is a "safe id" as Proxmox defines it. A safe id never begins with a dot, so `.`
/// and `..` are none.
fn is_safe(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.as_bytes().first().is_some_and(|byte| word(*byte))
        && text
            .bytes()
            .all(|byte| word(byte) || matches!(byte, b'.' | b'-'))
}

fn invalid(text: &str, expected: &str) -> Error {
    // The typed text may hold anything, also control characters that a terminal would obey.
    let text = text.escape_debug();
    Error::new(ErrorKind::Invalid, format!("'{text}' is not {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_lose_their_suffix_and_unsafe_ones_are_refused() {
        assert_eq!(
            archive_name("drive-scsi0.img.fidx"),
            Some("drive-scsi0.img")
        );
        assert_eq!(archive_name("root.pxar.didx"), Some("root.pxar"));
        assert_eq!(
            archive_name("qemu-server.conf.blob"),
            Some("qemu-server.conf")
        );
        let long = format!("{}.fidx", "a".repeat(251));
        for bad in [
            "",
            ".fidx",
            ".a.fidx",
            "../a.fidx",
            "a/b.fidx",
            "a",
            "a.img",
            "a b.fidx",
            &long,
        ] {
            assert_eq!(archive_name(bad), None, "{bad:?}");
        }
        assert!(archive_name(&long[1..]).is_some());
    }
}
