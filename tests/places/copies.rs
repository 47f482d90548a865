//! Places that hold something else under the name of a snapshot: they are told, and give nothing of what differs.

use std::sync::Arc;

use chunk_restore::{Datastore, ErrorKind, Key, OpenOptions, Restore, Snapshot};
use testkit::{CryptMode, Image, InMemory, SnapshotBuilder, TestKey};

use crate::support::{DISK, SNAPSHOT, Script, Watch};
use crate::{CHUNK, image, restore};

/// A snapshot with a disk, encrypted or not, and a file that both have alike.
fn copy(bytes: &[u8], key: Option<&TestKey>) -> Script {
    let store = InMemory::new();
    let mut snapshot = SnapshotBuilder::new(SNAPSHOT)
        .chunk_size(CHUNK as u64)
        .image(DISK, Image::from_bytes(bytes.to_vec(), CHUNK as u64));
    if let Some(key) = key {
        snapshot = snapshot.key(key, CryptMode::Encrypt);
    }
    snapshot.write_to(&store);
    Script::over(store)
}

/// The snapshot in these places, opened with a key or none, whether signed or not.
fn snapshot_in(places: Vec<Script>, key: Option<&TestKey>) -> (Snapshot, Vec<Arc<Watch>>) {
    let watches = places.iter().map(|script| Arc::clone(&script.watch));
    let watches = watches.collect();
    let open = |script: Script| {
        let options = OpenOptions::new().allow_unsigned(true);
        script.open(match key {
            Some(key) => options.key(Key::from_bytes(*key.enc_key())),
            None => options,
        })
    };
    let datastore = Datastore::any_of(places.into_iter().map(open)).unwrap();
    (datastore.snapshot(SNAPSHOT).unwrap(), watches)
}

fn differences(snapshot: &Snapshot) -> Vec<(usize, String)> {
    let differences = snapshot.differences();
    differences
        .map(|(place, file)| (place, file.to_owned()))
        .collect()
}

#[test]
fn an_encrypted_and_a_plain_copy_are_told_apart_and_never_mixed() {
    let bytes = image(20);
    let key = TestKey::from_seed(1);
    for encrypted_first in [true, false] {
        let mut places = vec![copy(&bytes, Some(&key)), copy(&bytes, None)];
        if !encrypted_first {
            places.reverse();
        }
        let (snapshot, watches) = snapshot_in(places, Some(&key));
        assert_eq!(differences(&snapshot), [(1, format!("{DISK}.fidx"))]);
        let archive = snapshot.archive(DISK).unwrap();
        assert_eq!(archive.key().is_some(), encrypted_first);
        let (report, restored) = restore(&Restore::new(), &archive);
        assert!(restored == bytes);
        assert_eq!(report.unwrap().places.len(), 1);
        assert_eq!((watches[0].requests(), watches[1].requests()), (20, 0));
    }
}

#[test]
fn what_the_right_copy_lacks_is_missing_and_not_asked_for_at_the_other() {
    let bytes = image(20);
    let mut other = bytes.clone();
    other[7 * CHUNK] ^= 1;
    let first = copy(&bytes, None);
    let lost = first.digests()[3];
    first.store.remove_chunk(&lost);
    let (snapshot, watches) = snapshot_in(vec![first, copy(&other, None)], None);
    assert_eq!(differences(&snapshot), [(1, format!("{DISK}.fidx"))]);
    let archive = snapshot.archive(DISK).unwrap();
    let error = restore(&Restore::new(), &archive).0.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Missing);
    assert_eq!(watches[1].requests(), 0);
}

#[test]
fn a_place_gives_what_it_has_alike_whatever_else_differs() {
    let bytes = image(20);
    let build = |conf: &[u8], disk: bool| {
        let store = InMemory::new();
        let image = Image::from_bytes(bytes.clone(), CHUNK as u64);
        let mut snapshot = SnapshotBuilder::new(SNAPSHOT)
            .chunk_size(CHUNK as u64)
            .image(DISK, image.clone())
            .blob("vm.conf", conf);
        if disk {
            snapshot = snapshot.image("more.img", image);
        }
        snapshot.write_to(&store);
        Script::over(store)
    };
    let first = build(b"cores: 2\n", true);
    first.store.remove_chunk(&first.digests()[3].clone());
    let (snapshot, watches) = snapshot_in(vec![first, build(b"cores: 4\n", false)], None);
    assert_eq!(
        differences(&snapshot),
        [
            (1, "vm.conf.blob".to_owned()),
            (1, "more.img.fidx".to_owned())
        ]
    );
    assert_eq!(snapshot.read("vm.conf").unwrap(), b"cores: 2\n");
    let (report, restored) = restore(&Restore::new(), &snapshot.archive(DISK).unwrap());
    assert!(restored == bytes);
    assert_eq!(report.unwrap().places[1].chunks, 1);
    assert_eq!(watches[1].requests(), 1);
    let more = restore(&Restore::new(), &snapshot.archive("more.img").unwrap());
    assert_eq!(more.0.unwrap_err().kind(), ErrorKind::Missing);
}
