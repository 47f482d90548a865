//! Drills that end early, or find nothing: what they record and report.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use chunk_restore::Digest;
use serde_json::Value;
use testkit::{Fault, PbsServer, When};

use crate::drill::{ALL, drill, number, report};
use crate::home::{Home, chunk_file, events, finish};
use crate::interrupt::{NEVER, golden_server, on_server, wait_until, with_default_signals, within};
use crate::running::{Running, is_root, skip};

const STATE: &str = "--new-only state --report-file r.json --metrics-file r.prom";

/// The digest of the chunk at a position of `drive-scsi0.img`.
fn digest_at(datastore: &Path, position: usize) -> [u8; 32] {
    let chunk = chunk_file(datastore, position);
    let digest = chunk.file_name().unwrap().to_str().unwrap();
    *digest.parse::<Digest>().unwrap().as_bytes()
}

fn written(home: &Home) -> Value {
    serde_json::from_slice(&fs::read(home.path("r.json")).unwrap()).unwrap()
}

/// Runs a drill against the server, and returns the report at its end.
fn on(home: &Home, server: &PbsServer, arguments: &str, code: i32) -> Value {
    let command = home.command(&format!("{arguments} --output-format json"));
    let mut command = on_server(command, server);
    command.env("PBS_ENCRYPTION_PASSWORD", "test-passphrase");
    let run = finish(&mut command).expect(code);
    let mut told = events(&run.text()).into_iter();
    told.rfind(|event| event["event"] == "drill").unwrap()
}

#[test]
fn a_drill_that_is_interrupted_between_two_archives_records_what_it_verified() {
    within(NEVER, || {
        let home = Home::new();
        let server = golden_server();
        server.on_file("drive-scsi1.img.fidx", When::Always, Fault::Stall);
        let verify =
            format!("verify vm/200 drive-scsi0.img drive-scsi1.img {STATE} --output-format json");
        let mut running = Running::of(on_server(with_default_signals(&home, &verify), &server));
        running.hear("verified");
        // Only now does nothing run that holds off the signal by itself.
        wait_until(|| server.file_requests("drive-scsi1.img.fidx") > 0);
        assert_eq!(running.end("TERM").code, Some(130));
        let report = written(&home);
        assert_eq!(
            (&report["result"], &report["exit_code"]),
            (&"interrupted".into(), &130.into())
        );
        let archives = &report["snapshots"][0]["archives"];
        assert_eq!(
            (&archives[0]["result"], &archives[0]["chunks"]),
            (&"ok".into(), &4.into())
        );
        assert!(home.path("r.prom").exists());

        server.clear_faults();
        let rest = on(
            &home,
            &server,
            "verify vm/200 drive-scsi0.img --new-only state",
            0,
        );
        assert_eq!(
            (number(&rest, "verified_before"), number(&rest, "verified")),
            (4, 0)
        );
    });
}

#[test]
fn damage_that_was_found_before_the_place_failed_is_told() {
    let home = Home::new();
    let server = golden_server();
    let datastore = home.datastore();
    server.on_chunk(&digest_at(&datastore, 0), When::Always, Fault::Missing400);
    server.on_chunk(&digest_at(&datastore, 6), When::Always, Fault::Stall);
    let verify = format!("verify vm/200 drive-scsi0.img {STATE} --patience 3");
    let end = on(&home, &server, &verify, 7);
    assert_eq!(
        (&end["result"], &end["exit_code"]),
        (&"damaged".into(), &7.into()),
        "{end}"
    );
    assert_eq!(end["error"]["kind"], "unavailable");
    assert_eq!(
        (&end["share"], &end["missed"]),
        (&Value::Null, &Value::Array(Vec::new()))
    );
    let archive = &end["snapshots"][0]["archives"][0];
    assert_eq!(
        (&archive["lost"], &archive["result"]),
        (&2.into(), &"failed".into()),
        "{end}"
    );
    assert_eq!(archive["damage"][0]["position"], 0);
    assert!(end["bytes_read"].as_u64() > Some(0), "{end}");
    let found = ["lost", "verified", "not_reached"].map(|name| number(&end, name));
    assert_eq!(found, [1, 2, 1], "{end}");
}

