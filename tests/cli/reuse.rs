//! What is at hand already: targets that are changed in place, seeds, and files that an earlier run completed.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};

use serde_json::Value;
use testkit::{Folder, Image, SnapshotBuilder, Workload};

use crate::home::{GOLDEN_RAW, Home, events};

const IMAGE: &str = "image vm/100 disk.img";
const CHUNK: usize = 65_536;

/// A home with a datastore of two days of a disk: on the second, the last 30 chunks of 100 are new.
fn home() -> (Home, [Vec<u8>; 2]) {
    let home = Home::new();
    let store = Folder::new(home.path("store"));
    let make = |seed| -> Vec<u8> {
        let image = Image::new(
            Workload::Incompressible,
            seed,
            (100 * CHUNK) as u64,
            CHUNK as u64,
        );
        (0..100)
            .flat_map(|position| image.chunk(position))
            .collect()
    };
    let old = make(1);
    let mut new = old.clone();
    new[70 * CHUNK..].copy_from_slice(&make(2)[70 * CHUNK..]);
    for (day, bytes) in [(1, &old), (2, &new)] {
        SnapshotBuilder::new(&format!("vm/100/2026-11-0{day}T00:00:00Z"))
            .chunk_size(CHUNK as u64)
            .image("disk.img", bytes.clone())
            .write_to(&store);
    }
    (home, [old, new])
}

/// What a run of the program reports.
fn report(home: &Home, arguments: &str) -> Value {
    let arguments = format!("{arguments} --repository ./store --output-format json");
    let told = events(&home.run(&arguments).expect(0).text());
    let restored = told.iter().find(|event| event["event"] == "restored");
    restored.unwrap().clone()
}

#[test]
fn a_disk_is_rolled_back_in_place() {
    let (home, [old, new]) = home();
    report(&home, &format!("{IMAGE} disk.raw"));
    assert!(fs::read(home.path("disk.raw")).unwrap() == new);
    let inode = home.path("disk.raw").metadata().unwrap().ino();

    let back = "image vm/100/2026-11-01T00:00:00Z disk.img disk.raw --reuse";
    let told = report(&home, back);
    assert_eq!(
        (&told["chunks"], &told["kept"]),
        (&30.into(), &(70 * CHUNK).into())
    );
    assert!(fs::read(home.path("disk.raw")).unwrap() == old);
    assert_eq!(home.path("disk.raw").metadata().unwrap().ino(), inode);
    // What is right already is left alone; and where there is no file, one is made.
    assert_eq!(report(&home, back)["chunks"], 0);
    fs::remove_file(home.path("disk.raw")).unwrap();
    assert_eq!(report(&home, back)["chunks"], 100);
    assert_eq!(home.names_in(""), ["disk.raw", "store"]);
}

#[test]
fn a_seed_saves_what_it_has_and_lies_in_vain() {
    let (home, [old, new]) = home();
    home.write("work/old.raw", &old);
    let told = report(&home, &format!("{IMAGE} a --seed old.raw"));
    assert_eq!(
        (&told["chunks"], &told["seeded"]),
        (&30.into(), &(70 * CHUNK).into())
    );

    // Shorter than the image, not by whole chunks; wrong in one place.
    let mut lying = old[..10 * CHUNK + 5].to_vec();
    lying[3 * CHUNK + 7] ^= 1;
    home.write("work/lying.raw", lying);
    let told = report(&home, &format!("{IMAGE} b --seed lying.raw"));
    assert_eq!(
        (&told["chunks"], &told["seeded"]),
        (&91.into(), &(9 * CHUNK).into())
    );

    // Two, one of which has everything, and is said to be what it is not.
    let base = "--base vm/100/2026-11-01T00:00:00Z";
    home.write("work/new.raw", &new);
    let told = report(
        &home,
        &format!("{IMAGE} c --seed new.raw --seed lying.raw {base}"),
    );
    assert_eq!(
        (&told["chunks"], &told["seeded"]),
        (&30.into(), &(70 * CHUNK).into())
    );
    for name in ["a", "b", "c"] {
        assert!(fs::read(home.path(name)).unwrap() == new, "{name}");
    }
}

