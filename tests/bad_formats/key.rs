//! Bad key files.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chunk_restore::format::KeyFile;
use chunk_restore::{ErrorKind, Key};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{SECRET, chain, golden, golden_file, golden_key};

fn file(kdf: &Value, data: &[u8]) -> Value {
    json!({ "kdf": kdf, "data": STANDARD.encode(data) })
}

fn assert_refused(json: &str, why: &str) {
    let error = KeyFile::parse(json.as_bytes()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Key);
    assert_eq!(chain(&error), format!("the key file can't be used: {why}"));
}

#[test]
fn what_is_no_key_file_is_refused_and_not_quoted() {
    assert_refused("\n{\"data\": \"c2VjcmV0\" \"", "it is not JSON (line 2)");
    assert_refused("c2VjcmV0", "it is not JSON (line 1)");
    for json in [
        "[]",
        "null",
        "\"text\"",
        "{}",
        r#"{"data": 5}"#,
        r#"{"data": "%%"}"#,
    ] {
        assert_refused(json, "it has no base64 member \"data\"");
    }
}

/// The golden key file between the lines of a paper key, with what is printed around them.
fn on_paper() -> String {
    let json = String::from_utf8(std::fs::read(golden("keys/plain.key")).unwrap()).unwrap();
    format!(
        "Subject: the web server\n\n-----BEGIN PROXMOX BACKUP KEY-----\n{json}\n-----END PROXMOX BACKUP KEY-----\n\u{2588}\u{2580}\u{2584}\n"
    )
}

#[test]
fn a_key_on_paper_and_one_behind_a_byte_order_mark_are_read() {
    let paper = on_paper();
    let plain = String::from_utf8(std::fs::read(golden("keys/plain.key")).unwrap()).unwrap();
    let utf16 = |mark: [u8; 2], bytes: fn(u16) -> [u8; 2]| {
        let units = paper.encode_utf16().flat_map(bytes);
        mark.into_iter().chain(units).collect::<Vec<u8>>()
    };
    let fingerprint = golden_file("plain.key").fingerprint();
    for text in [
        paper.clone().into_bytes(),
        paper.replace('\n', "\r\n").into_bytes(),
        format!("\u{feff}{plain}").into_bytes(),
        format!("\u{feff}{paper}").into_bytes(),
        utf16([0xff, 0xfe], u16::to_le_bytes),
        utf16([0xfe, 0xff], u16::to_be_bytes),
    ] {
        let file = KeyFile::parse(&text).unwrap();
        assert_eq!(file.fingerprint(), fingerprint);
        assert_eq!(Some(file.unlock(None).unwrap().fingerprint()), fingerprint);
    }
    // A hint may look like anything.
    let mut hinted: Value = serde_json::from_str(&plain).unwrap();
    hinted["hint"] = "-----BEGIN PRIVATE KEY-----".into();
    assert!(KeyFile::parse(hinted.to_string().as_bytes()).is_ok());
}

#[test]
fn a_key_on_paper_that_is_cut_short_is_refused() {
    let paper = on_paper();
    let cut = paper.find("-----END").unwrap();
    let why = "it is cut short: there is no line -----END PROXMOX BACKUP KEY-----";
    assert_refused(&paper[..cut], why);
    assert_refused(&format!("{}\n", &paper[..cut + 20]), why);
}

#[test]
fn what_is_in_pem_is_told_what_it_is() {
    for (label, found) in [
        (
            "RSA PRIVATE KEY",
            "a private key in PEM, perhaps the RSA master key",
        ),
        (
            "PRIVATE KEY",
            "a private key in PEM, perhaps the RSA master key",
        ),
        (
            "ENCRYPTED PRIVATE KEY",
            "a private key in PEM, perhaps the RSA master key",
        ),
        ("PUBLIC KEY", "a public key in PEM"),
        ("CERTIFICATE", "a certificate in PEM"),
        ("OPENSSH PRIVATE KEY", "something else in PEM"),
    ] {
        let pem = format!("-----BEGIN {label}-----\nc2VjcmV0\n-----END {label}-----\n");
        let error = KeyFile::parse(pem.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Key);
        let shown = chain(&error);
        assert!(shown.contains(&format!("it holds {found}")), "{shown}");
        assert!(!shown.contains("c2VjcmV0"), "{shown}");
    }
    assert_refused("-----BEGIN \n{", "it is not JSON (line 1)");
}

#[test]
fn scrypt_parameters_beyond_any_honest_ones_are_refused_before_they_cost_anything() {
    let max = u64::MAX;
    for (n, r, p) in [
        (0, 8, 1),
        (1, 8, 1),
        (65535, 8, 1),
        (65536, 0, 1),
        (65536, 8, 0),
        (1 << 24, 8, 1),
        (65536, 8, 1 << 16),
        (65536, 1 << 20, 1),
        (1 << 63, 1 << 63, 1),
        (2, 1, 1 << 24),
        (2, 1 << 24, 1),
        (2, 1, 1 << 32),
        (max, max, max),
    ] {
        let kdf = json!({ "Scrypt": { "n": n, "r": r, "p": p, "salt": "" } });
        let json = file(&kdf, &[0; 64]).to_string();
        assert_refused(&json, "its scrypt parameters are absurd");
    }
    for members in [
        json!({ "n": -1, "r": 8, "p": 1, "salt": "" }),
        json!({ "n": 65536.5, "r": 8, "p": 1, "salt": "" }),
        json!({ "n": 65536, "r": 8, "salt": "" }),
        json!([]),
    ] {
        let json = file(&json!({ "Scrypt": members }), &[0; 64]).to_string();
        assert_refused(&json, "its scrypt parameters are absurd");
    }
}

