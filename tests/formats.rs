//! What a real PBS wrote is read as it was meant, and the vectors of the formats hold.
#![allow(clippy::unwrap_used, reason = "a test that can't be set up has failed")]

#[path = "formats_support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use chunk_restore::format::{CryptMode, Index, Manifest};
use chunk_restore::{Datastore, Digest, ErrorKind, Key, OpenOptions, Snapshot};
use serde_json::json;
use support::{chain, decode, golden, golden_file, golden_key};

const FINGERPRINTS: [(&str, &str); 4] = [
    (
        "plain.key",
        "bb:81:19:64:02:93:58:a0:f9:f8:d0:07:15:97:47:2a:e8:d4:22:a7:7f:81:a2:f9:18:b8:6d:fc:4c:d2:0b:da",
    ),
    (
        "scrypt.key",
        "bc:79:45:eb:24:67:be:b8:2c:af:68:e5:0d:60:d9:f8:cf:90:b1:b5:bb:37:f7:08:99:41:fc:a2:3c:48:12:eb",
    ),
    (
        "pbkdf2.key",
        "b1:10:08:f4:cd:d7:2c:d1:b6:70:2d:df:cc:5b:5a:1d:0d:4e:63:90:33:80:9b:0e:b1:d3:a1:b3:02:96:0a:70",
    ),
    (
        "scrypt-hint.key",
        "f9:2b:68:0a:e1:b3:49:71:6b:33:18:87:88:26:b2:50:8f:05:f2:e2:11:61:bc:06:dd:1e:36:14:d5:86:27:38",
    ),
];

fn keys() -> [Key; 3] {
    ["plain.key", "scrypt.key", "pbkdf2.key"].map(golden_key)
}

/// Every golden snapshot with the folder that it lies in.
fn snapshots() -> Vec<(Snapshot, PathBuf)> {
    let options = keys()
        .into_iter()
        .fold(OpenOptions::new(), OpenOptions::key);
    let root = golden("datastore");
    let place = format!("dir:{}", root.display());
    let root_namespace = options.allow_unsigned(true).open(&place).unwrap();
    let team = root_namespace.in_namespace("team/a".parse().unwrap());
    let in_folder = |datastore: &Datastore, folder: PathBuf| -> Vec<_> {
        let found = datastore.snapshots().unwrap();
        let open = found.iter().map(|info| {
            let name = info.name.to_string();
            (datastore.snapshot(&name).unwrap(), folder.join(name))
        });
        open.collect()
    };
    let mut snapshots = in_folder(&root_namespace, root.clone());
    snapshots.extend(in_folder(&team, root.join("ns/team/ns/a")));
    snapshots
}

/// The JSON of a snapshot's manifest, decoded without the crate.
fn manifest_json(folder: &Path) -> String {
    let raw = fs::read(folder.join("index.json.blob")).unwrap();
    assert_eq!(raw[..8], support::ZSTD);
    String::from_utf8(zstd::decode_all(&raw[12..]).unwrap()).unwrap()
}

#[test]
fn every_index_is_the_one_that_its_manifest_lists() {
    let mut indexes = 0;
    for (snapshot, folder) in snapshots() {
        let manifest = snapshot.manifest();
        for file in manifest.files().iter().filter(|file| file.is_archive()) {
            let raw = fs::read(folder.join(file.name())).unwrap();
            let index = Index::parse(raw.as_slice()).unwrap();
            assert_eq!((index.csum(), index.len()), (file.csum(), file.size()));
            assert_eq!(index.is_fixed(), file.name().ends_with(".fidx"));
            let entry = if index.is_fixed() { 32 } else { 40 };
            assert_eq!(index.count(), (raw.len() - 4096) / entry);
            let mut end = 0;
            for chunk in index.chunks() {
                assert_eq!(chunk.offset, end);
                end += u64::from(chunk.len);
            }
            assert_eq!(end, index.len());
            let archive = snapshot.archive(file.archive_name()).unwrap();
            assert_eq!(archive.index().csum(), index.csum());
            indexes += 1;
        }
    }
    assert_eq!(indexes, 16);
}

