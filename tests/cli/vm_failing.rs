//! `restore vm` where disks fail, the datastore is damaged, or somebody interrupts it.

use std::fs;
use std::io::{BufRead, BufReader};

use serde_json::Value;
use testkit::{Fault, When};

use crate::home::{GOLDEN_RAW, Home, TAIL_RAW, chunk_file, events};
use crate::interrupt::{
    NEVER, assert_ends_at_once, golden_server, signal, spawn_on, wait_until, with_default_signals,
    within,
};
use crate::vm::{ALL, VM_200, of};

#[test]
fn a_disk_that_fails_leaves_the_others_whole_and_the_same_command_goes_on_with_it() {
    let home = Home::new();
    let chunk = chunk_file(&home.datastore(), 5);
    let blob = fs::read(&chunk).unwrap();
    fs::remove_file(&chunk).unwrap();
    let vm = "vm vm/200 --dir out --config qemu --repository dir:datastore";
    // One chunk after the other, so that some are there when the lost one is asked for.
    let told = home.run(&format!("{vm} --streams 1 --output-format json"));
    let told = told.expect(7);
    let told = events(&told.text());
    assert_eq!(of("error", &told)[0]["left"], "out/drive-scsi0.img.partial");
    let guest = of("guest", &told)[0];
    assert_eq!(guest["failed"], Value::from(vec!["drive-scsi0.img"]));
    assert_eq!(guest["restored"].as_array().unwrap().len(), 3);
    assert_eq!(home.sha256_of("out/drive-scsi1.img"), TAIL_RAW);
    // Nothing can be booted yet.
    assert!(!home.path("out/start-vm-200.sh").exists());
    home.run(vm)
        .expect(7)
        .says(", not restored: drive-scsi0.img\n");

    fs::write(&chunk, blob).unwrap();
    let told = home.run(&format!("{vm} --output-format json")).expect(0);
    let told = events(&told.text());
    let restored = of("restored", &told);
    let is_disk = |event: &&&Value| event["archive"] == "drive-scsi0.img";
    let disk = restored.iter().find(is_disk).unwrap();
    assert!(disk["kept"].as_u64() > Some(0), "{disk}");
    assert_eq!(home.names_in("out"), ALL);
    assert_eq!(home.sha256_of("out/drive-scsi0.img"), GOLDEN_RAW);
}

#[test]
fn the_progress_of_all_disks_counts_the_chunks_that_are_lost() {
    let home = Home::new();
    fs::remove_file(chunk_file(&home.datastore(), 0)).unwrap();
    let vm = "vm vm/200 --dir out --salvage --repository dir:datastore";
    // More than one second, which is the time between two events.
    let told = home.run(&format!("{vm} --rate 20K --output-format json"));
    let told = events(&told.expect(3).text());
    let last = of("progress", &told).pop().unwrap();
    assert!(last["lost"].as_u64() > Some(0), "{last}");
}

#[test]
fn what_boots_a_salvaged_guest_follows_its_disks_and_is_kept_where_somebody_changed_it() {
    let home = Home::new();
    let chunk = chunk_file(&home.datastore(), 5);
    let blob = fs::read(&chunk).unwrap();
    fs::remove_file(&chunk).unwrap();
    let vm = "vm vm/200 --dir out --config qemu --salvage --repository dir:datastore";
    let script = || fs::read_to_string(home.path("out/start-vm-200.sh")).unwrap();
    for _ in 0..2 {
        let text = home.run(vm).expect(3).text();
        let says = "4 disks restored, damaged: drive-scsi0.img";
        assert!(text.contains(says), "{text}");
        assert!(script().contains("/out/drive-scsi0.img.damaged\""));
    }
    fs::write(&chunk, blob).unwrap();
    home.run(vm).expect(0);
    assert!(script().contains("/out/drive-scsi0.img\""));
    assert_eq!(home.names_in("out"), ALL);

    let changed = script().replace("-m 4096", "-m 1024");
    home.write("work/out/start-vm-200.sh", &changed);
    home.run(vm)
        .expect(8)
        .says("start-vm-200.sh exists already, and holds something else");
    assert_eq!(script(), changed);
}

