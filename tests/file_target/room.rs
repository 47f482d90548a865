//! Whether there is room is known before anything is written.

use std::error::Error as _;
use std::fs;
use std::io;

use chunk_restore::target::{Target, Zeros};
use chunk_restore::{ErrorKind, FileTarget, Restore};
use testkit::{Image, Workload};

use crate::disks::Mount;
use crate::names;
use crate::support::Script;

const MIB: u64 = 1 << 20;

/// A file system of 1 MiB.
fn small() -> Option<Mount> {
    Mount::of("tmpfs", "size=1m")
}

#[test]
fn too_little_room_is_said_before_anything_is_written() {
    let Some(mount) = small() else { return };
    let path = mount.path().join("disk.raw");
    let mut target = FileTarget::create(&path).unwrap();
    let error = target.begin(4 * MIB, MIB / 2).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    let message = "3670016 bytes are needed and 1048576 are free: 2621440 are missing";
    assert_eq!(error.to_string(), message);
    drop(target);
    assert!(names(mount.path()).is_empty());
    // What is to be changed stays as it was, under its name.
    fs::write(&path, "old").unwrap();
    let mut target = FileTarget::reuse(&path).unwrap();
    assert!(target.begin(4 * MIB, 0).is_err());
    drop(target);
    assert_eq!(names(mount.path()), ["disk.raw"]);
    assert_eq!(fs::read(&path).unwrap(), b"old");
}

#[test]
fn zeros_need_room_only_where_they_are_written() {
    let Some(mount) = small() else { return };
    let path = mount.path().join("disk.raw");
    let mut target = FileTarget::create(&path).unwrap();
    target.begin(4 * MIB, 7 * MIB / 2).unwrap();
    drop(target);
    let mut target = FileTarget::create(&path).unwrap().zeros(Zeros::Write);
    let error = target.begin(4 * MIB, 7 * MIB / 2).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
}

#[test]
fn what_was_restored_already_needs_no_more_room() {
    let Some(mount) = small() else { return };
    let path = mount.path().join("disk.raw");
    let partial = mount.path().join("disk.raw.partial");
    fs::write(partial, vec![1; 900 << 10]).unwrap();
    let mut target = FileTarget::create(&path).unwrap();
    target.begin(1000 << 10, 0).unwrap();
    target.keep(900 << 10).unwrap();
    target.write(&[2; 100 << 10]).unwrap();
    target.finish(false).unwrap();
}

#[test]
fn a_disk_that_fills_up_is_an_error_that_says_what_was_to_come() {
    let Some(mount) = small() else { return };
    let image = Image::new(Workload::Incompressible, 4, 4 * MIB, MIB / 2);
    let (archive, _) = Script::of(image, MIB / 2).archive();
    let target = FileTarget::create(mount.path().join("disk.raw")).unwrap();
    let mut target = target.check_space(false);
    let error = Restore::new().run(&archive, &mut target).unwrap_err();
    drop(target);
    assert_eq!(error.kind(), ErrorKind::Target);
    let cause = error
        .source()
        .and_then(|cause| cause.downcast_ref::<io::Error>());
    let cause = cause.unwrap();
    assert_eq!(cause.kind(), io::ErrorKind::StorageFull);
    let offset = error.offset().unwrap();
    let left = 4 * MIB - offset;
    assert_eq!(
        cause.to_string(),
        format!("no space is left, and {left} of 4194304 bytes were still to come")
    );
    assert_eq!(names(mount.path()), ["disk.raw.partial"]);
}