#[test]
fn the_last_chunk_of_an_image_is_as_short_as_what_is_left() {
    let path = "datastore/vm/200/2024-06-10T10:00:00Z/drive-scsi0.img.fidx";
    let index = Index::parse(fs::read(golden(path)).unwrap()).unwrap();
    assert_eq!((index.count(), index.chunk_size()), (7, Some(4 << 20)));
    let last = index.chunk(6).unwrap();
    assert_eq!((last.offset, last.len), (24 << 20, 12345));
    assert_eq!(index.chunk(7), None);
}

#[test]
fn every_chunk_decodes_with_its_key_and_with_no_other() {
    let keys = keys();
    let mut seen = BTreeSet::new();
    let mut kinds = BTreeSet::new();
    for (snapshot, _) in snapshots() {
        let files = snapshot.manifest().files().iter();
        for file in files.filter(|file| file.is_archive()) {
            let archive = snapshot.archive(file.name()).unwrap();
            let key = archive.key();
            assert_eq!(key.is_some(), file.crypt_mode() == CryptMode::Encrypt);
            for chunk in archive.index().chunks() {
                if !seen.insert(chunk.digest) {
                    continue;
                }
                let name = chunk.digest.to_string();
                let path = golden("datastore/.chunks").join(&name[..4]).join(&name);
                let blob = fs::read(path).unwrap();
                kinds.insert(blob[..8].to_vec());
                let data = decode(key, &chunk, &blob).unwrap();
                assert_eq!(data.len(), chunk.len as usize);
                let digest = key.map_or(Digest::of(&data), |key| key.digest(&data));
                assert_eq!(digest, chunk.digest);

                let own = key.map(Key::fingerprint);
                for other in keys.iter().filter(|key| Some(key.fingerprint()) != own) {
                    let error = decode(Some(other), &chunk, &blob).unwrap_err().error;
                    assert_eq!(error.kind(), ErrorKind::Corrupt);
                    let why = match own {
                        Some(_) => "it does not decrypt with this key; its CRC is right",
                        None => "it is not encrypted, and the manifest says that it is",
                    };
                    assert!(chain(&error).contains(why), "{error:?}");
                }
                if own.is_some() {
                    let error = decode(None, &chunk, &blob).unwrap_err().error;
                    let why = "it is encrypted, and the manifest says that it is not";
                    assert!(chain(&error).contains(why), "{error:?}");
                }
            }
        }
    }
    let folders = fs::read_dir(golden("datastore/.chunks")).unwrap();
    let stored = folders.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap());
    assert_eq!(seen.len(), stored.count());
    assert_eq!(kinds.len(), 4);
}

#[test]
fn every_small_file_holds_what_was_backed_up() {
    let conf = fs::read(golden("input/vm.conf")).unwrap();
    let mut small = 0;
    for (snapshot, _) in snapshots() {
        let files = snapshot.manifest().files().iter();
        for file in files.filter(|file| !file.is_archive()) {
            let data = snapshot.read(file.archive_name()).unwrap();
            match file.archive_name() {
                "qemu-server.conf" | "vm.conf" => assert_eq!(data, conf),
                // 4096 bits of RSA.
                "rsa-encrypted.key" => assert_eq!(data.len(), 512),
                other => panic!("an unexpected {other}"),
            }
            small += 1;
        }
    }
    assert_eq!(small, 8);
}

#[test]
fn every_key_file_opens_with_its_passphrase_to_the_key_of_its_fingerprint() {
    for (name, fingerprint) in FINGERPRINTS {
        let file = golden_file(name);
        assert_eq!(file.is_protected(), name != "plain.key");
        assert_eq!(file.fingerprint().unwrap().to_string(), fingerprint);
        assert_eq!(golden_key(name).fingerprint().to_string(), fingerprint);
    }
    assert_eq!(golden_file("scrypt-hint.key").hint(), Some("the hint"));
    assert_eq!(golden_file("scrypt.key").hint(), None);
    assert!(golden_file("plain.key").unlock(None).is_ok());
}

