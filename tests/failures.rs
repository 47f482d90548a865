//! What goes wrong, and what is said of it: a typed error that names the thing, and nothing under the final name.
#![allow(clippy::unwrap_used, reason = "a test that can't be set up has failed")]

mod support;

use std::error::Error as _;
use std::fs;
use std::path::Path;

use chunk_restore::{
    Datastore, Error, ErrorKind, Event, FileTarget, Key, Options, Restore, Result,
};
use support::{DISK, Fault, Memory, SNAPSHOT, Script};
use tempfile::TempDir;
use testkit::{CryptMode, Folder, Image, InMemory, SnapshotBuilder, TestKey, Workload};

const CHUNK: u64 = 4096;

fn image() -> Image {
    Image::new(Workload::Incompressible, 9, 8 * CHUNK, CHUNK)
}

/// A datastore on disk with one plain disk of 8 chunks; its digests.
fn folder() -> (TempDir, Folder, Vec<[u8; 32]>) {
    let folder = TempDir::new().unwrap();
    let store = Folder::new(folder.path());
    let info = SnapshotBuilder::new(SNAPSHOT)
        .chunk_size(CHUNK)
        .image(DISK, image())
        .blob("qemu-server.conf", b"memory: 2048\n")
        .write_to(&store);
    let digests = info.archive(DISK).digests.clone();
    (folder, store, digests)
}

fn open(folder: &TempDir) -> Datastore {
    Options::new()
        .open(&format!("dir:{}", folder.path().display()))
        .unwrap()
}

/// Restores the disk to a file; the file's final name must not appear where that fails.
fn restore(folder: &TempDir) -> Result<Vec<u8>> {
    let archive = open(folder).snapshot(SNAPSHOT)?.archive(DISK)?;
    let out = TempDir::new().unwrap();
    let path = out.path().join("disk.raw");
    let result = Restore::new().run(&archive, &mut FileTarget::create(&path)?);
    assert_eq!(
        path.exists(),
        result.is_ok(),
        "only a complete file has its name"
    );
    result.map(|_| fs::read(&path).unwrap())
}

fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

fn assert_chunk(error: &Error, kind: ErrorKind, position: usize, digest: &[u8; 32], words: &str) {
    assert_eq!(error.kind(), kind, "{error:?}");
    assert_eq!(error.position(), Some(position));
    assert_eq!(error.offset(), Some(position as u64 * CHUNK));
    assert_eq!(error.digest().unwrap().as_bytes(), digest);
    let text = chain(error);
    assert!(text.contains(&testkit::hex(digest)), "{text}");
    assert!(text.contains(&format!("position {position}")), "{text}");
    assert!(text.contains(words), "{text}");
}

#[test]
fn a_missing_chunk_is_named() {
    let (folder, store, digests) = folder();
    store.remove_chunk(&digests[3]);
    assert_chunk(
        &restore(&folder).unwrap_err(),
        ErrorKind::Missing,
        3,
        &digests[3],
        "missing",
    );
}

#[test]
fn an_empty_chunk_file_counts_as_missing() {
    let (folder, store, digests) = folder();
    store.replace_chunk(&digests[0], &Vec::new());
    assert_chunk(
        &restore(&folder).unwrap_err(),
        ErrorKind::Missing,
        0,
        &digests[0],
        "missing",
    );
}

#[test]
fn a_chunk_that_a_verify_job_set_aside_counts_as_missing() {
    let (folder, store, digests) = folder();
    let path = store.chunk_path(&digests[2]);
    fs::rename(&path, path.with_extension("0.bad")).unwrap();
    assert_chunk(
        &restore(&folder).unwrap_err(),
        ErrorKind::Missing,
        2,
        &digests[2],
        "missing",
    );
}