#[test]
fn pbkdf2_rounds_beyond_any_honest_ones_are_refused() {
    for rounds in [
        json!(0),
        json!(1_u64 << 32),
        json!(u64::MAX),
        json!(-5),
        json!("65535"),
        json!(20_000_001),
    ] {
        let kdf = json!({ "PBKDF2": { "iter": rounds, "salt": "" } });
        assert_refused(
            &file(&kdf, &[0; 64]).to_string(),
            "its PBKDF2 rounds are absurd",
        );
    }
}

#[test]
fn a_salt_that_is_missing_or_huge_or_no_base64_is_refused() {
    for salt in [Value::Null, json!(7), json!("%"), json!("A".repeat(4096))] {
        for kdf in [
            json!({ "Scrypt": { "n": 65536, "r": 8, "p": 1, "salt": salt } }),
            json!({ "PBKDF2": { "iter": 65535, "salt": salt } }),
        ] {
            assert_refused(&file(&kdf, &[0; 64]).to_string(), "its salt is malformed");
        }
    }
}

#[test]
fn an_unknown_lock_is_refused() {
    for kdf in [
        json!("Argon2"),
        json!({ "Argon2": { "n": 1 } }),
        json!({}),
        json!([]),
        json!(false),
    ] {
        let json = file(&kdf, &[0; 64]).to_string();
        assert_refused(&json, "it is locked in a way that is not known here");
    }
}

#[test]
fn data_of_another_length_is_refused() {
    let scrypt = json!({ "Scrypt": { "n": 65536, "r": 8, "p": 1, "salt": "" } });
    for (kdf, right) in [(Value::Null, 32), (scrypt, 64)] {
        for len in [0, 31, 33, 63, 65, 1000]
            .into_iter()
            .filter(|len| *len != right)
        {
            let why = format!("its data has {len} bytes instead of {right}");
            assert_refused(&file(&kdf, &vec![0; len]).to_string(), &why);
        }
    }
}

#[test]
fn a_wrong_passphrase_is_said_with_the_hint_that_the_file_has() {
    let file = golden_file("scrypt-hint.key");
    for passphrase in [&b"wrong-passphrase"[..], b"", b"test-passphrase\n"] {
        let error = file.unlock(Some(passphrase)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Key);
        assert_eq!(
            chain(&error),
            "wrong passphrase for the key file (hint: the hint)"
        );
    }
    let error = file.unlock(None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Key);
    let why = "the key file is locked, and no passphrase was given (hint: the hint)";
    assert_eq!(chain(&error), why);

    let error = golden_file("pbkdf2.key")
        .unlock(Some(b"wrong"))
        .unwrap_err();
    assert_eq!(chain(&error), "wrong passphrase for the key file");
}

#[test]
fn a_key_file_that_states_the_fingerprint_of_another_key_is_refused() {
    let mut json = file(&Value::Null, &SECRET);
    json["fingerprint"] = golden_key("plain.key").fingerprint().to_string().into();
    let file = KeyFile::parse(json.to_string().as_bytes()).unwrap();
    let error = file.unlock(None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Key);
    let why = "the key file can't be used: it states the fingerprint bb:81:19:64:02:93:58:a0, and holds the key 0e:ab:d4:46:0b:6e:b9:ca";
    assert_eq!(chain(&error), why);

    for fingerprint in [json!("0e:ab"), json!(5), json!([])] {
        json["fingerprint"] = fingerprint;
        assert_refused(&json.to_string(), "its fingerprint is malformed");
    }
}

#[test]
fn a_key_file_that_can_not_be_read_is_a_key_error_that_names_it() {
    let error = KeyFile::read(golden("keys/none.key")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Key);
    assert!(
        error.to_string().ends_with("tests/golden/keys/none.key"),
        "{error}"
    );
    let error = KeyFile::read(golden("keys/master-private.der")).unwrap_err();
    assert!(chain(&error).contains("it is not text"), "{error:?}");
}

#[test]
fn debug_output_of_keys_and_key_files_shows_no_secret() {
    let json = file(&Value::Null, &SECRET).to_string();
    let file = KeyFile::parse(json.as_bytes()).unwrap();
    let shown = format!("{file:?} {:?}", Key::from_bytes(SECRET));
    assert_eq!(
        shown,
        "KeyFile { is_protected: false, fingerprint: None, hint: None, .. } Key(0e:ab:d4:46:0b:6e:b9:ca)"
    );
}

proptest! {
    #[test]
    fn a_changed_key_file_never_panics(
        name in prop::sample::select(vec!["plain.key", "scrypt-hint.key", "pbkdf2.key"]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut json = std::fs::read(golden("keys").join(name)).unwrap();
        for (at, byte) in changes {
            let at = at.index(json.len());
            json[at] = byte;
        }
        if let Ok(file) = KeyFile::parse(&json)
            && !file.is_protected()
        {
            // The right fingerprint, or none left that could be wrong.
            if let Ok(key) = file.unlock(None) {
                prop_assert!(file.fingerprint().is_none_or(|stated| stated == key.fingerprint()));
            }
        }
    }
}
