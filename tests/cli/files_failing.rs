//! `restore files` where something is in the way, is lost, or is stopped: what is said, and what a rerun does.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use testkit::pxar::{Content, Layout, Node, Tree, assert_same, describe_folder, encode};
use testkit::{Fault, InMemory, PbsServer, SnapshotBuilder, Store as _, When};

use crate::files::{UNFINISHED, made, own, run, small_tree};
use crate::home::{Home, events, finish};
use crate::interrupt::{NEVER, on_server, within};
use crate::running::Running;

#[test]
fn what_is_in_the_way_is_named_and_stays_unless_it_may_be_replaced() {
    let home = Home::new();
    made(&home, &small_tree(), &Layout::v1());
    home.write("work/out/etc/hosts", "mine");
    let command = "files host/made root.pxar out";
    let told = run(&home, command).expect(8);
    assert_eq!(told.text().lines().count(), 1, "{}", told.text());
    assert!(told.text().contains("1 failed"), "{}", told.text());
    let told = told
        .says("warning: not restored: root.pxar: etc is there already: existing directories are not allowed")
        .says("out is incomplete: --allow-existing-dirs extracts into directories that exist, and --overwrite");
    assert_eq!(told.stderr.matches("warning").count(), 1, "{}", told.stderr);
    assert!(home.path("out").join(UNFINISHED).exists());

    run(&home, &format!("{command} --allow-existing-dirs"))
        .expect(8)
        .says("etc/hosts is there already: files may not be overwritten");
    assert_eq!(fs::read(home.path("out/etc/hosts")).unwrap(), b"mine");
    run(
        &home,
        &format!("{command} --allow-existing-dirs --overwrite-symlinks"),
    )
    .expect(8);
    // The first name of the file is in the way of the other, too.
    run(
        &home,
        &format!("{command} --allow-existing-dirs --overwrite"),
    )
    .expect(0);
    assert_same(&describe_folder(home.path("out")), &small_tree().manifest());
}

#[test]
fn hostile_names_reach_no_terminal() {
    let home = Home::new();
    let name = b"x\x1b[31m\nwarning: all is well \\ \xff";
    let tree = small_tree().add(name, own(Node::file("new")));
    made(&home, &tree, &Layout::v1());
    fs::create_dir(home.path("out")).unwrap();
    let path = home.path("out").join(std::ffi::OsStr::from_bytes(name));
    fs::write(&path, "mine").unwrap();
    let shown = r"x\u{1b}[31m\nwarning: all is well \\ \xff";
    let told = run(&home, "files host/made root.pxar out").expect(8);
    let said = told.text() + &told.stderr;
    assert!(
        !said.contains('\x1b') && !said.contains('\u{fffd}'),
        "{said:?}"
    );
    assert_eq!(
        said.lines()
            .filter(|line| line.starts_with("warning"))
            .count(),
        1,
        "{said}"
    );
    assert!(
        said.contains(&format!("{shown} is there already")),
        "{said}"
    );

    let told = run(&home, "files host/made root.pxar out --output-format json").expect(8);
    let told = events(&told.text());
    let failed = told
        .iter()
        .find(|event| event["event"] == "entry_failed")
        .unwrap();
    assert_eq!(failed["kind"], "target");
    assert_eq!(
        failed["path"],
        "/x\x1b[31m\nwarning: all is well \\ \u{fffd}"
    );
    assert_eq!(
        failed["path_base64"],
        "L3gbWzMxbQp3YXJuaW5nOiBhbGwgaXMgd2VsbCBcIP8="
    );
}

/// A tree with a file of many chunks.
fn tree() -> Tree {
    small_tree().add("big", own(Node::file(Content::random(3, 200_000))))
}

