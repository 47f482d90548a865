//! `verify` as a drill: samples, the record of verified chunks, and the snapshots of all groups.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::home::{Home, Run, chunk_file, events, finish};

/// Options for all groups of the golden datastore.
pub(crate) const ALL: &str = "verify --all --allow-unsigned --keyfile ../golden/keys/plain.key \
    --keyfile ../golden/keys/scrypt.key --keyfile ../golden/keys/pbkdf2.key";

/// Runs over the copy of the golden datastore, with its keys.
pub(crate) fn drill(home: &Home, arguments: &str) -> Run {
    let mut command = home.command(&format!("{arguments} --repository ./datastore"));
    command.env("PBS_ENCRYPTION_PASSWORD", "test-passphrase");
    finish(&mut command)
}

/// The same, and the report at its end.
pub(crate) fn report(home: &Home, arguments: &str, code: i32) -> Value {
    let run = drill(home, &format!("{arguments} --output-format json")).expect(code);
    events(&run.text()).pop().unwrap()
}

pub(crate) fn number(report: &Value, name: &str) -> u64 {
    report["chunks"][name].as_u64().unwrap()
}

/// All lost digests of a report.
fn lost(report: &Value) -> BTreeSet<String> {
    let snapshots = report["snapshots"].as_array().unwrap().iter();
    let archives = snapshots.flat_map(|snapshot| snapshot["archives"].as_array().unwrap());
    let damage = archives.flat_map(|archive| archive["damage"].as_array().unwrap());
    damage
        .map(|damage| damage["digest"].as_str().unwrap().to_owned())
        .collect()
}

/// In how many ways `some` of `all` things can be chosen.
fn choose(all: u64, some: u64) -> u128 {
    (0..some).fold(1, |ways, n| {
        ways * u128::from(all.saturating_sub(n)) / u128::from(n + 1)
    })
}

#[test]
fn runs_of_all_parts_cover_each_chunk_once_and_damage_is_found_by_the_run_that_covers_it() {
    let home = Home::new();
    let datastore = home.datastore();
    let chunk = chunk_file(&datastore, 0);
    let digest = chunk.file_name().unwrap().to_str().unwrap().to_owned();
    fs::remove_file(&chunk).unwrap();
    let head = u64::from_str_radix(&digest[..16], 16).unwrap();
    let covering = ((u128::from(head) * 5) >> 64) as u64 + 1;
    let mut looked_at = 0;
    for number_of_run in 1..=5 {
        let is_covering = number_of_run == covering;
        let code = if is_covering { 7 } else { 0 };
        let report = report(&home, &format!("{ALL} --sample {number_of_run}/5"), code);
        let expected = match is_covering {
            true => BTreeSet::from([digest.clone()]),
            false => BTreeSet::new(),
        };
        assert_eq!(lost(&report), expected, "{report}");
        let (verified, gone) = (number(&report, "verified"), number(&report, "lost"));
        let all = number(&report, "all");
        assert_eq!(
            (gone == 1, report["event"].as_str()),
            (is_covering, Some("drill"))
        );
        assert_eq!(verified + gone + number(&report, "not_chosen"), all);
        looked_at += verified + gone;
        assert!(looked_at <= all);
        assert!(
            number_of_run < 5 || looked_at == all,
            "{looked_at} of {all}"
        );
        let missed = report["missed"].as_array().unwrap();
        assert_eq!(missed.len(), 2, "{report}");
        for (missed, bad) in missed.iter().zip([1, 10]) {
            assert_eq!(missed["bad_chunks"], bad);
            let ways = choose(number(&report, "not_chosen"), bad) as f64;
            let expected = ways / choose(all, bad) as f64;
            let chance = missed["chance"].as_f64().unwrap();
            assert!((chance - expected).abs() < 1e-9, "{report}");
        }
    }
}

