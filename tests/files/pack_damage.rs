//! Packing archives of which chunks are lost: an error, or zeros that are listed.

use std::io::Cursor;
use std::ops::Range;
use std::path::Path;

use chunk_restore::files::{Files, Selection};
use chunk_restore::{ErrorKind, OpenOptions, Restore, Scope};
use testkit::pxar::{Content, Layout, Node, Tree, encode};
use testkit::{InMemory, SnapshotBuilder};

use crate::support::Script;

const SNAPSHOT: &str = "host/made/2026-01-02T03:04:05Z";
const BIG_LEN: u64 = 3_000_000;

/// An archive with the files `a`, `big` and `c`. The chunk with these bytes of `big` is lost; in a
/// split archive it begins with the header before the bytes, if the range begins at 0.
fn damaged(layout: &Layout, lost: &Range<u64>) -> (Files, Vec<u8>) {
    let big = Content::random(1, BIG_LEN).to_vec();
    let tree = Tree::new()
        .add("a", Node::file("first"))
        .add("big", Node::file(Content::from(&big[..])))
        .add("c", Node::file("last"));
    let archive = encode(&tree, layout);
    let stream = archive.stream.to_vec();
    let payload = archive.payload.map(|payload| payload.to_vec());
    let (name, bytes) = match &payload {
        Some(payload) => ("root.ppxar", payload),
        None => ("root.pxar", &stream),
    };
    let at = bytes.windows(100).position(|part| part == &big[..100]);
    let at = at.unwrap() as u64;
    let start = if lost.start == 0 {
        at - 16
    } else {
        at + lost.start
    };
    let builder = SnapshotBuilder::new(SNAPSHOT);
    let builder = builder.archive(name, bytes, &[start, at + lost.end]);
    let builder = match &payload {
        Some(_) => builder.archive("root.mpxar", &stream, &[]),
        None => builder,
    };
    let store = InMemory::new();
    let info = builder.write_to(&store);
    store.remove_chunk(&info.archive(name).digests[1]);
    let datastore = Script::over(store).open(OpenOptions::new());
    let snapshot = datastore.snapshot(SNAPSHOT).unwrap();
    let files = Files::open(&Restore::new(), &snapshot, "root.pxar").unwrap();
    (files, big)
}

#[test]
fn a_lost_chunk_fails_the_packing_and_what_was_written_does_not_look_whole() {
    for layout in [Layout::v1(), Layout::split()] {
        let (files, _) = damaged(&layout, &(1_100_000..1_200_000));
        let pack = files.pack(&Selection::default());
        let mut tar = Vec::new();
        let error = pack.tar(&mut tar, |_| ()).unwrap_err();
        assert_eq!(error.scope(), Some(Scope::Chunk));
        assert!(tar.len() > 1_000_000 && !tar.ends_with(&[0; 1024]));
        let mut zip = Vec::new();
        let error = pack.zip(&mut zip, |_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Missing);
        assert!(zip.len() > 900_000);
        assert!(::zip::ZipArchive::new(Cursor::new(zip)).is_err());
    }
}

#[test]
fn a_lost_chunk_that_comes_again_is_listed_each_time() {
    let part = Content::random(1, 100_000);
    let between = |seed| Content::random(seed, 100_000);
    let big = between(2).then(part.clone()).then(between(3));
    let big = big.then(part).then(between(4));
    let tree = Tree::new().add("big", Node::file(big.clone()));
    let stream = encode(&tree, &Layout::v1()).stream.to_vec();
    let big = big.to_vec();
    let at = stream.windows(100).position(|bytes| bytes == &big[..100]);
    let at = at.unwrap() as u64;
    let cuts = [1, 2, 3, 4].map(|part| at + part * 100_000);
    let builder = SnapshotBuilder::new(SNAPSHOT).archive("root.pxar", &stream, &cuts);
    let store = InMemory::new();
    let info = builder.write_to(&store);
    let digests = &info.archive("root.pxar").digests;
    assert_eq!(digests[1], digests[3]);
    store.remove_chunk(&digests[1]);
    let datastore = Script::over(store).open(OpenOptions::new());
    let snapshot = datastore.snapshot(SNAPSHOT).unwrap();
    let files = Files::open(&Restore::new(), &snapshot, "root.pxar").unwrap();
    let pack = files.pack(&Selection::default()).salvage(true);
    let mut archive = Vec::new();
    let report = pack.tar(&mut archive, |_| ()).unwrap();
    let ranges: Vec<_> = report
        .damage
        .iter()
        .map(|damage| damage.range.clone())
        .collect();
    assert_eq!(ranges, [100_000..200_000, 300_000..400_000]);
    for part in [0, 2, 4] {
        let part = &big[part * 100_000..][..100_000];
        assert!(archive.windows(part.len()).any(|bytes| bytes == part));
    }
}

#[test]
fn with_salvage_lost_bytes_are_zeros_and_are_listed() {
    let ranges = [1_100_000..1_200_000, 2_000_000..BIG_LEN, 100_000..2_500_000];
    let mut cases: Vec<_> = ranges.map(|range| (Layout::v1(), range)).into();
    cases.extend([1_100_000..1_200_000, 0..1_500_000].map(|range| (Layout::split(), range)));
    for (layout, lost) in cases {
        let (files, mut big) = damaged(&layout, &lost);
        big[lost.start as usize..lost.end as usize].fill(0);
        let pack = files.pack(&Selection::default()).salvage(true);
        let mut archive = Vec::new();
        let report = pack.tar(&mut archive, |_| ()).unwrap();
        let [damage] = &report.damage[..] else {
            panic!("{report:?}");
        };
        assert_eq!(damage.path, Path::new("big"));
        assert_eq!(damage.range, lost);
        assert_eq!(damage.kind, ErrorKind::Missing);
        assert!(archive.windows(big.len()).any(|part| part == big));
        assert!(archive.ends_with(&[0; 1024]));
        let mut archive = Vec::new();
        assert_eq!(
            pack.zip(&mut archive, |_| ()).unwrap().damage,
            report.damage
        );
        let mut archive = ::zip::ZipArchive::new(Cursor::new(archive)).unwrap();
        let mut read = Vec::new();
        let mut entry = archive.by_name("big").unwrap();
        std::io::copy(&mut entry, &mut read).unwrap();
        assert!(read == big);
    }
}
