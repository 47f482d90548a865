//! A slow and strict reader: it holds a whole archive in memory, and panics at whatever the official client would not
//! have written.

use std::collections::{BTreeSet, HashMap};

use super::content::Content;
use super::goodbye::{self, Row};
use super::item::{
    ACL_DEFAULT, ACL_DEFAULT_GROUP, ACL_DEFAULT_USER, ACL_GROUP, ACL_GROUP_OBJ, ACL_USER, DEVICE,
    ENTRY, ENTRY_V1, FCAPS, FILENAME, FORMAT_VERSION, GOODBYE, HARDLINK, HEADER, PAYLOAD,
    PAYLOAD_REF, PAYLOAD_START, PAYLOAD_TAIL, PRELUDE, QUOTA_PROJID, SYMLINK, XATTR,
};
use super::tree::{Children, Kind, Meta, Node, Tree, joined};

/// Trees that are not made to attack are not so deep.
const DEPTH_MAX: usize = 1024;
const PRELUDE_MAX: usize = 1 << 20;
/// Bytes of a name, a path, or a symlink's target.
const NAME_MAX: usize = 4096;
const XATTR_MAX: usize = 65791;

/// An archive that was decoded.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// The tree.
    pub tree: Tree,
    /// The number in FORMAT_VERSION.
    pub version: Option<u64>,
    /// The content of PRELUDE.
    pub prelude: Option<Vec<u8>>,
    /// Where the payload of each file starts in the payload stream, in the archive's order.
    pub payload_offsets: Vec<u64>,
}

/// Describes an archive, as `describe.py` would describe the folder in which it is extracted: the `.pxar`, or the
/// `.mpxar` with the `.ppxar`.
///
/// # Panics
/// The official client would not have written it.
pub fn describe(stream: &[u8], payload: Option<&[u8]>) -> String {
    decode(stream, payload).tree.manifest()
}

/// Decodes an archive.
///
/// # Panics
/// The official client would not have written it.
pub fn decode(stream: &[u8], payload: Option<&[u8]>) -> Decoded {
    if let Some(payload) = payload {
        let marker = |at: usize| (number(&payload[at..]), number(&payload[at + 8..]));
        assert_eq!(
            marker(0),
            (PAYLOAD_START, HEADER),
            "the start of the payloads"
        );
        let end = payload.len() - HEADER as usize;
        assert_eq!(
            marker(end),
            (PAYLOAD_TAIL, HEADER),
            "the end of the payloads"
        );
    }
    let mut reader = Reader {
        stream,
        payload,
        at: 0,
        files: HashMap::new(),
        payload_offsets: Vec::new(),
        payloads_end: HEADER,
        depth: 0,
    };
    let version = reader.item_if(FORMAT_VERSION).map(only_number);
    assert!(
        matches!(version, None | Some(1 | 2)),
        "the version is {version:?}"
    );
    let prelude = reader.item_if(PRELUDE).map(<[u8]>::to_vec);
    assert!(
        prelude.is_none() || version.is_some(),
        "a prelude needs a version"
    );
    let prelude_len = prelude.as_ref().map_or(0, Vec::len);
    assert!(
        prelude_len <= PRELUDE_MAX,
        "the prelude has {prelude_len} bytes"
    );
    let (mode, meta) = reader.attributes();
    assert_eq!(mode & 0o170_000, 0o040_000, "the root is a directory");
    let children = reader.directory(0, b"");
    assert_eq!(reader.at, stream.len(), "there are bytes behind the root");
    Decoded {
        tree: Tree { meta, children },
        version,
        prelude,
        payload_offsets: reader.payload_offsets,
    }
}