#[test]
fn a_chunk_that_was_lost_once_is_not_recorded_even_if_it_is_right_later() {
    let home = Home::new();
    let server = golden_server();
    let digest = digest_at(&home.datastore(), 3);
    // It is looked for twice, and the next snapshots have it too.
    server.on_chunk(&digest, When::First(2), Fault::Missing400);
    let command = format!("{ALL} --new-only state");
    let first = on(&home, &server, &command, 7);
    let all = number(&first, "all");
    assert!(server.requests(&digest) > 2);
    assert_eq!(
        (number(&first, "lost"), number(&first, "verified")),
        (1, all - 1),
        "{first}"
    );
    let second = on(&home, &server, &command, 0);
    assert_eq!(
        (
            number(&second, "verified"),
            number(&second, "verified_before")
        ),
        (1, all - 1)
    );
}

#[test]
fn a_drill_that_finds_no_snapshot_fails() {
    let home = Home::new();
    for folder in [".chunks", "vm/100/2024-06-10T10:00:00Z"] {
        fs::create_dir_all(home.path("datastore").join(folder)).unwrap();
        drill(&home, &format!("verify --all {STATE}"))
            .expect(5)
            .says("no group with a finished snapshot");
        let report = written(&home);
        assert_eq!(
            (&report["result"], &report["share"]),
            (&"failed".into(), &Value::Null)
        );
        let metrics = fs::read_to_string(home.path("r.prom")).unwrap();
        assert!(
            metrics
                .contains("chunk_restore_verify_success{place=\"./datastore\",namespace=\"\"} 0\n")
        );
        assert!(
            !metrics.contains("chunk_restore_verify_covered_ratio{"),
            "{metrics}"
        );
    }
}

#[test]
fn all_tells_of_snapshots_that_it_passes_over() {
    let home = Home::new();
    let datastore = home.datastore();
    for group in ["ct/300", "ns/team/ns/a/vm/200"] {
        fs::create_dir(datastore.join(group).join("11_June")).unwrap();
    }
    drill(&home, "verify --all --ns team")
        .expect(0)
        .says("ns/team/ns/a/vm/200/11_June is passed over");
    drill(&home, "verify --all")
        .expect(6)
        .says("ct/300/11_June is passed over")
        .says("ns/team/ns/a/vm/200/11_June is passed over");
}

#[test]
fn a_record_that_others_may_have_changed_is_ignored_with_a_warning() {
    let home = Home::new();
    home.datastore();
    let verify = "verify vm/200 --new-only state";
    let all = number(&report(&home, verify, 0), "all");
    let state = home.path("state");
    let mode = |mode| fs::set_permissions(&state, fs::Permissions::from_mode(mode)).unwrap();
    for others in [0o620, 0o602] {
        mode(others);
        drill(&home, verify)
            .expect(0)
            .says("state is ignored: other users can write to it");
        assert_eq!(
            fs::metadata(&state).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
    mode(0o644);
    assert_eq!(number(&report(&home, verify, 0), "verified_before"), all);
}

#[test]
fn a_record_of_another_user_is_ignored_with_a_warning_and_kept() {
    if !(is_root() || skip("only root can give a file to another user")) {
        return;
    }
    let home = Home::new();
    home.datastore();
    let verify = "verify vm/200 --new-only state";
    drill(&home, verify).expect(0);
    let state = home.path("state");
    chown(&state, Some(12_345), Some(12_345)).unwrap();
    let before = fs::read(&state).unwrap();
    let run = drill(&home, verify).expect(0);
    assert!(
        !run.text().contains("verified by earlier runs"),
        "{}",
        run.text()
    );
    run.says("it belongs to another user, with the number 12345; it is left as it is");
    assert_eq!(fs::read(&state).unwrap(), before);
    assert_eq!(fs::metadata(&state).unwrap().uid(), 12_345);
}
