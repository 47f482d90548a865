//! Random trees for proptest. They shrink to the smallest tree that still fails.

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::content::Content;
use super::tree::{Acl, Children, Kind, Meta, Node, Tree, joined};

/// What a tree may have that not every user can restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// If given, all entries have this owner and group, and modes that let the owner in, without setuid and the like.
    pub owner: Option<(u32, u32)>,
    /// Devices.
    pub devices: bool,
    /// `trusted.*` and capabilities.
    pub special_xattrs: bool,
    /// Access lists.
    pub acls: bool,
}

impl Allowed {
    /// All that root can restore. The kernel may not let root in a container make devices.
    pub fn all() -> Allowed {
        Allowed {
            owner: None,
            devices: true,
            special_xattrs: true,
            acls: true,
        }
    }

    /// What the user with these ids can restore.
    pub fn by_user(uid: u32, gid: u32) -> Allowed {
        Allowed {
            owner: Some((uid, gid)),
            devices: false,
            special_xattrs: false,
            acls: false,
        }
    }
}

/// Trees of up to some 40 entries that can be extracted on Linux.
pub fn trees(allowed: Allowed) -> impl Strategy<Value = Tree> {
    let nodes = vec((any::<Index>(), names(), nodes(allowed)), 0..30);
    let links = vec((any::<Index>(), names(), any::<Index>()), 0..8);
    (metas(allowed, true), nodes, links).prop_map(|(meta, nodes, links)| {
        let mut tree = Tree {
            meta,
            children: Children::new(),
        };
        for (folder, name, node) in nodes {
            insert(&mut tree, folder, name, node);
        }
        for (folder, name, file) in links {
            link(&mut tree, folder, name, file);
        }
        tree
    })
}

/// Puts a node into one of the folders, unless the name is taken there.
fn insert(tree: &mut Tree, folder: Index, name: Vec<u8>, node: Node) {
    let mut folders: Vec<Vec<u8>> = vec![Vec::new()];
    let mut is_taken = std::collections::HashSet::new();
    for (path, node) in tree.entries() {
        is_taken.insert(path.clone());
        if matches!(node.kind, Kind::Directory(_)) {
            folders.push(path);
        }
    }
    let folder: &Vec<u8> = folder.get(&folders);
    let path = joined(folder, &name);
    if !is_taken.contains(&path) {
        tree.insert(&path, node);
    }
}

/// Adds a name for one of the files, if the new name comes behind the file.
fn link(tree: &mut Tree, folder: Index, name: Vec<u8>, file: Index) {
    let is_file = |node: &Node| matches!(node.kind, Kind::File(_));
    let entries = tree.entries().into_iter();
    let files: Vec<Vec<u8>> = entries
        .filter(|(_, node)| is_file(node))
        .map(|(path, _)| path)
        .collect();
    if files.is_empty() {
        return;
    }
    let target = file.get(&files).clone();
    let before = tree.clone();
    insert(tree, folder, name, Node::hard_link(&target));
    let place = |wanted: &dyn Fn(&[u8], &Node) -> bool| {
        let mut entries = tree.entries().into_iter();
        entries.position(|(path, node)| wanted(&path, node))
    };
    let is_new = |path: &[u8], node: &Node| {
        let is_link = matches!(&node.kind, Kind::HardLink(_));
        is_link && before.entries().iter().all(|(earlier, _)| earlier != path)
    };
    let link = place(&is_new);
    let target = place(&|path, _| path == target);
    if link < target {
        *tree = before;
    }
}

fn nodes(allowed: Allowed) -> impl Strategy<Value = Node> {
    let with = move |kind: BoxedStrategy<Kind>, has_attributes: bool| {
        let node = |(meta, kind)| Node { meta, kind };
        (metas(allowed, has_attributes), kind).prop_map(node)
    };
    let directories = metas(allowed, true).prop_flat_map(move |meta| {
        let acl = default_acls(allowed);
        (Just(meta), acl).prop_map(|(mut meta, acl)| {
            (
                meta.acl.default,
                meta.acl.default_users,
                meta.acl.default_groups,
            ) = acl;
            let kind = Kind::Directory(Children::new());
            Node { meta, kind }
        })
    });
    let devices = (any::<bool>(), 0..4096_u64, 0..1_u64 << 20).prop_map(
        move |(is_block, major, minor)| match (allowed.devices, is_block) {
            (false, _) => Kind::Fifo,
            (true, true) => Kind::BlockDevice(major, minor),
            (true, false) => Kind::CharDevice(major, minor),
        },
    );
    let symlinks = vec(1..=255_u8, 1..60).prop_map(Kind::Symlink);
    prop_oneof![
        4 => directories,
        6 => with(contents().prop_map(Kind::File).boxed(), true),
        2 => with(symlinks.boxed(), false),
        1 => with(select(vec![Kind::Fifo, Kind::Socket]).boxed(), false),
        1 => with(devices.boxed(), false),
    ]
}

