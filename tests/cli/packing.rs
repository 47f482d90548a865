//! `restore files .. - --format`: the files of an archive on standard output, as one tar or zip archive.

use std::fs;
use std::path::Path;

use testkit::pxar::{Layout, Node, Tree, assert_same, describe_folder};

use crate::files::{folder, made, own, run};
use crate::home::{Home, events};
use crate::running::{has, sh};

fn tree() -> Tree {
    Tree::new()
        .add("docs", own(Node::directory()))
        .add("docs/a", own(Node::file("first")))
        .add("docs/b", Node::hard_link("docs/a"))
        .add("docs/socket", own(Node::socket()))
        .add("other", own(Node::file("other")))
}

/// Unpacks an archive by a program that every Debian has. `false` if it is not there, which is said.
fn unpack(home: &Home, program: &str, archive: &[u8], target: &Path) -> bool {
    if !has(&[program]) {
        return false;
    }
    let (file, target) = (home.path("archive"), target.display());
    fs::write(&file, archive).unwrap();
    let file = file.display();
    match program {
        "tar" => sh(
            home,
            &format!("tar --numeric-owner -xpf {file} -C {target}"),
        ),
        _ => sh(home, &format!("python3 -m zipfile -e {file} {target}")),
    };
    true
}

#[test]
fn a_tar_archive_has_all_that_was_selected_and_names_what_it_lacks() {
    let home = Home::new();
    for layout in [Layout::v1(), Layout::split()] {
        let (_, _) = made(&home, &tree(), &layout);
        let packed = run(&home, "files host/made root.pxar - docs --format tar").expect(0);
        let packed = packed.says("left out: sockets of 1 entry, first of docs/socket");
        let folder = folder();
        if !unpack(&home, "tar", &packed.stdout, folder.path()) {
            return;
        }
        let mut expected = tree();
        expected.children.remove(&b"other"[..]);
        let socket = |line: &str| !line.contains("docs/socket");
        let expected: Vec<String> = expected.manifest().lines().map(str::to_owned).collect();
        let expected: Vec<String> = expected.into_iter().filter(|line| socket(line)).collect();
        let found = describe_folder(folder.path());
        // The root of the tree belongs to root.
        let without_root = |text: &str| {
            let lines = text.lines().filter(|line| !line.starts_with(". "));
            lines.map(|line| format!("{line}\n")).collect::<String>()
        };
        assert_same(&without_root(&found), &without_root(&expected.join("\n")));
        fs::remove_dir_all(home.path("store")).unwrap();
    }
}

#[test]
fn a_zip_archive_has_the_files() {
    let home = Home::new();
    let (_, _) = made(&home, &tree(), &Layout::split());
    let packed = run(&home, "files host/made root.pxar - --format zip").expect(0);
    let folder = folder();
    if !unpack(&home, "python3", &packed.stdout, folder.path()) {
        return;
    }
    for (path, content) in [("docs/a", "first"), ("docs/b", "first"), ("other", "other")] {
        assert_eq!(
            fs::read_to_string(folder.path().join(path)).unwrap(),
            content
        );
    }
}

#[test]
fn patterns_choose_and_those_that_match_nothing_are_named() {
    let home = Home::new();
    let (_, _) = made(&home, &tree(), &Layout::split());
    let command = "files host/made root.pxar - --format tar --pattern nosuch* --pattern b";
    let packed = run(&home, command).expect(0);
    let packed = packed.says("nothing matches 'nosuch*'");
    let folder = folder();
    if !unpack(&home, "tar", &packed.stdout, folder.path()) {
        return;
    }
    let read = |path| fs::read_to_string(folder.path().join(path));
    assert_eq!(read("docs/b").unwrap(), "first");
    assert!(read("docs/a").is_err() && read("other").is_err());
    run(&home, "files host/made root.pxar out --pattern !b")
        .expect(2)
        .says("each pattern excludes");
}

#[test]
fn several_paths_of_one_folder_are_in_the_folder_once() {
    let home = Home::new();
    let (_, _) = made(&home, &tree(), &Layout::v1());
    let packed = run(
        &home,
        "files host/made root.pxar - docs/b docs/a --format zip",
    );
    let folder = folder();
    if !unpack(&home, "python3", &packed.expect(0).stdout, folder.path()) {
        return;
    }
    for path in ["docs/a", "docs/b"] {
        assert_eq!(
            fs::read_to_string(folder.path().join(path)).unwrap(),
            "first"
        );
    }
}

#[test]
fn lost_bytes_end_it_or_are_zeros_and_named() {
    let home = Home::new();
    let content = testkit::pxar::Content::random(1, 40_000);
    let bytes = content.to_vec();
    let tree = Tree::new().add("f", own(Node::file(content)));
    let (store, info) = made(&home, &tree, &Layout::split());
    store.remove_chunk(&info.archive("root.ppxar").digests[2]);
    let command = "files host/made root.pxar - --format tar";
    run(&home, command).expect(7);
    let salvaged = run(&home, &format!("{command} --salvage")).expect(3);
    let salvaged = salvaged
        .says("lost: ")
        .says(" of f: their chunk is missing");
    let folder = folder();
    if !unpack(&home, "tar", &salvaged.stdout, folder.path()) {
        return;
    }
    let found = fs::read(folder.path().join("f")).unwrap();
    assert_eq!(found.len(), bytes.len());
    let differ = found
        .iter()
        .zip(&bytes)
        .filter(|(found, byte)| found != byte);
    let differ: Vec<u8> = differ.map(|(found, _)| *found).collect();
    assert!(differ.iter().all(|byte| *byte == 0));
    assert!((1000..20_000).contains(&differ.len()), "{}", differ.len());
}

#[test]
fn a_format_and_standard_output_belong_together() {
    let home = Home::new();
    let (_, _) = made(&home, &tree(), &Layout::v1());
    run(&home, "files host/made root.pxar -")
        .expect(2)
        .says("--format tar");
    run(&home, "files host/made root.pxar folder --format tar")
        .expect(2)
        .says("name `-`");
    for option in [
        "--no-special",
        "--ignore-acls",
        "--overwrite-files",
        "--verify",
    ] {
        let command = format!("files host/made root.pxar - --format tar {option}");
        run(&home, &command).expect(2).says("cannot be used with");
    }
    assert!(!home.path("folder").exists() && !home.path("-").exists());
}

#[test]
fn the_progress_is_told_beside_the_archive() {
    let home = Home::new();
    let (_, _) = made(&home, &tree(), &Layout::v1());
    let packed = run(
        &home,
        "files host/made root.pxar - --format tar --output-format json",
    );
    let packed = packed.expect(0);
    let told = events(&packed.stderr);
    let of_sort = |sort: &str| told.iter().find(|event| event["event"] == sort);
    for member in ["entries", "bytes", "lost", "seconds"] {
        for sort in ["progress", "packed"] {
            assert!(
                of_sort(sort).unwrap()[member].is_number(),
                "{sort} {member}"
            );
        }
    }
}
