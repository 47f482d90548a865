//! A file tree with all metadata that an archive can hold.

use std::collections::BTreeMap;

use super::content::Content;

/// A directory's entries by name. Names are bytes, in byte order.
pub type Children = BTreeMap<Vec<u8>, Node>;

/// A file tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// The metadata of the tree's own directory.
    pub meta: Meta,
    /// What the tree's own directory holds.
    pub children: Children,
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its metadata. A hard link has none of its own: these are ignored.
    pub meta: Meta,
    /// What it is.
    pub kind: Kind,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory(Children),
    /// A regular file.
    File(Content),
    /// A symlink with its target.
    Symlink(Vec<u8>),
    /// Another name of a regular file that comes earlier: the file's path from the root, without a leading slash.
    HardLink(Vec<u8>),
    /// A character device: major and minor number.
    CharDevice(u64, u64),
    /// A block device: major and minor number.
    BlockDevice(u64, u64),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// The metadata of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Permissions with setuid, setgid and sticky: at most 0o7777. The type follows from the kind.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The modification time: seconds since 1970, and nanoseconds, which count upwards also before 1970.
    pub mtime: (i64, u32),
    /// As they are in the archive.
    pub flags: u64,
    /// Extended attributes in the archive's order: names and values.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Access lists.
    pub acl: Acl,
    /// The value of `security.capability`.
    pub capability: Option<Vec<u8>>,
    /// A quota project id.
    pub project: Option<u64>,
}

/// Access lists as an archive holds them. Permissions: read 4, write 2, execute 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acl {
    /// Named users: id and permissions.
    pub users: Vec<(u64, u64)>,
    /// Named groups: id and permissions.
    pub groups: Vec<(u64, u64)>,
    /// The owning group's permissions; then the mode's group bits are the mask.
    pub group: Option<u64>,
    /// The default list's user, group, other and mask; `u64::MAX` says that there is none.
    pub default: Option<[u64; 4]>,
    /// Named users of the default list.
    pub default_users: Vec<(u64, u64)>,
    /// Named groups of the default list.
    pub default_groups: Vec<(u64, u64)>,
}

impl Acl {
    /// Whether there is no item of either list.
    pub fn is_empty(&self) -> bool {
        *self == Acl::default()
    }
}

impl Meta {
    /// This mode, owned by root, at some time.
    pub fn new(mode: u32) -> Meta {
        Meta {
            mode,
            uid: 0,
            gid: 0,
            mtime: (1_767_323_045, 123_456_789),
            flags: 0,
            xattrs: Vec::new(),
            acl: Acl::default(),
            capability: None,
            project: None,
        }
    }
}

impl Default for Tree {
    fn default() -> Tree {
        Tree::new()
    }
}

impl Tree {
    /// An empty tree.
    pub fn new() -> Tree {
        Tree {
            meta: Meta::new(0o755),
            children: Children::new(),
        }
    }

    /// Adds an entry at a path such as `etc/hostname`. Its directory must be there already.
    ///
    /// # Panics
    /// There is no such directory, or the path is taken.
    pub fn add(mut self, path: impl AsRef<[u8]>, node: Node) -> Tree {
        self.insert(path.as_ref(), node);
        self
    }

    /// Adds an entry, as [`add`](Tree::add) does.
    ///
    /// # Panics
    /// As [`add`](Tree::add).
    pub fn insert(&mut self, path: &[u8], node: Node) {
        let mut children = &mut self.children;
        let mut names = path.split(|byte| *byte == b'/').peekable();
        while let Some(name) = names.next() {
            if names.peek().is_none() {
                let earlier = children.insert(name.to_vec(), node);
                assert!(earlier.is_none(), "{} is taken", path.escape_ascii());
                return;
            }
            match children.get_mut(name).map(|node| &mut node.kind) {
                Some(Kind::Directory(inner)) => children = inner,
                _ => panic!("{} has no directory", path.escape_ascii()),
            }
        }
    }

