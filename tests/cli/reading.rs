//! What the program is given to read: pipes that nobody writes to, folders that only others may read, and folders that a tool
//! renamed. Nothing of it holds the program up, and nothing is passed over in silence.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::Value;
use testkit::within;

use crate::home::{GOLDEN_RAW, Home, Run, chunk_file, events, finish, golden, sha256};

const LIMIT: Duration = Duration::from_secs(60);
const OTHER: &str = "--repository dir:datastore";

/// A named pipe in place of whatever is there.
fn pipe(path: &Path) {
    let _ = fs::remove_file(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o666), 0).unwrap();
}

#[test]
fn a_pipe_that_nobody_writes_to_is_refused_wherever_a_file_is_meant() {
    within(LIMIT, || {
        let home = Home::new();
        pipe(&home.path("pipe"));
        home.run("image vm/200 drive-scsi0.img x --seed pipe")
            .expect(2)
            .says("the seed pipe is neither a file nor a block device");
        home.run("verify vm/201 --keyfile pipe")
            .expect(6)
            .says("cannot use the key file pipe\n  because: it is a pipe, and nobody writes to it");
        home.run_with(
            "PBS_ENCRYPTION_PASSWORD_FILE",
            "pipe",
            "verify vm/202 --keyfile ../golden/keys/scrypt.key",
        )
        .expect(2)
        .says("it is a pipe, and nobody writes to it");
        home.run("list --repository https://127.0.0.1:1/ --ca-file pipe")
            .expect(2)
            .says(
                "the CA file pipe can't be used\n  because: it is a pipe, and nobody writes to it",
            );
        pipe(&home.path("../.config/proxmox-backup/fingerprints"));
        home.run_with("PBS_PASSWORD", "x", "list --repository 127.0.0.1:1:store")
            .expect(4)
            .says("fingerprints\n  because: it is not a file");
    });
}

#[test]
fn a_list_of_damage_goes_into_no_pipe_that_nobody_reads() {
    within(LIMIT, || {
        let home = Home::new();
        fs::remove_file(chunk_file(&home.datastore(), 5)).unwrap();
        pipe(&home.path("pipe"));
        home.run(&format!(
            "image vm/200 drive-scsi0.img x --salvage --damage-map pipe {OTHER}"
        ))
        .expect(8)
        .says("pipe is there, and is no list of the damage");
    });
}

#[test]
fn a_pipe_in_a_datastore_is_no_file_of_a_snapshot() {
    within(LIMIT, || {
        for (name, arguments) in [
            ("index.json.blob", "verify vm/200"),
            ("drive-scsi0.img.fidx", "verify vm/200 drive-scsi0.img"),
            ("qemu-server.conf.blob", "verify vm/200 qemu-server.conf"),
        ] {
            let home = Home::new();
            let folder = home.datastore().join("vm/200/2024-06-10T10:00:00Z");
            pipe(&folder.join(name));
            home.run(&format!("{arguments} {OTHER}"))
                .expect(7)
                .says(&format!("{name}: it is not a regular file"));
        }
    });
}

#[test]
fn a_key_and_a_passphrase_may_come_through_pipes_that_somebody_writes_to() {
    within(LIMIT, || {
        let home = Home::new();
        let (key, passphrase) = (home.path("key"), home.path("passphrase"));
        pipe(&key);
        pipe(&passphrase);
        // Each waits for the program to open its pipe.
        let writers = [
            (key, golden("keys/scrypt.key")),
            (passphrase, b"test-passphrase\n".to_vec()),
        ];
        let writers = writers.map(|(path, text)| thread::spawn(move || fs::write(path, text)));
        let arguments = "image vm/202 drive-scsi0.img - --keyfile key";
        let run = home.run_with("PBS_ENCRYPTION_PASSWORD_FILE", "passphrase", arguments);
        assert_eq!(sha256(run.expect(0).stdout), GOLDEN_RAW);
        for writer in writers {
            writer.join().unwrap().unwrap();
        }
    });
}

/// Runs the program as a user who owns nothing; `None` where that user can't even start it.
fn run_as_nobody(home: &Home, arguments: &str) -> Option<Run> {
    as_nobody(home, home.command(arguments))
}

/// The same for a command of the program.
pub(crate) fn as_nobody(home: &Home, mut command: Command) -> Option<Run> {
    const NOBODY: u32 = 65534;
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
        for folder in [home.path(".."), home.path("")] {
            fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
        }
        let mut version = home.command("--version");
        version.uid(NOBODY).gid(NOBODY);
        version.output().ok()?;
    }
    Some(finish(&mut command))
}

