//! Names change hands while a restore runs, or lead to what is somebody else's: nothing but the file that is held is
//! renamed, removed or written to.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::Command;

use chunk_restore::target::Target;
use chunk_restore::{ErrorKind, FileTarget, Result};
use tempfile::TempDir;

use crate::{names, write};

fn begun(path: &Path) -> FileTarget {
    let mut target = FileTarget::create(path).unwrap();
    target.begin(5, 0).unwrap();
    target.write(b"first").unwrap();
    target
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().mode() & 0o7777
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout == b"0\n"
}

#[track_caller]
fn refused(target: Result<FileTarget>, why: &str) {
    let error = target.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Target);
    assert!(format!("{error:?}").contains(why), "{error:?}");
}

#[test]
fn a_restore_whose_file_was_removed_does_not_finish_another_ones() {
    for damaged in [false, true] {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("disk.raw");
        let partial = folder.path().join("disk.raw.partial");
        let mut first = begun(&path);
        fs::remove_file(&partial).unwrap();
        let mut second = FileTarget::create(&path).unwrap();
        second.begin(6, 0).unwrap();
        second.write(b"sec").unwrap();
        let error = first.finish(damaged).unwrap_err();
        assert!(error.to_string().contains("another file by now"), "{error}");
        drop(first);
        assert_eq!(names(folder.path()), ["disk.raw.partial"]);
        second.write(b"ond").unwrap();
        second.finish(false).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
    }
}

#[test]
fn a_restore_that_stops_removes_only_its_own_file() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("disk.raw");
    let first = FileTarget::create(&path).unwrap();
    fs::remove_file(first.partial_path()).unwrap();
    let second = begun(&path);
    drop(first);
    assert_eq!(names(folder.path()), ["disk.raw.partial"]);
    drop(second);
    // The same for a whole file that was to be changed.
    fs::rename(folder.path().join("disk.raw.partial"), &path).unwrap();
    let mut reused = FileTarget::reuse(&path).unwrap();
    fs::rename(&path, folder.path().join("moved")).unwrap();
    fs::write(&path, "other").unwrap();
    assert_eq!(
        reused.begin(5, 0).unwrap_err().kind(),
        io::ErrorKind::NotFound
    );
    drop(reused);
    assert_eq!(names(folder.path()), ["disk.raw", "moved"]);
    assert_eq!(fs::read(&path).unwrap(), b"other");
}

#[test]
fn a_folder_that_was_replaced_gets_nothing_and_loses_nothing() {
    let home = TempDir::new().unwrap();
    let (folder, moved) = (home.path().join("disks"), home.path().join("moved"));
    fs::create_dir(&folder).unwrap();
    let mut target = begun(&folder.join("disk.raw"));
    fs::rename(&folder, &moved).unwrap();
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("disk.raw.partial"), "other").unwrap();
    let error = target.finish(false).unwrap_err();
    assert!(error.to_string().contains("was moved"), "{error}");
    drop(target);
    assert_eq!(names(&folder), ["disk.raw.partial"]);
    assert_eq!(fs::read(folder.join("disk.raw.partial")).unwrap(), b"other");
    assert_eq!(fs::read(moved.join("disk.raw.partial")).unwrap(), b"first");
    // Nothing was written: the empty file goes, where it is.
    let empty = FileTarget::create(folder.join("b")).unwrap();
    fs::rename(&folder, home.path().join("again")).unwrap();
    drop(empty);
    assert_eq!(names(&home.path().join("again")), ["disk.raw.partial"]);
}

#[test]
fn links_in_place_of_an_unfinished_file_are_not_followed() {
    let folder = TempDir::new().unwrap();
    let precious = folder.path().join("precious");
    fs::write(&precious, "precious").unwrap();
    let path = folder.path().join("disk.raw");
    let partial = folder.path().join("disk.raw.partial");
    for to in [&*precious, Path::new("nowhere")] {
        symlink(to, &partial).unwrap();
        refused(FileTarget::create(&path), "symbolic link");
        refused(FileTarget::replace(&path), "symbolic link");
        refused(FileTarget::reuse(&path), "symbolic link");
        fs::remove_file(&partial).unwrap();
    }
    fs::hard_link(&precious, &partial).unwrap();
    refused(FileTarget::create(&path), "has other names");
    assert_eq!(names(folder.path()), ["disk.raw.partial", "precious"]);
    assert_eq!(fs::read(&precious).unwrap(), b"precious");
}

#[test]
fn an_unfinished_file_of_somebody_else_is_refused() {
    if !is_root() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("disk.raw");
    let partial = folder.path().join("disk.raw.partial");
    fs::write(&partial, "theirs").unwrap();
    chown(&partial, Some(65534), None).unwrap();
    refused(FileTarget::create(&path), "belongs to somebody else");
    fs::write(&partial, "").unwrap();
    refused(FileTarget::create(&path), "belongs to somebody else");
    assert_eq!(names(folder.path()), ["disk.raw.partial"]);
    // Where it is to replace a file of theirs, or is one that was being changed, it is no stranger's.
    fs::write(&path, "old").unwrap();
    chown(&path, Some(65534), Some(65534)).unwrap();
    write(&path, FileTarget::replace(&path).unwrap());
    assert_eq!(path.metadata().unwrap().uid(), 65534);
    fs::rename(&path, &partial).unwrap();
    write(&path, FileTarget::reuse(&path).unwrap());
}

#[test]
fn a_new_file_is_for_its_owner_alone() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("disk.raw");
    let target = FileTarget::create(&path).unwrap();
    assert_eq!(mode(target.partial_path()), 0o600);
    write(&path, target);
    assert_eq!(mode(&path), 0o600);
}

#[test]
fn a_replaced_file_hands_down_its_mode_and_its_owner() {
    for bits in [0o640, 0o604, 0o400, 0o666] {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("disk.raw");
        File::create(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(bits)).unwrap();
        if is_root() {
            chown(&path, Some(65534), Some(65533)).unwrap();
        }
        let before = path.metadata().unwrap();
        let target = FileTarget::replace(&path).unwrap();
        let partial = target.partial_path().to_owned();
        assert_eq!(mode(&partial), bits | 0o600);
        drop(target);
        assert_eq!(names(folder.path()), ["disk.raw"]);
        // It goes on with it, too.
        let mut target = FileTarget::replace(&path).unwrap();
        target.begin(4, 0).unwrap();
        target.write(b"ne").unwrap();
        drop(target);
        write(&path, FileTarget::replace(&path).unwrap());
        let after = path.metadata().unwrap();
        assert_ne!(after.ino(), before.ino());
        assert_eq!(after.mode(), before.mode());
        assert_eq!((after.uid(), after.gid()), (before.uid(), before.gid()));
    }
}

#[test]
fn a_link_that_leads_nowhere_is_told() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("link");
    symlink("nowhere", &path).unwrap();
    for open in [FileTarget::create, FileTarget::replace, FileTarget::reuse] {
        refused(open(&path), "leads to no file");
    }
    assert_eq!(names(folder.path()), ["link"]);
}

#[test]
fn no_empty_file_stays_where_a_target_cannot_be_made() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("disk.raw");
    fs::create_dir(folder.path().join("disk.raw.partial")).unwrap();
    assert!(FileTarget::create(&path).is_err());
    fs::remove_dir(folder.path().join("disk.raw.partial")).unwrap();
    let made = Command::new("mkfifo")
        .arg(folder.path().join("disk.raw.partial"))
        .status();
    assert!(made.unwrap().success());
    refused(FileTarget::create(&path), "not a regular file");
    assert_eq!(names(folder.path()), ["disk.raw.partial"]);
}