#[test]
fn a_disk_without_an_index_is_named_and_the_others_are_restored() {
    let home = Home::new();
    let index = home.datastore().join(VM_200).join("drive-scsi0.img.fidx");
    fs::remove_file(index).unwrap();
    let vm = "vm vm/200 --dir out --config qemu --repository dir:datastore";
    home.run(vm)
        .expect(7)
        .says("once all its disks are there")
        .says("3 disks restored, not restored: drive-scsi0.img");
    assert_eq!(home.names_in("out").len(), 4);
}

#[test]
fn a_damaged_configuration_is_named_and_the_disks_are_restored() {
    let home = Home::new();
    let blob = home.datastore().join(VM_200).join("qemu-server.conf.blob");
    let mut bytes = fs::read(&blob).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(blob, bytes).unwrap();
    let vm = "vm vm/200 --dir out --config qemu --repository dir:datastore";
    home.run(vm)
        .expect(7)
        .says("can't be written without its configuration")
        .says("4 disks restored, not restored: qemu-server.conf");
    assert_eq!(home.names_in("out"), ALL[..4]);
}

#[test]
fn of_two_failures_the_exit_code_is_that_of_the_damage_and_both_are_named() {
    let home = Home::new();
    fs::remove_file(chunk_file(&home.datastore(), 5)).unwrap();
    // As long as the disk, so that nobody sees the difference before it is compared.
    let other = vec![1; 8_389_608];
    home.write("work/out/drive-scsi1.img", &other);
    let vm = "vm vm/200 --dir out --repository dir:datastore";
    home.run(vm)
        .expect(7)
        .says("out/drive-scsi1.img exists already, and holds something else")
        .says("2 disks restored, not restored: drive-scsi0.img, drive-scsi1.img");
    assert!(fs::read(home.path("out/drive-scsi1.img")).unwrap() == other);
}

#[test]
fn an_interrupt_stops_all_disks_and_the_same_command_goes_on_with_them() {
    within(NEVER, || {
        let home = Home::new();
        // The last of it would take minutes.
        let vm = "vm vm/200 --dir out --output-format json";
        let mut command = with_default_signals(&home, &format!("{vm} --rate 2K --threads 1"));
        let mut child = command
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut hear =
            || -> Value { serde_json::from_str(&said.next().unwrap().unwrap()).unwrap() };
        while hear()["event"] != "progress" {}
        signal("INT", child.id());
        let mut incomplete = Vec::new();
        let error = loop {
            let event = hear();
            match event["event"].as_str().unwrap() {
                "incomplete" => incomplete.push(event["target"].as_str().unwrap().to_owned()),
                "error" => break event,
                _ => {}
            }
        };
        assert_eq!(error["kind"], "cancelled");
        assert_eq!(child.wait().unwrap().code(), Some(130));
        let left = home.names_in("out");
        for path in &incomplete {
            assert!(left.contains(&path.strip_prefix("out/").unwrap().to_owned()));
        }
        assert!(!left.contains(&"drive-scsi0.img".to_owned()), "{left:?}");
        home.run(vm).expect(0);
        assert_eq!(home.sha256_of("out/drive-scsi0.img"), GOLDEN_RAW);
        assert_eq!(home.sha256_of("out/drive-scsi1.img"), TAIL_RAW);
    });
}

#[test]
fn a_server_that_gives_no_index_is_not_waited_for() {
    within(NEVER, || {
        let home = Home::new();
        let server = golden_server();
        server.on_file("drive-scsi1.img.fidx", When::Always, Fault::Stall);
        let child = spawn_on(&home, &server, "vm vm/200 --dir out");
        wait_until(|| server.counts().sessions == 1);
        assert_ends_at_once(child, "INT", "vm");
        assert!(home.names_in("").is_empty());
    });
}
