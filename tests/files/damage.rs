//! Archives with a part that is damaged or lost: all others are found and read, and messages name the part.

use std::error::Error as _;
use std::sync::Arc;

use chunk_restore::files::pxar::{Problem, PxarError};
use chunk_restore::files::{FileEntry, Files, Pattern};
use chunk_restore::{Error, ErrorKind, OpenOptions, Restore, Snapshot};
use testkit::pxar::{Archive, Content, Layout, Node, Tree, encode};
use testkit::{InMemory, SnapshotBuilder, SnapshotInfo};

use crate::support::{Script, Watch};

const SNAPSHOT: &str = "host/made/2026-01-02T03:04:05Z";

/// A snapshot of which the chunks that `losses` chooses are lost.
pub(crate) fn snapshot_without(
    builder: SnapshotBuilder,
    losses: impl FnOnce(&SnapshotInfo) -> Vec<[u8; 32]>,
) -> (Snapshot, Arc<Watch>) {
    let store = InMemory::new();
    let info = builder.write_to(&store);
    for digest in losses(&info) {
        store.remove_chunk(&digest);
    }
    let script = Script::over(store);
    let watch = Arc::clone(&script.watch);
    let datastore = script.open(OpenOptions::new());
    (datastore.snapshot(SNAPSHOT).unwrap(), watch)
}

/// A snapshot with this archive, in one chunk or two.
pub(crate) fn snapshot_of(archive: &Archive) -> Snapshot {
    let builder = SnapshotBuilder::new(SNAPSHOT).files("root.pxar", archive, 1);
    snapshot_without(builder, |_| Vec::new()).0
}

pub(crate) fn open(snapshot: &Snapshot) -> Result<Files, Error> {
    Files::open(&Restore::new(), snapshot, "root.pxar")
}

/// What the decoder says of an archive that is refused.
pub(crate) fn cause(error: &Error) -> &PxarError {
    error.source().unwrap().downcast_ref().unwrap()
}

fn paths(found: impl Iterator<Item = Result<FileEntry, Error>>) -> Vec<String> {
    let paths = found.map(|entry| entry.unwrap().path);
    paths.map(|path| path.display().to_string()).collect()
}

#[test]
fn chunks_of_nothing_but_file_content_are_not_needed_for_a_listing() {
    let big = Content::random(1, 40_000).to_vec();
    let tree = Tree::new()
        .add("a", Node::file("first"))
        .add("big", Node::file(Content::from(&big[..])))
        .add("c", Node::file("last"));
    let archive = encode(&tree, &Layout::v1()).stream.to_vec();
    let at = archive.windows(100).position(|bytes| bytes == &big[..100]);
    let at = at.unwrap() as u64;
    let builder = SnapshotBuilder::new(SNAPSHOT);
    let cuts = [at + 1000, at + 10_000, at + 30_000, at + 39_000];
    let builder = builder.archive("root.pxar", &archive, &cuts);
    let mut lost = Vec::new();
    let (snapshot, watch) = snapshot_without(builder, |info| {
        lost = info.archive("root.pxar").digests[1..4].to_vec();
        lost.clone()
    });
    let files = open(&snapshot).unwrap();
    assert_eq!(paths(files.entries()), ["", "a", "big", "c"]);
    assert_eq!(paths(files.walk("big").unwrap()), ["big"]);
    assert_eq!(paths(files.list("").unwrap()), ["a", "big", "c"]);
    assert_eq!(paths(files.find(&Pattern::new("c").unwrap())), ["c"]);
    for path in ["a", "big", "c"] {
        assert_eq!(paths([files.entry(path)].into_iter()), [path]);
    }
    for digest in &lost {
        assert_eq!(watch.requests_for(digest), 0);
    }
    let mut bytes = [0; 1000];
    assert_eq!(
        files.read("big").unwrap().read_at(&mut bytes, 0).unwrap(),
        1000
    );
    assert_eq!(bytes[..], big[..1000]);
    let error = files.read("big").unwrap().read_at(&mut bytes, 1);
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Missing);
}

fn split() -> Archive {
    let tree = Tree::new()
        .add("a", Node::file("first"))
        .add("b", Node::file(Content::random(2, 5000)));
    encode(&tree, &Layout::split())
}

/// The archive with a payload archive that was changed.
fn with_payloads(change: impl FnOnce(&mut Vec<u8>)) -> Archive {
    let archive = split();
    let mut payloads = archive.payload.unwrap().to_vec();
    change(&mut payloads);
    Archive {
        stream: archive.stream,
        payload: Some(payloads.into()),
    }
}

#[test]
fn damage_in_the_payload_archive_is_told_of_the_payload_archive() {
    let snapshot = snapshot_of(&with_payloads(|payloads| payloads[16] ^= 1));
    let files = open(&snapshot).unwrap();
    let error = files.read("a").unwrap_err();
    let message = format!("root.ppxar.didx of {SNAPSHOT} is damaged");
    assert_eq!(error.to_string(), message);
    assert_eq!(
        (error.kind(), error.offset()),
        (ErrorKind::Corrupt, Some(16))
    );
    assert_eq!(*cause(&error).problem(), Problem::PayloadHeader);
    assert_eq!(cause(&error).path(), b"a");
    assert!(files.read("b").is_ok());
}

#[test]
fn a_payload_archive_that_begins_otherwise_is_not_opened() {
    let refused = |archive: &Archive, problem| {
        let error = open(&snapshot_of(archive)).unwrap_err();
        let message = format!("root.ppxar.didx of {SNAPSHOT} is damaged");
        assert_eq!(error.to_string(), message);
        assert_eq!(*cause(&error).problem(), problem);
    };
    refused(
        &with_payloads(|payloads| payloads[0] ^= 1),
        Problem::PayloadStart,
    );
    refused(
        &with_payloads(|payloads| payloads[8] ^= 1),
        Problem::PayloadStart,
    );
    let archive = encode(&Tree::new(), &Layout::split());
    let swapped = Archive {
        payload: Some(archive.stream.clone()),
        ..archive.clone()
    };
    refused(&swapped, Problem::PayloadStart);
    let short = Archive {
        payload: Some(Content::from(&b"8 bytes."[..])),
        ..archive
    };
    refused(&short, Problem::CutShort);
}

#[test]
fn a_lost_chunk_at_the_start_of_the_payload_archive_harms_the_files_in_it_alone() {
    let archive = split();
    let payloads = archive.payload.unwrap().to_vec();
    // The payload of "b" begins after the start, a header, "first", and another header.
    let b = 16 + 16 + 5 + 16;
    let builder = SnapshotBuilder::new(SNAPSHOT)
        .archive("root.mpxar", &archive.stream.to_vec(), &[])
        .archive("root.ppxar", &payloads, &[b - 16]);
    let (snapshot, _) =
        snapshot_without(builder, |info| vec![info.archive("root.ppxar").digests[0]]);
    let files = open(&snapshot).unwrap();
    assert_eq!(paths(files.entries()), ["", "a", "b"]);
    assert_eq!(files.read("a").unwrap_err().kind(), ErrorKind::Missing);
    let mut bytes = [0; 5000];
    assert_eq!(
        files.read("b").unwrap().read_at(&mut bytes, 0).unwrap(),
        5000
    );
    assert_eq!(bytes[..], payloads[b as usize..][..5000]);
}
