//! `restore get`: file archives become folders of files, beside disks and small files.

use std::fs;

use testkit::pxar::{Layout, assert_same, describe, describe_folder, encode};
use testkit::{Folder, Image, SnapshotBuilder, Store as _, Workload};

use crate::files::{UNFINISHED, run, small_tree};
use crate::home::Home;

const SNAPSHOT: &str = "host/made/2026-01-02T03:04:05Z";

fn builder() -> SnapshotBuilder {
    SnapshotBuilder::new(SNAPSHOT).chunk_size(4096)
}

/// A home with a datastore: two file archives, one of them split, a disk, a small file and a catalog.
fn home() -> (Home, Folder) {
    let home = Home::new();
    let store = Folder::new(home.path("store"));
    builder()
        .files("root.pxar", &encode(&small_tree(), &Layout::v1()), 1)
        .files("data.pxar", &encode(&small_tree(), &Layout::split()), 2)
        .image(
            "disk.img",
            Image::new(Workload::Incompressible, 1, 16_384, 4096),
        )
        .blob("conf", b"cores: 2\n")
        .archive("catalog.pcat1", &[7; 5000], &[5000])
        .write_to(&store);
    (home, store)
}

fn check_folders(home: &Home, folder: &str, names: &[&str]) {
    for name in names {
        let path = home.path(folder).join(name);
        assert_same(&describe_folder(path), &small_tree().manifest());
    }
}

#[test]
fn file_archives_become_folders() {
    let (home, _) = home();
    let told = run(&home, "get host/made out").expect(0).text();
    assert_eq!(told.lines().count(), 5, "{told}");
    assert!(
        told.contains("\nout/data: 3 files with 21 bytes in "),
        "{told}"
    );
    assert_eq!(
        home.names_in("out"),
        ["catalog.pcat1", "conf", "data", "disk.img", "root"]
    );
    check_folders(&home, "out", &["data", "root"]);

    // Again: everything is there.
    let told = run(&home, "get host/made out").expect(0).text();
    assert!(
        told.contains("out/root: 0 files with 0 bytes in "),
        "{told}"
    );
    check_folders(&home, "out", &["data", "root"]);

    for (number, names) in [
        "data.pxar",
        "data.mpxar",
        "data.ppxar data.pxar",
        "data.mpxar.didx",
    ]
    .into_iter()
    .enumerate()
    {
        run(&home, &format!("get host/made {names} only{number}")).expect(0);
        assert_eq!(home.names_in(&format!("only{number}")), ["data"]);
        check_folders(&home, &format!("only{number}"), &["data"]);
    }
    for name in ["root.pxar", "data.pxar", "data.ppxar"] {
        run(&home, &format!("get host/made {name}"))
            .expect(2)
            .says(&format!(
                "{name} is an archive: the last argument is the folder"
            ));
    }
}

#[test]
fn raw_archives_stay_streams() {
    let (home, _) = home();
    run(&home, "get host/made out --raw").expect(0);
    assert_eq!(
        home.names_in("out"),
        [
            "catalog.pcat1",
            "conf",
            "data.mpxar",
            "data.ppxar",
            "disk.img",
            "root.pxar"
        ]
    );
    let read = |name: &str| fs::read(home.path("out").join(name)).unwrap();
    assert_same(
        &describe(&read("root.pxar"), None),
        &small_tree().manifest(),
    );
    let split = describe(&read("data.mpxar"), Some(&read("data.ppxar")));
    assert_same(&split, &small_tree().manifest());
    // The name of both halves is no name of a stream.
    run(&home, "get host/made data.pxar out --raw").expect(5);
}

#[test]
fn nothing_is_replaced_unless_that_is_asked_for() {
    let (home, _) = home();
    // The last of the archives: this is found before anything is written.
    home.write("work/out/root", "mine");
    run(&home, "get host/made out")
        .expect(8)
        .says("out/root exists already, and is no folder for the files of root.pxar");
    assert_eq!(home.names_in("out"), ["root"]);
    fs::remove_file(home.path("out/root")).unwrap();

    home.write("work/out/root/etc/hosts", "mine");
    run(&home, "get host/made out")
        .expect(8)
        .says("etc/hosts is there already");
    assert_eq!(fs::read(home.path("out/root/etc/hosts")).unwrap(), b"mine");
    // All else is there.
    check_folders(&home, "out", &["data"]);
    assert!(home.path("out/root/var/b.txt").exists() && home.path("out/disk.img").exists());
    run(&home, "get host/made out --overwrite").expect(0);
    check_folders(&home, "out", &["data", "root"]);
}

#[test]
fn a_get_that_was_cut_off_goes_on_and_damage_is_salvaged() {
    let (home, store) = home();
    let index = store.file("", SNAPSHOT, "data.ppxar.didx").unwrap();
    // The header of an index of this kind has 4096 bytes; then come an offset and a digest.
    let digest: [u8; 32] = index[4096 + 8..][..32].try_into().unwrap();
    let chunk = store.chunk(&digest).unwrap();
    store.remove_chunk(&digest);
    run(&home, "get host/made out")
        .expect(7)
        .says("data.mpxar: ")
        .says("out/data is incomplete: the same command goes on with it");
    assert!(home.path("out/data").join(UNFINISHED).exists());
    let told = run(&home, "get host/made out --salvage").expect(3);
    told.says("warning: data.mpxar: lost: ");
    assert_eq!(home.names_in("out").len(), 5);
    store.put_chunk(&digest, &chunk);
    run(&home, "get host/made out").expect(0);
    check_folders(&home, "out", &["data", "root"]);
    assert!(!home.path("out/data").join(UNFINISHED).exists());
}

#[test]
fn an_archive_that_is_no_file_archive_is_named_and_the_others_come() {
    let home = Home::new();
    let store = Folder::new(home.path("store"));
    builder()
        .archive("bad.pxar", &[7; 5000], &[5000])
        .files("root.pxar", &encode(&small_tree(), &Layout::v1()), 1)
        // Half of a split archive, which is all there is.
        .archive("half.mpxar", &[7; 5000], &[5000])
        .write_to(&store);
    run(&home, "get host/made out")
        .expect(7)
        .says("bad.pxar.didx of host/made/2026-01-02T03:04:05Z is damaged");
    assert_eq!(home.names_in("out"), ["half.mpxar", "root"]);
    check_folders(&home, "out", &["root"]);
}

#[test]
fn a_folder_and_a_file_of_the_same_name_are_refused() {
    for other in ["root", "root.mpxar"] {
        let home = Home::new();
        let store = Folder::new(home.path("store"));
        let builder = builder().files("root.pxar", &encode(&small_tree(), &Layout::v1()), 1);
        let builder = match other {
            "root" => builder.blob("root", b"precious"),
            _ => builder.files("root.pxar", &encode(&small_tree(), &Layout::split()), 2),
        };
        builder.write_to(&store);
        run(&home, "get host/made out").expect(8).says(&format!(
            "root.pxar and {other} can't be restored into one folder, where both are called root"
        ));
        assert_eq!(home.names_in(""), ["store"]);
        run(&home, &format!("get host/made {other} out")).expect(0);
        run(&home, "get host/made root.pxar more").expect(0);
        check_folders(&home, "more", &["root"]);
        run(&home, "get host/made raw --raw").expect(0);
    }
}
