//! Chunks that are missing, damaged, or not what they should be.

use std::fs;

use chunk_restore::{ErrorKind, Key, OpenOptions, Restore};
use testkit::{CryptMode, InMemory, SnapshotBuilder, TestKey};

use crate::support::{DISK, SNAPSHOT, Script};
use crate::{CHUNK, assert_chunk, folder, image, restore};

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
    let options = OpenOptions::new().key(Key::from_bytes(*key.enc_key()));
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
