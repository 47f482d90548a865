//! The encoder and the reader, compared with what the official client wrote, and with one another.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::thread;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;

use super::*;
use crate::{CryptMode, Folder, InMemory, SnapshotBuilder, TestKey, restore, sha256};

const FILES: &str = "host/files/2026-05-28T20:26:40Z";
const SPLIT: &str = "host/split/2026-05-28T20:26:40Z";
const REUSED: &str = "host/split/2026-05-28T21:26:40Z";
const SIGNED: &str = "host/signed/2026-05-28T20:26:40Z";

fn golden(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../golden")
        .join(path)
}

fn golden_key() -> TestKey {
    let key = fs::read_to_string(golden("keys/plain.key"));
    TestKey::from_key_file(&key.expect("the golden key is there"))
}

fn golden_manifest(state: &str) -> String {
    let manifest = fs::read_to_string(golden(&format!("input/files-{state}.manifest")));
    manifest.expect("the golden manifest is there")
}

/// The content of an index of a golden datastore.
fn stream(datastore: &str, snapshot: &str, file: &str, key: Option<&TestKey>) -> Vec<u8> {
    let store = Folder::new(golden(datastore));
    let index = store
        .file("", snapshot, file)
        .expect("the golden index is there");
    restore(&index, |digest| store.chunk(digest), key)
}

/// The two halves of a golden archive.
fn halves(snapshot: &str, key: Option<&TestKey>) -> (Vec<u8>, Vec<u8>) {
    let half = |file| stream("files", snapshot, file, key);
    (half("root.mpxar.didx"), half("root.ppxar.didx"))
}

#[test]
fn golden_archives_hold_what_was_backed_up() {
    for (snapshot, state) in [(FILES, "a"), (SIGNED, "b")] {
        let archive = stream("files", snapshot, "root.pxar.didx", None);
        assert_same(&describe(&archive, None), &golden_manifest(state));
    }
    for (snapshot, state) in [(SPLIT, "a"), (REUSED, "b")] {
        let (metadata, payload) = halves(snapshot, None);
        assert_same(
            &describe(&metadata, Some(&payload)),
            &golden_manifest(state),
        );
        let encrypted = snapshot.replace("split", "split-enc");
        let (metadata, payload) = halves(&encrypted, Some(&golden_key()));
        assert_same(
            &describe(&metadata, Some(&payload)),
            &golden_manifest(state),
        );
    }
}

#[test]
fn golden_archives_in_one_stream_and_catalogs_are_encoded_again_byte_for_byte() {
    let key = golden_key();
    let archives = [
        ("files", FILES, "root", None),
        ("files", SIGNED, "root", None),
        ("datastore", "host/tree/2024-06-10T14:00:00Z", "tree", None),
        ("datastore", "host/tree2/2024-06-10T14:30:00Z", "root", None),
        (
            "datastore",
            "ct/300/2024-06-10T15:00:00Z",
            "tree",
            Some(&key),
        ),
    ];
    for (datastore, snapshot, name, key) in archives {
        let name = format!("{name}.pxar.didx");
        let archive = stream(datastore, snapshot, &name, key);
        let decoded = decode(&archive, None);
        let again = encode(&decoded.tree, &Layout::v1());
        assert!(again.stream.to_vec() == archive, "{snapshot}");
        let golden = stream(datastore, snapshot, "catalog.pcat1.didx", key);
        assert!(
            catalog(&[(&name, &decoded.tree)]) == golden,
            "the catalog of {snapshot}"
        );
    }
}

#[test]
fn golden_split_archive_is_encoded_again_byte_for_byte() {
    let (metadata, payload) = halves(SPLIT, None);
    let decoded = decode(&metadata, Some(&payload));
    assert!(decoded.prelude.is_some(), "it was made with --exclude");
    let layout = Layout {
        version: decoded.version,
        prelude: decoded.prelude,
        ..Layout::split()
    };
    let again = encode(&decoded.tree, &layout);
    assert!(again.stream.to_vec() == metadata, "the metadata differ");
    assert!(
        again.payload.unwrap_or_default().to_vec() == payload,
        "the payloads differ"
    );
}

#[test]
fn golden_archive_with_reused_payloads_has_gaps() {
    let (metadata, payload) = halves(REUSED, None);
    let decoded = decode(&metadata, Some(&payload));
    let without = encode(&decoded.tree, &Layout::split());
    let without = without.payload.unwrap_or_default().len();
    assert!(
        payload.len() as u64 > without,
        "{} bytes and {without}",
        payload.len()
    );
    let with = encode(&decoded.tree, &Layout::reused(1));
    assert!(with.payload.unwrap_or_default().len() > without);
}

#[test]
fn very_old_entries_are_read() {
    let layout = Layout {
        has_old_entries: true,
        ..Layout::v1()
    };
    let tree = Tree::new().add("a", Node::file("content").owner(1, 2).time(5, 6));
    let archive = encode(&tree, &layout).stream.to_vec();
    assert_eq!(decode(&archive, None).tree, tree);
}

