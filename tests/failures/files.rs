//! Manifests, indexes and other files that are missing or not what they should be, and places that are none.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use chunk_restore::{ErrorKind, OpenOptions, Restore, Scope};
use tempfile::TempDir;
use testkit::{Folder, Image, SnapshotBuilder, Workload};

use crate::disks::{Loop, Mount, run};
use crate::support::{DISK, Memory, SNAPSHOT};
use crate::{CHUNK, chain, folder, image, open};

#[test]
fn what_does_not_exist_is_answered_with_what_does() {
    let (folder, _, _) = folder();
    let datastore = open(&folder);
    for (result, words) in [
        (
            datastore.snapshot("vm/100/2020-01-01T00:00:00Z").map(drop),
            SNAPSHOT,
        ),
        (datastore.snapshot("vm/7").map(drop), "vm/100"),
        (
            datastore.snapshot("ct/7/2020-01-01T00:00:00Z").map(drop),
            "vm/100",
        ),
        (
            datastore
                .snapshot(SNAPSHOT)
                .unwrap()
                .archive("drive-scsi9.img")
                .map(drop),
            DISK,
        ),
        (
            datastore
                .snapshot(SNAPSHOT)
                .unwrap()
                .read("nothing.conf")
                .map(drop),
            "qemu-server.conf",
        ),
        (
            datastore
                .in_namespace("no/such".parse().unwrap())
                .snapshots()
                .map(drop),
            "no/such",
        ),
        (
            datastore
                .in_namespace("no/such".parse().unwrap())
                .snapshot("vm/1")
                .map(drop),
            "no such namespace",
        ),
    ] {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn a_small_file_and_an_archive_are_not_taken_for_one_another() {
    let (folder, _, _) = folder();
    let snapshot = open(&folder).snapshot(SNAPSHOT).unwrap();
    assert_eq!(
        snapshot.archive("qemu-server.conf").unwrap_err().kind(),
        ErrorKind::Invalid
    );
    assert_eq!(snapshot.read(DISK).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(
        snapshot.read("qemu-server.conf").unwrap(),
        b"memory: 2048\n"
    );
}

#[test]
fn a_snapshot_without_a_manifest_is_unfinished() {
    let (folder, store, _) = folder();
    let older = "vm/100/2025-01-01T00:00:00Z";
    SnapshotBuilder::new(older)
        .chunk_size(CHUNK)
        .image(DISK, image())
        .write_to(&store);
    fs::remove_file(store.snapshot_path("", SNAPSHOT).join("index.json.blob")).unwrap();
    let datastore = open(&folder);
    let error = datastore.snapshot(SNAPSHOT).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("unfinished"), "{error}");
    assert_eq!(
        datastore.snapshot("vm/100").unwrap().name().to_string(),
        older
    );
    let listed = datastore.snapshots().unwrap();
    let finished: Vec<bool> = listed.iter().map(|snapshot| snapshot.is_finished).collect();
    assert_eq!(finished, [true, false]);
}

#[test]
fn the_manifest_of_another_snapshot_is_refused() {
    let (folder, store, _) = folder();
    let other = "vm/100/2025-01-01T00:00:00Z";
    let copy = store.snapshot_path("", other);
    fs::create_dir_all(&copy).unwrap();
    for file in ["index.json.blob", "drive-scsi0.img.fidx"] {
        fs::copy(
            store.snapshot_path("", SNAPSHOT).join(file),
            copy.join(file),
        )
        .unwrap();
    }
    let error = open(&folder).snapshot(other).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains(SNAPSHOT), "{error}");
}

#[test]
fn an_index_that_is_not_the_manifests_is_refused() {
    let (folder, store, _) = folder();
    let path = store
        .snapshot_path("", SNAPSHOT)
        .join("drive-scsi0.img.fidx");
    let other = TempDir::new().unwrap();
    let other_store = Folder::new(other.path());
    let shorter = Image::new(Workload::Incompressible, 1, 3 * CHUNK, CHUNK);
    SnapshotBuilder::new(SNAPSHOT)
        .chunk_size(CHUNK)
        .image(DISK, shorter)
        .write_to(&other_store);
    fs::copy(
        other_store
            .snapshot_path("", SNAPSHOT)
            .join("drive-scsi0.img.fidx"),
        &path,
    )
    .unwrap();
    let error = open(&folder)
        .snapshot(SNAPSHOT)
        .unwrap()
        .archive(DISK)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(
        error
            .to_string()
            .contains("not the index that the manifest"),
        "{error}"
    );
}

#[test]
fn a_small_file_that_was_changed_is_refused() {
    let (folder, store, _) = folder();
    let path = store
        .snapshot_path("", SNAPSHOT)
        .join("qemu-server.conf.blob");
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    let error = open(&folder)
        .snapshot(SNAPSHOT)
        .unwrap()
        .read("qemu-server.conf")
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

#[test]
fn a_folder_that_is_no_datastore_is_not_opened() {
    let folder = TempDir::new().unwrap();
    let error = OpenOptions::new()
        .open(&format!("dir:{}", folder.path().display()))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(chain(&error).contains(".chunks"), "{error:?}");
    let nowhere = folder.path().join("no/such");
    let error = OpenOptions::new()
        .open(&nowhere.display().to_string())
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(!Path::new(&nowhere).exists());
}

#[test]
fn of_a_datastore_that_went_away_nothing_is_lost() {
    for comes_another in [false, true] {
        let (folder, _, digests) = folder();
        let archive = open(&folder).snapshot(SNAPSHOT).unwrap();
        let archive = archive.archive(DISK).unwrap();
        let chunks = folder.path().join(".chunks");
        let salvage = Restore::new()
            .salvage(true)
            .patience(Duration::from_millis(300));
        // As when a disk is pulled out, or another file system is mounted in its place.
        fs::rename(&chunks, folder.path().join("away")).unwrap();
        if comes_another {
            fs::create_dir_all(chunks.join("0000")).unwrap();
        }
        let error = salvage.run(&archive, &mut Memory::default()).unwrap_err();
        assert_eq!(
            (error.kind(), error.scope()),
            (ErrorKind::Unavailable, Some(Scope::Place)),
            "{error:?}"
        );
        assert!(chain(&error).contains("out of reach"), "{error:?}");

        // It comes back, with one chunk less: that one is lost, and nothing else.
        if comes_another {
            fs::remove_dir_all(&chunks).unwrap();
        }
        fs::rename(folder.path().join("away"), &chunks).unwrap();
        let name = testkit::hex(&digests[3]);
        fs::remove_file(chunks.join(&name[..4]).join(&name)).unwrap();
        let report = salvage.run(&archive, &mut Memory::default()).unwrap();
        let lost = report.damage.iter();
        let lost: Vec<_> = lost.map(|damage| (damage.position, damage.kind)).collect();
        assert_eq!(lost, [(3, ErrorKind::Missing)]);
    }
}

#[test]
fn nothing_is_missing_behind_a_link_that_leads_nowhere() {
    let (folder, store, digests) = folder();
    let archive = open(&folder).snapshot(SNAPSHOT).unwrap();
    let archive = archive.archive(DISK).unwrap();
    let name = testkit::hex(&digests[3]);
    let prefix = folder.path().join(".chunks").join(&name[..4]);
    for moved in [&prefix, &prefix.join(&name)] {
        for target in [Path::new("/no/such"), moved] {
            let away = folder.path().join("away");
            fs::rename(moved, &away).unwrap();
            symlink(target, moved).unwrap();
            let salvage = Restore::new().salvage(true);
            let error = salvage
                .patience(Duration::from_millis(300))
                .run(&archive, &mut Memory::default())
                .unwrap_err();
            assert_eq!(
                (error.kind(), error.scope()),
                (ErrorKind::Unavailable, Some(Scope::Place)),
                "{error:?}"
            );
            let link = format!("{} is a symbolic link to", moved.display());
            assert!(chain(&error).contains(&link), "{error:?}");
            fs::remove_file(moved).unwrap();
            fs::rename(&away, moved).unwrap();
        }
    }

    let chunks = folder.path().join(".chunks");
    let linked = TempDir::new().unwrap();
    symlink(&chunks, linked.path().join(".chunks")).unwrap();
    let linked = linked.path().display().to_string();
    OpenOptions::new().open(&linked).unwrap();
    fs::rename(&chunks, folder.path().join("away")).unwrap();
    let error = OpenOptions::new().open(&linked).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(chain(&error).contains("is a symbolic link to"), "{error:?}");
    fs::rename(folder.path().join("away"), &chunks).unwrap();

    // The same of the files of a snapshot, and of the folders above them.
    let snapshot = store.snapshot_path("", SNAPSHOT);
    let group = snapshot.parent().unwrap();
    let manifest = snapshot.join("index.json.blob");
    for moved in [group.parent().unwrap(), group, &snapshot, &manifest] {
        let away = folder.path().join("away");
        fs::rename(moved, &away).unwrap();
        symlink("/no/such", moved).unwrap();
        for name in [SNAPSHOT, "vm/100"] {
            let error = open(&folder).snapshot(name).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
            assert!(chain(&error).contains("is a symbolic link to"), "{error:?}");
        }
        fs::remove_file(moved).unwrap();
        fs::rename(&away, moved).unwrap();
    }

    // A group behind such a link keeps no other from being listed.
    symlink("/no/such", group.with_file_name("101")).unwrap();
    let datastore = open(&folder);
    assert_eq!(datastore.snapshots().unwrap().len(), 1);
    let passed_over = datastore.passed_over(None);
    assert!(
        passed_over[0].contains("vm/101 is a symbolic link to"),
        "{passed_over:?}"
    );
    assert_eq!(passed_over.len(), 1, "{passed_over:?}");
}

/// A disk with a datastore on it, mounted, of which only the folders are in the cache.
fn disk() -> Option<(Mount, Loop)> {
    let device = Loop::thin(16 << 20)?;
    run(Command::new("mkfs.ext4").arg("-q").arg(device.path()))?;
    let (folder, ..) = folder();
    let mount = Mount::device(device.path())?;
    run(Command::new("cp")
        .arg("-rT")
        .args([folder.path(), mount.path()]))?;
    drop(mount);
    let mount = Mount::device(device.path())?;
    run(Command::new("ls").arg("-lR").arg(mount.path()))?;
    Some((mount, device))
}

#[test]
fn of_a_disk_that_was_pulled_out_nothing_is_lost() {
    let Some((mount, device)) = disk() else {
        return;
    };
    let place = mount.path().display().to_string();
    let snapshot = OpenOptions::new().open(&place).unwrap().snapshot(SNAPSHOT);
    let archive = snapshot.unwrap().archive(DISK).unwrap();
    let pulled = File::options().write(true).open(device.file());
    pulled.unwrap().set_len(0).unwrap();
    let error = Restore::new()
        .salvage(true)
        .patience(Duration::from_millis(300))
        .run(&archive, &mut Memory::default())
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.scope()),
        (ErrorKind::Unavailable, Some(Scope::Place)),
        "{error:?}"
    );
    assert!(chain(&error).contains("out of reach"), "{error:?}");
}
