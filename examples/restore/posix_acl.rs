//! The extended attributes of an entry as Linux shows them: with capabilities, and with ACLs as the
//! kernel keeps them.

use chunk_restore::files::pxar::{Acl, AclEntry, Metadata};

/// The version that the kernel's form of an ACL begins with.
const VERSION: u32 = 2;

/// What an entry of an ACL is about.
const USER_OBJ: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

/// The id of entries that name no user and no group.
const NO_ID: u32 = u32::MAX;

const CAPABILITY: &[u8] = b"security.capability";
const ACCESS: &[u8] = b"system.posix_acl_access";
const DEFAULT: &[u8] = b"system.posix_acl_default";

/// The names and values of all extended attributes. Each name occurs once.
pub(crate) fn xattrs(metadata: &Metadata) -> Vec<(Vec<u8>, Vec<u8>)> {
    let special = [
        (CAPABILITY, metadata.fcaps.clone()),
        (ACCESS, access(metadata)),
        (DEFAULT, default(&metadata.acl)),
    ];
    let special = special.into_iter();
    let special = special.filter_map(|(name, value)| Some((name.to_vec(), value?)));
    let mut all: Vec<_> = special.collect();
    for xattr in &metadata.xattrs {
        if all.iter().all(|(name, _)| *name != xattr.name) {
            all.push((xattr.name.clone(), xattr.value.clone()));
        }
    }
    all.sort_unstable();
    all
}

/// The access ACL, if there is more than the mode says.
fn access(metadata: &Metadata) -> Option<Vec<u8>> {
    let (mode, acl) = (metadata.mode, &metadata.acl);
    let bits = |shift: u32| (mode >> shift & 7) as u8;
    let has_named = !acl.users.is_empty() || !acl.groups.is_empty();
    if !has_named && acl.group_obj.is_none() {
        return None;
    }
    Some(encode(&List {
        user: bits(6),
        users: &acl.users,
        group: acl.group_obj.unwrap_or(bits(3)),
        groups: &acl.groups,
        mask: Some(bits(3)),
        other: bits(0),
    }))
}

/// The ACL that new entries of a directory get.
fn default(acl: &Acl) -> Option<Vec<u8>> {
    let default = acl.default?;
    Some(encode(&List {
        user: default.user,
        users: &acl.default_users,
        group: default.group,
        groups: &acl.default_groups,
        mask: default.mask,
        other: default.other,
    }))
}

struct List<'a> {
    user: u8,
    users: &'a [AclEntry],
    group: u8,
    groups: &'a [AclEntry],
    mask: Option<u8>,
    other: u8,
}

fn encode(list: &List<'_>) -> Vec<u8> {
    let mut bytes = VERSION.to_le_bytes().to_vec();
    let mut add = |tag: u16, permissions: u8, id: u32| {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(u16::from(permissions).to_le_bytes());
        bytes.extend(id.to_le_bytes());
    };
    add(USER_OBJ, list.user, NO_ID);
    for entry in sorted(list.users) {
        add(USER, entry.permissions, entry.id);
    }
    add(GROUP_OBJ, list.group, NO_ID);
    for entry in sorted(list.groups) {
        add(GROUP, entry.permissions, entry.id);
    }
    if let Some(mask) = list.mask {
        add(MASK, mask, NO_ID);
    }
    add(OTHER, list.other, NO_ID);
    bytes
}

/// The kernel takes users and groups only in the order of their ids.
fn sorted(named: &[AclEntry]) -> Vec<AclEntry> {
    let mut named = named.to_vec();
    named.sort_by_key(|entry| entry.id);
    named
}
