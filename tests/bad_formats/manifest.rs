//! Bad manifests.

use std::time::{Duration, Instant};

use chunk_restore::format::{CryptMode, Manifest};
use chunk_restore::{Error, ErrorKind, Key, OpenOptions};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{
    Files, SECRET, SNAPSHOT, ZSTD, blob, chain, entry, frame, golden_key, manifest, signed,
};

/// That of the key 00 01 .. 1f.
const FINGERPRINT: &str = "0e:ab:d4:46:0b:6e:b9:ca:34:50:23:de:e2:b7:78:c7:90:e5:4a:16:83:b9:65:9c:0a:57:ae:19:90:90:15:9b";

fn file(name: &str) -> Value {
    entry(name, "none", b"")
}

/// A manifest of two files, signed with the key 00 01 .. 1f.
fn good() -> Value {
    let files = json!([file("drive-scsi0.img.fidx"), file("qemu-server.conf.blob")]);
    signed(manifest(&files), FINGERPRINT)
}

fn parse(json: &Value) -> Result<Manifest, Error> {
    Manifest::parse(json.to_string().as_bytes())
}

fn assert_refused(json: &Value, why: &str) {
    let error = parse(json).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let shown = error.to_string();
    assert_eq!(shown, format!("the manifest is malformed: {why}"));
}

/// The error of opening a snapshot that has this manifest.
fn opening(json: &Value, keys: &[Key]) -> Error {
    let options = keys
        .iter()
        .cloned()
        .fold(OpenOptions::new(), OpenOptions::key);
    let datastore = options.open_backend(Files::new(json, "none", Vec::new()));
    datastore.snapshot(SNAPSHOT).unwrap_err()
}

/// The same for the blob of a manifest.
fn opening_blob(blob: Vec<u8>) -> Error {
    let datastore = OpenOptions::new().open_backend(Files::with_manifest(blob));
    datastore.snapshot(SNAPSHOT).unwrap_err()
}

#[test]
fn a_manifest_made_by_hand_is_taken() {
    let parsed = parse(&good()).unwrap();
    parsed.verify_signature(&Key::from_bytes(SECRET)).unwrap();
    assert_eq!(parsed.snapshot().to_string(), SNAPSHOT);
    assert_eq!(parsed.files().len(), 2);
    assert!(parse(&manifest(&json!([]))).unwrap().files().is_empty());
    // Neither a crypt-mode nor a signature need be there, and null is none.
    let mut bare = manifest(&json!([{ "filename": "a.blob", "size": 1, "csum": "00".repeat(32) }]));
    bare["signature"] = Value::Null;
    let parsed = parse(&bare).unwrap();
    assert_eq!(parsed.files()[0].crypt_mode(), CryptMode::None);
    assert!(!parsed.is_signed());
}

