//! Bad names, and good ones there and back.

use chunk_restore::format::{BackupType, GroupName, Namespace, SnapshotName};
use chunk_restore::{Digest, ErrorKind, Fingerprint};
use proptest::prelude::*;

#[test]
fn names_that_could_leave_their_folder_are_refused() {
    let long = "a".repeat(129);
    for id in [
        "", ".", "..", "../x", "a/b", ".a", "-a", "a b", "a\0", "ä", "a\n", &long,
    ] {
        let error = GroupName::new(BackupType::Vm, id).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{id:?}");
        let name = format!("vm/{id}/2024-06-10T10:00:00Z");
        assert!(name.parse::<SnapshotName>().is_err(), "{name:?}");
        assert!(Namespace::default().child(id).is_err(), "{id:?}");
    }
    for text in [
        "/",
        "a/",
        "/a",
        "a//b",
        "a/../b",
        "1/2/3/4/5/6/7/8",
        &"a".repeat(33),
    ] {
        let error = text.parse::<Namespace>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{text:?}");
    }
    let deepest: Namespace = "1/2/3/4/5/6/7".parse().unwrap();
    assert!(deepest.child("8").is_err());
}

#[test]
fn a_time_spelt_otherwise_than_the_server_spells_it_is_refused() {
    for time in [
        "2024-06-10T10:00:00+00:00",
        "2024-06-10T10:00:00.0Z",
        "2024-06-10T10:00:00z",
        "2024-06-10 10:00:00Z",
        "2024-06-10T10:00Z",
        "2024-06-10T10:00:60Z",
        "2024-02-30T10:00:00Z",
        "1969-12-31T23:59:59Z",
        "-002024-06-10T10:00:00Z",
        "",
    ] {
        assert!(
            format!("vm/100/{time}").parse::<SnapshotName>().is_err(),
            "{time}"
        );
    }
    let group = GroupName::new(BackupType::Vm, "100").unwrap();
    for time in [-1, i64::MIN, i64::MAX, 253_402_207_201] {
        let error = SnapshotName::new(group.clone(), time).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
}

#[test]
fn what_a_terminal_would_obey_is_escaped_in_messages() {
    let error = "vm/\x1b[2J".parse::<GroupName>().unwrap_err().to_string();
    assert!(
        !error.contains('\x1b') && error.contains("\\u{1b}"),
        "{error}"
    );
}

#[test]
fn digests_and_fingerprints_of_another_length_or_alphabet_are_refused() {
    let digest = "0123456789abcdef".repeat(4);
    assert_eq!(digest.parse::<Digest>().unwrap().to_string(), digest);
    for bad in [
        "",
        &digest[1..],
        &format!("{digest}0"),
        &format!("{}g", &digest[1..]),
        &"ä".repeat(32),
    ] {
        assert!(bad.parse::<Digest>().is_err(), "{bad}");
    }
    let pairs = vec!["a0"; 32].join(":");
    assert_eq!(pairs.parse::<Fingerprint>().unwrap().to_string(), pairs);
    assert!(pairs.to_uppercase().parse::<Fingerprint>().is_ok());
    for bad in [
        &pairs[3..],
        &pairs.replacen(':', "-", 1),
        &pairs.replacen(":a", "a:", 1),
        &digest,
    ] {
        assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
    }
}

fn backup_type() -> impl Strategy<Value = BackupType> {
    prop::sample::select(vec![BackupType::Vm, BackupType::Ct, BackupType::Host])
}

proptest! {
    #[test]
    fn names_survive_being_written_and_read(
        backup_type in backup_type(),
        id in "[A-Za-z0-9_][A-Za-z0-9._-]{0,127}",
        time in 0_i64..=253_402_207_200,
        namespaces in prop::collection::vec("[A-Za-z0-9_][A-Za-z0-9._-]{0,31}", 0..=7),
    ) {
        let group = GroupName::new(backup_type, &id).unwrap();
        prop_assert_eq!(&group.to_string().parse::<GroupName>().unwrap(), &group);
        prop_assert_eq!(group.id(), id);
        let snapshot = SnapshotName::new(group, time).unwrap();
        prop_assert_eq!(&snapshot.to_string().parse::<SnapshotName>().unwrap(), &snapshot);
        prop_assert_eq!(snapshot.time(), time);
        let namespace: Namespace = namespaces.join("/").parse().unwrap();
        prop_assert_eq!(&namespace.to_string().parse::<Namespace>().unwrap(), &namespace);
        prop_assert!(namespace.components().eq(namespaces.iter().map(String::as_str)));
    }

    #[test]
    fn what_is_read_as_a_name_is_written_as_it_was_read(
        text in prop_oneof![
            any::<String>(),
            "(vm|ct|host|x)/[a-z./-]{0,4}(/[0-9:TZ.+-]{0,24})?",
            "vm/1/20[0-9]{2}-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](Z|z|\\+00)",
        ],
    ) {
        if let Ok(name) = text.parse::<SnapshotName>() {
            prop_assert_eq!(name.to_string(), text.clone());
        }
        if let Ok(name) = text.parse::<GroupName>() {
            prop_assert_eq!(name.to_string(), text.clone());
        }
        if let Ok(name) = text.parse::<Namespace>() {
            prop_assert_eq!(name.to_string(), text.clone());
        }
        let _ = (text.parse::<Digest>(), text.parse::<Fingerprint>());
    }
}
