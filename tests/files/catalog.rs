//! Catalogs that a real PBS wrote list the entries of their archives.

use std::collections::{BTreeMap, HashSet};
use std::os::unix::ffi::OsStrExt;

use chunk_restore::Restore;
use chunk_restore::files::catalog::{CatalogError, CatalogKind, block_len, entries, root_block};
use chunk_restore::files::pxar::EntryKind;
use chunk_restore::files::{Files, Node};

use testkit::pxar::hostile;

use crate::golden::{Golden, stream};

/// All entries of a catalog by their paths; the first directory is the archive's index.
fn list(catalog: &[u8]) -> BTreeMap<Vec<u8>, CatalogKind> {
    let len = catalog.len() as u64;
    let (first, last) = (
        catalog.first_chunk().unwrap(),
        catalog.last_chunk().unwrap(),
    );
    let mut found = BTreeMap::new();
    let mut directories = vec![(Vec::new(), root_block(first, last, len).unwrap())];
    while let Some((path, block)) = directories.pop() {
        let start = &catalog[block as usize..];
        let (offset, content_len) = block_len(&start[..10], block, len).unwrap();
        let content = &catalog[offset as usize..][..content_len as usize];
        for entry in entries(content, block) {
            let entry = entry.unwrap();
            let path = [&path[..], b"/", entry.name].concat();
            if let CatalogKind::Directory { block } = entry.kind {
                directories.push((path.clone(), block));
            }
            found.insert(path, entry.kind);
        }
    }
    found
}

#[test]
fn a_catalog_lists_what_is_in_the_archive() {
    let golden = &Golden::ALL[0];
    let mut listed = list(&stream("files", golden.snapshot, "catalog.pcat1"));
    let files = Files::open(&Restore::new(), &golden.open(), "root.pxar").unwrap();
    for entry in files.entries() {
        let entry = entry.unwrap();
        let path = entry.path.as_os_str().as_bytes();
        let path = match path {
            b"" => b"/root.pxar.didx".to_vec(),
            _ => [b"/root.pxar.didx/", path].concat(),
        };
        let kind = listed.remove(&path).unwrap();
        let is_same = match &entry.node {
            Node::HardLink(_) => kind == CatalogKind::HardLink,
            Node::Entry(entry) => match entry.kind {
                EntryKind::Directory => matches!(kind, CatalogKind::Directory { .. }),
                EntryKind::File(payload) => {
                    let mtime = entry.metadata.mtime.secs;
                    kind == CatalogKind::File {
                        size: payload.len,
                        mtime,
                    }
                }
                EntryKind::Symlink(_) => kind == CatalogKind::Symlink,
                EntryKind::BlockDevice(_) => kind == CatalogKind::BlockDevice,
                EntryKind::CharDevice(_) => kind == CatalogKind::CharDevice,
                EntryKind::Fifo => kind == CatalogKind::Fifo,
                EntryKind::Socket => kind == CatalogKind::Socket,
                _ => false,
            },
            _ => false,
        };
        assert!(is_same, "{} is {kind:?}", entry.path.display());
    }
    assert!(listed.is_empty(), "{listed:?}");
}

/// Visits each block once. Gives the number of blocks, and the first error.
fn visit(catalog: &[u8]) -> (usize, Option<CatalogError>) {
    let len = catalog.len() as u64;
    let ends = catalog.first_chunk().zip(catalog.last_chunk());
    let root = ends.map(|(first, last)| root_block(first, last, len));
    let root = match root {
        Some(Ok(root)) => root,
        Some(Err(error)) => return (0, Some(error)),
        None => return (0, Some(CatalogError::Magic)),
    };
    let (mut blocks, mut seen, mut first_error) = (vec![root], HashSet::new(), None);
    while let Some(block) = blocks.pop() {
        if !seen.insert(block) {
            continue;
        }
        let start = &catalog[block as usize..];
        let start = &start[..start.len().min(10)];
        let (offset, content_len) = match block_len(start, block, len) {
            Ok(content) => content,
            Err(error) => {
                first_error.get_or_insert(error);
                continue;
            }
        };
        let content = &catalog[offset as usize..][..content_len as usize];
        for entry in entries(content, block) {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    first_error.get_or_insert(error);
                    continue;
                }
            };
            assert!(!entry.name.is_empty() && entry.name != b"." && entry.name != b"..");
            assert!(!entry.name.contains(&b'/') && !entry.name.contains(&0));
            if let CatalogKind::Directory { block: child } = entry.kind {
                assert!((8..block).contains(&child));
                blocks.push(child);
            }
        }
    }
    (seen.len(), first_error)
}

/// The hostile catalogs whose form is right, with the number of their blocks. The others are damaged.
const SOUND: [(&str, usize); 7] = [
    ("catalog-of-another-tree", 3),
    ("catalog-of-nothing", 2),
    ("catalog-of-another-archive", 3),
    ("catalog-without-archives", 1),
    ("catalog-with-names-twice", 2),
    ("catalog-that-doubles", 66),
    ("catalog-100000-deep", 100_002),
];

#[test]
fn a_walk_of_a_hostile_catalog_ends_and_finds_the_damage() {
    let mut sound = 0;
    for hostile in hostile("/no/such/folder/outside") {
        let Some(catalog) = hostile.catalog else {
            continue;
        };
        let (blocks, error) = visit(&catalog);
        match SOUND.iter().find(|(name, _)| *name == hostile.name) {
            Some((_, expected)) => {
                assert_eq!((blocks, error), (*expected, None), "{}", hostile.name);
                sound += 1;
            }
            None => assert!(error.is_some(), "{}: {}", hostile.name, hostile.attack),
        }
    }
    assert_eq!(sound, SOUND.len());
}