fn names() -> impl Strategy<Value = Vec<u8>> {
    let odd: &[&[u8]] = &[
        b"...",
        b"-rf",
        b" ",
        b"a\\b",
        b"\xff\xfe",
        b"line\nfeed",
        b"*?[x]",
    ];
    let is_name = |name: &Vec<u8>| name != b"." && name != b"..";
    let any_byte = any::<u8>().prop_map(|byte| if matches!(byte, 0 | b'/') { b'.' } else { byte });
    prop_oneof![
        4 => "[a-c]{1,2}".prop_map(String::into_bytes),
        2 => vec(any_byte, 1..20).prop_filter("these are no names", is_name),
        1 => select(odd).prop_map(<[u8]>::to_vec),
        1 => Just(vec![b'n'; 255]),
    ]
}

fn contents() -> impl Strategy<Value = Content> {
    let pieces = prop_oneof![
        vec(any::<u8>(), 0..200).prop_map(Content::from),
        (0..20_000_u64).prop_map(Content::zeros),
        (any::<u64>(), 0..20_000_u64).prop_map(|(seed, len)| Content::random(seed, len)),
        (1..5_u64).prop_map(|blocks| Content::zeros(blocks * 4096)),
    ];
    vec(pieces, 0..4).prop_map(|pieces| pieces.into_iter().fold(Content::new(), Content::then))
}

/// Links, devices, pipes and sockets have no extended attributes.
fn metas(allowed: Allowed, has_attributes: bool) -> impl Strategy<Value = Meta> {
    let id = || prop_oneof![2 => Just(0_u32), 1 => 0..u32::MAX];
    let time = (-2_000_000_000..10_000_000_000_i64, 0..1_000_000_000_u32);
    let xattrs = xattrs(allowed, has_attributes);
    let capability = option::of(capabilities());
    let acl = access_acls();
    (0..=0o7777_u32, id(), id(), time, xattrs, capability, acl).prop_map(
        move |(mode, uid, gid, mtime, xattrs, capability, acl)| Meta {
            mode: allowed.owner.map_or(mode, |_| mode & 0o777 | 0o700),
            uid: allowed.owner.map_or(uid, |(uid, _)| uid),
            gid: allowed.owner.map_or(gid, |(_, gid)| gid),
            mtime,
            xattrs,
            capability: capability.filter(|_| allowed.special_xattrs && has_attributes),
            acl: if allowed.acls && has_attributes {
                acl
            } else {
                Acl::default()
            },
            ..Meta::new(0)
        },
    )
}

fn xattrs(
    allowed: Allowed,
    has_attributes: bool,
) -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u8>)>> {
    let values = vec(any::<u8>(), 0..100);
    btree_map("(user|trusted)\\.[a-z]{1,8}", values, 0..3).prop_map(move |xattrs| {
        let is_allowed =
            |name: &str| has_attributes && (allowed.special_xattrs || name.starts_with("user."));
        let xattrs = xattrs.into_iter().filter(|(name, _)| is_allowed(name));
        xattrs
            .map(|(name, value)| (name.into_bytes(), value))
            .collect()
    })
}

/// Revision 2, with the bit that makes them effective.
fn capabilities() -> impl Strategy<Value = Vec<u8>> {
    (any::<u16>(), any::<u16>()).prop_map(|(permitted, inheritable)| {
        let numbers = [0x0200_0001, permitted.into(), inheritable.into(), 0_u32, 0];
        numbers
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect()
    })
}

fn named() -> impl Strategy<Value = Vec<(u64, u64)>> {
    btree_map(0..5000_u64, 0..8_u64, 0..3).prop_map(|named| named.into_iter().collect())
}

fn access_acls() -> impl Strategy<Value = Acl> {
    (named(), named(), 0..8_u64, 0..4).prop_map(|(users, groups, group, dice)| {
        if dice > 0 {
            return Acl::default();
        }
        let has_named = !users.is_empty() || !groups.is_empty();
        Acl {
            users,
            groups,
            group: has_named.then_some(group),
            ..Acl::default()
        }
    })
}

type DefaultAcl = (Option<[u64; 4]>, Vec<(u64, u64)>, Vec<(u64, u64)>);

fn default_acls(allowed: Allowed) -> impl Strategy<Value = DefaultAcl> {
    let rights = || 0..8_u64;
    let list = (
        rights(),
        rights(),
        rights(),
        rights(),
        named(),
        named(),
        0..4,
    );
    list.prop_map(move |(user, group, other, mask, users, groups, dice)| {
        if !allowed.acls || dice > 0 {
            return (None, Vec::new(), Vec::new());
        }
        let has_named = !users.is_empty() || !groups.is_empty();
        let mask = if has_named { mask } else { u64::MAX };
        (Some([user, group, other, mask]), users, groups)
    })
}
