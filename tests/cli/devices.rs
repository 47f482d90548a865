//! Block devices and full disks, which only root can make.

use std::fs;
use std::path::Path;

use chunk_restore::{DeviceTarget, FileTarget};
use serde_json::Value;
use testkit::{Folder, Image, SnapshotBuilder, Workload};

use crate::disks::{Loop, Mount};
use crate::home::{GOLDEN_LEN, GOLDEN_RAW, Home, chunk_file, events, sha256};

const IMAGE: &str = "image vm/200 drive-scsi0.img";
const DEVICE: usize = 26 << 20;

fn held(device: &Loop) -> (String, Vec<u8>) {
    let mut held = fs::read(device.path()).unwrap();
    let rest = held.split_off(GOLDEN_LEN as usize);
    (sha256(held), rest)
}

#[test]
fn a_device_full_of_ones_holds_the_image_whatever_is_done_for_zeros() {
    for zeros in ["auto", "write", "punch", "discard"] {
        let Some(device) = Loop::thin(DEVICE) else {
            return;
        };
        let home = Home::new();
        let path = device.path().display();
        let run = home
            .run(&format!("{IMAGE} {path} --zeros {zeros}"))
            .expect(0);
        assert!(run.text().starts_with(&format!("{path}: 24.0 MiB in ")));
        let (image, rest) = held(&device);
        assert_eq!(image, GOLDEN_RAW, "{zeros}");
        if zeros == "discard" {
            assert!(rest.iter().all(|byte| *byte == 0));
            assert_eq!(run.stderr, "");
        } else {
            assert!(rest.iter().all(|byte| *byte == 0xff));
            assert_eq!(
                run.stderr,
                format!("{path}: the last 2.0 MiB are as they were\n")
            );
        }
        // A second time there is nothing to fetch, for which nobody has to say so.
        let told = home.run(&format!("{IMAGE} {path} --output-format json"));
        let told = events(&told.expect(0).text());
        assert!(
            of("restored", &told)[0]["chunks"].as_u64().unwrap() <= 1,
            "{told:?}"
        );
    }
}

fn of<'a>(sort: &str, told: &'a [Value]) -> Vec<&'a Value> {
    told.iter().filter(|event| event["event"] == sort).collect()
}

#[test]
fn a_device_is_salvaged_and_its_damage_listed_in_the_folder_one_is_in() {
    let Some(device) = Loop::thin(DEVICE) else {
        return;
    };
    let home = Home::new();
    let chunk = chunk_file(&home.datastore(), 5);
    let blob = fs::read(&chunk).unwrap();
    fs::remove_file(&chunk).unwrap();
    let path = device.path().display();
    let image = format!("{IMAGE} {path} --repository dir:datastore");
    home.run(&format!("{image} --threads 1"))
        .expect(7)
        .says(&format!(
            "  {path} is incomplete: the same command goes on with it"
        ));
    let map = format!(
        "{}.damaged.json",
        device.path().file_name().unwrap().display()
    );
    home.run(&format!("{image} --salvage"))
        .expect(3)
        .says(&format!(
            "warning: {path} is damaged: 1 chunk is lost: 1 missing\n  listed in {map}\n"
        ));
    assert!(home.names_in("").contains(&map));
    let start = 5 * (4 << 20);
    let damaged = fs::read(device.path()).unwrap();
    assert!(
        damaged[start..start + (4 << 20)]
            .iter()
            .all(|byte| *byte == 0)
    );

    fs::write(&chunk, blob).unwrap();
    home.run(&format!("{image} --salvage --reuse")).expect(0);
    assert_eq!(held(&device).0, GOLDEN_RAW);
    assert_eq!(home.names_in(""), ["datastore"]);
}

#[test]
fn two_restores_never_share_a_target() {
    let home = Home::new();
    let file = FileTarget::create(home.path("disk.raw")).unwrap();
    home.run(&format!("{IMAGE} disk.raw"))
        .expect(8)
        .says("another restore is writing to disk.raw.partial");
    drop(file);
    home.run(&format!("{IMAGE} disk.raw")).expect(0);
    let file = FileTarget::reuse(home.path("disk.raw")).unwrap();
    home.run(&format!("{IMAGE} disk.raw --reuse"))
        .expect(8)
        .says("another restore is writing to ");
    drop(file);

    let Some(device) = Loop::thin(DEVICE) else {
        return;
    };
    let first = DeviceTarget::open(device.path()).unwrap();
    let path = device.path().display();
    home.run(&format!("{IMAGE} {path}"))
        .expect(8)
        .says(&format!("the device {path} is in use"));
    drop(first);
    home.run(&format!("{IMAGE} {path}")).expect(0);
}

#[test]
fn a_device_that_is_too_small_is_named_and_left_alone() {
    let Some(device) = Loop::thin(20 << 20) else {
        return;
    };
    let path = device.path().display();
    let run = Home::new().run(&format!("{IMAGE} {path}")).expect(8);
    assert!(!run.stderr.contains("incomplete"), "{}", run.stderr);
    run.says(&format!("error: {path}: "))
        .says("it has 20971520 bytes, and 25178169 are needed");
    assert!(fs::read(device.path()).unwrap() == vec![0xff; 20 << 20]);
}

#[test]
fn a_disk_that_is_full_half_way_is_gone_on_with_when_there_is_room() {
    let Some(mount) = Mount::of("tmpfs", "size=2m") else {
        return;
    };
    let home = Home::new();
    let image = Image::new(Workload::Incompressible, 5, 4 << 20, 32 << 10);
    let info = SnapshotBuilder::new("vm/100/2026-11-01T00:00:00Z")
        .image("disk.img", image)
        .write_to(&Folder::new(home.path("store")));
    let target = mount.path().join("disk.raw");
    let image = format!(
        "image vm/100 disk.img {} --repository ./store",
        target.display()
    );
    home.run(&image)
        .expect(8)
        .says(&format!("error: {}: ", target.display()))
        .says("4194304 bytes are needed and 2097152 are free: 2097152 are missing");
    assert_eq!(fs::read_dir(mount.path()).unwrap().count(), 0);

    let unchecked = format!("{image} --skip-space-check");
    for _ in 0..2 {
        home.run(&unchecked)
            .expect(8)
            .says("no space is left, and ")
            .says(" of 4194304 bytes were still to come\n  make room first\n")
            .says("disk.raw.partial is incomplete: the same command goes on with it");
        assert!(!target.exists());
    }
    mount.remount("size=16m");
    let told = home.run(&format!("{image} --output-format json")).expect(0);
    let told = events(&told.text());
    let kept = of("restored", &told)[0]["kept"].as_u64().unwrap();
    assert!(kept > 1 << 20, "{kept} bytes were kept");
    assert!(testkit::sha256(&fs::read(&target).unwrap()) == info.archive("disk.img").sha256);
    assert!(!Path::new(&format!("{}.partial", target.display())).exists());
}

#[test]
fn a_file_can_be_written_through_the_page_cache() {
    let home = Home::new();
    let image = Image::new(Workload::Typical, 5, (1 << 20) + 100, 32 << 10);
    SnapshotBuilder::new("vm/100/2026-11-01T00:00:00Z")
        .image("disk.img", image.clone())
        .write_to(&Folder::new(home.path("store")));
    let command = "image vm/100 disk.img disk.raw --repository ./store --buffered";
    home.run(command).expect(0);
    let expected: Vec<u8> = (0..image.count()).flat_map(|at| image.chunk(at)).collect();
    assert!(fs::read(home.path("disk.raw")).unwrap() == expected);
}
