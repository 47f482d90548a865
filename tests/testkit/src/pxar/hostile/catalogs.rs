//! Archives that are right, with a catalog that is not. A catalog is a hint only: the archive can always be restored.

use super::{Expected, Hostile, Outside};
use crate::pxar::catalog::{Block, CatalogWriter, MAGIC};
use crate::pxar::{Layout, Node, Tree, catalog, encode};

const ARCHIVE: &str = "root.pxar.didx";

pub(super) fn all(outside: &Outside) -> Vec<Hostile> {
    let all = [disagreeing(outside), circles(), broken(), broken_blocks()].concat();
    let hostile = |(name, attack, catalog): (&str, &'static str, Vec<u8>)| Hostile {
        name: format!("catalog-{name}"),
        attack,
        expected: Expected::Harmless,
        archive: encode(&tree(), &Layout::v1()),
        catalog: Some(catalog),
    };
    all.into_iter().map(hostile).collect()
}

type Case = (&'static str, &'static str, Vec<u8>);

fn tree() -> Tree {
    Tree::new()
        .add("a", Node::file("content"))
        .add("d", Node::directory())
        .add("d/b", Node::symlink("../a"))
}

/// A catalog whose root has the archive, whose root has these entries.
fn with(fill: impl FnOnce(&mut Block)) -> Vec<u8> {
    let mut writer = CatalogWriter::new();
    let mut block = Block::default();
    fill(&mut block);
    let archive = writer.block(&block);
    let mut root = Block::default();
    root.directory(ARCHIVE.as_bytes(), archive);
    let root = writer.block(&root);
    writer.finish(root)
}

fn disagreeing(outside: &Outside) -> Vec<Case> {
    let other = Tree::new()
        .add("a", Node::directory())
        .add("a/new", Node::file("x"));
    let names: [&[u8]; 6] = [b"..", b".", b"", b"a/b", b"a\0b", &outside.file()];
    let bad_names = with(|block| {
        for name in names {
            block.file(name, 1, 1);
        }
    });
    let twice = with(|block| {
        block.file(b"a", 7, 1);
        block.entry(b'l', b"a");
    });
    let sizes = with(|block| {
        block.file(b"a", u64::MAX, i64::MIN);
        block.directory_back(b"d", u64::MAX);
    });
    vec![
        (
            "of-another-tree",
            "names and types that the archive has not",
            catalog(&[(ARCHIVE, &other)]),
        ),
        (
            "of-nothing",
            "a catalog of an empty archive",
            catalog(&[(ARCHIVE, &Tree::new())]),
        ),
        (
            "of-another-archive",
            "a catalog without this archive",
            catalog(&[("b.pxar.didx", &tree())]),
        ),
        ("without-archives", "a catalog of no archive", catalog(&[])),
        ("with-bad-names", "names that lead elsewhere", bad_names),
        ("with-names-twice", "a name that comes twice", twice),
        (
            "with-large-numbers",
            "sizes, times and offsets that overflow",
            sizes,
        ),
    ]
}

fn circles() -> Vec<Case> {
    let to_itself = with(|block| block.directory_back(b"d", 0));
    let before = with(|block| block.directory_back(b"d", 1 << 40));
    let into = with(|block| block.directory_back(b"d", 3));
    // Each block has its predecessor twice: a walk of 64 blocks would take 2^63 steps.
    let mut writer = CatalogWriter::new();
    let mut at = writer.block(&Block::default());
    for _ in 0..64 {
        let mut block = Block::default();
        block.directory(b"a", at);
        block.directory(b"b", at);
        at = writer.block(&block);
    }
    let mut root = Block::default();
    root.directory(ARCHIVE.as_bytes(), at);
    let root = writer.block(&root);
    let doubling = writer.finish(root);
    let mut writer = CatalogWriter::new();
    let mut at = writer.block(&Block::default());
    for _ in 0..100_000 {
        let mut block = Block::default();
        block.directory(b"d", at);
        at = writer.block(&block);
    }
    let mut root = Block::default();
    root.directory(ARCHIVE.as_bytes(), at);
    let root = writer.block(&root);
    let deep = writer.finish(root);
    vec![
        ("in-a-circle", "a directory that holds itself", to_itself),
        (
            "leads-before-its-start",
            "a directory before the catalog",
            before,
        ),
        ("leads-into-a-block", "a directory inside of a block", into),
        (
            "that-doubles",
            "directories that are in two others each",
            doubling,
        ),
        ("100000-deep", "directories in directories", deep),
    ]
}

fn broken() -> Vec<Case> {
    let right = || catalog(&[(ARCHIVE, &tree())]);
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = right();
        change(&mut bytes);
        bytes
    };
    let root_at = |offset: u64| {
        changed(&|bytes| {
            let end = bytes.len() - 8;
            bytes[end..].copy_from_slice(&offset.to_le_bytes());
        })
    };
    vec![
        ("empty", "no bytes at all", Vec::new()),
        ("only-magic", "the first bytes only", MAGIC.to_vec()),
        (
            "with-other-magic",
            "other first bytes",
            changed(&|bytes| bytes[0] ^= 1),
        ),
        (
            "truncated",
            "the end is missing",
            changed(&|bytes| bytes.truncate(bytes.len() - 9)),
        ),
        (
            "root-outside",
            "a root behind the catalog",
            root_at(1 << 40),
        ),
        ("root-at-0", "a root in the first bytes", root_at(0)),
        (
            "root-overflows",
            "a root at the greatest offset",
            root_at(u64::MAX),
        ),
    ]
}

/// The root's block is broken.
fn broken_blocks() -> Vec<Case> {
    let block = |content: &[u8]| {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(content);
        bytes.extend(8_u64.to_le_bytes());
        bytes
    };
    let attack = "a number without an end, or one that is too large";
    vec![
        (
            "block-of-2-to-63-bytes",
            attack,
            block(b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f"),
        ),
        ("number-without-end", attack, block(&[0xff; 40])),
        (
            "number-of-11-bytes",
            attack,
            block(b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"),
        ),
        (
            "of-2-to-63-entries",
            attack,
            block(b"\x09\xff\xff\xff\xff\xff\xff\xff\xff\x7f"),
        ),
        ("name-over-the-end", attack, block(b"\x05\x01f\xff\xff\x03")),
        (
            "with-unknown-type",
            "an entry of no known type",
            block(b"\x04\x01?\x01a"),
        ),
        (
            "block-not-used-up",
            "a block that is longer than its entries",
            block(b"\x03\x00ab"),
        ),
    ]
}