#[test]
fn every_signature_is_right_and_is_wrong_after_any_one_byte_was_changed() {
    let keys = keys();
    let mut signed = 0;
    for (_, folder) in snapshots() {
        let json = manifest_json(&folder);
        let manifest = Manifest::parse(json.as_bytes()).unwrap();
        assert_eq!(manifest.is_signed(), manifest.key_fingerprint().is_some());
        let Some(fingerprint) = manifest.key_fingerprint() else {
            assert!(manifest.verify_signature(&keys[0]).is_err());
            continue;
        };
        signed += 1;
        for key in &keys {
            let verified = manifest.verify_signature(key);
            assert_eq!(verified.is_ok(), key.fingerprint() == fingerprint);
        }
        let own = |key: &&Key| key.fingerprint() == fingerprint;
        let key = keys.iter().find(own).unwrap();
        let is_accepted = |json: &[u8]| {
            Manifest::parse(json).is_ok_and(|manifest| manifest.verify_signature(key).is_ok())
        };
        let unprotected = json.find("\"unprotected\"").unwrap();
        for at in (0..unprotected).filter(|&at| json.as_bytes()[at].is_ascii_alphanumeric()) {
            let mut changed = json.clone().into_bytes();
            changed[at] = if changed[at] == b'7' { b'8' } else { b'7' };
            assert!(
                !is_accepted(&changed),
                "{}",
                String::from_utf8_lossy(&changed)
            );
        }
        // What the server notes after the fact is not signed.
        assert!(is_accepted(
            json.replace("golden:root@pam", "other:root@pam").as_bytes()
        ));
    }
    assert_eq!(signed, 5);
}

#[test]
fn the_key_of_rising_bytes_has_its_known_fingerprint() {
    assert_eq!(
        Key::from_bytes(support::SECRET).fingerprint().to_string(),
        "0e:ab:d4:46:0b:6e:b9:ca:34:50:23:de:e2:b7:78:c7:90:e5:4a:16:83:b9:65:9c:0a:57:ae:19:90:90:15:9b"
    );
}

#[test]
fn the_known_manifest_has_its_known_signature() {
    let mut secret = [0; 32];
    let params = scrypt::Params::new(16, 8, 1).unwrap();
    scrypt::scrypt(b"test", b"", &params, &mut secret).unwrap();
    let key = Key::from_bytes(secret);
    let mut manifest = json!({
        "signature": "d7b446fb7db081662081d4b40fedd858a1d6307a5aff4ecff7d5bf4fd35679e9",
        "files": [
            { "size": 200, "filename": "test1.img.fidx", "csum": "01".repeat(32), "crypt-mode": "encrypt" },
            { "crypt-mode": "none", "csum": "02".repeat(32), "size": 200, "filename": "abc.blob" },
        ],
        "unprotected": { "note": null },
        "backup-time": 1_593_179_765, "backup-id": "elsa", "backup-type": "host",
    });
    let parsed = Manifest::parse(manifest.to_string().as_bytes()).unwrap();
    assert_eq!(
        parsed.snapshot().to_string(),
        "host/elsa/2020-06-26T13:56:05Z"
    );
    parsed.verify_signature(&key).unwrap();

    // Members that nobody knows are signed too.
    manifest["more"] = true.into();
    let parsed = Manifest::parse(manifest.to_string().as_bytes()).unwrap();
    let error = parsed.verify_signature(&key).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Key);
}

#[test]
fn four_mebibytes_of_zeros_have_their_known_digest() {
    let zeros = vec![0; 4 << 20];
    let plain = "bb9f8df61474d25e71fa00722318cd387396ca1736605e1248821cc0de3d3af8";
    assert_eq!(Digest::of(&zeros).to_string(), plain);
    let keyed = Key::from_bytes(support::SECRET).digest(&zeros);
    assert_eq!(keyed, support::keyed_chunk(&zeros).digest);
}
