//! The catalog of a snapshot, `catalog.pcat1`: the names, types, sizes and times of all entries.

use super::tree::{Children, Kind, Node, Tree};

/// The first bytes of a catalog.
pub const MAGIC: [u8; 8] = [0x91, 0xfd, 0x60, 0xf9, 0xc4, 0x67, 0x58, 0xd5];

/// The catalog of these archives, by the name of their index, such as `root.pxar.didx`.
pub fn catalog(archives: &[(&str, &Tree)]) -> Vec<u8> {
    let mut writer = CatalogWriter::new();
    let mut root = Block::default();
    for (name, tree) in archives {
        let block = writer.tree(&tree.children);
        root.directory(name.as_bytes(), block);
    }
    let root = writer.block(&root);
    writer.finish(root)
}

/// A catalog in the making, block by block, so that wrong ones can be made too.
#[derive(Clone, Debug)]
pub struct CatalogWriter {
    /// The catalog so far. Anything may be added to it.
    pub bytes: Vec<u8>,
}

/// The entries of a directory.
#[derive(Clone, Debug, Default)]
pub struct Block {
    entries: Vec<CatalogEntry>,
}

#[derive(Clone, Debug)]
struct CatalogEntry {
    kind: u8,
    name: Vec<u8>,
    rest: Rest,
}

#[derive(Clone, Debug)]
enum Rest {
    Nothing,
    File(u64, i64),
    /// Where the block of the directory is in the catalog.
    At(u64),
    /// How far before this block the block of the directory is.
    Back(u64),
}

impl Default for CatalogWriter {
    fn default() -> CatalogWriter {
        CatalogWriter::new()
    }
}

impl CatalogWriter {
    /// A catalog that has its first bytes only.
    pub fn new() -> CatalogWriter {
        CatalogWriter {
            bytes: MAGIC.to_vec(),
        }
    }

    /// Writes the blocks of a directory and of all in it; gives the offset of the directory's.
    pub fn tree(&mut self, children: &Children) -> u64 {
        let mut block = Block::default();
        for (name, node) in children {
            match &node.kind {
                Kind::Directory(children) => {
                    let at = self.tree(children);
                    block.directory(name, at);
                }
                Kind::File(content) => block.file(name, content.len(), node.meta.mtime.0),
                _ => block.entry(letter(node), name),
            }
        }
        self.block(&block)
    }

    /// Writes a block; gives its offset.
    pub fn block(&mut self, block: &Block) -> u64 {
        let at = self.bytes.len() as u64;
        let content = block.content(at);
        varint(content.len() as u64, &mut self.bytes);
        self.bytes.extend(content);
        at
    }

    /// Ends the catalog: this is the offset of the root's block.
    pub fn finish(mut self, root: u64) -> Vec<u8> {
        self.bytes.extend(root.to_le_bytes());
        self.bytes
    }
}

impl Block {
    /// Adds a directory whose block is at this offset.
    pub fn directory(&mut self, name: &[u8], at: u64) {
        self.push(b'd', name, Rest::At(at));
    }

    /// Adds a directory whose block is this far before the block itself.
    pub fn directory_back(&mut self, name: &[u8], back: u64) {
        self.push(b'd', name, Rest::Back(back));
    }

    /// Adds a file with its size and time.
    pub fn file(&mut self, name: &[u8], size: u64, seconds: i64) {
        self.push(b'f', name, Rest::File(size, seconds));
    }

    /// Adds an entry of another kind, by its letter.
    pub fn entry(&mut self, kind: u8, name: &[u8]) {
        self.push(kind, name, Rest::Nothing);
    }

    fn push(&mut self, kind: u8, name: &[u8], rest: Rest) {
        let name = name.to_vec();
        self.entries.push(CatalogEntry { kind, name, rest });
    }

    fn content(&self, at: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        varint(self.entries.len() as u64, &mut bytes);
        for entry in &self.entries {
            bytes.push(entry.kind);
            varint(entry.name.len() as u64, &mut bytes);
            bytes.extend(&entry.name);
            match entry.rest {
                Rest::Nothing => {}
                Rest::File(size, seconds) => {
                    varint(size, &mut bytes);
                    signed_varint(seconds, &mut bytes);
                }
                Rest::At(child) => varint(at.wrapping_sub(child), &mut bytes),
                Rest::Back(back) => varint(back, &mut bytes),
            }
        }
        bytes
    }
}

pub(super) fn letter(node: &Node) -> u8 {
    match node.kind {
        Kind::Directory(_) => b'd',
        Kind::File(_) => b'f',
        Kind::Symlink(_) => b'l',
        Kind::HardLink(_) => b'h',
        Kind::CharDevice(..) => b'c',
        Kind::BlockDevice(..) => b'b',
        Kind::Fifo => b'p',
        Kind::Socket => b's',
    }
}

/// Seven bits a byte, low ones first; the highest bit says that more follow.
fn varint(mut number: u64, bytes: &mut Vec<u8>) {
    while number > 0x7f {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// A negative number is its magnitude with the highest bit in every byte, and a zero.
fn signed_varint(number: i64, bytes: &mut Vec<u8>) {
    if number >= 0 {
        return varint(number.cast_unsigned(), bytes);
    }
    let mut rest = number.unsigned_abs();
    while rest > 0 {
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_long_as_they_must_be() {
        let encoded = |number| {
            let mut bytes = Vec::new();
            signed_varint(number, &mut bytes);
            bytes
        };
        assert_eq!(encoded(0), [0]);
        assert_eq!(encoded(127), [127]);
        assert_eq!(encoded(300), [0xac, 2]);
        assert_eq!(encoded(-2), [0x82, 0]);
        assert_eq!(encoded(i64::MIN).len(), 11);
    }
}