    /// All entries with their paths, in the archive's order; the tree's own directory is not among them.
    pub fn entries(&self) -> Vec<(Vec<u8>, &Node)> {
        let mut found = Vec::new();
        collect(&self.children, b"", &mut found);
        found
    }
}

fn collect<'a>(children: &'a Children, folder: &[u8], found: &mut Vec<(Vec<u8>, &'a Node)>) {
    for (name, node) in children {
        let path = joined(folder, name);
        found.push((path.clone(), node));
        if let Kind::Directory(children) = &node.kind {
            collect(children, &path, found);
        }
    }
}

/// The path of a name in a folder; the root is empty.
pub(super) fn joined(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() {
        name.to_vec()
    } else {
        [folder, b"/", name].concat()
    }
}

impl Node {
    fn new(mode: u32, kind: Kind) -> Node {
        Node {
            meta: Meta::new(mode),
            kind,
        }
    }

    /// An empty directory, 0755.
    pub fn directory() -> Node {
        Node::new(0o755, Kind::Directory(Children::new()))
    }

    /// A file, 0644.
    pub fn file(content: impl Into<Content>) -> Node {
        Node::new(0o644, Kind::File(content.into()))
    }

    /// A symlink.
    pub fn symlink(target: impl AsRef<[u8]>) -> Node {
        Node::new(0o777, Kind::Symlink(target.as_ref().to_vec()))
    }

    /// Another name of the file at this path.
    pub fn hard_link(path: impl AsRef<[u8]>) -> Node {
        Node::new(0, Kind::HardLink(path.as_ref().to_vec()))
    }

    /// A character device, 0600.
    pub fn char_device(major: u64, minor: u64) -> Node {
        Node::new(0o600, Kind::CharDevice(major, minor))
    }

    /// A block device, 0600.
    pub fn block_device(major: u64, minor: u64) -> Node {
        Node::new(0o600, Kind::BlockDevice(major, minor))
    }

    /// A named pipe, 0644.
    pub fn fifo() -> Node {
        Node::new(0o644, Kind::Fifo)
    }

    /// A socket, 0755.
    pub fn socket() -> Node {
        Node::new(0o755, Kind::Socket)
    }

    /// With these permissions.
    pub fn mode(mut self, mode: u32) -> Node {
        self.meta.mode = mode;
        self
    }

    /// With this owner and group.
    pub fn owner(mut self, uid: u32, gid: u32) -> Node {
        (self.meta.uid, self.meta.gid) = (uid, gid);
        self
    }

    /// With this modification time.
    pub fn time(mut self, seconds: i64, nanoseconds: u32) -> Node {
        self.meta.mtime = (seconds, nanoseconds);
        self
    }

    /// With these flags.
    pub fn flags(mut self, flags: u64) -> Node {
        self.meta.flags = flags;
        self
    }

    /// With one more extended attribute.
    pub fn xattr(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Node {
        let xattr = (name.as_ref().to_vec(), value.as_ref().to_vec());
        self.meta.xattrs.push(xattr);
        self
    }

    /// With these access lists.
    pub fn acl(mut self, acl: Acl) -> Node {
        self.meta.acl = acl;
        self
    }

    /// With this value of `security.capability`.
    pub fn capability(mut self, value: impl AsRef<[u8]>) -> Node {
        self.meta.capability = Some(value.as_ref().to_vec());
        self
    }

    /// With this quota project id.
    pub fn project(mut self, id: u64) -> Node {
        self.meta.project = Some(id);
        self
    }

    /// The type as `st_mode` has it; that of a regular file for a hard link.
    pub fn type_bits(&self) -> u64 {
        match self.kind {
            Kind::Socket => 0o140_000,
            Kind::Symlink(_) => 0o120_000,
            Kind::File(_) | Kind::HardLink(_) => 0o100_000,
            Kind::BlockDevice(..) => 0o060_000,
            Kind::Directory(_) => 0o040_000,
            Kind::CharDevice(..) => 0o020_000,
            Kind::Fifo => 0o010_000,
        }
    }
}