#[test]
fn all_takes_the_last_snapshot_of_each_group_and_goes_on_after_one_without_a_key() {
    let home = Home::new();
    home.datastore();
    let report = report(&home, "verify --all", 6);
    let snapshots = report["snapshots"].as_array().unwrap();
    let of_group = |namespace: &str, group: &str| {
        let is =
            |snapshot: &&Value| snapshot["namespace"] == namespace && snapshot["group"] == group;
        snapshots
            .iter()
            .find(is)
            .unwrap_or_else(|| panic!("{report}"))
    };
    assert_eq!(
        of_group("", "vm/200")["name"],
        "vm/200/2024-06-10T10:00:00Z"
    );
    assert_eq!(
        of_group("team/a", "vm/200")["name"],
        "vm/200/2024-06-10T16:00:00Z"
    );
    assert_eq!(of_group("", "vm/200")["archives"][0]["result"], "ok");
    assert_eq!(of_group("", "vm/203")["signature"], "not checked");
    let encrypted = &of_group("", "vm/201")["archives"];
    assert!(encrypted[0]["error"]["kind"] == "key", "{encrypted}");
    assert_eq!(
        (&report["result"], &report["exit_code"]),
        (&"failed".into(), &6.into())
    );
}

#[test]
fn all_stays_in_the_namespace_and_those_below_it() {
    let home = Home::new();
    home.datastore();
    for namespace in ["team", "team/a"] {
        let report = report(&home, &format!("verify --all --ns {namespace}"), 0);
        let snapshots = report["snapshots"].as_array().unwrap();
        let names: Vec<_> = (snapshots.iter())
            .map(|snapshot| (&snapshot["namespace"], &snapshot["name"]))
            .collect();
        let expected = ("team/a".into(), "vm/200/2024-06-10T16:00:00Z".into());
        assert_eq!(names, [(&expected.0, &expected.1)]);
    }
}

