//! Archives that the testkit makes: any tree comes out as it went in, and hostile archives are refused.

use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use chunk_restore::files::{FileEntry, Files};
use chunk_restore::{OpenOptions, Restore, Snapshot};
use proptest::prelude::*;
use testkit::pxar::item::{FILENAME, item};
use testkit::pxar::strategy::{Allowed, trees};
use testkit::pxar::{
    self, Archive, Content, Expected, Layout, assert_same, encode, hostile, terminated,
};
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
pub(crate) fn snapshot(archive: &Archive) -> (Snapshot, Arc<Watch>) {
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

/// The fewest bytes that an entry takes: its name and a hard link.
const ENTRY_LEN_MIN: usize = 16 + 2 + 16 + 8 + 1;

#[test]
fn lookups_in_hostile_archives_end_and_give_no_other_name() {
    let (mut found, mut taken) = (0, 0);
    for hostile in hostile("/no/such/folder/outside") {
        let (snapshot, _) = snapshot(&hostile.archive);
        let Ok(files) = Files::open(&Restore::new(), &snapshot, "root.pxar") else {
            continue;
        };
        let stream = hostile.archive.stream.to_vec();
        let payloads = hostile.archive.payload.map(|payload| payload.to_vec());
        // The decoder takes only archives whose tables are right: all entries must be found by them.
        let is_right = decode(&stream, payloads.as_deref(), &[usize::MAX]).is_ok();
        taken += usize::from(is_right);
        let walked: Vec<_> = files.entries().map_while(Result::ok).collect();
        assert!(walked.len() <= 1 + stream.len() / ENTRY_LEN_MIN);
        let listed = files.list("").into_iter().flatten();
        let listed: Vec<_> = listed.map_while(Result::ok).collect();
        assert!(listed.len() <= stream.len() / ENTRY_LEN_MIN);
        // Deeper entries are found in the same way, and looking all of them up takes long.
        let is_near = |entry: &&FileEntry| entry.path.components().count() < 20;
        for entry in walked.iter().chain(&listed).filter(is_near) {
            let is_found = check(&files, entry, &stream);
            assert!(is_found || !is_right, "{}: {entry:?}", hostile.name);
            found += usize::from(is_found);
        }
        for name in ["no-such-name", "..", "a/../a", "no-such-name/a"] {
            assert!(files.entry(name).is_err(), "{}", hostile.name);
        }
        for name in ["a", "b", "x", "a/b", ""] {
            let walked = files.walk(name).map_or(0, Iterator::count);
            assert!(walked <= 1 + stream.len() / ENTRY_LEN_MIN);
        }
    }
    assert!(
        taken > 60 && found > 800,
        "{taken} archives, {found} entries"
    );
}

/// Looks an entry up by its path: whether it was found. It must have this name in the archive.
fn check(files: &Files, entry: &FileEntry, stream: &[u8]) -> bool {
    let Ok(found) = files.entry(&entry.path) else {
        return false;
    };
    if let Some(name) = entry.path.file_name().map(OsStrExt::as_bytes) {
        let filename = item(FILENAME, &terminated(name));
        assert!(stream[found.node.offset() as usize..].starts_with(&filename));
    }
    if let Ok(reader) = files.read_entry(&found) {
        let mut start = [0; 100];
        let wanted = reader.len().min(100) as usize;
        assert_eq!(reader.read_at(&mut start, 0).unwrap(), wanted);
    }
    true
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
