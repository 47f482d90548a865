//! Access control lists as text, as tar archives hold them: `user::rw-,user:1000:r--,..`.

use crate::files::pxar::{Acl, AclEntry, Metadata};

/// The access list; `None` if the mode says everything.
pub(super) fn access(metadata: &Metadata) -> Option<String> {
    let acl = &metadata.acl;
    let has_named = !acl.users.is_empty() || !acl.groups.is_empty();
    if !has_named && acl.group_obj.is_none() {
        return None;
    }
    let bits = |shift: u32| (metadata.mode >> shift & 7) as u8;
    let list = List {
        user: bits(6),
        users: &acl.users,
        // With permissions of its own for the owning group, the mode holds the mask.
        group: acl.group_obj.unwrap_or(bits(3)),
        groups: &acl.groups,
        mask: Some(bits(3)),
        other: bits(0),
    };
    Some(list.text())
}

/// The list that new entries of a directory get.
pub(super) fn default(acl: &Acl) -> Option<String> {
    let default = acl.default?;
    let list = List {
        user: default.user,
        users: &acl.default_users,
        group: default.group,
        groups: &acl.default_groups,
        mask: default.mask,
        other: default.other,
    };
    Some(list.text())
}

struct List<'a> {
    user: u8,
    users: &'a [AclEntry],
    group: u8,
    groups: &'a [AclEntry],
    mask: Option<u8>,
    other: u8,
}

impl List<'_> {
    fn text(&self) -> String {
        let mut parts = vec![format!("user::{}", letters(self.user))];
        parts.extend(self.users.iter().map(|entry| named("user", entry)));
        parts.push(format!("group::{}", letters(self.group)));
        parts.extend(self.groups.iter().map(|entry| named("group", entry)));
        parts.extend(self.mask.map(|mask| format!("mask::{}", letters(mask))));
        parts.push(format!("other::{}", letters(self.other)));
        parts.join(",")
    }
}

fn named(tag: &str, entry: &AclEntry) -> String {
    format!("{tag}:{}:{}", entry.id, letters(entry.permissions))
}

fn letters(permissions: u8) -> String {
    let letter = |bit, letter| match permissions & bit {
        0 => '-',
        _ => letter,
    };
    [letter(4, 'r'), letter(2, 'w'), letter(1, 'x')]
        .iter()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_is_what_the_mode_says_of_the_group() {
        let mut metadata = Metadata {
            mode: 0o100_640,
            ..Metadata::default()
        };
        assert_eq!(access(&metadata), None);
        metadata.acl.users.push(AclEntry {
            id: 1000,
            permissions: 6,
        });
        let text = "user::rw-,user:1000:rw-,group::r--,mask::r--,other::---";
        assert_eq!(access(&metadata).as_deref(), Some(text));
        metadata.acl.group_obj = Some(1);
        let text = "user::rw-,user:1000:rw-,group::--x,mask::r--,other::---";
        assert_eq!(access(&metadata).as_deref(), Some(text));
    }
}
