//! The master key: how it is unlocked, and what it recovers.
#![allow(clippy::unwrap_used, reason = "a test that can't be set up has failed")]

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chunk_restore::format::{KeyFile, MasterKey, MasterKeyFile};
use chunk_restore::{Datastore, ErrorKind, OpenOptions, Restore, Result, Snapshot, StreamTarget};
use tempfile::TempDir;

const PASSPHRASE: &[u8] = b"test-passphrase";

/// What the snapshot vm/202 is encrypted with.
const FINGERPRINT: &str = "bc:79:45:eb:24:67:be:b8:2c:af:68:e5:0d:60:d9:f8:cf:90:b1:b5:bb:37:f7:08:99:41:fc:a2:3c:48:12:eb";

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines = text.as_bytes().chunks(64);
    let lines: Vec<_> = lines.map(String::from_utf8_lossy).collect();
    let text = lines.join("\n");
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

/// The golden master key, without a passphrase, in PKCS#1.
fn pkcs1() -> Vec<u8> {
    fs::read(golden("keys/master-private.der")).unwrap()
}

/// Wraps an RSA key of 4096 bits as PKCS#8 does: version, algorithm, and the key as an octet string.
fn in_pkcs8(pkcs1: &[u8]) -> Vec<u8> {
    let long = |tag: u8, content: &[u8]| {
        let len = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x82], &len[..], content].concat()
    };
    let version = [0x02, 1, 0];
    let rsa_encryption = [
        0x30, 13, 0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 0x05, 0,
    ];
    long(
        0x30,
        &[&version[..], &rsa_encryption, &long(0x04, pkcs1)].concat(),
    )
}

/// The golden master key, locked as the official client locks it.
fn locked() -> Vec<u8> {
    let text = fs::read_to_string(golden("keys/master-locked.pem")).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('-'));
    STANDARD.decode(lines.collect::<String>()).unwrap()
}

fn unlock(pem: &str, passphrase: Option<&[u8]>) -> Result<MasterKey> {
    MasterKeyFile::parse(pem.as_bytes())?.unlock(passphrase)
}

fn master() -> MasterKey {
    unlock(&pem("RSA PRIVATE KEY", &pkcs1()), None).unwrap()
}

fn datastore(options: OpenOptions, folder: &Path) -> Datastore {
    options.open(&format!("dir:{}", folder.display())).unwrap()
}

fn with_master(folder: &Path) -> Datastore {
    datastore(OpenOptions::new().master_key(master()), folder)
}

fn wrapped() -> Vec<u8> {
    let datastore = datastore(OpenOptions::new(), &golden("datastore"));
    let snapshot = datastore.snapshot("vm/202").unwrap();
    snapshot.read("rsa-encrypted.key").unwrap()
}

#[test]
fn the_master_key_recovers_the_key_of_its_snapshot() {
    let (pkcs1, wrapped) = (pkcs1(), wrapped());
    for pem in [
        pem("PRIVATE KEY", &in_pkcs8(&pkcs1)),
        pem("RSA PRIVATE KEY", &pkcs1),
        pem("RSA PRIVATE KEY", &pkcs1).replace('\n', "\r\n"),
        format!("\u{feff}{}", pem("RSA PRIVATE KEY", &pkcs1)),
    ] {
        let key = unlock(&pem, None).unwrap().recover(&wrapped).unwrap();
        assert_eq!(key.fingerprint().to_string(), FINGERPRINT);
    }
    let mut changed = wrapped.clone();
    changed[200] ^= 1;
    let long = [&wrapped[..], b"x"].concat();
    for wrapped in [&changed[..], &long, &wrapped[..511], &[], &[0xff; 512]] {
        let error = master().recover(wrapped).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Key);
    }
}

