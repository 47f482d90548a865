//! Exit codes and what is said with them, where something is wrong.

use std::fs;
use std::io;
use std::process::Stdio;

use crate::home::{GOLDEN_RAW, Home, chunk_file, events, finish};

#[test]
fn what_makes_no_sense_ends_with_2() {
    let home = Home::new();
    home.run("").expect(2).says("Usage:");
    home.run("image vm/200").expect(2).says("<ARCHIVE>");
    home.run("get vm/200").expect(2).says("<DIR>");
    home.run("get vm/200 drive-scsi0.img")
        .expect(2)
        .says("the last argument is the folder");
    for size in ["", "M", "12X", "-1", "99999999999999999999", "99999999999G"] {
        home.run(&format!("list --memory={size}"))
            .expect(2)
            .says("--memory");
    }
    home.run("verify vm").expect(2).says("vm");
    home.run("list --ns a//b").expect(2).says("a//b");
    finish(home.command("list").env_remove("PBS_REPOSITORY"))
        .expect(2)
        .says("--repository");
}

#[test]
fn a_plain_name_is_no_folder() {
    let home = Home::new();
    home.datastore();
    home.run("list --repository datastore")
        .expect(4)
        .says("dir:datastore");
    home.run("list --repository dir:datastore").expect(0);
}

#[test]
fn what_is_not_there_ends_with_5_and_the_message_says_what_is() {
    let home = Home::new();
    home.run("list --repository dir:nothing")
        .expect(5)
        .says("  because: ");
    home.run("list --ns other").expect(5).says("team");
    home.run("verify vm/999").expect(5).says("vm/200");
    home.run("verify vm/200/2024-01-01T00:00:00Z")
        .expect(5)
        .says("2024-06-10T10:00:00Z");
    home.run("image vm/200 drive-scsi9.img x")
        .expect(5)
        .says("drive-scsi0.img");
    // Before anything is done, since the first may take hours.
    let run = home
        .run("verify vm/200 drive-scsi0.img other.img")
        .expect(5)
        .says("other.img");
    assert_eq!(run.text(), "");
    home.run("get vm/200 drive-scsi0.img other.img out")
        .expect(5);
    assert!(home.names_in("").is_empty());
}

#[test]
fn damage_ends_with_7_and_leaves_nothing_that_looks_complete() {
    let home = Home::new();
    let chunk = chunk_file(&home.datastore(), 5);
    let mut blob = fs::read(&chunk).unwrap();
    *blob.last_mut().unwrap() ^= 1;
    fs::write(&chunk, blob).unwrap();
    // By one thread, what lies before the damage is written before it is met.
    let image = "image vm/200 drive-scsi0.img disk.raw --repository dir:datastore --threads 1";
    let run = home
        .run(image)
        .expect(7)
        .says("error: drive-scsi0.img: ")
        .says("corrupt");
    run.says("\n  because: ")
        .says("\n  disk.raw.partial is incomplete: the same command goes on with it\n");
    assert_eq!(home.names_in(""), ["datastore", "disk.raw.partial"]);

    let told = events(
        &home
            .run(&format!("{image} --output-format json"))
            .expect(7)
            .text(),
    );
    let retried = told
        .iter()
        .find(|event| event["event"] == "retried")
        .unwrap();
    assert_eq!(retried["position"], 5);

    fs::remove_file(&chunk).unwrap();
    let run = home.run(&format!("{image} --output-format json")).expect(7);
    assert_eq!(run.stderr, "");
    let told = events(&run.text());
    let error = told.last().unwrap();
    assert_eq!(error["exit_code"], 7);
    assert_eq!(error["event"], "error");
    assert_eq!(error["kind"], "missing");
    assert_eq!(error["position"], 5);
    assert_eq!(error["offset"], 5 * (4 << 20));
    assert_eq!(
        error["digest"].as_str(),
        chunk.file_name().unwrap().to_str()
    );
    assert_eq!(error["left"], "disk.raw.partial");
    assert!(error["causes"].is_array());
}

#[test]
fn verify_tells_every_damaged_archive() {
    let home = Home::new();
    let datastore = home.datastore();
    fs::remove_file(chunk_file(&datastore, 0)).unwrap();
    home.write(
        "work/datastore/vm/200/2024-06-10T10:00:00Z/qemu-server.conf.blob",
        "no blob",
    );
    let run = home.run("verify vm/200 --repository ./datastore").expect(7);
    let run = run
        .says("drive-scsi0.img: lost: 4194304 bytes at offset 0 (position 0): chunk ")
        .says(" is missing\n")
        .says("error: drive-scsi0.img is damaged: 2 chunks are lost: 2 missing\n")
        .says("qemu-server.conf");
    assert!(
        run.text().contains("drive-efidisk0.img verified: "),
        "{}",
        run.text()
    );
}

#[test]
fn targets_that_fail_end_with_8() {
    let home = Home::new();
    home.write("work/disk.raw", "precious");
    let image = "image vm/200 drive-scsi0.img";
    home.run(&format!("{image} disk.raw"))
        .expect(8)
        .says("disk.raw exists already");
    assert_eq!(fs::read(home.path("disk.raw")).unwrap(), b"precious");
    home.run(&format!("{image} no/disk.raw"))
        .expect(8)
        .says("no/disk.raw");
    home.run("get vm/200 no/out")
        .expect(8)
        .says("cannot make the folder no/out");
    home.run("get vm/200 disk.raw")
        .expect(8)
        .says("cannot restore into disk.raw");
    home.run(&format!("{image} --overwrite disk.raw")).expect(0);
    assert_eq!(home.sha256_of("disk.raw"), GOLDEN_RAW);
}

#[test]
fn half_an_image_in_a_pipe_is_no_success() {
    let home = Home::new();
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let mut command = home.command("image vm/200 drive-scsi0.img -");
    let child = command
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(8));
}

#[test]
#[cfg(target_os = "linux")]
fn a_list_that_can_not_be_written_is_no_success() {
    let home = Home::new();
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let mut command = home.command("list");
    let child = command.stdout(full).stderr(Stdio::piped()).spawn().unwrap();
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(1));
}
