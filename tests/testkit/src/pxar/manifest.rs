//! A text that says what a tree holds, a line for each entry, sorted by path, as `tests/golden/input/describe.py` makes
//! it of a folder: path, type, mode, owner, group, size, time in nanoseconds, the first path of the same file, device,
//! extended attributes, target of a symlink, SHA-256. Two trees are the same if their texts are.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use super::posix_acl::{access_list, default_list};
use super::tree::{Children, Kind, Meta, Node, Tree};
use crate::key::hex;

/// What a line says of an entry.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) path: Vec<u8>,
    /// As `find` names types, and `f` for regular files.
    pub(super) kind: char,
    pub(super) mode: u32,
    pub(super) owner: (u32, u32),
    pub(super) size: u64,
    pub(super) mtime: i128,
    pub(super) first_path: Option<Vec<u8>>,
    pub(super) device: Option<(u64, u64)>,
    pub(super) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) target: Option<Vec<u8>>,
    pub(super) sha256: Option<[u8; 32]>,
}

/// The text of these lines, in any order. The root's path is empty.
pub(super) fn render(mut lines: Vec<Line>) -> String {
    lines.sort_by(|a, b| a.path.cmp(&b.path));
    lines.iter().map(Line::text).collect()
}

impl Line {
    fn text(&self) -> String {
        let path = |path: &[u8]| match path {
            b"" => ".".to_owned(),
            path => escaped(path),
        };
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let xattr = |(name, value): (&Vec<u8>, &Vec<u8>)| {
            let value: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{}={value}", escaped(name))
        };
        let xattrs: Vec<String> = self.xattrs.iter().map(xattr).collect();
        format!(
            "{} {} {:04o} {} {} {} {} {} {} {} {} {}\n",
            path(&self.path),
            self.kind,
            self.mode,
            self.owner.0,
            self.owner.1,
            self.size,
            self.mtime,
            or_dash(self.first_path.as_deref().map(path)),
            or_dash(self.device.map(|(major, minor)| format!("{major}:{minor}"))),
            or_dash((!xattrs.is_empty()).then(|| xattrs.join(","))),
            or_dash(self.target.as_deref().map(escaped)),
            or_dash(self.sha256.map(|sha256| hex(&sha256))),
        )
    }
}

/// All but visible ASCII becomes `\xff`, so that a name has no blanks.
fn escaped(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        match byte {
            b'\\' | 0..=32 | 127.. => write!(text, "\\x{byte:02x}").expect("a string takes text"),
            byte => text.push(char::from(*byte)),
        }
    }
    text
}

impl Tree {
    /// What `describe.py` would say of this tree, if all of it were in a folder.
    ///
    /// # Panics
    /// A hard link leads to no regular file of the tree.
    pub fn manifest(&self) -> String {
        let root = Node {
            meta: self.meta.clone(),
            kind: Kind::Directory(Children::new()),
        };
        let mut lines = vec![line(Vec::new(), &root)];
        let entries = self.entries();
        let nodes: HashMap<&[u8], &Node> = (entries.iter())
            .map(|(path, node)| (&path[..], *node))
            .collect();
        let first_paths = first_paths(&entries);
        for (path, node) in &entries {
            let (target, node) = match &node.kind {
                Kind::HardLink(target) => (target, *nodes.get(&target[..]).expect("a link's file")),
                _ => (path, *node),
            };
            let mut line = line(path.clone(), node);
            line.first_path = first_paths.get(target).cloned();
            lines.push(line);
        }
        render(lines)
    }
}

/// For each file with several names, by the path that the links lead to: the first of all its paths.
fn first_paths(entries: &[(Vec<u8>, &Node)]) -> HashMap<Vec<u8>, Vec<u8>> {
    let mut first: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
    for (path, node) in entries {
        if let Kind::HardLink(target) = &node.kind {
            let known = first
                .entry(target.clone())
                .or_insert_with(|| target.clone());
            if path < known {
                *known = path.clone();
            }
        }
    }
    first
}

fn line(path: Vec<u8>, node: &Node) -> Line {
    let meta = &node.meta;
    let mut line = Line {
        path,
        kind: '?',
        mode: meta.mode,
        owner: (meta.uid, meta.gid),
        size: 0,
        mtime: i128::from(meta.mtime.0) * 1_000_000_000 + i128::from(meta.mtime.1),
        first_path: None,
        device: None,
        xattrs: xattrs(meta),
        target: None,
        sha256: None,
    };
    match &node.kind {
        Kind::Directory(_) => line.kind = 'd',
        Kind::File(content) => {
            line.kind = 'f';
            line.size = content.len();
            line.sha256 = Some(content.sha256());
        }
        Kind::Symlink(target) => {
            line.kind = 'l';
            // Linux has no other mode for symlinks.
            line.mode = 0o777;
            line.size = target.len() as u64;
            line.target = Some(target.clone());
        }
        Kind::HardLink(target) => panic!("{} is a link to a link", target.escape_ascii()),
        Kind::CharDevice(major, minor) => (line.kind, line.device) = ('c', Some((*major, *minor))),
        Kind::BlockDevice(major, minor) => (line.kind, line.device) = ('b', Some((*major, *minor))),
        Kind::Fifo => line.kind = 'p',
        Kind::Socket => line.kind = 's',
    }
    line
}

fn xattrs(meta: &Meta) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut xattrs: BTreeMap<_, _> = meta.xattrs.iter().cloned().collect();
    let mut add = |name: &str, value: Option<Vec<u8>>| {
        if let Some(value) = value {
            xattrs.insert(name.into(), value);
        }
    };
    add("security.capability", meta.capability.clone());
    add("system.posix_acl_access", access_list(meta));
    add("system.posix_acl_default", default_list(&meta.acl));
    xattrs
}

/// Compares two texts of [`Tree::manifest`] and the like.
///
/// # Panics
/// They differ. The message has the lines that only one of them has.
pub fn assert_same(actual: &str, expected: &str) {
    let only = |text: &str, other: &str| -> String {
        let other: std::collections::HashSet<&str> = other.lines().collect();
        let lines = text.lines().filter(|line| !other.contains(line));
        lines.map(|line| format!("  {line}\n")).collect()
    };
    assert!(
        actual == expected,
        "the trees differ\nexpected, and not there:\n{}there, and not expected:\n{}",
        only(expected, actual),
        only(actual, expected)
    );
}
