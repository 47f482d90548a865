//! Catalogs that a real PBS wrote list the entries of their archives.

use std::collections::{BTreeMap, HashSet};
use std::os::unix::ffi::OsStrExt;

use chunk_restore::Restore;
use chunk_restore::files::catalog::{CatalogKind, block_len, entries, root_block};
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

/// Visits each block once; stops at what is damaged.
fn visit(catalog: &[u8]) -> Option<()> {
    let len = catalog.len() as u64;
    let root = root_block(catalog.first_chunk()?, catalog.last_chunk()?, len).ok()?;
    let (mut blocks, mut seen) = (vec![root], HashSet::new());
    while let Some(block) = blocks.pop() {
        if !seen.insert(block) {
            continue;
        }
        let start = &catalog[block as usize..];
        let start = &start[..start.len().min(10)];
        let Ok((offset, content_len)) = block_len(start, block, len) else {
            continue;
        };
        let content = &catalog[offset as usize..][..content_len as usize];
        for entry in entries(content, block).map_while(Result::ok) {
            assert!(!entry.name.is_empty() && entry.name != b"." && entry.name != b"..");
            assert!(!entry.name.contains(&b'/') && !entry.name.contains(&0));
            if let CatalogKind::Directory { block: child } = entry.kind {
                assert!((8..block).contains(&child));
                blocks.push(child);
            }
        }
    }
    Some(())
}

#[test]
fn a_walk_of_a_hostile_catalog_ends_and_gives_only_file_names() {
    let mut count = 0;
    for hostile in hostile("/no/such/folder/outside") {
        if let Some(catalog) = hostile.catalog {
            visit(&catalog);
            count += 1;
        }
    }
    assert!(count > 10);
}
