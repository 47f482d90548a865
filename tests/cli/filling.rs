//! `restore serve --fill`: the disk becomes a file while it is served.

use std::fs;
use std::process::Stdio;

use crate::home::{GOLDEN_LEN, GOLDEN_RAW, Home, chunk_file};
use crate::interrupt::{NEVER, signal, wait_until, within};
use crate::running::{Running, has, shell};
use crate::targets::faulty;

const SERVE: &str = "serve vm/200 drive-scsi0.img --socket nbd.sock --fill files";

#[test]
fn the_file_gets_its_name_when_it_is_whole_and_is_read_from_then_on() {
    within(NEVER, || {
        let home = Home::new();
        let mut serving = Running::start(&home, SERVE);
        let filled = serving.hear("filled");
        assert_eq!(filled["archive"], "drive-scsi0.img");
        assert_eq!(home.sha256_of("files/drive-scsi0.img"), GOLDEN_RAW);
        let ended = serving.end("INT");
        assert_eq!(ended.code, Some(0));
        assert_eq!(ended.last("served")["filled"], GOLDEN_LEN);
        assert_eq!(home.names_in("files"), ["drive-scsi0.img"]);

        // The second time the file is read, and nothing is fetched.
        let mut serving = Running::start(&home, SERVE);
        assert_eq!(serving.hear("exists")["archive"], "drive-scsi0.img");
        serving.hear("serving");
        if has(&["qemu-img"]) {
            let command = "qemu-img compare -f raw -F raw \
                           'nbd+unix:///?socket=nbd.sock' files/drive-scsi0.img";
            let (is_same, said) = shell(&home, command);
            assert!(is_same, "{said}");
        }
        let ended = serving.end("INT");
        assert_eq!(ended.code, Some(0));
        assert_eq!(ended.last("served")["fetched"], 0);
        assert!(ended.last("served")["filled"].is_null());
    });
}

#[test]
fn a_file_of_something_else_is_never_taken_for_the_disk() {
    within(NEVER, || {
        let home = Home::new();
        fs::create_dir(home.path("files")).unwrap();
        let path = home.path("files/drive-scsi0.img");
        fs::write(&path, b"of somebody").unwrap();
        home.run(SERVE).expect(8).says("--overwrite");
        assert_eq!(fs::read(&path).unwrap(), b"of somebody");
        // The disk of another day has the same length: it is read where it is right, and stays.
        let other = vec![7; usize::try_from(GOLDEN_LEN).unwrap()];
        fs::write(&path, &other).unwrap();
        let mut serving = Running::start(&home, SERVE);
        serving.hear("exists");
        assert_eq!(serving.end("INT").code, Some(0));
        assert!(fs::read(&path).unwrap() == other);
        let mut serving = Running::start(&home, &format!("{SERVE} --overwrite"));
        serving.hear("filled");
        assert_eq!(serving.end("INT").code, Some(0));
        assert_eq!(home.sha256_of("files/drive-scsi0.img"), GOLDEN_RAW);
    });
}

#[test]
fn a_disk_with_a_lost_chunk_is_served_and_its_file_gets_no_name() {
    within(NEVER, || {
        let home = Home::new();
        fs::remove_file(chunk_file(&home.datastore(), 5)).unwrap();
        let mut serving = Running::start(&home, &format!("{SERVE} --repository dir:datastore"));
        let warning = serving.hear("warning");
        assert_eq!(warning["error"]["kind"], "missing");
        assert_eq!(warning["error"]["position"], 5);
        let ended = serving.end("INT");
        assert_eq!(ended.code, Some(7));
        assert_eq!(home.names_in("files"), ["drive-scsi0.img.partial"]);
    });
}

#[test]
fn the_file_becomes_whole_with_no_more_threads_than_a_reader_needs() {
    within(NEVER, || {
        let home = Home::new();
        // Threads for signals, the reader, its first worker and the fill.
        let mut command = faulty(&home, "threads=4", SERVE);
        let mut serving = command.stderr(Stdio::null()).spawn().unwrap();
        wait_until(|| home.path("files/drive-scsi0.img").exists());
        signal("TERM", serving.id());
        assert!(serving.wait().unwrap().success());
        assert_eq!(home.sha256_of("files/drive-scsi0.img"), GOLDEN_RAW);
    });
}

#[test]
fn a_folder_that_can_not_be_made_is_a_failure_of_the_target() {
    let home = Home::new();
    fs::write(home.path("files"), "not a folder").unwrap();
    home.run(SERVE).expect(8).says("files");
}
