//! Files as targets: nothing incomplete is ever seen under the final name.
#![allow(clippy::unwrap_used, reason = "a test that can't be set up has failed")]

mod damaged;
mod direct;
#[path = "../disks/mod.rs"]
mod disks;
mod identity;
mod resume;
mod room;
mod sparse;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use chunk_restore::target::Target;
use chunk_restore::{ErrorKind, FileTarget, Restore};
use support::{Fault, Script};
use tempfile::TempDir;
use testkit::{Image, Prng, Workload};

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Bytes without a block of zeros.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut data = vec![0; len];
    Prng::new(seed).fill(&mut data);
    data
}

fn write(path: &Path, mut target: FileTarget) {
    target.begin(4, 0).unwrap();
    target.write(b"new!").unwrap();
    assert!(path.with_file_name("disk.raw.partial").exists());
    target.finish(false).unwrap();
}

#[test]
fn a_file_gets_its_name_when_it_is_complete() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("disk.raw");
    let target = FileTarget::create(&path).unwrap();
    assert_eq!(names(folder.path()), ["disk.raw.partial"]);
    write(&path, target);
    assert_eq!(names(folder.path()), ["disk.raw"]);
    assert_eq!(fs::read(path).unwrap(), b"new!");
}

#[test]
fn an_existing_file_is_refused_and_stays() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("disk.raw");
    fs::write(&path, "old").unwrap();
    let error = FileTarget::create(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Target);
    assert!(error.to_string().contains("exists already"), "{error}");
    assert_eq!(
        (names(folder.path()), fs::read(&path).unwrap()),
        (vec!["disk.raw".to_owned()], b"old".to_vec())
    );
}

#[test]
fn a_file_that_appears_meanwhile_is_not_replaced() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("disk.raw");
    let mut target = FileTarget::create(&path).unwrap();
    target.begin(3, 0).unwrap();
    target.write(b"new").unwrap();
    fs::write(&path, "old").unwrap();
    assert_eq!(
        target.finish(false).unwrap_err().kind(),
        io::ErrorKind::AlreadyExists
    );
    assert_eq!(fs::read(&path).unwrap(), b"old");
}

#[test]
fn replacing_keeps_the_old_file_until_the_new_one_is_complete() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("disk.raw");
    fs::write(&path, "old").unwrap();
    let mut target = FileTarget::replace(&path).unwrap();
    target.begin(4, 0).unwrap();
    target.write(b"new").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"old");
    drop(target);
    assert_eq!(fs::read(&path).unwrap(), b"old");
    write(&path, FileTarget::replace(&path).unwrap());
    assert_eq!(fs::read(&path).unwrap(), b"new!");
    // Nothing to replace is no obstacle.
    let other = folder.path().join("sub");
    fs::create_dir(&other).unwrap();
    write(
        &other.join("disk.raw"),
        FileTarget::replace(other.join("disk.raw")).unwrap(),
    );
}

#[test]
fn replacing_a_link_replaces_the_file_that_it_names() {
    let folder = TempDir::new().unwrap();
    let (real, link) = (folder.path().join("disk.raw"), folder.path().join("link"));
    fs::write(&real, "old").unwrap();
    symlink(&real, &link).unwrap();
    assert!(FileTarget::create(&link).is_err());
    write(&real, FileTarget::replace(&link).unwrap());
    assert!(link.symlink_metadata().unwrap().is_symlink());
    assert_eq!(fs::read(&real).unwrap(), b"new!");
}

#[test]
fn two_restores_do_not_write_to_one_name() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("disk.raw");
    let first = FileTarget::create(&path).unwrap();
    let error = FileTarget::create(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Target);
    assert!(error.to_string().contains("another restore"), "{error}");
    write(&path, first);
}

#[test]
fn a_failed_restore_leaves_no_final_name_and_no_empty_partial() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("disk.raw");
    for (fails_at, left) in [(0, vec![]), (5, vec!["disk.raw.partial".to_owned()])] {
        let image = Image::new(Workload::Incompressible, 4, 8 * 4096, 4096);
        let script = Script::of(image, 4096);
        let digest = script.digests()[fails_at];
        // It is asked for once more.
        let script = script.fault(digest, Fault::Missing);
        let (archive, _) = script.fault(digest, Fault::Missing).archive();
        let restore = Restore::new().threads(1).in_flight(1);
        assert!(
            restore
                .run(&archive, &mut FileTarget::create(&path).unwrap())
                .is_err()
        );
        assert_eq!(names(folder.path()), left);
    }
}

#[test]
fn a_target_that_cannot_be_made_is_named() {
    let folder = TempDir::new().unwrap();
    for path in ["no/such/folder/disk.raw", "..", "", "disks/"] {
        let error = FileTarget::create(folder.path().join(path)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Target, "{path}");
    }
    let error = FileTarget::replace(folder.path()).unwrap_err();
    assert!(error.to_string().contains("not a regular file"), "{error}");
}

#[test]
fn a_read_only_folder_is_refused() {
    let folder = TempDir::new().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let path = folder.path().join("disk.raw");
    // Nothing is read-only to root.
    if fs::write(folder.path().join("probe"), "").is_ok() {
        assert!(FileTarget::create("/proc/disk.raw").is_err());
        return;
    }
    let error = FileTarget::create(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Target);
}
