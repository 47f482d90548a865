//! Access lists as Linux keeps them in extended attributes.

use super::tree::{Acl, Meta};

const VERSION: u32 = 2;
const USER_OBJ: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;
const NO_ID: u64 = 0xffff_ffff;
const ABSENT: u64 = u64::MAX;

/// The value of `system.posix_acl_access`, if there is more than the mode says.
pub(super) fn access_list(meta: &Meta) -> Option<Vec<u8>> {
    let acl = &meta.acl;
    let bits = |shift: u32| u64::from(meta.mode >> shift & 7);
    let has_named = !acl.users.is_empty() || !acl.groups.is_empty();
    if !has_named && acl.group.is_none() {
        return None;
    }
    let list = List {
        user: bits(6),
        users: &acl.users,
        group: acl.group.unwrap_or(bits(3)),
        groups: &acl.groups,
        mask: Some(bits(3)),
        other: bits(0),
    };
    Some(list.bytes())
}

/// The value of `system.posix_acl_default`, if there is a default list.
pub(super) fn default_list(acl: &Acl) -> Option<Vec<u8>> {
    let [user, group, other, mask] = acl.default?;
    let all_if_absent = |permissions| {
        if permissions == ABSENT {
            7
        } else {
            permissions
        }
    };
    let list = List {
        user: all_if_absent(user),
        users: &acl.default_users,
        group: all_if_absent(group),
        groups: &acl.default_groups,
        mask: (mask != ABSENT).then_some(mask),
        other: all_if_absent(other),
    };
    Some(list.bytes())
}

struct List<'a> {
    user: u64,
    users: &'a [(u64, u64)],
    group: u64,
    groups: &'a [(u64, u64)],
    mask: Option<u64>,
    other: u64,
}

impl List<'_> {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = VERSION.to_le_bytes().to_vec();
        let mut add = |tag: u16, permissions: u64, id: u64| {
            bytes.extend(tag.to_le_bytes());
            bytes.extend((permissions as u16).to_le_bytes());
            bytes.extend((id as u32).to_le_bytes());
        };
        add(USER_OBJ, self.user, NO_ID);
        for (id, permissions) in sorted(self.users) {
            add(USER, permissions, id);
        }
        add(GROUP_OBJ, self.group, NO_ID);
        for (id, permissions) in sorted(self.groups) {
            add(GROUP, permissions, id);
        }
        if let Some(mask) = self.mask {
            add(MASK, mask, NO_ID);
        }
        add(OTHER, self.other, NO_ID);
        bytes
    }
}

fn sorted(named: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut named = named.to_vec();
    named.sort_unstable();
    named
}
