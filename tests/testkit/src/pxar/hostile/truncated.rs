//! Archives that end too early: at each item, and within each.

use super::{Hostile, refused};
use crate::pxar::{Acl, Archive, Content, Layout, Node, Tree, encode};

pub(super) fn all() -> Vec<Hostile> {
    let whole = encode(&tree(), &Layout::v1());
    let halves = encode(&tree(), &Layout::split());
    let payload = halves.payload.clone().unwrap_or_default();
    let mut all = Vec::new();
    for len in lengths(&whole.stream) {
        let archive = Archive {
            stream: whole.stream.truncated(len),
            payload: None,
        };
        all.push(refused(
            format!("truncated-v1-{len}"),
            "the end is missing",
            archive,
        ));
    }
    for len in lengths(&halves.stream) {
        let archive = Archive {
            stream: halves.stream.truncated(len),
            payload: Some(payload.clone()),
        };
        all.push(refused(
            format!("truncated-mpxar-{len}"),
            "the end is missing",
            archive,
        ));
    }
    // The tail marker is not looked at, so a payload stream without it is a whole one.
    let tail = payload.len() - 16;
    for len in lengths(&payload).into_iter().filter(|len| *len < tail) {
        let archive = Archive {
            stream: halves.stream.clone(),
            payload: Some(payload.truncated(len)),
        };
        all.push(refused(
            format!("truncated-ppxar-{len}"),
            "payloads are missing",
            archive,
        ));
    }
    all
}

/// A tree with each kind of item.
fn tree() -> Tree {
    let acl = Acl {
        users: vec![(1000, 7)],
        groups: vec![(50, 5)],
        group: Some(5),
        default: Some([7, 5, 5, 7]),
        default_users: vec![(1000, 7)],
        default_groups: vec![(50, 5)],
    };
    let folder = Node::directory()
        .acl(acl)
        .xattr("user.a", b"value")
        .project(7);
    Tree::new()
        .add("a", folder)
        .add("a/file", Node::file("content").capability(b"\x01\0\0\x02"))
        .add("device", Node::char_device(1, 3))
        .add("empty", Node::file(""))
        .add("fifo", Node::fifo())
        .add("link", Node::hard_link("a/file"))
        .add("symlink", Node::symlink("target"))
        .add("z", Node::file("the last content"))
}

/// Lengths up to the start of each item, into its header, and into its content.
fn lengths(stream: &Content) -> Vec<u64> {
    let bytes = stream.to_vec();
    let mut lengths = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let size = bytes[at + 8..]
            .first_chunk()
            .map(|size| u64::from_le_bytes(*size));
        let end = at + size.expect("an item has a size") as usize;
        lengths.extend([at, at + 9, end - 1].map(|len| len as u64));
        at = end;
    }
    lengths.dedup();
    lengths
}
