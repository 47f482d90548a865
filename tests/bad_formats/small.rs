//! Bad blobs of small files, as a snapshot's reader meets them.

use chunk_restore::{Error, ErrorKind, Key, OpenOptions};
use serde_json::json;

use crate::support::{
    ENCRYPTED, Files, PLAIN, SECRET, SNAPSHOT, ZSTD, ZSTD_ENCRYPTED, blob, chain, entry, frame,
    lying_frame, manifest, sealed,
};

const NAME: &str = "vm.conf.blob";
const DATA: &[u8; 16] = b"sixteen bytes...";

/// Reads a file that the manifest lists just so, with the key 00 01 .. 1f.
fn read(crypt_mode: &str, blob: &[u8]) -> Result<Vec<u8>, Error> {
    read_listed(crypt_mode, blob, blob)
}

fn read_listed(crypt_mode: &str, listed: &[u8], found: &[u8]) -> Result<Vec<u8>, Error> {
    let manifest = manifest(&json!([entry(NAME, crypt_mode, listed)]));
    let options = OpenOptions::new().key(Key::from_bytes(SECRET));
    let files = Files::new(&manifest, NAME, found.to_vec());
    let datastore = options.allow_unsigned(true).open_backend(files);
    datastore.snapshot(SNAPSHOT)?.read("vm.conf")
}

fn assert_refused(crypt_mode: &str, blob: &[u8], why: &str) {
    let error = read(crypt_mode, blob).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let shown = chain(&error);
    assert!(
        shown.starts_with(NAME) && shown.contains(SNAPSHOT),
        "{shown}"
    );
    assert!(shown.contains(why), "{shown} does not say: {why}");
}

#[test]
fn small_files_made_by_hand_are_read() {
    for (crypt_mode, blob) in [
        ("none", blob(PLAIN, DATA)),
        ("sign-only", blob(ZSTD, &frame(DATA))),
        ("encrypt", sealed(ENCRYPTED, DATA)),
        ("encrypt", sealed(ZSTD_ENCRYPTED, &frame(DATA))),
    ] {
        assert_eq!(read(crypt_mode, &blob).unwrap(), DATA);
    }
    assert!(read("none", &blob(PLAIN, b"")).unwrap().is_empty());
}

#[test]
fn a_file_that_is_not_the_listed_one_is_refused() {
    let right = blob(PLAIN, DATA);
    for found in [
        &right[..27],
        &[&right[..], b"x"].concat(),
        &blob(PLAIN, b"other"),
        b"",
    ] {
        let error = read_listed("none", &right, found).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        let why = format!("{NAME} is not the file that the manifest of {SNAPSHOT} lists");
        assert_eq!(error.to_string(), why);
    }
}

#[test]
fn a_wrong_crc_is_refused_since_nothing_else_proves_a_manifest() {
    for (crypt_mode, mut blob) in [
        ("none", blob(PLAIN, DATA)),
        ("none", blob(ZSTD, &frame(DATA))),
        ("encrypt", sealed(ENCRYPTED, DATA)),
    ] {
        blob[8] ^= 1;
        let why = "its CRC is wrong: it was damaged in the store or on the way";
        assert_refused(crypt_mode, &blob, why);
    }
}

#[test]
fn a_wrong_tag_is_refused() {
    let mut changed = sealed(ENCRYPTED, DATA);
    changed[30] ^= 1;
    assert_refused("encrypt", &changed, "it does not decrypt with this key");
}

#[test]
fn a_file_that_is_not_encrypted_as_listed_is_refused() {
    let why = "is not encrypted as its manifest says";
    assert_refused("encrypt", &blob(PLAIN, DATA), why);
    assert_refused("none", &sealed(ENCRYPTED, DATA), why);
    assert_refused("sign-only", &sealed(ZSTD_ENCRYPTED, &frame(DATA)), why);
}

#[test]
fn an_encrypted_file_without_its_key_is_a_key_error() {
    let file = sealed(ENCRYPTED, DATA);
    let manifest = manifest(&json!([entry(NAME, "encrypt", &file)]));
    let datastore = OpenOptions::new().open_backend(Files::new(&manifest, NAME, file));
    let error = datastore
        .snapshot(SNAPSHOT)
        .unwrap()
        .read(NAME)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Key);
    assert_eq!(
        error.to_string(),
        "vm.conf is encrypted with another key, and no key was given"
    );
}

#[test]
fn a_blob_that_is_none_is_refused() {
    assert_refused("none", b"", "its blob is empty");
    assert_refused(
        "none",
        &PLAIN,
        "its blob of 8 bytes is shorter than a header",
    );
    assert_refused("none", b"plain text, no blob", "it is not a data blob");
}

#[test]
fn a_frame_that_is_cut_or_followed_or_lies_is_refused() {
    let whole = frame(DATA);
    for len in 0..whole.len() {
        assert_refused("none", &blob(ZSTD, &whole[..len]), "it does not decompress");
    }
    for tail in [&whole[..], b"x"] {
        let payload = [&whole[..], tail].concat();
        assert_refused(
            "none",
            &blob(ZSTD, &payload),
            "something follows its zstd frame",
        );
    }
    for stated in [0, 17, 1 << 60, u64::MAX] {
        let payload = lying_frame(stated, DATA);
        assert_refused("none", &blob(ZSTD, &payload), "it does not decompress");
    }
}

#[test]
fn a_bomb_ends_at_the_limit_of_the_format() {
    let bomb = blob(ZSTD, &frame(&vec![0; (128 << 20) + 1]));
    assert_refused("none", &bomb, "it decodes to more than 134217728 bytes");
}
