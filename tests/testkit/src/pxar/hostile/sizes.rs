//! Items whose size is wrong: too small for a header, too large for their type, larger than the archive.

use super::{Hostile, refused, split, v1};
use crate::pxar::item::{
    ACL_DEFAULT, ACL_DEFAULT_GROUP, ACL_DEFAULT_USER, ACL_GROUP, ACL_GROUP_OBJ, ACL_USER, DEVICE,
    ENTRY, FCAPS, FILENAME, GOODBYE, HARDLINK, PAYLOAD, PAYLOAD_REF, PRELUDE, QUOTA_PROJID,
    SYMLINK, XATTR, item_of_size, numbers,
};
use crate::pxar::{Archive, Meta, Node};

pub(super) fn all() -> Vec<Hostile> {
    [stated(), fixed()].concat()
}

/// The last item states a size, and has 64 bytes of content.
fn stating(htype: u64, size: u64) -> Archive {
    let bytes = item_of_size(htype, size, &[1; 64]);
    v1(|w| {
        match htype {
            FILENAME | GOODBYE => {}
            HARDLINK => {
                w.name(b"x");
            }
            SYMLINK => {
                w.name(b"x");
                w.stat(0o120_777, &Meta::new(0));
            }
            _ => {
                w.name(b"x");
                w.stat(0o100_644, &Meta::new(0));
            }
        }
        w.stream.push(&bytes);
    })
}

fn stated() -> Vec<Hostile> {
    let types = [
        ("payload", PAYLOAD),
        ("name", FILENAME),
        ("target", SYMLINK),
        ("link", HARDLINK),
        ("xattr", XATTR),
        ("capability", FCAPS),
        ("table", GOODBYE),
        ("prelude", PRELUDE),
    ];
    let sizes = [
        ("0", 0),
        ("15", 15),
        ("2-to-40", 1 << 40),
        ("2-to-63", 1 << 63),
        ("2-to-64-less-1", u64::MAX),
        ("2-to-64-less-80", u64::MAX - 79),
    ];
    let attack = "a size that overflows, makes a reader take memory, or never gets it further";
    let mut all = Vec::new();
    for (kind, htype) in types {
        for (slug, size) in sizes {
            let archive = stating(htype, size);
            all.push(refused(format!("size-{kind}-{slug}"), attack, archive));
        }
    }
    all
}

/// Items that have one size only.
fn fixed() -> Vec<Hostile> {
    let types = [
        ("acl-user", ACL_USER, 16),
        ("acl-group", ACL_GROUP, 16),
        ("acl-group-obj", ACL_GROUP_OBJ, 8),
        ("acl-default", ACL_DEFAULT, 32),
        ("acl-default-user", ACL_DEFAULT_USER, 16),
        ("acl-default-group", ACL_DEFAULT_GROUP, 16),
        ("project", QUOTA_PROJID, 8),
    ];
    let attack = "an item that is shorter or longer than its type";
    let mut all = Vec::new();
    for (kind, htype, right) in types {
        for len in [0, right - 1, right + 1, right + 8] {
            let archive = v1(|w| {
                w.name(b"x");
                w.stat(0o100_644, &Meta::new(0));
                w.item(htype, &vec![1; len]);
                w.item(PAYLOAD, b"content");
            });
            all.push(refused(format!("size-{kind}-{len}"), attack, archive));
        }
    }
    for len in [0, 32, 39, 41, 48] {
        let stat = &numbers(&[0o100_644, 0, 0, 0, 0, 0])[..len];
        let archive = v1(|w| {
            w.name(b"x");
            w.item(ENTRY, stat);
            w.item(PAYLOAD, b"content");
        });
        all.push(refused(format!("size-entry-{len}"), attack, archive));
    }
    for len in [0, 8, 15, 17] {
        let device = v1(|w| {
            w.name(b"x");
            w.stat(0o020_600, &Meta::new(0));
            w.item(DEVICE, &vec![1; len]);
        });
        all.push(refused(format!("size-device-{len}"), attack, device));
        let reference = split(|w| {
            w.entry(b"a", &Node::file("content"));
            w.name(b"x");
            w.stat(0o100_644, &Meta::new(0));
            w.item(PAYLOAD_REF, &vec![0; len]);
        });
        all.push(refused(format!("size-reference-{len}"), attack, reference));
    }
    all
}
