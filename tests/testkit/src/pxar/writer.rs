//! Writes an archive item by item. The caller decides the order, so wrong archives can be written too; what is not
//! given is as the official client writes it.

use super::content::Content;
use super::goodbye::{Row, Table, hash};
use super::item::{
    self, ACL_DEFAULT, ACL_DEFAULT_GROUP, ACL_DEFAULT_USER, ACL_GROUP, ACL_GROUP_OBJ, ACL_USER,
    DEVICE, ENTRY, ENTRY_V1, FCAPS, FILENAME, HARDLINK, HEADER, PAYLOAD, PAYLOAD_REF,
    PAYLOAD_START, PAYLOAD_TAIL, QUOTA_PROJID, SYMLINK, XATTR, item, item_of_size, numbers,
};
use super::layout::Layout;
use super::tree::{Acl, Kind, Meta, Node};

/// An archive as bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    /// The `.pxar`, or the `.mpxar` of a split archive.
    pub stream: Content,
    /// The `.ppxar` of a split archive.
    pub payload: Option<Content>,
}

/// An archive in the making.
#[derive(Clone, Debug)]
pub struct Writer {
    /// The archive so far. Anything may be added to it.
    pub stream: Content,
    /// The payload stream so far, if the archive is split. Anything may be added to it.
    pub payload: Option<Content>,
    open: Vec<Open>,
    has_old_entries: bool,
    has_reused_payloads: bool,
}

/// A directory that has no table yet.
#[derive(Clone, Debug)]
struct Open {
    start: u64,
    children: Vec<Child>,
}

#[derive(Clone, Debug)]
struct Child {
    name: Vec<u8>,
    start: u64,
    end: Option<u64>,
    /// The official client adds the length of a payload to the size of its entry, if it writes the payload anew.
    payload_len: u64,
}

impl Writer {
    /// An archive that has only what stands before the root.
    pub fn new(layout: &Layout) -> Writer {
        let mut stream = Content::new();
        if let Some(version) = layout.version {
            stream.push(&item(item::FORMAT_VERSION, &version.to_le_bytes()));
        }
        if let Some(prelude) = &layout.prelude {
            stream.push(&item(item::PRELUDE, prelude));
        }
        Writer {
            stream,
            payload: layout.is_split.then(|| item(PAYLOAD_START, b"").into()),
            open: Vec::new(),
            has_old_entries: layout.has_old_entries,
            has_reused_payloads: layout.gaps.is_some(),
        }
    }

    /// Bytes of the archive so far.
    pub fn position(&self) -> u64 {
        self.stream.len()
    }

    /// Writes an item.
    pub fn item(&mut self, htype: u64, content: &[u8]) {
        self.stream.push(&item(htype, content));
    }

    /// Writes a FILENAME, and puts it into the table of the directory; gives the offset of the FILENAME.
    pub fn name(&mut self, name: &[u8]) -> u64 {
        let start = self.position();
        self.end_child();
        self.item(FILENAME, &terminated(name));
        if let Some(open) = self.open.last_mut() {
            open.children.push(Child {
                name: name.to_vec(),
                start,
                end: None,
                payload_len: 0,
            });
        }
        start
    }

    /// Writes an entry, which may be a directory with all that it holds, under a name; gives the offset of the
    /// FILENAME. A hard link becomes a link to offset 0 before itself: write it by [`hard_link`](Writer::hard_link).
    pub fn entry(&mut self, name: &[u8], node: &Node) -> u64 {
        let start = self.name(name);
        if let Kind::HardLink(path) = &node.kind {
            self.hard_link_item(0, path);
            return start;
        }
        self.attributes(node);
        self.body(&node.kind);
        start
    }

    /// Writes what follows the attributes of this kind of entry.
    fn body(&mut self, kind: &Kind) {
        match kind {
            Kind::File(content) => self.file_content(content),
            Kind::Symlink(target) => self.item(SYMLINK, &terminated(target)),
            Kind::CharDevice(major, minor) | Kind::BlockDevice(major, minor) => {
                self.item(DEVICE, &numbers(&[*major, *minor]));
            }
            Kind::Directory(children) => {
                for (name, node) in children {
                    self.entry(name, node);
                }
                self.end_directory();
            }
            Kind::HardLink(_) | Kind::Fifo | Kind::Socket => {}
        }
    }

    /// Writes a hard link to the entry whose FILENAME is at this offset.
    pub fn hard_link(&mut self, name: &[u8], target: u64, path: &[u8]) {
        let start = self.name(name);
        self.hard_link_item(start.wrapping_sub(target), path);
    }

    /// Writes a HARDLINK.
    pub fn hard_link_item(&mut self, offset: u64, path: &[u8]) {
        let content = [&offset.to_le_bytes()[..], &terminated(path)].concat();
        self.item(HARDLINK, &content);
    }