#[test]
fn what_is_not_json_is_refused() {
    for text in ["", "{", "no", "{\"files\": [}", "\u{feff}{}", "{} {}"] {
        let error = Manifest::parse(text.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert_eq!(error.to_string(), "the manifest is not JSON");
    }
    let deep = "[".repeat(1_000_000);
    assert!(Manifest::parse(deep.as_bytes()).is_err());
    assert!(Manifest::parse(b"{\"a\": \"\xff\"}").is_err());
    for json in [json!([]), json!("text"), json!(5), Value::Null] {
        assert_refused(&json, "it is not a JSON object");
    }
}

#[test]
fn a_manifest_without_a_list_of_files_is_refused() {
    let mut without = good();
    without.as_object_mut().unwrap().remove("files");
    assert_refused(&without, "it has no list of files");
    for files in [json!({}), json!("a.blob"), json!(1)] {
        assert_refused(&manifest(&files), "it has no list of files");
    }
}

#[test]
fn unsafe_file_names_are_refused() {
    for name in [
        "../x.fidx",
        "/x.fidx",
        "a/b.blob",
        "..fidx",
        ".fidx",
        "",
        "x",
        "x.img",
        "x.fidx/",
        "x y.blob",
        "x\0.blob",
        "-x.blob",
        "x.FIDX",
        "ä.blob",
        "x\n.blob",
    ] {
        let why = format!("it lists a file of the unsafe name {name:?}");
        assert_refused(&manifest(&json!([file(name)])), &why);
    }
    for nameless in [
        json!({}),
        json!(5),
        json!("a.blob"),
        json!({ "filename": 5 }),
    ] {
        assert_refused(
            &manifest(&json!([nameless])),
            "it lists a file without a name",
        );
    }
}

#[test]
fn a_file_that_is_listed_twice_is_refused() {
    let files = json!([file("a.img.fidx"), file("b.blob"), file("a.img.fidx")]);
    assert_refused(&manifest(&files), "it lists a.img.fidx twice");
}

#[test]
fn each_file_has_a_name_of_its_own_by_which_it_is_found() {
    for (names, expected) in [
        (["a.img.fidx", "b.conf.blob"], ["a.img", "b.conf"]),
        (["a.img.fidx", "a.img.didx"], ["a.img.fidx", "a.img.didx"]),
        (["a.img.blob", "a.img.fidx"], ["a.img.blob", "a.img.fidx"]),
        (
            ["a.img.fidx", "a.img.fidx.blob"],
            ["a.img", "a.img.fidx.blob"],
        ),
        (["a.blob.blob", "a.blob"], ["a.blob.blob", "a"]),
    ] {
        let parsed = parse(&manifest(&json!([file(names[0]), file(names[1])]))).unwrap();
        for (listed, own) in parsed.files().iter().zip(expected) {
            assert_eq!(listed.archive_name(), own, "{names:?}");
            for name in [own, listed.name()] {
                assert_eq!(parsed.file(name), Some(listed), "{names:?}");
            }
        }
    }
    let shared = json!([file("a.img.fidx"), file("a.img.blob")]);
    let json = manifest(&shared);
    assert_eq!(parse(&json).unwrap().file("a.img"), None);
    let datastore = OpenOptions::new().open_backend(Files::new(&json, "none", Vec::new()));
    let error = datastore
        .snapshot(SNAPSHOT)
        .unwrap()
        .archive("a.img")
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let why = format!(
        "a.img is not the name of one file of {SNAPSHOT}: name a.img.fidx or a.img.blob in full"
    );
    assert_eq!(error.to_string(), why);
}

#[test]
fn a_manifest_with_more_in_it_than_any_is_refused_before_it_takes_memory() {
    let with = |value: &str, count: usize| {
        let list = [value].repeat(count).join(",");
        format!("{{\"more\":[{list}]}}")
    };
    for (json, why) in [
        (
            with("{\"\":0}", 131_072),
            "it has 131074 objects and lists, and none has more than 131072",
        ),
        (
            with("0", 1_048_576),
            "it has 1048578 values, and none has more than 1048576",
        ),
        (
            with("[\"[{,\\\",\"]", 131_072),
            "it has 131074 objects and lists, and none has more than 131072",
        ),
        (
            with(&format!("\"{}\"", "a".repeat(1 << 20)), 32),
            "it has more than 33554432 bytes",
        ),
    ] {
        let error = Manifest::parse(json.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert_eq!(
            error.to_string(),
            format!("the manifest is malformed: {why}")
        );
    }
    // Within strings they count for nothing.
    let mut json = good();
    json["unprotected"]["notes"] = "{[,\\\"".repeat(1 << 20).into();
    assert!(parse(&json).is_ok());
}

#[test]
fn a_manifest_that_unpacks_to_more_than_any_is_refused() {
    let bomb = "{\"\":0},".repeat(18 << 20);
    let blob = blob(ZSTD, &frame(bomb.as_bytes()));
    assert!(blob.len() < 20_000);
    let error = opening_blob(blob);
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(
        chain(&error).contains("it decodes to more than 33554432 bytes"),
        "{error:?}"
    );
}

#[test]
fn a_hundred_thousand_files_are_read_in_seconds() {
    let files: Vec<Value> = (0..100_000).map(|at| file(&format!("{at}.blob"))).collect();
    let json = manifest(&files.into()).to_string();
    let begin = Instant::now();
    assert_eq!(
        Manifest::parse(json.as_bytes()).unwrap().files().len(),
        100_000
    );
    assert!(
        begin.elapsed() < Duration::from_secs(20),
        "{:?}",
        begin.elapsed()
    );
}

#[test]
fn a_file_with_an_impossible_member_is_refused() {
    let with = |member: &str, value: Value| {
        let mut file = file("a.blob");
        file[member] = value;
        manifest(&json!([file]))
    };
    for mode in [json!("encrypted"), json!(""), json!(0), json!({})] {
        assert_refused(
            &with("crypt-mode", mode),
            "it gives a.blob an unknown crypt-mode",
        );
    }
    for size in [json!(-1), json!(1.5), json!("1"), json!(1e30)] {
        assert_refused(&with("size", size), "it gives a.blob no size or no csum");
    }
    for csum in [json!("00"), json!("zz".repeat(32)), json!(0)] {
        assert_refused(&with("csum", csum), "it gives a.blob no size or no csum");
    }
}

#[test]
fn a_null_inside_is_refused_save_where_it_is_not_signed() {
    let why = "it has a null in it, which the format does not allow";
    let with = |name: &str, value: Value| {
        let mut json = good();
        json[name] = value;
        json
    };
    assert_refused(&with("more", Value::Null), why);
    assert_refused(&with("more", json!({ "a": [1, null] })), why);
    assert_refused(&with("files", Value::Null), why);
    assert!(parse(&with("unprotected", json!({ "notes": null, "a": [null] }))).is_ok());
}

#[test]
fn a_verification_of_a_state_that_nobody_knows_is_none() {
    let found = |state: Value| {
        let mut json = good();
        json["unprotected"] = json!({ "verify_state": state });
        parse(&json).unwrap().verification()
    };
    let upid = "UPID:pbs:1:2:3:695DBB00:verify:x:root@pam:";
    let failed = found(json!({ "state": "failed", "upid": upid })).unwrap();
    assert_eq!((failed.is_ok, failed.time), (false, Some(0x695D_BB00)));
    for upid in [
        "",
        "UPID:",
        "UPID:a:b:c:d:xyz:",
        "other:1:2:3:4:5:",
        "UPID:1:2:3:4:fffffffffffffffff:",
    ] {
        let ok = found(json!({ "state": "ok", "upid": upid })).unwrap();
        assert_eq!((ok.is_ok, ok.time), (true, None), "{upid}");
    }
    for state in [
        json!(null),
        json!("ok"),
        json!({}),
        json!({ "state": "fine" }),
        json!([1]),
    ] {
        assert_eq!(found(state), None);
    }
}

#[test]
fn a_manifest_of_no_possible_snapshot_is_refused() {
    for member in ["backup-type", "backup-id", "backup-time"] {
        let mut json = good();
        json.as_object_mut().unwrap().remove(member);
        assert_refused(&json, "it does not say of which snapshot it is");
    }
    for (member, value) in [
        ("backup-id", json!("../100")),
        ("backup-time", json!(-1)),
        ("backup-time", json!(i64::MAX)),
    ] {
        let mut json = good();
        json[member] = value;
        assert_refused(&json, "it is of an impossible snapshot");
    }
    let mut json = good();
    json["backup-id"] = "101".into();
    let error = opening(&json, &[]);
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let why = format!("the manifest found for {SNAPSHOT} is that of vm/101/2024-06-10T10:00:00Z");
    assert_eq!(error.to_string(), why);
}

#[test]
fn a_malformed_signature_or_fingerprint_is_refused() {
    for signature in [json!("00"), json!("zz".repeat(32)), json!(5), json!("")] {
        let mut json = good();
        json["signature"] = signature;
        assert_refused(&json, "its signature is malformed");
    }
    let mut json = good();
    json["unprotected"] = json!({ "key-fingerprint": "0e:ab" });
    assert_refused(&json, "its key-fingerprint is malformed");
}

#[test]
fn a_wrong_signature_is_refused_and_so_is_none_where_a_key_was_given() {
    let key = Key::from_bytes(SECRET);
    let mut json = good();
    json["files"][0]["size"] = 1.into();
    let error = parse(&json).unwrap().verify_signature(&key).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Key);
    let why = "the manifest's signature is not of the key 0e:ab:d4:46:0b:6e:b9:ca, or it was changed since";
    assert_eq!(error.to_string(), why);
    let error = opening(&json, std::slice::from_ref(&key));
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(chain(&error).contains(why), "{error:?}");

    json.as_object_mut().unwrap().remove("signature");
    let error = parse(&json).unwrap().verify_signature(&key).unwrap_err();
    assert_eq!(error.to_string(), "the manifest is not signed");
    let error = opening(&json, &[key]);
    assert_eq!(error.kind(), ErrorKind::Key);
    assert!(error.to_string().contains("is not signed"), "{error}");
}

#[test]
fn a_foreign_key_is_named_beside_the_one_that_is_needed() {
    let foreign = golden_key("plain.key");
    assert!(parse(&good()).unwrap().verify_signature(&foreign).is_err());
    let error = opening(&good(), &[foreign]);
    assert_eq!(error.kind(), ErrorKind::Key);
    let why = format!(
        "the manifest of {SNAPSHOT} is signed with key 0e:ab:d4:46:0b:6e:b9:ca, not with the given key bb:81:19:64:02:93:58:a0"
    );
    assert_eq!(error.to_string(), why);
}

/// JSON of any shape.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(".{0,4}", inner, 0..4)
                .prop_map(|members| members.into_iter().collect::<Value>()),
        ]
    })
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Manifest::parse(&bytes).is_err());
    }

    #[test]
    fn members_of_any_shape_never_panic_and_are_never_taken_for_signed(
        member in prop::sample::select(vec![
            "files", "backup-type", "backup-id", "backup-time", "signature", "more",
        ]),
        value in any_json(),
    ) {
        let mut json = good();
        json[member] = value;
        if let Ok(manifest) = parse(&json) {
            let verified = manifest.verify_signature(&Key::from_bytes(SECRET));
            prop_assert!(verified.is_err() || json == good());
        }
    }

    #[test]
    fn a_changed_manifest_that_is_taken_for_signed_lists_the_same(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut json = good().to_string().into_bytes();
        for (at, byte) in changes {
            let at = at.index(json.len());
            json[at] = byte;
        }
        if let Ok(manifest) = Manifest::parse(&json)
            && manifest.verify_signature(&Key::from_bytes(SECRET)).is_ok()
        {
            let right = parse(&good()).unwrap();
            prop_assert_eq!(manifest.files(), right.files());
            prop_assert_eq!(manifest.snapshot(), right.snapshot());
        }
    }
}
