//! `restore vm`: a whole guest, with all its disks at once.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::Arc;

use serde_json::Value;
use testkit::{Folder, Image, PbsServer, SnapshotBuilder, Workload};

use crate::disks::{self, Loop, Mount};
use crate::home::{GOLDEN_LEN, GOLDEN_RAW, Home, TAIL_RAW, events, finish, golden, sha256};
use crate::interrupt::on_server;

pub(crate) const ALL: [&str; 6] = [
    "drive-efidisk0.img",
    "drive-scsi0.img",
    "drive-scsi1.img",
    "drive-scsi2.img",
    "qemu-server.conf",
    "start-vm-200.sh",
];
pub(crate) const VM_200: &str = "vm/200/2024-06-10T10:00:00Z";

pub(crate) fn of<'a>(sort: &str, told: &'a [Value]) -> Vec<&'a Value> {
    told.iter().filter(|event| event["event"] == sort).collect()
}

#[test]
fn a_guest_is_restored_whole_and_a_second_time_nothing_is_fetched() {
    let home = Home::new();
    let vm = "vm vm/200 --dir out --config qemu --memory 8MiB";
    let text = home.run(vm).expect(0).text();
    assert!(text.ends_with(&format!("{VM_200}: 4 disks restored\n")));
    assert_eq!(home.names_in("out"), ALL);
    assert_eq!(home.sha256_of("out/drive-scsi0.img"), GOLDEN_RAW);
    assert_eq!(home.sha256_of("out/drive-scsi1.img"), TAIL_RAW);
    let configuration = fs::read(home.path("out/qemu-server.conf")).unwrap();
    assert_eq!(configuration, golden("input/vm.conf"));
    let script = home.path("out/start-vm-200.sh");
    let mode = script.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o700);
    let script = fs::read_to_string(script).unwrap();
    let disk = home.path("out/drive-scsi0.img");
    assert!(script.contains(&format!("\"filename\":\"{}\"", disk.display())));
    assert!(script.contains("-m 4096") && script.contains("cores=4"));

    let told = home.run(&format!("{vm} --output-format json")).expect(0);
    let told = events(&told.text());
    for restored in of("restored", &told) {
        assert_eq!(restored["chunks"], 0, "{restored}");
    }
    let guest = of("guest", &told)[0];
    assert_eq!(guest["restored"].as_array().unwrap().len(), 4);
    assert_eq!(home.names_in("out"), ALL);
}

#[test]
fn all_disks_have_one_progress() {
    let home = Home::new();
    let told = home.run("vm vm/200 --dir out --rate 2M --output-format json");
    let told = events(&told.expect(0).text());
    let sizes = of("restored", &told).into_iter();
    let disks = sizes.filter(|event| event["archive"] != "qemu-server.conf");
    let len: u64 = disks.map(|event| event["len"].as_u64().unwrap()).sum();
    let progress = of("progress", &told);
    assert!(!progress.is_empty());
    for event in progress {
        assert_eq!(
            (&event["archive"], &event["len"]),
            (&VM_200.into(), &len.into())
        );
    }
}

#[test]
fn a_disk_goes_where_its_map_says_and_without_a_folder_each_needs_one() {
    let home = Home::new();
    let some = "vm vm/200 --map drive-scsi0=a.raw --map drive-scsi1.img=b.raw";
    home.run(some)
        .expect(2)
        .says("drive-scsi2.img has no target\n  give one by --map drive-scsi2.img=TARGET");
    assert!(home.names_in("").is_empty());
    home.run(&format!(
        "{some} --skip drive-scsi2 --skip drive-efidisk0.img"
    ))
    .expect(0);
    assert_eq!(home.names_in(""), ["a.raw", "b.raw", "qemu-server.conf"]);
    assert_eq!(home.sha256_of("a.raw"), GOLDEN_RAW);
    assert_eq!(home.sha256_of("b.raw"), TAIL_RAW);
}

