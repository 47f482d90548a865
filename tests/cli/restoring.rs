//! What `restore image`, `get` and `verify` do where all goes well.

use std::fs;
use std::io;
use std::process::Stdio;

use serde_json::Value;

use crate::home::{GOLDEN_LEN, GOLDEN_RAW, Home, TAIL_RAW, events, finish, golden, sha256};

#[test]
fn an_image_becomes_a_file() {
    let home = Home::new();
    let run = home.run("image vm/200 drive-scsi0.img disk.raw").expect(0);
    assert!(
        run.text().starts_with("disk.raw: 24.0 MiB in "),
        "{}",
        run.text()
    );
    assert_eq!(run.stderr, "");
    assert_eq!(home.sha256_of("disk.raw"), GOLDEN_RAW);
    assert_eq!(home.names_in(""), ["disk.raw"]);
}

#[test]
fn standard_output_gets_the_image_and_nothing_else() {
    let home = Home::new();
    let run = home.run("image vm/200 drive-scsi0.img -").expect(0);
    assert_eq!(sha256(&run.stdout), GOLDEN_RAW);
    run.says("standard output: 24.0 MiB in ");

    let run = home
        .run("image vm/200 drive-scsi0.img - --output-format json")
        .expect(0);
    assert_eq!(sha256(&run.stdout), GOLDEN_RAW);
    assert_eq!(events(&run.stderr).last().unwrap()["event"], "restored");

    let run = home
        .run("image vm/200 qemu-server.conf - --quiet")
        .expect(0);
    assert_eq!(run.stdout, golden("input/vm.conf"));
    assert_eq!(run.stderr, "");
}

#[test]
fn get_restores_everything_into_a_folder() {
    let home = Home::new();
    home.run("get vm/200 out").expect(0);
    let mut images = home.names_in("out");
    images.retain(|name| name.ends_with(".img"));
    assert_eq!(images.len(), 4, "{images:?}");
    assert_eq!(home.names_in("out").len(), 5);
    assert_eq!(home.sha256_of("out/drive-scsi0.img"), GOLDEN_RAW);
    assert_eq!(home.sha256_of("out/drive-scsi1.img"), TAIL_RAW);
    assert_eq!(
        fs::read(home.path("out/qemu-server.conf")).unwrap(),
        golden("input/vm.conf")
    );
}

#[test]
fn get_restores_what_is_named_once() {
    let home = Home::new();
    home.run("get host/tree tree.pxar vm.conf tree.pxar . --raw")
        .expect(0);
    assert_eq!(home.names_in(""), ["tree.pxar", "vm.conf"]);
    assert_eq!(
        fs::metadata(home.path("tree.pxar")).unwrap().len(),
        5_451_508
    );
}

#[test]
fn get_replaces_nothing_unless_asked_to() {
    let home = Home::new();
    // The last that would be restored.
    home.write("work/out/qemu-server.conf", "precious");
    home.run("get vm/200 out")
        .expect(8)
        .says("qemu-server.conf exists already, and holds something else: --overwrite replaces it");
    assert_eq!(home.names_in("out"), ["qemu-server.conf"]);
    assert_eq!(
        fs::read(home.path("out/qemu-server.conf")).unwrap(),
        b"precious"
    );

    home.run("--overwrite get vm/200 out").expect(0);
    assert_eq!(home.names_in("out").len(), 5);
    assert_eq!(
        fs::read(home.path("out/qemu-server.conf")).unwrap(),
        golden("input/vm.conf")
    );
}

#[test]
fn verify_reads_everything_and_writes_nothing() {
    let home = Home::new();
    let text = home.run("verify vm/200").expect(0).text();
    assert_eq!(
        text.lines()
            .filter(|line| line.contains(" verified: "))
            .count(),
        5,
        "{text}"
    );
    assert!(home.names_in("").is_empty());
    let text = home.run("verify vm/200 drive-scsi1.img").expect(0).text();
    assert!(
        text.starts_with("drive-scsi1.img verified: 8.0 MiB in "),
        "{text}"
    );
    assert_eq!(text.lines().count(), 1);
}

#[test]
fn json_is_one_object_a_line() {
    let home = Home::new();
    let run = home.run("get vm/200 out --output-format json").expect(0);
    assert_eq!(run.stderr, "");
    let told = events(&run.text());
    assert!(told.iter().any(|event| event["event"] == "progress"));
    let restored: Vec<&Value> = told
        .iter()
        .filter(|event| event["event"] == "restored")
        .collect();
    assert_eq!(restored.len(), 5);
    let disk = restored
        .iter()
        .find(|event| event["archive"] == "drive-scsi0.img")
        .unwrap();
    assert_eq!(disk["committed"], GOLDEN_LEN);
    assert_eq!(disk["target"], "out/drive-scsi0.img");
}

#[test]
fn options_stand_before_or_after_the_subcommand() {
    let home = Home::new();
    let options = "--threads 1 --memory 8MiB --quiet --repository ../golden/datastore";
    let image = "image vm/200 drive-scsi0.img";
    for arguments in [
        format!("{options} {image} a"),
        format!("{image} {options} b"),
    ] {
        let run = finish(home.command(&arguments).env_remove("PBS_REPOSITORY")).expect(0);
        assert_eq!((run.text(), run.stderr), (String::new(), String::new()));
    }
    assert_eq!(home.sha256_of("a"), GOLDEN_RAW);
    assert_eq!(home.sha256_of("b"), GOLDEN_RAW);
}

#[test]
fn sizes_have_many_spellings() {
    let home = Home::new();
    for size in ["8388608", "64k", "64KiB", "8M", "8mib", "1G", "1GiB"] {
        home.run(&format!("verify vm/200 drive-scsi1.img --memory {size}"))
            .expect(0);
    }
}

#[test]
fn nobody_who_reads_is_no_reason_to_panic() {
    let home = Home::new();
    let restored = "image vm/200 drive-scsi0.img disk.raw";
    for arguments in ["list", "list vm/200", "--help", restored] {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let mut command = home.command(arguments);
        let child = command
            .stdout(writer)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments}");
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "", "{arguments}");
    }
    assert_eq!(home.sha256_of("disk.raw"), GOLDEN_RAW);
}