#[test]
fn a_damaged_chunk_is_corrupt_and_its_crc_says_whose_fault_it_is() {
    let (folder, store, digests) = folder();
    let mut blob = fs::read(store.chunk_path(&digests[7])).unwrap();
    let middle = blob.len() / 2;
    blob[middle] ^= 0x10;
    store.replace_chunk(&digests[7], &blob);
    let error = restore(&folder).unwrap_err();
    assert_chunk(
        &error,
        ErrorKind::Corrupt,
        7,
        &digests[7],
        "its CRC is wrong too",
    );
}

#[test]
fn another_chunk_in_its_place_is_corrupt_with_a_right_crc() {
    let (folder, store, digests) = folder();
    let blob = fs::read(store.chunk_path(&digests[6])).unwrap();
    store.replace_chunk(&digests[1], &blob);
    let error = restore(&folder).unwrap_err();
    assert_chunk(
        &error,
        ErrorKind::Corrupt,
        1,
        &digests[1],
        "its CRC is right",
    );
}

#[test]
fn a_chunk_file_longer_than_any_blob_is_not_read() {
    let (folder, store, digests) = folder();
    // A sparse file: reading it would take the memory of the machine.
    let file = fs::File::options()
        .write(true)
        .open(store.chunk_path(&digests[4]))
        .unwrap();
    file.set_len(1 << 40).unwrap();
    let error = restore(&folder).unwrap_err();
    assert_chunk(
        &error,
        ErrorKind::Corrupt,
        4,
        &digests[4],
        "longer than it can be",
    );
}

#[test]
fn a_chunk_file_that_cannot_be_read_is_unreadable_and_not_missing() {
    let (folder, store, digests) = folder();
    let path = store.chunk_path(&digests[5]);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let error = restore(&folder).unwrap_err();
    assert_chunk(&error, ErrorKind::Unreadable, 5, &digests[5], "cannot read");
}

#[test]
fn an_encrypted_chunk_in_a_plain_archive_is_refused() {
    let (folder, store, digests) = folder();
    let data = vec![1; CHUNK as usize];
    let blob = testkit::encode(
        testkit::BlobKind::Encrypted,
        &data,
        Some(&TestKey::from_seed(1)),
    );
    store.replace_chunk(&digests[2], &blob);
    let error = restore(&folder).unwrap_err();
    assert_chunk(
        &error,
        ErrorKind::Corrupt,
        2,
        &digests[2],
        "the manifest says that it is not",
    );
}

#[test]
fn a_plain_chunk_in_an_encrypted_archive_is_refused() {
    let key = TestKey::from_seed(1);
    let store = InMemory::new();
    let info = SnapshotBuilder::new(SNAPSHOT)
        .key(&key, CryptMode::Encrypt)
        .chunk_size(CHUNK)
        .image(DISK, image())
        .write_to(&store);
    let digest = info.archive(DISK).digests[0];
    store.replace_chunk(
        &digest,
        &testkit::encode(testkit::BlobKind::Plain, &[0; CHUNK as usize], None),
    );
    let options = Options::new().key(Key::from_bytes(*key.enc_key()));
    let archive = Script::over(store)
        .open(options)
        .snapshot(SNAPSHOT)
        .unwrap()
        .archive(DISK)
        .unwrap();
    let error = Restore::new().verify(&archive, |_| {}).unwrap_err();
    assert_chunk(
        &error,
        ErrorKind::Corrupt,
        0,
        &digest,
        "not encrypted, and the manifest says that it is",
    );
}

#[test]
fn damage_on_the_way_is_cured_by_another_connection() {
    let script = Script::of(image(), CHUNK);
    let digest = script.digests()[3];
    let (archive, watch) = script.fault(digest, Fault::Corrupt).archive();
    let mut retried = Vec::new();
    let mut target = Memory::default();
    let restore = Restore::new().threads(1);
    let report = restore
        .run_with(&archive, &mut target, |event| {
            if let Event::Retried(error) = event {
                retried.push((error.kind(), error.position()));
            }
        })
        .unwrap();
    assert_eq!(retried, [(ErrorKind::Corrupt, Some(3))]);
    assert_eq!(report.retries, 1);
    assert_eq!(
        watch.connections.load(std::sync::atomic::Ordering::SeqCst),
        2
    );
}

