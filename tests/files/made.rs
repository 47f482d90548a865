//! Archives that the testkit makes: any tree comes out as it went in, and hostile archives are refused.

use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use chunk_restore::files::{FileEntry, Files, Node};
use chunk_restore::{OpenOptions, Restore, Snapshot};
use proptest::prelude::*;
use testkit::pxar::strategy::{Allowed, trees};
use testkit::pxar::{self, Archive, Content, Expected, Layout, assert_same, encode, hostile};
use testkit::{InMemory, SnapshotBuilder};

use crate::decode::decode;
use crate::describe::{Tree, lines};
use crate::lookup::tree_of;
use crate::support::{Script, Watch};

const SNAPSHOT: &str = "host/made/2026-01-02T03:04:05Z";

fn text(tree: &Tree) -> String {
    lines(tree).iter().map(|line| format!("{line}\n")).collect()
}

/// A snapshot with this archive: in chunks of some 4,000 bytes, but not in more than some 10,000.
fn snapshot(archive: &Archive) -> (Snapshot, Arc<Watch>) {
    let store = InMemory::new();
    let chunk_size = (archive.stream.len() / 10_000).max(4000);
    let snapshot = SnapshotBuilder::new(SNAPSHOT).chunk_size(chunk_size);
    snapshot.files("root.pxar", archive, 1).write_to(&store);
    let script = Script::over(store);
    let watch = Arc::clone(&script.watch);
    let datastore = script.open(OpenOptions::new());
    (datastore.snapshot(SNAPSHOT).unwrap(), watch)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_tree_comes_out_of_the_decoder_as_it_went_in(
        tree in trees(Allowed::all()),
        pieces in prop::collection::vec(1_usize..5000, 1..5),
    ) {
        for layout in Layout::all() {
            let archive = encode(&tree, &layout);
            let payloads = archive.payload.as_ref().map(|payload| payload.to_vec());
            let decoded = decode(&archive.stream.to_vec(), payloads.as_deref(), &pieces);
            assert_same(&text(&decoded.unwrap()), &tree.manifest());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn any_tree_is_looked_up_and_read_as_it_went_in(tree in trees(Allowed::all())) {
        for layout in [Layout::v1(), Layout::reused(1)] {
            let (snapshot, _) = snapshot(&encode(&tree, &layout));
            let files = Files::open(&Restore::new(), &snapshot, "root.pxar").unwrap();
            assert_same(&text(&tree_of(&files, files.entries())), &tree.manifest());
            let looked_up = files.entries().map(|entry| files.entry(entry?.path));
            assert_same(&text(&tree_of(&files, looked_up)), &tree.manifest());
        }
    }
}

#[test]
fn hostile_archives_are_refused() {
    let mut taken = Vec::new();
    for hostile in hostile("/no/such/folder/outside") {
        let payloads = hostile.archive.payload.map(|payload| payload.to_vec());
        let archive = hostile.archive.stream.to_vec();
        for pieces in [usize::MAX, 7, 4096] {
            let decoded = decode(&archive, payloads.as_deref(), &[pieces]);
            // The attacks of some are in their catalogs.
            let must_refuse = hostile.expected == Expected::Refused && hostile.catalog.is_none();
            if decoded.is_ok() && must_refuse {
                taken.push(hostile.name.clone());
            }
        }
    }
    assert!(taken.is_empty(), "{taken:?}");
}

#[test]
fn lookups_in_hostile_archives_end_and_give_no_other_name() {
    for hostile in hostile("/no/such/folder/outside") {
        let (snapshot, _) = snapshot(&hostile.archive);
        let Ok(files) = Files::open(&Restore::new(), &snapshot, "root.pxar") else {
            continue;
        };
        // Deeper entries are found in the same way, and looking all of them up takes long.
        let is_near = |entry: &FileEntry| entry.path.components().count() < 20;
        let entries = files.entries().map_while(Result::ok);
        for entry in entries.filter(is_near) {
            check(&files, entry);
        }
        let listed = files.list("").into_iter().flatten();
        for entry in listed.map_while(Result::ok) {
            check(&files, entry);
        }
        for name in ["a", "b", "x", "..", "a/b", ""] {
            let _ = files.walk(name).map(Iterator::count);
        }
    }
}

/// Looks an entry up by its path, and reads it.
fn check(files: &Files, entry: FileEntry) {
    let Ok(found) = files.entry(&entry.path) else {
        return;
    };
    let name = match &found.node {
        Node::Entry(entry) => &entry.name,
        Node::HardLink(link) => &link.name,
        other => panic!("what is {other:?}?"),
    };
    let wanted = entry.path.file_name().map(OsStrExt::as_bytes);
    assert_eq!(name.as_slice(), wanted.unwrap_or_default());
    if let Ok(reader) = files.read_entry(&found) {
        let mut start = [0; 100];
        let _ = reader.read_at(&mut start, 0);
    }
}

#[test]
fn a_path_costs_the_chunks_on_its_way() {
    let mut tree = pxar::Tree::new();
    for folder in 0..20 {
        tree = tree.add(format!("d{folder:02}"), pxar::Node::directory());
        for file in 0..20 {
            let content = Content::random(folder * 20 + file, 50_000);
            tree = tree.add(
                format!("d{folder:02}/f{file:02}"),
                pxar::Node::file(content),
            );
        }
    }
    for layout in [Layout::v1(), Layout::split()] {
        let (snapshot, watch) = snapshot(&encode(&tree, &layout));
        let files = Files::open(&Restore::new(), &snapshot, "root.pxar").unwrap();
        let file = files.read("d07/f13").unwrap();
        let mut bytes = [0; 1000];
        assert_eq!(file.read_at(&mut bytes, 20_000).unwrap(), 1000);
        let mut expected = [0; 1000];
        Content::random(7 * 20 + 13, 50_000).read_at(20_000, &mut expected);
        assert_eq!(bytes, expected);
        let asked = watch.requests();
        // The archive has some 5,000 chunks.
        assert!(asked < 20, "{asked} chunks were fetched");
    }
}