#[test]
fn a_second_run_verifies_only_what_the_record_lacks() {
    let home = Home::new();
    let datastore = home.datastore();
    let chunk = chunk_file(&datastore, 0);
    let blob = fs::read(&chunk).unwrap();
    fs::write(&chunk, "no blob").unwrap();
    let command = format!("{ALL} --new-only state");
    let first = report(&home, &command, 7);
    let all = number(&first, "all");
    assert_eq!(
        (number(&first, "verified"), number(&first, "lost")),
        (all - 1, 1)
    );
    let mode = fs::metadata(home.path("state"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);

    // What was lost is looked at again, and after it is healed, too.
    let second = report(&home, &command, 7);
    assert_eq!(
        (number(&second, "lost"), number(&second, "verified_before")),
        (1, all - 1)
    );
    fs::write(&chunk, blob).unwrap();
    let healed = report(&home, &command, 0);
    assert_eq!(
        (
            number(&healed, "verified"),
            number(&healed, "verified_before")
        ),
        (1, all - 1)
    );
    let last = report(&home, &command, 0);
    assert_eq!(
        (number(&last, "verified"), number(&last, "verified_before")),
        (0, all)
    );
    assert_eq!(
        (last["bytes_read"].as_u64(), last["share"].as_f64()),
        (Some(0), Some(1.0))
    );
    assert_eq!(home.names_in(""), ["datastore", "state"]);
}

/// Changes the record: its bytes without the checksum, which is made anew.
fn change(path: &Path, change: impl FnOnce(&mut [u8])) {
    let mut bytes = fs::read(path).unwrap();
    let end = bytes.len() - 32;
    change(&mut bytes[..end]);
    let sum = Sha256::digest(&bytes[..end]);
    bytes[end..].copy_from_slice(&sum);
    fs::write(path, bytes).unwrap();
}

#[test]
fn chunks_are_verified_again_after_the_days_that_max_age_says() {
    let home = Home::new();
    home.datastore();
    let verify = "verify vm/200 --new-only state";
    let all = number(&report(&home, verify, 0), "all");
    change(&home.path("state"), |bytes| {
        let entries = bytes.len() - 18 * all as usize;
        for entry in bytes[entries..].chunks_mut(18) {
            let day = u16::from_le_bytes([entry[16], entry[17]]) - 10;
            entry[16..].copy_from_slice(&day.to_le_bytes());
        }
    });
    let fresh = report(&home, &format!("{verify} --max-age 30"), 0);
    assert_eq!(
        (
            number(&fresh, "verified"),
            number(&fresh, "verified_before")
        ),
        (0, all)
    );
    let old = report(&home, &format!("{verify} --max-age 5"), 0);
    assert_eq!(
        (number(&old, "verified"), number(&old, "verified_before")),
        (all, 0)
    );
}

#[test]
fn a_record_that_is_cut_or_damaged_is_ignored_with_a_warning_and_replaced() {
    let home = Home::new();
    home.datastore();
    let verify = "verify vm/200 --new-only state";
    let all = number(&report(&home, verify, 0), "all");
    let right = fs::read(home.path("state")).unwrap();
    let flipped: Vec<u8> = (right.iter().enumerate())
        .map(|(at, byte)| byte ^ u8::from(at == right.len() - 40))
        .collect();
    let mut endless = right.clone();
    let count = right.len() - 32 - 18 * all as usize - 8;
    endless[count..][..8].fill(255);
    for (bad, reason) in [
        (&right[..10], "it is cut off"),
        (&right[..24], "it is cut off"),
        (&right[..count], "it is cut off"),
        (
            &right[..right.len() - 1],
            "its length is not what its beginning says",
        ),
        (&flipped, "its checksum is wrong"),
        (&endless, "its length is not what its beginning says"),
    ] {
        fs::write(home.path("state"), bad).unwrap();
        drill(&home, verify)
            .expect(0)
            .says(&format!("state is ignored: {reason}"));
        assert_eq!(fs::read(home.path("state")).unwrap(), right);
    }
}

#[test]
fn a_record_of_another_place_or_version_is_ignored_with_a_warning_and_kept() {
    let home = Home::new();
    home.datastore();
    home.run("verify vm/200 --new-only state").expect(0);
    let other = fs::read(home.path("state")).unwrap();
    let verify = "verify vm/200 --new-only state";
    let run = drill(&home, verify)
        .expect(0)
        .says("it is of another place, dir:/");
    assert!(
        !run.text().contains("verified by earlier runs"),
        "{}",
        run.text()
    );
    assert_eq!(fs::read(home.path("state")).unwrap(), other);

    change(&home.path("state"), |bytes| bytes[23] = 2);
    let newer = fs::read(home.path("state")).unwrap();
    drill(&home, verify)
        .expect(0)
        .says("it has version 2 of the format");
    assert_eq!(fs::read(home.path("state")).unwrap(), newer);
}

#[test]
fn what_can_not_be_the_record_is_refused_before_anything_is_verified() {
    let home = Home::new();
    home.datastore();
    home.write("work/disk.raw", "precious");
    fs::create_dir(home.path("folder")).unwrap();
    std::os::unix::fs::symlink("disk.raw", home.path("link")).unwrap();
    for (path, reason) in [
        ("disk.raw", "disk.raw is no record of verified chunks"),
        ("folder", "cannot use the record of verified chunks folder"),
        ("link", "cannot use the record of verified chunks link"),
        (
            "no/state",
            "cannot use the record of verified chunks no/state",
        ),
    ] {
        let run = drill(&home, &format!("verify vm/200 --new-only {path}")).expect(8);
        assert!(run.text().is_empty(), "{}", run.text());
        run.says(reason);
    }
    assert_eq!(fs::read(home.path("disk.raw")).unwrap(), b"precious");
}

#[test]
fn a_record_that_another_run_uses_is_refused() {
    let home = Home::new();
    home.datastore();
    let verify = "verify vm/200 --new-only state";
    drill(&home, verify).expect(0);
    let before = fs::read(home.path("state")).unwrap();
    let held = File::open(home.path("state")).unwrap();
    held.lock().unwrap();
    drill(&home, verify)
        .expect(8)
        .says("state is in use by another run");
    assert_eq!(fs::read(home.path("state")).unwrap(), before);
    drop(held);
    drill(&home, verify).expect(0);
}

#[test]
fn samples_and_ages_out_of_range_are_mistakes_of_the_command_line() {
    let home = Home::new();
    home.datastore();
    for (options, reason) in [
        ("vm/200 --sample 0/30", "there is no part 0 of 30"),
        ("vm/200 --sample 31/30", "there is no part 31 of 30"),
        ("vm/200 --sample 1/0", "not of 0"),
        ("vm/200 --sample 1/10001", "not of 10001"),
        ("vm/200 --sample day/0", "not of 0"),
        ("vm/200 --sample some", "is no sample"),
        ("vm/200 --new-only state --max-age 0", "--max-age"),
        ("vm/200 --max-age 5", "--new-only"),
        ("vm/200 --all", "--all"),
        ("", "SNAPSHOT"),
    ] {
        drill(&home, &format!("verify {options}"))
            .expect(2)
            .says(reason);
    }
    drill(&home, "verify vm/200 --sample day/30").expect(0);
}