#[test]
fn a_corrupt_chunk_is_asked_for_twice_and_no_more() {
    let script = Script::of(image(), CHUNK);
    let digest = script.digests()[3];
    let script = (0..5).fold(script, |script, _| script.fault(digest, Fault::Corrupt));
    let (archive, watch) = script.archive();
    let restore = Restore::new().threads(1).in_flight(1);
    let error = restore.run(&archive, &mut Memory::default()).unwrap_err();
    assert_chunk(&error, ErrorKind::Corrupt, 3, &digest, "is corrupt");
    assert_eq!(watch.requests_for(&digest), 2);
}

#[test]
fn what_may_pass_is_tried_as_often_as_was_asked_and_no_more() {
    for attempts in [1, 2, 5] {
        let script = Script::of(image(), CHUNK);
        let digest = script.digests()[0];
        let script = (0..9).fold(script, |script, _| script.fault(digest, Fault::Transient));
        let (archive, watch) = script.archive();
        let restore = Restore::new().threads(1).in_flight(1).attempts(attempts);
        let error = restore.run(&archive, &mut Memory::default()).unwrap_err();
        assert_chunk(&error, ErrorKind::Unavailable, 0, &digest, "cannot fetch");
        assert_eq!(watch.requests_for(&digest), attempts as usize);
    }
}

#[test]
fn what_is_final_is_not_tried_again() {
    for (fault, kind) in [
        (Fault::Missing, ErrorKind::Missing),
        (Fault::Unreadable, ErrorKind::Unreadable),
        (Fault::Denied, ErrorKind::Denied),
        (Fault::TooLong, ErrorKind::Corrupt),
    ] {
        let script = Script::of(image(), CHUNK);
        let digest = script.digests()[0];
        let (archive, watch) = script.fault(digest, fault).archive();
        let restore = Restore::new().threads(1).in_flight(1);
        let error = restore.run(&archive, &mut Memory::default()).unwrap_err();
        assert_eq!(
            (error.kind(), watch.requests_for(&digest)),
            (kind, 1),
            "{error:?}"
        );
    }
}

#[test]
fn a_full_target_says_where_it_was_full() {
    let (archive, _) = Script::of(image(), CHUNK).archive();
    let mut target = Memory {
        room: Some(3 * CHUNK as usize + 10),
        ..Memory::default()
    };
    let error = Restore::new().run(&archive, &mut target).unwrap_err();
    assert_eq!(
        (error.kind(), error.offset()),
        (ErrorKind::Target, Some(3 * CHUNK))
    );
    assert!(!target.is_finished && target.data.len() == 3 * CHUNK as usize);
}