#[test]
fn what_only_others_may_read_is_denied_with_its_path_and_is_neither_absent_nor_lost() {
    for (folder, arguments) in [
        ("", "list"),
        ("", "verify vm/200"),
        ("vm", "list"),
        ("vm/201", "list"),
        ("vm/200", "verify vm/200"),
        ("vm/200/2024-06-10T10:00:00Z", "list"),
        ("vm/200/2024-06-10T10:00:00Z", "verify vm/200"),
        (
            "vm/200/2024-06-10T10:00:00Z",
            "get vm/200/2024-06-10T10:00:00Z out --salvage",
        ),
        (
            "vm/200/2024-06-10T10:00:00Z/index.json.blob",
            "verify vm/200",
        ),
        (
            "vm/200/2024-06-10T10:00:00Z/drive-scsi0.img.fidx",
            "verify vm/200",
        ),
        (
            "vm/200/2024-06-10T10:00:00Z/qemu-server.conf.blob",
            "verify vm/200 qemu-server.conf",
        ),
        ("ns", "list"),
        ("ns/team", "list --ns team"),
    ] {
        let home = Home::new();
        let path = home.datastore().join(folder);
        fs::create_dir(home.path("out")).unwrap();
        if rustix::process::geteuid().is_root() {
            chown(home.path("out"), Some(65534), Some(65534)).unwrap();
        }
        fs::set_permissions(&path, Permissions::from_mode(0o000)).unwrap();
        let run = run_as_nobody(&home, &format!("{arguments} {OTHER}"));
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        let Some(run) = run else {
            return;
        };
        let run = run.expect(4).says("ermission denied");
        let named = format!("datastore/{folder}");
        run.says(named.trim_end_matches('/'));
        assert!(home.names_in("out").is_empty());
    }
}

/// What a listing says of this sort: names, or messages.
fn listed(home: &Home, sort: &str) -> Vec<Value> {
    let run = home.run(&format!("list {OTHER} --output-format json"));
    let told = events(&run.expect(0).text());
    let of_sort = told.into_iter().filter(|event| event["event"] == sort);
    let member = if sort == "snapshot" {
        "name"
    } else {
        "message"
    };
    of_sort.map(|event| event[member].clone()).collect()
}

#[test]
fn a_datastore_that_a_tool_renamed_on_its_way_is_read() {
    let home = Home::new();
    let group = home.datastore().join("vm/200");
    let rename = |from: &str, to: &str| fs::rename(group.join(from), group.join(to)).unwrap();
    let mut name = "2024-06-10T10:00:00Z";
    for other in [
        "2024-06-10T10：00：00Z",
        "2024-06-10T10_00_00Z",
        "2024-06-10T10%3A00%3A00Z",
    ] {
        rename(name, other);
        name = other;
        assert_eq!(listed(&home, "snapshot")[0], "vm/200/2024-06-10T10:00:00Z");
        assert_eq!(listed(&home, "passed_over"), [] as [Value; 0]);
        home.run(&format!("verify vm/200/2024-06-10T10:00:00Z {OTHER}"))
            .expect(0);
        home.run(&format!("verify vm/200 {OTHER}")).expect(0);
    }
    // The manifest has the last word.
    rename(name, "2024-06-10T10_00_01Z");
    home.run(&format!("verify vm/200 {OTHER}")).expect(7).says(
        "the manifest found for vm/200/2024-06-10T10:00:01Z is that of vm/200/2024-06-10T10:00:00Z",
    );
    // What a name can't tell is named.
    rename("2024-06-10T10_00_01Z", "10 June (copy)");
    home.run(&format!("list {OTHER}"))
        .expect(0)
        .says("10 June (copy) is passed over: its name is not the time of a snapshot");
    assert_eq!(listed(&home, "snapshot")[0], "vm/201/2024-06-10T11:00:00Z");
    assert_eq!(listed(&home, "passed_over").len(), 1);
}

#[test]
fn of_two_folders_of_one_snapshot_the_one_that_is_spelt_right_is_read() {
    let home = Home::new();
    let group = home.datastore().join("vm/200");
    fs::create_dir(group.join("2024-06-10T10-00-00Z")).unwrap();
    let snapshots = listed(&home, "snapshot");
    let of_group = snapshots
        .iter()
        .filter(|name| *name == "vm/200/2024-06-10T10:00:00Z");
    assert_eq!(of_group.count(), 1);
    home.run(&format!("list {OTHER}")).expect(0).says(
        "2024-06-10T10-00-00Z is passed over: another one has the snapshot vm/200/2024-06-10T10:00:00Z",
    );
    home.run(&format!("verify vm/200 {OTHER}"))
        .expect(0)
        .says("2024-06-10T10-00-00Z is passed over");
}
