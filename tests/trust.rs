//! Whose manifests are believed, and with which key.
#![allow(clippy::unwrap_used, reason = "a test that can't be set up has failed")]

mod support;

use chunk_restore::{Datastore, ErrorKind, Key, OpenOptions, Restore};
use support::{DISK, SNAPSHOT, Script};
use testkit::{CryptMode, Image, InMemory, SnapshotBuilder, TestKey, Workload};

const CHUNK: u64 = 4096;

fn image() -> Image {
    Image::new(Workload::Incompressible, 9, 8 * CHUNK, CHUNK)
}

fn keyed(mode: CryptMode, key: Option<&TestKey>) -> InMemory {
    let store = InMemory::new();
    let mut snapshot = SnapshotBuilder::new(SNAPSHOT)
        .chunk_size(CHUNK)
        .image(DISK, image());
    if let Some(key) = key {
        snapshot = snapshot.key(key, mode);
    }
    snapshot.write_to(&store);
    store
}

fn with_key(seed: u64) -> OpenOptions {
    OpenOptions::new().key(Key::from_bytes(*TestKey::from_seed(seed).enc_key()))
}

#[test]
fn with_a_key_an_unsigned_manifest_is_refused_unless_allowed_by_name() {
    let error = Script::over(keyed(CryptMode::None, None))
        .open(with_key(1))
        .snapshot(SNAPSHOT)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Key);
    assert!(error.to_string().contains("not signed"), "{error}");
    let allowed = with_key(1).allow_unsigned(true);
    assert!(
        Script::over(keyed(CryptMode::None, None))
            .open(allowed)
            .snapshot(SNAPSHOT)
            .is_ok()
    );
}

#[test]
fn a_foreign_key_is_named_beside_the_one_given() {
    let key = TestKey::from_seed(2);
    let store = keyed(CryptMode::Encrypt, Some(&key));
    let error = Script::over(store)
        .open(with_key(1))
        .snapshot(SNAPSHOT)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Key);
    assert!(
        error.to_string().contains(&key.fingerprint()[..23]),
        "{error}"
    );
    let given = Key::from_bytes(*TestKey::from_seed(1).enc_key())
        .fingerprint()
        .short();
    assert!(error.to_string().contains(&given), "{error}");
}

#[test]
fn of_several_keys_the_snapshots_own_is_taken() {
    let store = keyed(CryptMode::Encrypt, Some(&TestKey::from_seed(2)));
    let options = with_key(1).key(Key::from_bytes(*TestKey::from_seed(2).enc_key()));
    let archive = Script::over(store)
        .open(options)
        .snapshot(SNAPSHOT)
        .unwrap()
        .archive(DISK)
        .unwrap();
    assert!(Restore::new().verify(&archive, |_| {}).is_ok());
}

#[test]
fn an_encrypted_archive_without_a_key_names_the_key_that_it_needs() {
    let key = TestKey::from_seed(2);
    let store = keyed(CryptMode::Encrypt, Some(&key));
    let snapshot = Script::over(store)
        .open(OpenOptions::new())
        .snapshot(SNAPSHOT)
        .unwrap();
    let error = snapshot.archive(DISK).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Key);
    assert!(
        error.to_string().contains(&key.fingerprint()[..23]),
        "{error}"
    );
}

#[test]
fn a_forged_manifest_is_refused_whatever_is_allowed() {
    let key = TestKey::from_seed(1);
    let store = InMemory::new();
    let info = SnapshotBuilder::new(SNAPSHOT)
        .chunk_size(CHUNK)
        .key(&key, CryptMode::SignOnly)
        .image(DISK, image())
        .write_to(&store);
    let archive = info.archive(DISK);
    let file = testkit::ManifestFile {
        name: format!("{DISK}.fidx"),
        crypt_mode: CryptMode::SignOnly,
        size: archive.len + 1,
        csum: [3; 32],
    };
    // Signed by another key, and said to be by this one.
    let other = TestKey::from_seed(2);
    let mut json = testkit::Manifest::new(SNAPSHOT)
        .file(file)
        .signed(&other)
        .json();
    json["unprotected"]["key-fingerprint"] = key.fingerprint().into();
    let blob = testkit::encode(testkit::BlobKind::Plain, json.to_string().as_bytes(), None);
    testkit::Store::put_file(&store, "", SNAPSHOT, "index.json.blob", &blob);
    let options = with_key(1).allow_unsigned(true);
    let error = Script::over(store)
        .open(options)
        .snapshot(SNAPSHOT)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
}

#[test]
fn of_several_places_the_strictest_rule_holds_for_all() {
    // The place that was opened with a key lacks the snapshot, and the other one has an unsigned manifest of it.
    let open = |with: OpenOptions, without: OpenOptions, reverse: bool| {
        let mut places = vec![
            Script::over(InMemory::new()).open(with),
            Script::over(keyed(CryptMode::None, None)).open(without),
        ];
        if reverse {
            places.reverse();
        }
        Datastore::any_of(places).unwrap().snapshot(SNAPSHOT)
    };
    for reverse in [false, true] {
        let error = open(with_key(1), OpenOptions::new(), reverse).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Key, "{error:?}");
        let lenient = OpenOptions::new().allow_unsigned(true);
        let error = open(with_key(1), lenient, reverse).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Key, "{error:?}");
        let error = open(with_key(1), with_key(2).allow_unsigned(true), reverse).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Key, "{error:?}");
        // One that has no key says nothing about signatures.
        let allowing = with_key(1).allow_unsigned(true);
        assert!(open(allowing, OpenOptions::new(), reverse).is_ok());
    }
}

#[test]
fn each_places_key_opens_what_another_place_holds() {
    let store = keyed(CryptMode::Encrypt, Some(&TestKey::from_seed(2)));
    let places = [
        Script::over(InMemory::new()).open(with_key(2)),
        Script::over(store).open(with_key(1)),
    ];
    let snapshot = Datastore::any_of(places).unwrap().snapshot(SNAPSHOT);
    let archive = snapshot.unwrap().archive(DISK).unwrap();
    assert!(Restore::new().verify(&archive, |_| {}).is_ok());
}