    /// Writes ENTRY and all attributes. If the entry is a directory, it is open from now on.
    pub fn attributes(&mut self, node: &Node) {
        self.stat(node.type_bits() | u64::from(node.meta.mode), &node.meta);
        self.further_attributes(&node.meta);
    }

    /// Writes an ENTRY. If this is the mode of a directory, the directory is open from now on.
    pub fn stat(&mut self, mode: u64, meta: &Meta) {
        if mode & 0o170_000 == 0o040_000 {
            // The root's tail leads to the start of the archive, whatever stands before ENTRY.
            let is_root = self.open.is_empty();
            self.open.push(Open {
                start: if is_root { 0 } else { self.position() },
                children: Vec::new(),
            });
        }
        let (seconds, nanoseconds) = meta.mtime;
        let owner = [meta.uid.to_le_bytes(), meta.gid.to_le_bytes()].concat();
        let start = [numbers(&[mode, meta.flags]), owner].concat();
        if self.has_old_entries {
            let time = i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
            let time = u64::try_from(time).expect("old entries have times from 1970 on");
            self.item(ENTRY_V1, &[start, numbers(&[time])].concat());
        } else {
            let time = [
                numbers(&[seconds.cast_unsigned()]),
                numbers(&[nanoseconds.into()]),
            ];
            self.item(ENTRY, &[start, time.concat()].concat());
        }
    }

    /// Writes the attributes that follow an ENTRY.
    pub fn further_attributes(&mut self, meta: &Meta) {
        for (name, value) in &meta.xattrs {
            self.item(XATTR, &[name, &b"\0"[..], value].concat());
        }
        self.acl(&meta.acl);
        if let Some(value) = &meta.capability {
            self.item(FCAPS, value);
        }
        if let Some(id) = meta.project {
            self.item(QUOTA_PROJID, &id.to_le_bytes());
        }
    }

    fn acl(&mut self, acl: &Acl) {
        self.named(ACL_USER, &acl.users);
        self.named(ACL_GROUP, &acl.groups);
        if let Some(permissions) = acl.group {
            self.item(ACL_GROUP_OBJ, &numbers(&[permissions]));
        }
        if let Some(permissions) = acl.default {
            self.item(ACL_DEFAULT, &numbers(&permissions));
        }
        self.named(ACL_DEFAULT_USER, &acl.default_users);
        self.named(ACL_DEFAULT_GROUP, &acl.default_groups);
    }

    fn named(&mut self, htype: u64, list: &[(u64, u64)]) {
        for (id, permissions) in list {
            self.item(htype, &numbers(&[*id, *permissions]));
        }
    }

    /// Writes the content of a file: here, or into the payload stream with a reference here.
    pub fn file_content(&mut self, content: &Content) {
        let size = HEADER + content.len();
        let header = item_of_size(PAYLOAD, size, b"");
        let Some(payload) = &mut self.payload else {
            self.stream.push(&header);
            self.stream.append(content);
            return;
        };
        let offset = payload.len();
        payload.push(&header);
        payload.append(content);
        self.reference(offset, content.len());
        let child = (self.open.last_mut()).and_then(|open| open.children.last_mut());
        if let (Some(child), false) = (child, self.has_reused_payloads) {
            child.payload_len = content.len();
        }
    }

    /// Writes a PAYLOAD_REF.
    pub fn reference(&mut self, offset: u64, size: u64) {
        self.item(PAYLOAD_REF, &numbers(&[offset, size]));
    }

    /// Ends the directory that was opened last, with its table.
    ///
    /// # Panics
    /// No directory is open.
    pub fn end_directory(&mut self) {
        let table = self.end_directory_without_table();
        self.stream.push(&table.bytes());
    }

    /// Ends the directory that was opened last, and gives the table that would belong here.
    ///
    /// # Panics
    /// No directory is open.
    pub fn end_directory_without_table(&mut self) -> Table {
        self.end_child();
        let open = self.open.pop().expect("a directory is open");
        let here = self.position();
        let row = |child: &Child| Row {
            hash: hash(&child.name),
            offset: here - child.start,
            size: child.end.expect("it has ended") - child.start + child.payload_len,
        };
        Table::new(open.children.iter().map(row).collect(), here - open.start)
    }

    fn end_child(&mut self) {
        let here = self.position();
        if let Some(child) = self
            .open
            .last_mut()
            .and_then(|open| open.children.last_mut())
        {
            child.end.get_or_insert(here);
        }
    }

    /// Ends all directories that are open, and the payload stream.
    pub fn finish(mut self) -> Archive {
        while !self.open.is_empty() {
            self.end_directory();
        }
        if let Some(payload) = &mut self.payload {
            payload.push(&item(PAYLOAD_TAIL, b""));
        }
        Archive {
            stream: self.stream,
            payload: self.payload,
        }
    }
}

/// With a final zero, as names are stored.
pub fn terminated(name: &[u8]) -> Vec<u8> {
    [name, b"\0"].concat()
}
