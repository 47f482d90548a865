//! Describes the entries of an archive as `describe.py` describes a tree: a line for each entry.

use std::collections::BTreeMap;
use std::fmt::Write;

use chunk_restore::files::pxar::{Acl, AclEntry, Device, Entry, EntryKind, Metadata};
use sha2::{Digest, Sha256};

/// What is known of an entry.
pub(crate) struct Described {
    pub(crate) entry: Entry,
    /// The SHA-256 of a regular file.
    pub(crate) digest: Option<[u8; 32]>,
    /// The offset of the file that the entry is another name of.
    pub(crate) target: Option<u64>,
}

/// All entries by their paths.
pub(crate) type Tree = BTreeMap<Vec<u8>, Described>;

/// The lines of a manifest. The entries of the root are in the order of their paths.
pub(crate) fn lines(tree: &Tree) -> Vec<String> {
    let mut first = BTreeMap::new();
    let targets = tree.values().filter_map(|described| described.target);
    let linked: Vec<_> = targets.collect();
    for (path, described) in tree {
        let offset = described.target.unwrap_or(described.entry.offset);
        if linked.contains(&offset) {
            first.entry(offset).or_insert(path.as_slice());
        }
    }
    let lines = tree.iter().map(|(path, described)| {
        let offset = described.target.unwrap_or(described.entry.offset);
        line(path, described, first.get(&offset).copied())
    });
    lines.collect()
}

fn line(path: &[u8], described: &Described, first: Option<&[u8]>) -> String {
    let Metadata {
        mode,
        uid,
        gid,
        mtime,
        ..
    } = described.entry.metadata;
    let (mut device, mut link, mut size) = ("-".to_owned(), "-".to_owned(), 0);
    let letter = match &described.entry.kind {
        EntryKind::Directory => 'd',
        EntryKind::File(payload) => {
            size = payload.len;
            'f'
        }
        EntryKind::Symlink(target) => {
            (link, size) = (escaped(target), target.len() as u64);
            'l'
        }
        EntryKind::BlockDevice(numbers) | EntryKind::CharDevice(numbers) => {
            let Device { major, minor, .. } = numbers;
            device = format!("{major}:{minor}");
            let is_block = matches!(described.entry.kind, EntryKind::BlockDevice(_));
            if is_block { 'b' } else { 'c' }
        }
        EntryKind::Fifo => 'p',
        EntryKind::Socket => 's',
        other => panic!("what is {other:?}?"),
    };
    let nanos = i128::from(mtime.secs) * 1_000_000_000 + i128::from(mtime.nanos);
    let first = first.map_or("-".to_owned(), escaped);
    let digest = described
        .digest
        .map_or("-".to_owned(), |digest| hex(&digest));
    let xattrs = xattrs(&described.entry.metadata);
    // Linux has no other mode for symbolic links.
    let mode = if letter == 'l' { 0o777 } else { mode & 0o7777 };
    let path = escaped(path);
    format!(
        "{path} {letter} {mode:04o} {uid} {gid} {size} {nanos} {first} {device} {xattrs} {link} {digest}"
    )
}

fn xattrs(metadata: &Metadata) -> String {
    let mut all = BTreeMap::new();
    for xattr in &metadata.xattrs {
        all.insert(xattr.name.clone(), xattr.value.clone());
    }
    if let Some(fcaps) = &metadata.fcaps {
        all.insert(b"security.capability".to_vec(), fcaps.clone());
    }
    if let Some(access) = access_acl(metadata) {
        all.insert(b"system.posix_acl_access".to_vec(), access);
    }
    if let Some(default) = default_acl(&metadata.acl) {
        all.insert(b"system.posix_acl_default".to_vec(), default);
    }
    let all = all.iter();
    let all = all.map(|(name, value)| format!("{}={}", escaped(name), hex(value)));
    let all: Vec<_> = all.collect();
    if all.is_empty() {
        "-".to_owned()
    } else {
        all.join(",")
    }
}

/// The access ACL as Linux keeps it in an extended attribute.
fn access_acl(metadata: &Metadata) -> Option<Vec<u8>> {
    let (mode, acl) = (metadata.mode, &metadata.acl);
    let (user, group, other) = (mode >> 6 & 7, mode >> 3 & 7, mode & 7);
    let has_named = !acl.users.is_empty() || !acl.groups.is_empty();
    if !has_named && acl.group_obj.is_none() {
        return None;
    }
    let (group, mask) = match acl.group_obj {
        Some(own) => (u32::from(own), group),
        None => (group, group),
    };
    let entries = [
        list(1, user),
        named(2, &acl.users),
        list(4, group),
        named(8, &acl.groups),
        list(16, mask),
        list(32, other),
    ];
    Some([&2_u32.to_le_bytes()[..], &entries.concat()].concat())
}

/// The default ACL as Linux keeps it in an extended attribute.
fn default_acl(acl: &Acl) -> Option<Vec<u8>> {
    let default = acl.default?;
    let mask = default.mask.map(|mask| list(16, mask.into()));
    let entries = [
        list(1, default.user.into()),
        named(2, &acl.default_users),
        list(4, default.group.into()),
        named(8, &acl.default_groups),
        mask.unwrap_or_default(),
        list(32, default.other.into()),
    ];
    Some([&2_u32.to_le_bytes()[..], &entries.concat()].concat())
}

fn named(tag: u16, entries: &[AclEntry]) -> Vec<u8> {
    let entries = entries.iter();
    let entries = entries.map(|entry| acl_entry(tag, entry.permissions.into(), entry.id));
    entries.collect::<Vec<_>>().concat()
}

fn list(tag: u16, permissions: u32) -> Vec<u8> {
    acl_entry(tag, permissions, u32::MAX)
}

fn acl_entry(tag: u16, permissions: u32, id: u32) -> Vec<u8> {
    let head = u32::from(tag) | permissions << 16;
    [head.to_le_bytes(), id.to_le_bytes()].concat()
}

fn escaped(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return ".".to_owned();
    }
    let mut text = String::new();
    for byte in bytes {
        match byte {
            b'\\' => text.push_str("\\x5c"),
            33..127 => text.push(char::from(*byte)),
            _ => write!(text, "\\x{byte:02x}").unwrap(),
        }
    }
    text
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