struct Reader<'a> {
    stream: &'a [u8],
    payload: Option<&'a [u8]>,
    at: usize,
    /// The path of the regular file whose FILENAME is at an offset.
    files: HashMap<u64, Vec<u8>>,
    payload_offsets: Vec<u64>,
    /// Where the last payload ends that a reference leads to.
    payloads_end: u64,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn next_type(&self) -> u64 {
        number(&self.stream[self.at..])
    }

    fn item(&mut self, htype: u64) -> &'a [u8] {
        let at = self.at;
        self.item_if(htype).unwrap_or_else(|| {
            panic!("there is {:x} and not {htype:x} at {at}", self.next_type());
        })
    }

    fn item_if(&mut self, htype: u64) -> Option<&'a [u8]> {
        if self.next_type() != htype {
            return None;
        }
        let size = number(&self.stream[self.at + 8..]) as usize;
        let end = self.at.checked_add(size).expect("a size overflows");
        let content = &self.stream[self.at + HEADER as usize..end];
        self.at = end;
        Some(content)
    }

    /// What follows the attributes of a directory that starts there.
    fn directory(&mut self, start: usize, path: &[u8]) -> Children {
        self.depth += 1;
        assert!(self.depth <= DEPTH_MAX, "the tree is too deep");
        let mut children = Children::new();
        let mut rows = Vec::new();
        let mut payload_lens = Vec::new();
        while self.next_type() == FILENAME {
            let child = self.at;
            let name = unterminated(self.item(FILENAME)).to_vec();
            let is_name =
                !name.is_empty() && name != b"." && name != b".." && !name.contains(&b'/');
            assert!(is_name, "'{}' is no name", name.escape_ascii());
            let node = self.node(child, joined(path, &name));
            rows.push((goodbye::hash(&name), child, self.at - child));
            payload_lens.push(match &node.kind {
                Kind::File(content) if self.payload.is_some() => content.len(),
                _ => 0,
            });
            let earlier = children.insert(name, node);
            assert!(
                earlier.is_none(),
                "a name comes twice in {}",
                path.escape_ascii()
            );
        }
        self.table(start, &rows, &payload_lens);
        self.depth -= 1;
        children
    }

    fn table(&mut self, start: usize, children: &[(u64, usize, usize)], payload_lens: &[u64]) {
        let here = self.at;
        let (rows, rest) = self.item(GOODBYE).as_chunks::<24>();
        let rows: Vec<Row> = rows.iter().map(row).collect();
        let (tail, rows) = rows.split_last().expect("a table has a tail");
        assert!(rest.is_empty(), "the table at {here} has half a row");
        let size = (self.at - here) as u64;
        let offset = (here - start) as u64;
        assert_eq!(
            (tail.hash, tail.offset, tail.size),
            (goodbye::TAIL, offset, size)
        );
        assert_eq!(
            rows.len(),
            children.len(),
            "the rows of the table at {here}"
        );
        let mut found = BTreeSet::new();
        for ((hash, child, size), payload_len) in children.iter().zip(payload_lens) {
            let index = search(rows, 0, *hash, (here - child) as u64);
            let index = index.unwrap_or_else(|| panic!("no row for the entry at {child}"));
            let size = *size as u64;
            let sizes = [size, size + payload_len];
            assert!(
                sizes.contains(&rows[index].size),
                "the size of the entry at {child}"
            );
            found.insert(index);
        }
        assert_eq!(
            found.len(),
            rows.len(),
            "each row of the table at {here} is one entry's"
        );
    }

    fn node(&mut self, start: usize, path: Vec<u8>) -> Node {
        if let Some(link) = self.item_if(HARDLINK) {
            let target = unterminated(&link[8..]).to_vec();
            let file = self.files.get(&(start as u64).wrapping_sub(number(link)));
            assert_eq!(
                file,
                Some(&target),
                "the offset and the path of a hard link"
            );
            return Node::hard_link(target);
        }
        let entry = self.at;
        let (mode, meta) = self.attributes();
        let kind = match mode & 0o170_000 {
            0o140_000 => Kind::Socket,
            0o120_000 => {
                let target = unterminated(self.item(SYMLINK));
                assert!(!target.is_empty(), "a symlink leads nowhere");
                Kind::Symlink(target.to_vec())
            }
            0o100_000 => {
                self.files.insert(start as u64, path);
                Kind::File(self.content())
            }
            0o060_000 => pair(self.item(DEVICE), Kind::BlockDevice),
            0o040_000 => Kind::Directory(self.directory(entry, &path)),
            0o020_000 => pair(self.item(DEVICE), Kind::CharDevice),
            0o010_000 => Kind::Fifo,
            _ => panic!("{} has the mode {mode:o}", path.escape_ascii()),
        };
        Node { meta, kind }
    }

    fn content(&mut self) -> Content {
        let Some(payload) = self.payload else {
            return self.item(PAYLOAD).into();
        };
        let (offset, len) = pair(self.item(PAYLOAD_REF), |offset, len| (offset, len));
        assert!(
            offset >= self.payloads_end,
            "the reference to {offset} falls back"
        );
        self.payload_offsets.push(offset);
        let header = &payload[offset as usize..];
        let size = number(&header[8..]).checked_sub(HEADER);
        assert_eq!(
            (number(header), size),
            (PAYLOAD, Some(len)),
            "the header at {offset}"
        );
        self.payloads_end = offset + HEADER + len;
        header[HEADER as usize..][..len as usize].into()
    }

    /// Mode and attributes.
    fn attributes(&mut self) -> (u64, Meta) {
        let (mode, mut meta) = self.stat();
        while let Some(xattr) = self.item_if(XATTR) {
            assert!(xattr.len() <= XATTR_MAX, "an attribute is too large");
            let end = xattr
                .iter()
                .position(|byte| *byte == 0)
                .expect("a name ends");
            meta.xattrs
                .push((xattr[..end].to_vec(), xattr[end + 1..].to_vec()));
        }
        let acl = &mut meta.acl;
        acl.users = self.named(ACL_USER);
        acl.groups = self.named(ACL_GROUP);
        acl.group = self.item_if(ACL_GROUP_OBJ).map(only_number);
        acl.default = self.item_if(ACL_DEFAULT).map(|list| {
            let (numbers, rest) = list.as_chunks::<8>();
            assert!(
                numbers.len() == 4 && rest.is_empty(),
                "the size of a default list"
            );
            std::array::from_fn(|index| u64::from_le_bytes(numbers[index]))
        });
        acl.default_users = self.named(ACL_DEFAULT_USER);
        acl.default_groups = self.named(ACL_DEFAULT_GROUP);
        meta.capability = self.item_if(FCAPS).map(<[u8]>::to_vec);
        let len = meta.capability.as_ref().map_or(0, Vec::len);
        assert!(len <= XATTR_MAX, "a capability is too large");
        meta.project = self.item_if(QUOTA_PROJID).map(only_number);
        (mode, meta)
    }

    fn stat(&mut self) -> (u64, Meta) {
        let old = self.item_if(ENTRY_V1);
        let entry = old.unwrap_or_else(|| self.item(ENTRY));
        let mode = number(entry);
        let mut meta = Meta::new((mode & 0o7777) as u32);
        assert_eq!(mode >> 16, 0, "the mode has bits of no meaning");
        meta.flags = number(&entry[8..]);
        meta.uid = number(&entry[16..]) as u32;
        meta.gid = (number(&entry[16..]) >> 32) as u32;
        let time = number(&entry[24..]);
        meta.mtime = if old.is_some() {
            let second = 1_000_000_000;
            ((time / second) as i64, (time % second) as u32)
        } else {
            assert_eq!(entry.len(), 40, "the size of an ENTRY");
            (time.cast_signed(), number(&entry[32..]) as u32)
        };
        (mode, meta)
    }

    fn named(&mut self, htype: u64) -> Vec<(u64, u64)> {
        let mut named = Vec::new();
        while let Some(item) = self.item_if(htype) {
            named.push(pair(item, |id, permissions| (id, permissions)));
        }
        named
    }
}