#[test]
fn excluded_names_come_last_in_the_root_of_version_1() {
    let names = ["a", ".pxarexclude-cli", ".a"];
    let add = |tree: Tree, name: &&str| tree.add(*name, Node::file(""));
    let tree = names.iter().fold(Tree::new(), add);
    let position = |layout: &Layout, name: &str| {
        let archive = encode(&tree, layout).stream.to_vec();
        let name = item::item(item::FILENAME, &terminated(name.as_bytes()));
        archive.windows(name.len()).position(|bytes| bytes == name)
    };
    let excluded = ".pxarexclude-cli";
    assert!(position(&Layout::v1(), excluded) > position(&Layout::v1(), "a"));
    assert!(position(&Layout::split(), excluded) < position(&Layout::split(), "a"));
    assert_eq!(
        decode(&encode(&tree, &Layout::v1()).stream.to_vec(), None).tree,
        tree
    );
}

#[test]
fn an_archive_larger_than_memory_is_put_into_a_snapshot() {
    let tree = Tree::new()
        .add("a-large", Node::file(Content::zeros(1 << 30)))
        .add("b-small", Node::file("small"));
    let key = TestKey::from_seed(1);
    for layout in [Layout::v1(), Layout::reused(3)] {
        let store = InMemory::new();
        let archive = encode(&tree, &layout);
        let info = SnapshotBuilder::new(FILES)
            .key(&key, CryptMode::Encrypt)
            .files("root.pxar", &archive, 7)
            .write_to(&store);
        let len: u64 = info.archives.iter().map(|archive| archive.len).sum();
        assert_eq!(
            len,
            archive.stream.len() + archive.payload.map_or(0, |payload| payload.len())
        );
        assert!(store.chunk_count() < 8, "{} chunks", store.chunk_count());
    }
}

#[test]
fn a_snapshot_holds_the_streams_of_an_archive() {
    let tree = Tree::new().add("a", Node::file(Content::random(1, 30_000)));
    let key = TestKey::from_seed(1);
    for (mode, key_of_chunks) in [(CryptMode::None, None), (CryptMode::Encrypt, Some(&key))] {
        for layout in Layout::all() {
            let store = InMemory::new();
            let archive = encode(&tree, &layout);
            let info = SnapshotBuilder::new(FILES)
                .key(&key, mode)
                .chunk_size(1000)
                .files("root.pxar", &archive, 7)
                .write_to(&store);
            let stream = |name: &str| {
                let archive = info.archive(name);
                let bytes = restore(&archive.index, |digest| store.chunk(digest), key_of_chunks);
                assert_eq!(sha256(&bytes), archive.sha256);
                bytes
            };
            let Some(payload) = archive.payload else {
                assert!(stream("root.pxar") == archive.stream.to_vec());
                continue;
            };
            assert!(stream("root.mpxar") == archive.stream.to_vec());
            assert!(stream("root.ppxar") == payload.to_vec());
            assert!(info.archive("root.ppxar").digests.len() > 10);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn what_is_encoded_is_decoded_again(tree in strategy::trees(strategy::Allowed::all())) {
        for layout in Layout::all() {
            let archive = encode(&tree, &layout);
            let payload = archive.payload.as_ref().map(Content::to_vec);
            let decoded = decode(&archive.stream.to_vec(), payload.as_deref());
            prop_assert_eq!(&decoded.tree, &tree);
            prop_assert_eq!(decoded.version, layout.version);
            prop_assert_eq!(&decoded.prelude, &layout.prelude);
        }
    }
}

/// Whether the strict reader takes an archive.
fn is_taken(hostile: &Hostile) -> bool {
    let stream = hostile.archive.stream.to_vec();
    let payload = hostile.archive.payload.as_ref().map(Content::to_vec);
    let decode = || decode(&stream, payload.as_deref());
    catch_unwind(AssertUnwindSafe(decode)).is_ok()
}

#[test]
fn hostile_archives_are_refused_by_the_strict_reader_and_have_names_of_their_own() {
    let all = hostile("/tmp/outside");
    let mut names: Vec<&str> = all.iter().map(|hostile| &hostile.name[..]).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all.len());
    assert!(all.len() >= 40);
    // Deep trees need a large stack.
    let check = move || {
        let refused = all
            .iter()
            .filter(|hostile| hostile.expected == Expected::Refused);
        let taken = refused.filter(|hostile| is_taken(hostile));
        taken
            .map(|hostile| hostile.name.clone())
            .collect::<Vec<_>>()
    };
    let thread = thread::Builder::new().stack_size(256 << 20).spawn(check);
    let taken = thread.expect("a thread starts").join();
    assert_eq!(taken.expect("the check does not panic"), [""; 0]);
}

#[test]
fn hostile_catalogs_stand_beside_archives_that_are_right() {
    let all = hostile("/tmp/outside");
    let with_catalog = all.iter().filter(|hostile| hostile.catalog.is_some());
    let taken: Vec<bool> = with_catalog.map(is_taken).collect();
    assert!(taken.len() > 20 && taken.iter().all(|is_taken| *is_taken));
}

#[test]
fn random_trees_have_all_that_a_tree_can_have() {
    let trees = strategy::trees(strategy::Allowed::all());
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut letters = std::collections::BTreeSet::new();
    let mut seen = [false; 4];
    for _ in 0..100 {
        let tree = trees
            .new_tree(&mut runner)
            .expect("there is a tree")
            .current();
        for (_, node) in tree.entries() {
            letters.insert(catalog::letter(node));
            seen[0] |= !node.meta.xattrs.is_empty();
            seen[1] |= !node.meta.acl.users.is_empty();
            seen[2] |= node.meta.acl.default.is_some();
            seen[3] |= node.meta.capability.is_some();
        }
    }
    assert_eq!(letters.into_iter().collect::<Vec<_>>(), b"bcdfhlps");
    assert_eq!(seen, [true; 4]);
}
