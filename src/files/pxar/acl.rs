//! Access control lists as Linux keeps them: the extended attributes `system.posix_acl_access` and
//! `system.posix_acl_default`.

use crate::files::pxar::{AclEntry, Metadata};

/// The version of the attributes (`POSIX_ACL_XATTR_VERSION` of Linux).
const VERSION: u32 = 2;

/// What stands in place of an id where there is none.
const NO_ID: u32 = u32::MAX;

/// The tags of the entries, as Linux numbers them.
const USER_OBJ: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

impl Metadata {
    /// The access ACL as the value of the extended attribute `system.posix_acl_access`; `None` if the
    /// mode says everything.
    #[must_use]
    pub fn access_acl(&self) -> Option<Vec<u8>> {
        let acl = &self.acl;
        let has_named = !acl.users.is_empty() || !acl.groups.is_empty();
        if !has_named && acl.group_obj.is_none() {
            return None;
        }
        let bits = |shift: u32| (self.mode >> shift & 7) as u8;
        let mut list = List::new();
        list.push(USER_OBJ, bits(6), NO_ID);
        list.push_named(USER, &acl.users);
        // With a permission of the owning group of its own, the mode has the mask in its place.
        list.push(GROUP_OBJ, acl.group_obj.unwrap_or(bits(3)), NO_ID);
        list.push_named(GROUP, &acl.groups);
        list.push(MASK, bits(3), NO_ID);
        list.push(OTHER, bits(0), NO_ID);
        Some(list.0)
    }

    /// The default ACL of a directory as the value of the extended attribute
    /// `system.posix_acl_default`; `None` if it has none.
    #[must_use]
    pub fn default_acl(&self) -> Option<Vec<u8>> {
        let default = self.acl.default?;
        let mut list = List::new();
        list.push(USER_OBJ, default.user, NO_ID);
        list.push_named(USER, &self.acl.default_users);
        list.push(GROUP_OBJ, default.group, NO_ID);
        list.push_named(GROUP, &self.acl.default_groups);
        if let Some(mask) = default.mask {
            list.push(MASK, mask, NO_ID);
        }
        list.push(OTHER, default.other, NO_ID);
        Some(list.0)
    }
}

/// The value of such an extended attribute.
struct List(Vec<u8>);

impl List {
    fn new() -> List {
        List(VERSION.to_le_bytes().to_vec())
    }

    fn push(&mut self, tag: u16, permissions: u8, id: u32) {
        self.0.extend(tag.to_le_bytes());
        self.0.extend(u16::from(permissions).to_le_bytes());
        self.0.extend(id.to_le_bytes());
    }

    /// The kernel wants named users and groups in the order of their ids.
    fn push_named(&mut self, tag: u16, entries: &[AclEntry]) {
        let mut entries = entries.to_vec();
        entries.sort_by_key(|entry| entry.id);
        for entry in entries {
            self.push(tag, entry.permissions, entry.id);
        }
    }
}
