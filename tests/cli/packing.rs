//! `restore files .. - --format`: the files of an archive on standard output, as one tar or zip archive.

use std::fs;
use std::path::Path;
use std::process::Command;

use testkit::pxar::{Layout, Node, Tree, assert_same, describe_folder};

use crate::files::{folder, made, own, run};
use crate::home::{Home, finish};

fn tree() -> Tree {
    Tree::new()
        .add("docs", own(Node::directory()))
        .add("docs/a", own(Node::file("first")))
        .add("docs/b", Node::hard_link("docs/a"))
        .add("docs/socket", own(Node::socket()))
        .add("other", own(Node::file("other")))
}

/// Unpacks an archive by a program that every Debian has.
fn unpack(home: &Home, program: &str, archive: &[u8], target: &Path) {
    let file = home.path("archive");
    fs::write(&file, archive).unwrap();
    let file = file.display();
    let target = target.display();
    let mut command = match program {
        "tar" => shell(&format!("tar --numeric-owner -xpf {file} -C {target}")),
        _ => shell(&format!("python3 -m zipfile -e {file} {target}")),
    };
    finish(&mut command).expect(0);
}

fn shell(line: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", line]);
    command
}

#[test]
fn a_tar_archive_has_all_that_was_selected_and_names_what_it_lacks() {
    let home = Home::new();
    for layout in [Layout::v1(), Layout::split()] {
        let (_, _) = made(&home, &tree(), &layout);
        let packed = run(&home, "files host/made root.pxar - docs --format tar").expect(0);
        let packed = packed.says("left out: sockets of 1 entry, first of docs/socket");
        let folder = folder();
        unpack(&home, "tar", &packed.stdout, folder.path());
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
    unpack(&home, "zip", &packed.stdout, folder.path());
    for (path, content) in [("docs/a", "first"), ("docs/b", "first"), ("other", "other")] {
        assert_eq!(
            fs::read_to_string(folder.path().join(path)).unwrap(),
            content
        );
    }
}

#[test]
fn lost_bytes_end_it_or_are_zeros_and_named() {
    let home = Home::new();
    let content = testkit::pxar::Content::random(1, 40_000);
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
    unpack(&home, "tar", &salvaged.stdout, folder.path());
    assert_eq!(fs::metadata(folder.path().join("f")).unwrap().len(), 40_000);
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
    assert!(!home.path("folder").exists() && !home.path("-").exists());
}