#[test]
fn a_locked_master_key_takes_its_passphrase_and_no_other() {
    let file = MasterKeyFile::read(golden("keys/master-locked.pem")).unwrap();
    assert!(file.is_protected());
    let key = file.unlock(Some(PASSPHRASE)).unwrap();
    let recovered = key.recover(&wrapped()).unwrap();
    assert_eq!(recovered.fingerprint().to_string(), FINGERPRINT);
    for (passphrase, why) in [
        (None, "is locked, and no passphrase was given"),
        (Some(&b"wrong"[..]), "wrong passphrase"),
        (Some(&b""[..]), "wrong passphrase"),
    ] {
        let error = file.unlock(passphrase).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Key);
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[test]
fn each_thing_that_is_wrong_with_a_master_key_is_named() {
    let locked = locked();
    // HMAC with SHA-1 has this number in place of SHA-256's.
    let mut by_sha1 = locked.clone();
    assert_eq!(by_sha1[59], 9);
    by_sha1[59] = 7;
    // Four bytes of rounds in place of two, with the lengths of all that they lie in.
    let mut long = locked.clone();
    assert_eq!(long[44..48], [2, 2, 8, 0]);
    long.splice(44..48, [2, 4, 5, 0, 0, 0]);
    for at in [3, 5, 18, 20, 33] {
        long[at] += 2;
    }
    // The number of AES-256-CBC, with another number in place of its last.
    let mut by_other = locked.clone();
    let aes256 = [0x06, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1, 42];
    let at = by_other.windows(aes256.len()).position(|oid| oid == aes256);
    by_other[at.unwrap() + aes256.len() - 1] = 99;
    let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n";
    for (pem, why) in [
        (
            pem("ENCRYPTED PRIVATE KEY", &by_sha1),
            "locked in a way that is not known",
        ),
        (
            pem("ENCRYPTED PRIVATE KEY", &long),
            "asks for too much work",
        ),
        (
            pem("ENCRYPTED PRIVATE KEY", &by_other),
            "locked in a way that is not known",
        ),
        (pem("ENCRYPTED PRIVATE KEY", &pkcs1()), "is damaged"),
        (pem("ENCRYPTED PRIVATE KEY", &locked[..99]), "is malformed"),
        (pem("PRIVATE KEY", &pkcs1()), "is not an RSA private key"),
        (pem("EC PRIVATE KEY", &pkcs1()), "is not an RSA private key"),
        (old.to_owned(), "locked in a way that is not known"),
        (pem("PUBLIC KEY", &pkcs1()), "is not a private key in PEM"),
        (String::new(), "is not a private key in PEM"),
    ] {
        let error = unlock(&pem, Some(PASSPHRASE)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Key);
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[test]
fn a_changed_master_key_makes_nothing_panic() {
    let pkcs8 = in_pkcs8(&pkcs1());
    for at in (0..pkcs8.len()).step_by(37).chain(0..40) {
        let mut changed = pkcs8.clone();
        changed[at] ^= 0x41;
        if let Ok(key) = unlock(&pem("PRIVATE KEY", &changed), None) {
            let _ = key.recover(&[7; 512]);
        }
    }
}

fn restore(snapshot: &Snapshot) -> Result<()> {
    let archive = snapshot.archive("drive-scsi0.img")?;
    Restore::new().run(&archive, &mut StreamTarget::new(Vec::new()))?;
    Ok(())
}

#[test]
fn a_datastore_recovers_the_keys_of_its_snapshots_by_itself() {
    let folder = golden("datastore");
    let datastore = with_master(&folder);
    restore(&datastore.snapshot("vm/202").unwrap()).unwrap();
    for (snapshot, why) in [
        ("vm/201", "was made without a master key"),
        ("vm/203", "was made without a master key"),
        ("vm/200", "is not signed"),
    ] {
        let error = datastore.snapshot(snapshot).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Key);
        assert!(error.to_string().contains(why), "{error}");
    }
    let unsigned = OpenOptions::new().master_key(master()).allow_unsigned(true);
    let unsigned = crate::datastore(unsigned, &folder);
    restore(&unsigned.snapshot("vm/200").unwrap()).unwrap();
    unsigned.snapshot("vm/201").unwrap_err();

    let key = KeyFile::read(golden("keys/plain.key")).unwrap();
    let both = OpenOptions::new()
        .key(key.unlock(None).unwrap())
        .master_key(master());
    let both = crate::datastore(both, &folder);
    for snapshot in ["vm/201", "vm/202", "vm/203"] {
        restore(&both.snapshot(snapshot).unwrap()).unwrap();
    }
}

/// A copy of the golden snapshot vm/202, in a datastore of its own.
fn copy() -> (TempDir, PathBuf) {
    let copy = tempfile::tempdir().unwrap();
    let name = "vm/202/2024-06-10T12:00:00Z";
    let snapshot = copy.path().join(name);
    fs::create_dir_all(&snapshot).unwrap();
    fs::create_dir(copy.path().join(".chunks")).unwrap();
    for entry in fs::read_dir(golden("datastore").join(name)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), snapshot.join(entry.file_name())).unwrap();
    }
    (copy, snapshot)
}

#[test]
fn a_wrapped_key_that_is_lost_or_changed_comes_from_another_place() {
    // A blob that is right by itself, and not the one that the manifest lists.
    let magic = [0x42, 0xab, 0x38, 0x07, 0xbe, 0x83, 0x70, 0xa1];
    let crc = crc32fast::hash(&[7; 512]).to_le_bytes();
    let other = [&magic[..], &crc, &[7; 512]].concat();
    for (content, kind) in [
        (None, ErrorKind::Missing),
        (Some(other), ErrorKind::Corrupt),
        (Some(vec![7; 524]), ErrorKind::Corrupt),
        (Some(vec![7; 200_000]), ErrorKind::Corrupt),
        (Some(Vec::new()), ErrorKind::Corrupt),
    ] {
        let (copy, snapshot) = copy();
        let path = snapshot.join("rsa-encrypted.key.blob");
        match content {
            Some(content) => fs::write(path, content).unwrap(),
            None => fs::remove_file(path).unwrap(),
        }
        let damaged = with_master(copy.path());
        let error = damaged.snapshot("vm/202").unwrap_err();
        assert_eq!(error.kind(), kind, "{error:?}");
        // Of several places, one with the master key is enough, and its rules hold for all.
        let whole = datastore(OpenOptions::new(), &golden("datastore"));
        let both = Datastore::any_of([damaged, whole]).unwrap();
        restore(&both.snapshot("vm/202").unwrap()).unwrap();
        both.snapshot("vm/200").unwrap_err();
    }
}
