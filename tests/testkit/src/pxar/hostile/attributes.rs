//! Times, owners, flags, extended attributes, capabilities and access lists that are wrong, or dangerous, or too many.

use super::{Hostile, Item, harmless, refused, v1};
use crate::pxar::item::{
    ACL_DEFAULT, ACL_DEFAULT_USER, ACL_GROUP, ACL_GROUP_OBJ, ACL_USER, FCAPS, PAYLOAD,
    QUOTA_PROJID, SYMLINK, XATTR, numbers,
};
use crate::pxar::{Acl, Archive, Meta, Node};

/// Capabilities that the kernel takes.
const CAPABILITIES: &[u8; 20] = b"\x01\0\0\x02\xff\xff\xff\xff\0\0\0\0\0\0\0\0\0\0\0\0";

pub(super) fn all() -> Vec<Hostile> {
    [
        xattrs(),
        dangerous_xattrs(),
        too_large_xattrs(),
        twice(),
        order(),
        access_lists(),
        default_lists(),
        wrong_places(),
        times(),
        numbers_and_flags(),
    ]
    .concat()
}

/// A file with these items between its ENTRY and its PAYLOAD.
fn with(items: &[Item<'_>]) -> Archive {
    v1(|w| {
        w.name(b"x");
        w.stat(0o100_644, &Meta::new(0));
        for (htype, content) in items {
            w.item(*htype, content);
        }
        w.item(PAYLOAD, b"content");
    })
}

fn one(node: Node) -> Archive {
    v1(|w| {
        w.entry(b"x", &node);
    })
}

fn xattrs() -> Vec<Hostile> {
    vec![
        refused(
            "xattr-without-zero",
            "the end of a name is missing",
            with(&[(XATTR, b"user.a")]),
        ),
        refused(
            "xattr-without-content",
            "an XATTR of no bytes",
            with(&[(XATTR, b"")]),
        ),
        harmless(
            "xattr-without-name",
            "an attribute without a name",
            with(&[(XATTR, b"\0value")]),
        ),
    ]
}

fn dangerous_xattrs() -> Vec<Hostile> {
    let xattr = |name: &str, value: &[u8]| one(Node::file("content").xattr(name, value));
    let acl = numbers(&[2]);
    let long = format!("user.{}", "n".repeat(251));
    vec![
        harmless(
            "xattr-name-of-256-bytes",
            "Linux takes up to 255",
            xattr(&long, b"value"),
        ),
        harmless(
            "xattr-name-of-controls",
            "a name for terminals",
            xattr("user.\x1b[2J", b""),
        ),
        harmless(
            "xattr-trusted",
            "what overlay file systems believe",
            xattr("trusted.overlay.redirect", b"/etc"),
        ),
        harmless(
            "xattr-security",
            "a label of another system",
            xattr("security.selinux", b"label"),
        ),
        harmless(
            "xattr-ima",
            "a signature of another system",
            xattr("security.ima", b"\x03"),
        ),
        harmless(
            "xattr-capability",
            "capabilities by an XATTR",
            xattr("security.capability", CAPABILITIES),
        ),
        harmless(
            "xattr-acl",
            "an access list by an XATTR",
            xattr("system.posix_acl_access", &acl),
        ),
        harmless(
            "xattr-no-namespace",
            "a name without a namespace",
            xattr("name", b"value"),
        ),
        harmless(
            "xattr-of-64-KiB",
            "the largest value that Linux takes",
            xattr("user.a", &[1; 65535]),
        ),
    ]
}

fn too_large_xattrs() -> Vec<Hostile> {
    let large = [b"user.a\0", &vec![1; 65792][..]].concat();
    let caps = vec![1; 65792];
    let list = [&b"user.0001\0"[..], &[1; 50_000]].concat();
    let many: Vec<Item<'_>> = vec![(XATTR, &list); 500];
    let named = numbers(&[5, 7]);
    let many_users: Vec<Item<'_>> = vec![(ACL_USER, &named); 100_000];
    vec![
        refused(
            "xattr-over-64-KiB",
            "a value that is too large",
            with(&[(XATTR, &large)]),
        ),
        refused(
            "capability-over-64-KiB",
            "a value that is too large",
            with(&[(FCAPS, &caps)]),
        ),
        harmless(
            "xattr-25-MB",
            "attributes that together take much memory",
            with(&many),
        ),
        harmless(
            "acl-100000-users",
            "an access list that takes much memory",
            with(&many_users),
        ),
    ]
}

fn twice() -> Vec<Hostile> {
    let one = numbers(&[7]);
    let four = numbers(&[7, 5, 5, 7]);
    let cases: [(&str, u64, &[u8]); 6] = [
        ("acl-group", ACL_GROUP_OBJ, &one),
        ("acl-default", ACL_DEFAULT, &four),
        ("capability", FCAPS, b"\x01\0\0\x02"),
        ("project", QUOTA_PROJID, &one),
        ("xattr", XATTR, b"user.a\0value"),
        ("acl-user", ACL_USER, &[7; 16]),
    ];
    let attack = "an attribute that comes twice";
    let hostile = |(slug, htype, content): (&str, u64, &[u8])| {
        let archive = with(&[(htype, content), (htype, content)]);
        match htype {
            XATTR | ACL_USER => harmless(format!("two-of-{slug}"), attack, archive),
            _ => refused(format!("two-of-{slug}"), attack, archive),
        }
    };
    cases.into_iter().map(hostile).collect()
}

fn order() -> Vec<Hostile> {
    let (one, two) = (numbers(&[7]), numbers(&[1000, 7]));
    let xattr: Item<'_> = (XATTR, b"user.a\0value");
    let capability: Item<'_> = (FCAPS, b"\x01\0\0\x02");
    let user: Item<'_> = (ACL_USER, &two);
    let group: Item<'_> = (ACL_GROUP, &two);
    let project: Item<'_> = (QUOTA_PROJID, &one);
    let cases = [
        ("xattr-behind-capability", [capability, xattr]),
        ("xattr-behind-acl", [user, xattr]),
        ("acl-behind-capability", [capability, user]),
        ("acl-user-behind-group", [group, user]),
        ("capability-behind-project", [project, capability]),
    ];
    let attack = "attributes in another order than the client's, which official readers take";
    let hostile = |(slug, items): (&str, [Item<'_>; 2])| {
        harmless(format!("order-{slug}"), attack, with(&items))
    };
    cases.into_iter().map(hostile).collect()
}

fn access_lists() -> Vec<Hostile> {
    let named = |users: &[(u64, u64)]| Acl {
        users: users.to_vec(),
        group: Some(5),
        ..Acl::default()
    };
    let file = |acl: Acl| one(Node::file("content").acl(acl));
    let lone_group = Acl {
        group: Some(7),
        ..Acl::default()
    };
    vec![
        harmless(
            "acl-unsorted",
            "ids that fall",
            file(named(&[(9, 7), (3, 7), (5, 7)])),
        ),
        harmless(
            "acl-id-twice",
            "a list that the kernel refuses",
            file(named(&[(9, 7), (9, 0)])),
        ),
        harmless(
            "acl-id-of-33-bits",
            "an id that becomes 0 if cut",
            file(named(&[(1 << 32, 7)])),
        ),
        harmless(
            "acl-id-of-none",
            "the id that stands for none",
            file(named(&[(0xffff_ffff, 7)])),
        ),
        harmless(
            "acl-permissions-of-64-bits",
            "permissions of no meaning",
            file(named(&[(9, u64::MAX)])),
        ),
        harmless("acl-group-alone", "only the owning group", file(lone_group)),
    ]
}

fn default_lists() -> Vec<Hostile> {
    let file = |acl: Acl| one(Node::file("content").acl(acl));
    let folder = |acl: Acl| one(Node::directory().acl(acl));
    let default = |permissions| Acl {
        default: Some(permissions),
        ..Acl::default()
    };
    let without_default = Acl {
        default_users: vec![(1000, 7)],
        ..Acl::default()
    };
    vec![
        harmless(
            "acl-default-of-file",
            "a default list of a file",
            file(default([7, 5, 5, 7])),
        ),
        harmless(
            "acl-default-absent",
            "a default list of nothing",
            folder(default([u64::MAX; 4])),
        ),
        harmless(
            "acl-default-too-large",
            "permissions over 7",
            folder(default([8, 99, 1 << 40, 7])),
        ),
        harmless(
            "acl-default-users-alone",
            "a default list without its start",
            folder(without_default),
        ),
    ]
}

/// Attributes on entries that can't have them.
fn wrong_places() -> Vec<Hostile> {
    let acl = Acl {
        users: vec![(1000, 7)],
        default: Some([7, 7, 7, 7]),
        ..Acl::default()
    };
    let kinds = [
        ("symlink", Node::symlink("target")),
        ("fifo", Node::fifo()),
        ("socket", Node::socket()),
        ("device", Node::char_device(1, 3)),
    ];
    let attack = "attributes that could go to what the entry leads to";
    let mut all = Vec::new();
    for (kind, node) in kinds {
        let capability = node.clone().capability(CAPABILITIES);
        let xattr = node
            .clone()
            .xattr("user.a", b"value")
            .xattr("trusted.a", b"value")
            .xattr("security.capability", CAPABILITIES);
        let acl = node.clone().acl(acl.clone());
        all.push(harmless(
            format!("capability-of-{kind}"),
            attack,
            one(capability),
        ));
        all.push(harmless(format!("xattr-of-{kind}"), attack, one(xattr)));
        all.push(harmless(format!("acl-of-{kind}"), attack, one(acl)));
    }
    let directory = Node::directory().capability(CAPABILITIES);
    all.push(harmless("capability-of-directory", attack, one(directory)));
    let behind = v1(|w| {
        w.name(b"x");
        w.stat(0o120_777, &Meta::new(0));
        w.item(SYMLINK, b"target\0");
        w.item(ACL_DEFAULT_USER, &numbers(&[1, 7]));
    });
    all.push(refused(
        "acl-behind-target",
        "an attribute behind its entry",
        behind,
    ));
    all
}

fn times() -> Vec<Hostile> {
    let cases: [(&str, i64, u32); 9] = [
        ("before-1970", -2, 500_000_000),
        ("least", i64::MIN, 0),
        ("greatest", i64::MAX, 999_999_999),
        ("year-1", -62_135_596_800, 0),
        ("year-10000", 253_402_300_800, 0),
        ("of-a-billion-nanoseconds", 1, 1_000_000_000),
        ("of-4-billion-nanoseconds", 1, u32::MAX),
        // What utimensat takes for "now", and for "leave the time as it is".
        ("now", 1, 0x3fff_ffff),
        ("omitted", 1, 0x3fff_fffe),
    ];
    let attack = "a time that some file systems and some programs can't hold";
    let hostile = |(slug, seconds, nanoseconds)| {
        let file = Node::file("content").time(seconds, nanoseconds);
        harmless(format!("time-{slug}"), attack, one(file))
    };
    let mut all: Vec<Hostile> = cases.into_iter().map(hostile).collect();
    let folder = Node::directory().time(i64::MAX, u32::MAX);
    all.push(harmless("time-of-directory", attack, one(folder)));
    all
}

fn numbers_and_flags() -> Vec<Hostile> {
    let file = || Node::file("content");
    let immutable = Node::directory().flags(0x40_0000 | 0x1_0000);
    let many_flags = file().flags(u64::MAX);
    vec![
        harmless(
            "owner-of-none",
            "the id that changes nothing",
            one(file().owner(u32::MAX, u32::MAX)),
        ),
        harmless(
            "flags-immutable",
            "a directory that can't be filled",
            one(immutable),
        ),
        harmless("flags-all", "flags of no meaning", one(many_flags)),
        harmless(
            "project-of-64-bits",
            "an id that no file system has",
            one(file().project(u64::MAX)),
        ),
    ]
}