#[test]
fn with_its_base_a_seed_is_good_for_chunks_that_have_moved() {
    let (home, [old, _]) = home();
    let mut moved = vec![7; CHUNK];
    moved.extend_from_slice(&old[..99 * CHUNK]);
    SnapshotBuilder::new("vm/100/2026-11-03T00:00:00Z")
        .chunk_size(CHUNK as u64)
        .image("disk.img", moved.clone())
        .write_to(&Folder::new(home.path("store")));
    home.write("work/old.raw", &old);
    let seed = format!("{IMAGE} a --seed old.raw");
    let told = report(&home, &format!("{seed} --base vm/100/2026-11-01T00:00:00Z"));
    assert_eq!(
        (&told["chunks"], &told["seeded"]),
        (&1.into(), &(99 * CHUNK).into())
    );
    assert!(fs::read(home.path("a")).unwrap() == moved);
}

#[test]
fn what_can_be_no_seed_ends_before_anything_is_restored() {
    let (home, _) = home();
    let run = |rest: &str, code| {
        home.run(&format!("{IMAGE} a {rest} --repository ./store"))
            .expect(code)
    };
    run("--seed none.raw", 2).says("cannot read the seed none.raw");
    run("--seed store", 2).says("the seed store is neither a file nor a block device");
    run("--base vm/100", 2).says("--seed");
    home.write("work/old.raw", "");
    run("--seed old.raw --base vm/999", 5).says("vm/999");
    assert_eq!(home.names_in(""), ["old.raw", "store"]);
}

#[test]
fn get_compares_what_an_earlier_run_completed() {
    let home = Home::new();
    let get = "get vm/200 out --output-format json";
    home.run(get).expect(0);
    // As if it was cut off in the middle.
    fs::rename(
        home.path("out/drive-scsi1.img"),
        home.path("out/drive-scsi1.img.partial"),
    )
    .unwrap();
    fs::remove_file(home.path("out/qemu-server.conf")).unwrap();
    let told = events(&home.run(get).expect(0).text());
    let restored: Vec<&Value> = told
        .iter()
        .filter(|event| event["event"] == "restored")
        .collect();
    assert_eq!(restored.len(), 5);
    assert!(
        restored
            .iter()
            .all(|event| event["chunks"].as_u64().unwrap_or(0) == 0)
    );
    assert_eq!(home.names_in("out").len(), 5);

    // One byte of what is no hole.
    let file = OpenOptions::new()
        .write(true)
        .open(home.path("out/drive-scsi0.img"))
        .unwrap();
    file.write_all_at(&[0x5a], 5 * (4 << 20) + 9).unwrap();
    home.run("get vm/200 out")
        .expect(8)
        .says("error: out/drive-scsi0.img exists already, and holds something else: --overwrite replaces it\n");
    home.run("get vm/200 out --overwrite").expect(0);
    assert_eq!(home.sha256_of("out/drive-scsi0.img"), GOLDEN_RAW);
}

#[test]
fn what_is_no_target_is_refused_with_what_to_do() {
    let home = Home::new();
    let image = |target: &str| {
        home.run(&format!("image vm/200 drive-scsi0.img {target}"))
            .expect(8)
    };
    home.write("work/disk.raw", "precious");
    image("disk.raw").says("--reuse changes it in place");
    image("..").says(".. is a folder: name a file in it");
    image("/dev/null").says("/dev/null is neither a file nor a block device");
    image("/dev/no-such-disk").says("/dev/no-such-disk is no device that exists");
    image("no/disk.raw").says("No such file or directory");
    assert_eq!(home.names_in(""), ["disk.raw"]);
    assert_eq!(fs::read(home.path("disk.raw")).unwrap(), b"precious");
}
