//! The decoder alone, on archives that a real PBS wrote.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use chunk_restore::files::pxar::{Decoder, EntryKind, Item, Limits, Problem};
use proptest::prelude::*;
use testkit::pxar::{Layout, Node, Tree, encode};

use crate::decode::decode;
use crate::describe::lines;
use crate::golden::{Golden, manifest, stream};

#[test]
fn every_golden_archive_has_the_entries_that_were_backed_up() {
    for golden in Golden::ALL {
        let (archive, payloads) = golden.streams();
        let tree = decode(&archive, payloads.as_deref(), &[4 << 20]).unwrap();
        assert_eq!(lines(&tree), manifest(golden.state), "{}", golden.snapshot);
    }
}

#[test]
fn golden_archives_of_an_older_client_come_out_whole() {
    let paths = |snapshot, name| -> BTreeMap<_, _> {
        let archive = stream("datastore", snapshot, name);
        let tree = decode(&archive, None, &[1 << 20]).unwrap();
        let all = tree.into_iter();
        all.map(|(path, described)| (String::from_utf8(path).unwrap(), described))
            .collect()
    };
    let tree = paths("host/tree", "tree.pxar");
    assert_eq!(tree.len(), 12);
    assert_eq!(tree["hello.txt"].target, Some(tree["hard"].entry.offset));
    let EntryKind::File(sparse) = tree["sub/deep/sparse"].entry.kind else {
        panic!("no file");
    };
    assert_eq!(sparse.len, 5_000_000);
    let metadata = &tree["sub/deep"].entry.metadata;
    assert_eq!((metadata.uid, metadata.gid), (1000, 1001));
    assert!(!paths("host/tree2", "root.pxar").is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_pieces_of_the_input_do_not_matter(
        pieces in prop::collection::vec(1_usize..5000, 1..20),
        is_split: bool,
    ) {
        let golden = &Golden::ALL[usize::from(is_split)];
        let (archive, payloads) = golden.streams();
        let tree = decode(&archive, payloads.as_deref(), &pieces).unwrap();
        prop_assert_eq!(lines(&tree), manifest(golden.state));
    }
}

/// A split archive, and the length of its payload archive.
static SPLIT: LazyLock<(Vec<u8>, u64)> = LazyLock::new(|| {
    let (archive, payloads) = Golden::ALL[2].streams();
    (archive, payloads.unwrap().len() as u64)
});

/// What comes out of an archive that may be damaged, with its end.
fn outcome(archive: &[u8], payloads_len: u64, piece_len: usize) -> Vec<String> {
    let mut decoder = Decoder::new(Limits::default()).payload_archive_len(payloads_len);
    let mut items = Vec::new();
    for mut piece in archive.chunks(piece_len) {
        loop {
            match decoder.decode(&mut piece) {
                Ok(Some(Item::Data(_))) => {}
                Ok(Some(item)) => items.push(format!("{item:?}")),
                Ok(None) => break,
                Err(error) => {
                    items.push(error.to_string());
                    return items;
                }
            }
        }
    }
    items.push(format!("{:?}", decoder.finish()));
    items
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_damaged_archive_ends_in_the_same_way_in_any_pieces(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        piece_len in 1_usize..300,
    ) {
        let (archive, len) = &*SPLIT;
        let mut archive = archive.clone();
        for (index, byte) in changes {
            let at = index.index(archive.len());
            archive[at] = byte;
        }
        let whole = outcome(&archive, *len, usize::MAX);
        prop_assert_eq!(outcome(&archive, *len, piece_len), whole);
    }
}

#[test]
fn one_byte_at_a_time_is_enough() {
    let golden = &Golden::ALL[1];
    let (archive, payloads) = golden.streams();
    let tree = decode(&archive, payloads.as_deref(), &[1]).unwrap();
    assert_eq!(lines(&tree), manifest(golden.state));
}

#[test]
fn attributes_of_an_entry_and_of_the_directories_around_it_have_one_limit() {
    let directory = || Node::directory().xattr("user.x", vec![7; 40_000]);
    let problem = |paths: &[&str]| {
        let tree = paths
            .iter()
            .fold(Tree::new(), |tree, path| tree.add(path, directory()));
        let archive = encode(&tree, &Layout::v1()).stream.to_vec();
        let mut limits = Limits::default();
        limits.attributes = 100_000;
        let mut decoder = Decoder::new(limits);
        let mut input = &archive[..];
        loop {
            match decoder.decode(&mut input) {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(error) => return Some(error.problem().clone()),
            }
        }
    };
    assert_eq!(problem(&["a", "a/a", "b", "b/a", "c"]), None);
    let nested = problem(&["a", "a/a", "a/a/a"]);
    assert!(
        matches!(nested, Some(Problem::TooManyAttributes { .. })),
        "{nested:?}"
    );
}