#[test]
fn a_lost_chunk_ends_it_or_is_salvaged_and_healed() {
    for layout in [Layout::v1(), Layout::split()] {
        let home = Home::new();
        let (store, info) = made(&home, &tree(), &layout);
        // The middle of the large file.
        let archive = info.archives.last().unwrap();
        let digest = archive.digests[archive.digests.len() / 2];
        let chunk = store.chunk(&digest).unwrap();
        store.remove_chunk(&digest);

        let command = "files host/made root.pxar out --threads 2";
        run(&home, command)
            .expect(7)
            .says("is missing in the datastore")
            .says("--salvage puts zeros in place of what is damaged, and lists the files")
            .says("out is incomplete: the same command goes on with it");
        assert!(!home.path("out/big").exists());

        let told = run(&home, &format!("{command} --salvage")).expect(3);
        assert!(told.text().contains(", 1 part lost; "), "{}", told.text());
        told.says("warning: root.pxar: lost: ")
            .says(" of big: their chunk is missing");
        let big = fs::read(home.path("out/big")).unwrap();
        assert_eq!(big.len(), 200_000);
        assert!(home.path("out/var/b.txt").exists() && home.path("out").join(UNFINISHED).exists());

        let told = run(&home, &format!("{command} --salvage --output-format json")).expect(3);
        let told = events(&told.text());
        assert!(told.iter().all(|event| event["event"].is_string()));
        let lost = told.iter().find(|event| event["event"] == "lost").unwrap();
        assert_eq!(
            (&lost["path"], &lost["reason"]),
            (&"/big".into(), &"missing".into())
        );
        let (offset, len) = (
            lost["offset"].as_u64().unwrap(),
            lost["len"].as_u64().unwrap(),
        );
        let mut expected = Content::random(3, 200_000).to_vec();
        expected[offset as usize..][..len as usize].fill(0);
        assert!(big == expected);

        // The datastore is healed: only the file with zeros is made anew.
        store.put_chunk(&digest, &chunk);
        let told = run(&home, command).expect(0).text();
        assert!(told.contains("1 file with 195 KiB"), "{told}");
        assert_same(&describe_folder(home.path("out")), &tree().manifest());
    }
}

#[test]
fn files_that_are_there_are_compared_if_that_is_asked_for() {
    let home = Home::new();
    made(&home, &small_tree(), &Layout::v1());
    let command = "files host/made root.pxar out --allow-existing-dirs";
    run(&home, command).expect(0);
    // The same length and time, but not the same bytes.
    let path = home.path("out/etc/hosts");
    let time = fs::metadata(&path).unwrap().modified().unwrap();
    fs::write(&path, "otherhost\n").unwrap();
    fs::File::open(&path).unwrap().set_modified(time).unwrap();
    run(&home, command).expect(0);
    assert_eq!(fs::read(&path).unwrap(), b"otherhost\n");
    run(&home, &format!("{command} --verify"))
        .expect(8)
        .says("etc/hosts is there already");
    run(&home, &format!("{command} --verify --overwrite")).expect(0);
    assert_eq!(fs::read(&path).unwrap(), b"localhost\n");
}

#[test]
fn an_interrupted_extraction_says_that_it_goes_on() {
    within(NEVER, || {
        let home = Home::new();
        made(&home, &tree(), &Layout::v1());
        // All of it would take half a minute.
        let command = "files host/made root.pxar out --repository ./store";
        let mut running = Running::start(&home, &format!("{command} --rate 8K"));
        running.hear("progress");
        let ended = running.end("INT");
        assert_eq!(ended.code, Some(130));
        let error = ended.last("error");
        assert_eq!(
            (&error["kind"], &error["left"]),
            (&"cancelled".into(), &"out".into())
        );
        assert!(home.path("out").join(UNFINISHED).exists());
        home.run(command).expect(0);
        assert!(!home.path("out").join(UNFINISHED).exists());
        assert_same(&describe_folder(home.path("out")), &tree().manifest());
    });
}

#[test]
fn retries_are_told_while_a_place_fails() {
    let home = Home::new();
    let store = Arc::new(InMemory::new());
    let tree = tree();
    SnapshotBuilder::new("host/made/2026-01-02T03:04:05Z")
        .chunk_size(4096)
        .files("root.pxar", &encode(&tree, &Layout::split()), 1)
        .write_to(&*store);
    for (number, form) in ["text", "json"].into_iter().enumerate() {
        let server = PbsServer::start(Arc::clone(&store));
        server.on_any_chunk(When::First(2), Fault::Reset);
        let command = format!("files host/made root.pxar out{number} --output-format {form}");
        let told = finish(&mut on_server(home.command(&command), &server)).expect(0);
        match form {
            "json" => {
                let told = events(&told.text());
                let retried = told
                    .iter()
                    .find(|event| event["event"] == "retried")
                    .unwrap();
                assert_eq!(retried["archive"], "root.pxar");
                assert_eq!(retried["scope"], "place");
            }
            _ => drop(told.says("retrying: root.pxar: ")),
        }
        let target = home.path(&format!("out{number}"));
        assert_same(&describe_folder(target), &tree.manifest());
    }
}

#[test]
fn a_lost_beginning_has_a_next_step() {
    let home = Home::new();
    let (store, info) = made(&home, &tree(), &Layout::split());
    store.remove_chunk(&info.archive("root.mpxar").digests[0]);
    for command in ["files host/made root.pxar out", "ls host/made root.pxar"] {
        run(&home, command)
            .expect(7)
            .says("without its beginning, no file of root.pxar can be read");
    }
    assert!(!home.path("out").exists());
}