/// Finds the row with this hash and offset, as in a search tree.
fn search(rows: &[Row], node: usize, hash: u64, offset: u64) -> Option<usize> {
    let row = rows.get(node)?;
    let left = || search(rows, 2 * node + 1, hash, offset);
    let right = || search(rows, 2 * node + 2, hash, offset);
    match hash.cmp(&row.hash) {
        std::cmp::Ordering::Less => left(),
        std::cmp::Ordering::Greater => right(),
        _ if row.offset == offset => Some(node),
        _ => left().or_else(right),
    }
}

fn row(bytes: &[u8; 24]) -> Row {
    Row {
        hash: number(bytes),
        offset: number(&bytes[8..]),
        size: number(&bytes[16..]),
    }
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(*bytes.first_chunk().expect("it has 8 bytes"))
}

fn only_number(bytes: &[u8]) -> u64 {
    assert_eq!(bytes.len(), 8, "the size of a number");
    number(bytes)
}

fn pair<T>(bytes: &[u8], make: impl FnOnce(u64, u64) -> T) -> T {
    assert_eq!(bytes.len(), 16, "the size of two numbers");
    make(number(bytes), number(&bytes[8..]))
}

fn unterminated(bytes: &[u8]) -> &[u8] {
    let (last, name) = bytes.split_last().expect("it has a final zero");
    assert!(
        *last == 0 && !name.contains(&0),
        "there is one zero, at the end"
    );
    assert!(name.len() <= NAME_MAX, "it is too long");
    name
}