#[test]
fn what_does_not_exist_is_answered_with_what_does() {
    let (folder, _, _) = folder();
    let datastore = open(&folder);
    for (result, words) in [
        (
            datastore.snapshot("vm/100/2020-01-01T00:00:00Z").map(drop),
            SNAPSHOT,
        ),
        (datastore.snapshot("vm/7").map(drop), "vm/100"),
        (
            datastore.snapshot("ct/7/2020-01-01T00:00:00Z").map(drop),
            "vm/100",
        ),
        (
            datastore
                .snapshot(SNAPSHOT)
                .unwrap()
                .archive("drive-scsi9.img")
                .map(drop),
            DISK,
        ),
        (
            datastore
                .snapshot(SNAPSHOT)
                .unwrap()
                .read("nothing.conf")
                .map(drop),
            "qemu-server.conf",
        ),
        (
            datastore
                .in_namespace("no/such".parse().unwrap())
                .snapshots()
                .map(drop),
            "no/such",
        ),
        (
            datastore
                .in_namespace("no/such".parse().unwrap())
                .snapshot("vm/1")
                .map(drop),
            "no such namespace",
        ),
    ] {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn a_small_file_and_an_archive_are_not_taken_for_one_another() {
    let (folder, _, _) = folder();
    let snapshot = open(&folder).snapshot(SNAPSHOT).unwrap();
    assert_eq!(
        snapshot.archive("qemu-server.conf").unwrap_err().kind(),
        ErrorKind::Invalid
    );
    assert_eq!(snapshot.read(DISK).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(
        snapshot.read("qemu-server.conf").unwrap(),
        b"memory: 2048\n"
    );
}

#[test]
fn a_snapshot_without_a_manifest_is_unfinished() {
    let (folder, store, _) = folder();
    let older = "vm/100/2025-01-01T00:00:00Z";
    SnapshotBuilder::new(older)
        .chunk_size(CHUNK)
        .image(DISK, image())
        .write_to(&store);
    fs::remove_file(store.snapshot_path("", SNAPSHOT).join("index.json.blob")).unwrap();
    let datastore = open(&folder);
    let error = datastore.snapshot(SNAPSHOT).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("unfinished"), "{error}");
    assert_eq!(
        datastore.snapshot("vm/100").unwrap().name().to_string(),
        older
    );
    let listed = datastore.snapshots().unwrap();
    let finished: Vec<bool> = listed.iter().map(|snapshot| snapshot.is_finished).collect();
    assert_eq!(finished, [true, false]);
}

#[test]
fn the_manifest_of_another_snapshot_is_refused() {
    let (folder, store, _) = folder();
    let other = "vm/100/2025-01-01T00:00:00Z";
    let copy = store.snapshot_path("", other);
    fs::create_dir_all(&copy).unwrap();
    for file in ["index.json.blob", "drive-scsi0.img.fidx"] {
        fs::copy(
            store.snapshot_path("", SNAPSHOT).join(file),
            copy.join(file),
        )
        .unwrap();
    }
    let error = open(&folder).snapshot(other).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains(SNAPSHOT), "{error}");
}

#[test]
fn an_index_that_is_not_the_manifests_is_refused() {
    let (folder, store, _) = folder();
    let path = store
        .snapshot_path("", SNAPSHOT)
        .join("drive-scsi0.img.fidx");
    let other = TempDir::new().unwrap();
    let other_store = Folder::new(other.path());
    let shorter = Image::new(Workload::Incompressible, 1, 3 * CHUNK, CHUNK);
    SnapshotBuilder::new(SNAPSHOT)
        .chunk_size(CHUNK)
        .image(DISK, shorter)
        .write_to(&other_store);
    fs::copy(
        other_store
            .snapshot_path("", SNAPSHOT)
            .join("drive-scsi0.img.fidx"),
        &path,
    )
    .unwrap();
    let error = open(&folder)
        .snapshot(SNAPSHOT)
        .unwrap()
        .archive(DISK)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(
        error
            .to_string()
            .contains("not the index that the manifest"),
        "{error}"
    );
}

#[test]
fn a_small_file_that_was_changed_is_refused() {
    let (folder, store, _) = folder();
    let path = store
        .snapshot_path("", SNAPSHOT)
        .join("qemu-server.conf.blob");
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    let error = open(&folder)
        .snapshot(SNAPSHOT)
        .unwrap()
        .read("qemu-server.conf")
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

#[test]
fn a_folder_that_is_no_datastore_is_not_opened() {
    let folder = TempDir::new().unwrap();
    let error = Options::new()
        .open(&format!("dir:{}", folder.path().display()))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(chain(&error).contains(".chunks"), "{error:?}");
    let nowhere = folder.path().join("no/such");
    let error = Options::new()
        .open(&nowhere.display().to_string())
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(!Path::new(&nowhere).exists());
}