#[test]
fn a_map_that_makes_no_sense_is_refused_before_anything_is_written() {
    let home = Home::new();
    let apart = [
        ("scsi0=a scsi1=a", "have the same target a"),
        ("scsi0=a scsi1=../work/a", "have the same target"),
        ("scsi0=a scsi1=a.partial", "in the way of the other"),
        ("scsi0=a.damaged scsi1=a", "in the way of the other"),
    ];
    let named = [
        ("scsi0=a scsi0.img=b", "is named twice"),
        ("scsi0=", "not a disk and its target"),
        ("scsi0", "not a disk and its target"),
        ("scsi0=-", "standard output takes one disk"),
    ];
    for (maps, says) in apart.into_iter().chain(named) {
        let maps = maps.split(' ').map(|map| format!("--map drive-{map}"));
        let maps: Vec<String> = maps.collect();
        let vm = format!("vm vm/200 --dir out {}", maps.join(" "));
        home.run(&vm).expect(2).says(says);
    }
    let vm = "vm vm/200 --dir out --map drive-scsi0=a --skip drive-scsi0";
    home.run(vm).expect(2).says("is named twice");
    for (map, says) in [
        ("drive-scsi0=drive-scsi1.img", "have the same target"),
        ("drive-scsi0=qemu-server.conf", "beside the disks"),
        ("drive-scsi0=start-vm-200.sh", "the same target"),
    ] {
        let vm = format!("vm vm/200 --dir . --config qemu --map {map}");
        home.run(&vm).expect(2).says(says);
    }
    for (map, code, says) in [
        ("drive-scsi7=a", 5, "has no disk drive-scsi7, but drive-"),
        ("qemu-server.conf=a", 5, "has no disk qemu-server.conf"),
        ("drive-scsi0=none/a", 8, "none"),
    ] {
        let vm = format!("vm vm/200 --dir out --map {map}");
        home.run(&vm).expect(code).says(says);
    }
    assert!(home.names_in("").is_empty());
    home.run("vm host/tree --dir out")
        .expect(2)
        .says("has no disks");
}

#[test]
fn two_names_of_one_file_are_one_target() {
    let home = Home::new();
    home.write("work/a", "old");
    fs::hard_link(home.path("a"), home.path("b")).unwrap();
    std::os::unix::fs::symlink("a", home.path("c")).unwrap();
    for (first, second) in [("a", "b"), ("a", "c"), ("c", "b"), ("a.partial", "c")] {
        home.run(&format!(
            "vm vm/200 --map drive-scsi0={first} --map drive-scsi1={second} --dir out --overwrite"
        ))
        .expect(2)
        .says("have the same target");
    }
    assert_eq!(home.names_in(""), ["a", "b", "c"]);
    assert_eq!(fs::read(home.path("a")).unwrap(), b"old");
}

#[test]
fn devices_are_checked_before_anything_is_written() {
    let (Some(large), Some(small)) = (Loop::thin(26 << 20), Loop::thin(4 << 20)) else {
        return;
    };
    let home = Home::new();
    let (large_path, small_path) = (large.path().display(), small.path().display());
    let to = |first: &str, second: &str| {
        home.run(&format!(
            "vm vm/200 --map drive-scsi0={first} --map drive-scsi1={second} --dir out --config qemu"
        ))
    };
    to(&large_path.to_string(), &small_path.to_string())
        .expect(8)
        .says(&format!(
            "the device {small_path} is too small for drive-scsi1.img: it has 4194304 bytes, and 8389608 are needed"
        ));
    let number = large.path().display().to_string();
    let number = number.strip_prefix("/dev/loop").unwrap();
    let other = home.path("other");
    if disks::run(Command::new("mknod").arg(&other).args(["b", "7", number])).is_some() {
        to(&large_path.to_string(), "other")
            .expect(2)
            .says("have the same target");
        fs::remove_file(other).unwrap();
    }
    // The lists of damage of two devices of one name would be one file.
    let small_number = small_path.to_string();
    let small_number = small_number.strip_prefix("/dev/loop").unwrap();
    for (folder, number) in [("x", number), ("y", small_number)] {
        fs::create_dir(home.path(folder)).unwrap();
        let node = home.path(folder).join("disk");
        if disks::run(Command::new("mknod").arg(&node).args(["b", "7", number])).is_none() {
            return;
        }
    }
    home.run("vm vm/200 --map drive-scsi0=x/disk --map drive-efidisk0=y/disk --dir out --salvage")
        .expect(2)
        .says("in the way of the other");
    fs::remove_dir_all(home.path("x")).unwrap();
    fs::remove_dir_all(home.path("y")).unwrap();
    assert!(home.names_in("").is_empty());
    assert!(
        fs::read(large.path())
            .unwrap()
            .iter()
            .all(|byte| *byte == 0xff)
    );

    to(&large_path.to_string(), "b.raw").expect(0);
    let held = fs::read(large.path()).unwrap();
    assert_eq!(sha256(&held[..GOLDEN_LEN as usize]), GOLDEN_RAW);
    let script = fs::read_to_string(home.path("out/start-vm-200.sh")).unwrap();
    assert!(script.contains(&format!(
        r#"{{"driver":"host_device","filename":"{large_path}""#
    )));
}

