//! What is there of a target: it is not shortened, not followed where it is a link, and keeps its mode.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use crate::home::{GOLDEN_LEN, GOLDEN_RAW, Home, Run, chunk_file, finish};

const IMAGE: &str = "image vm/200 drive-scsi0.img";

#[test]
fn nothing_is_shortened_by_reuse() {
    let home = Home::new();
    home.run(&format!("{IMAGE} disk.raw")).expect(0);
    for arguments in [
        format!("{IMAGE} disk.raw --reuse --range 1MiB+1MiB"),
        format!("{IMAGE} disk.raw --reuse --overwrite --range 1MiB+1MiB"),
        format!("{IMAGE} disk.raw --reuse --range 1MiB+1MiB --zeros discard"),
        "image vm/200 qemu-server.conf disk.raw --reuse".to_owned(),
    ] {
        home.run(&arguments)
            .expect(8)
            .says("it has 25178169 bytes, and would be cut to");
        assert_eq!(home.names_in(""), ["disk.raw"]);
        assert_eq!(home.sha256_of("disk.raw"), GOLDEN_RAW);
    }
    home.run(&format!("{IMAGE} disk.raw --reuse --range 1MiB+1MiB"))
        .says("--overwrite instead of --reuse");
    home.run(&format!("{IMAGE} disk.raw --overwrite --range 1MiB+1MiB"))
        .expect(0);
    assert_eq!(home.path("disk.raw").metadata().unwrap().len(), 1 << 20);
    // What is shorter grows.
    home.run(&format!("{IMAGE} disk.raw --reuse")).expect(0);
    assert_eq!(home.sha256_of("disk.raw"), GOLDEN_RAW);
}

#[test]
fn a_new_disk_is_for_its_owner_alone_and_a_replaced_one_keeps_its_mode() {
    let home = Home::new();
    let mode = |name: &str| home.path(name).metadata().unwrap().mode() & 0o7777;
    home.run(&format!("{IMAGE} disk.raw")).expect(0);
    assert_eq!(mode("disk.raw"), 0o600);
    home.run("get vm/200 out").expect(0);
    assert_eq!(mode("out/qemu-server.conf"), 0o600);
    fs::set_permissions(home.path("disk.raw"), fs::Permissions::from_mode(0o640)).unwrap();
    home.run(&format!("{IMAGE} disk.raw --overwrite")).expect(0);
    assert_eq!(mode("disk.raw"), 0o640);
    let strict = home.command(&format!("{IMAGE} strict"));
    let mut command = Command::new("sh");
    command.args(["-c", r#"umask 277; exec "$@""#, "sh"]);
    command.arg(strict.get_program()).args(strict.get_args());
    home.settle(&mut command);
    finish(&mut command).expect(0);
    assert_eq!(mode("strict"), 0o400);
}

#[test]
fn links_in_the_place_of_what_is_made_are_not_followed() {
    let home = Home::new();
    fs::remove_file(chunk_file(&home.datastore(), 5)).unwrap();
    home.write("work/precious", "precious");
    let run = |rest: &str| {
        home.run(&format!(
            "{IMAGE} {rest} --salvage --repository dir:datastore"
        ))
        .expect(8)
    };
    symlink("precious", home.path("a.partial")).unwrap();
    run("a").says("a.partial\n  because: it is a symbolic link, which is not followed: remove it");
    symlink("precious", home.path("b.damaged.json")).unwrap();
    run("b").says("b.damaged.json is there, and is no list of the damage of b.damaged");
    symlink("nowhere", home.path("c")).unwrap();
    for rest in ["c", "c --overwrite", "c --reuse"] {
        run(rest).says("c is a symbolic link that leads to no file");
    }
    assert_eq!(fs::read(home.path("precious")).unwrap(), b"precious");
    assert_eq!(
        home.names_in(""),
        ["a.partial", "b.damaged.json", "c", "datastore", "precious"]
    );
}

#[test]
fn what_is_salvaged_through_a_link_is_named_as_it_is() {
    let home = Home::new();
    fs::remove_file(chunk_file(&home.datastore(), 5)).unwrap();
    home.write("work/sub/real", "old");
    symlink("sub/real", home.path("link")).unwrap();
    home.run(&format!(
        "{IMAGE} link --overwrite --salvage --repository dir:datastore"
    ))
    .expect(3)
    .says("sub/real.damaged is damaged")
    .says("sub/real.damaged.json");
    assert_eq!(
        home.names_in("sub"),
        ["real", "real.damaged", "real.damaged.json"]
    );
    assert_eq!(home.names_in(""), ["datastore", "link", "sub"]);
    assert_eq!(fs::read(home.path("sub/real")).unwrap(), b"old");
}

#[test]
fn get_does_not_read_the_holes_of_a_finished_file() {
    let home = Home::new();
    let store = testkit::Folder::new(home.path("store"));
    testkit::SnapshotBuilder::new("vm/100/2026-11-01T00:00:00Z")
        .image("disk.img", vec![0; 64 << 20])
        .write_to(&store);
    let get = "get vm/100 out --repository ./store";
    home.run(get).expect(0);
    with_faults(&home, "pread_hole=5", get).expect(0);
    // A byte that is not zero is found all the same.
    let file = File::options().write(true).open(home.path("out/disk.img"));
    file.unwrap().write_all_at(&[1], (40 << 20) + 5).unwrap();
    home.run(get).expect(8).says("holds something else");
}

/// Has calls of the C library fail for the program, as file systems make them fail.
pub(crate) fn with_faults(home: &Home, faults: &str, arguments: &str) -> Run {
    finish(&mut faulty(home, faults, arguments))
}

/// The command for that.
pub(crate) fn faulty(home: &Home, faults: &str, arguments: &str) -> Command {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/faults.c");
    let library = home.path("../faults.so");
    if !library.exists() {
        let made = Command::new("cc")
            .args(["-shared", "-fPIC", "-o"])
            .args([&*library, Path::new(source)])
            .status();
        assert!(made.unwrap().success(), "Rust links with cc");
    }
    let mut command = home.command(arguments);
    command.env("LD_PRELOAD", library).env("FAULTS", faults);
    command
}

#[test]
fn a_file_system_without_locks_is_warned_about() {
    let home = Home::new();
    let image = format!("{IMAGE} disk.raw");
    for (errno, name) in [(37, "a"), (95, "b"), (38, "c")] {
        with_faults(&home, &format!("flock={errno}"), &format!("{IMAGE} {name}"))
            .expect(0)
            .says(&format!("warning: {name} can't be locked"));
        assert_eq!(home.sha256_of(name), GOLDEN_RAW);
        fs::remove_file(home.path(name)).unwrap();
    }
    // Any other error is one, and leaves nothing behind.
    with_faults(&home, "flock=5", &image)
        .expect(8)
        .says("cannot lock disk.raw.partial");
    assert!(home.names_in("").is_empty());
}

#[test]
fn a_folder_that_cannot_be_synced_is_no_failure_and_one_that_is_lost_is() {
    let home = Home::new();
    for errno in [22, 95, 38, 9] {
        let faults = format!("fsync_folder={errno}");
        with_faults(&home, &faults, &format!("{IMAGE} disk.raw")).expect(0);
        assert_eq!(home.path("disk.raw").metadata().unwrap().len(), GOLDEN_LEN);
        fs::remove_file(home.path("disk.raw")).unwrap();
    }
    with_faults(&home, "fsync_folder=5", &format!("{IMAGE} disk.raw"))
        .expect(8)
        .says("Input/output error");
}