#[test]
fn files_that_fit_one_by_one_and_not_together_are_refused() {
    let Some(mount) = Mount::of("tmpfs", "size=6m") else {
        return;
    };
    let home = Home::new();
    let mut snapshot = SnapshotBuilder::new("vm/100/2026-11-01T00:00:00Z");
    for number in 0..2 {
        let image = Image::new(Workload::Incompressible, number, 4 << 20, 1 << 20);
        snapshot = snapshot.image(&format!("drive-scsi{number}.img"), image);
    }
    snapshot.write_to(&Folder::new(home.path("store")));
    let vm = format!(
        "vm vm/100 --dir {} --repository ./store",
        mount.path().display()
    );
    home.run(&vm)
        .expect(8)
        .says("8388608 bytes are needed and 6291456 are free: 2097152 are missing");
    assert_eq!(fs::read_dir(mount.path()).unwrap().count(), 0);
    mount.remount("size=16m");
    home.run(&vm).expect(0);
}

#[test]
fn more_disks_than_a_guest_has_are_refused() {
    let home = Home::new();
    let mut snapshot = SnapshotBuilder::new("vm/100/2026-11-01T00:00:00Z").chunk_size(4096);
    for number in 0..60 {
        snapshot = snapshot.image(&format!("drive-{number}.img"), vec![1; 4096]);
    }
    snapshot.write_to(&Folder::new(home.path("store")));
    let vm = "vm vm/100 --dir out --repository ./store";
    home.run(vm)
        .expect(2)
        .says("60 disks are too many: at most 59 are");
    let text = home.run(&format!("{vm} --skip drive-7")).expect(0).text();
    assert!(text.contains("59 disks restored"), "{text}");
}

#[test]
fn all_disks_together_have_hardly_more_sessions_with_a_server_than_one() {
    let home = Home::new();
    let mut snapshot = SnapshotBuilder::new("vm/100/2026-11-01T00:00:00Z");
    for number in 0..4 {
        let image = Image::new(Workload::Incompressible, number, 2 << 20, 32 << 10);
        snapshot = snapshot.image(&format!("drive-scsi{number}.img"), image);
    }
    let store = Folder::new(home.path("store"));
    let made = snapshot.write_to(&store);
    let server = PbsServer::start(Arc::new(store));
    let vm = home.command("vm vm/100 --dir out --threads 8 --streams 32");
    finish(&mut on_server(vm, &server)).expect(0);
    for archive in &made.archives {
        let restored = fs::read(home.path("out").join(&archive.name)).unwrap();
        assert!(testkit::sha256(&restored) == archive.sha256);
    }
    // The first reads the small files.
    let sessions = server.counts().sessions;
    assert!(sessions <= 1 + 8, "{sessions}");

    // Where one disk is missing, it has the connections of those that are there.
    fs::remove_file(home.path("out/drive-scsi3.img")).unwrap();
    let vm = home.command("vm vm/100 --dir out --threads 8 --streams 32");
    finish(&mut on_server(vm, &server)).expect(0);
    let more = server.counts().sessions - sessions;
    assert!((4..=9).contains(&more), "{more}");
}
