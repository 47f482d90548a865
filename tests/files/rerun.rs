//! Extractions that run again: after their end, and after something stopped them.

use std::fs;
use std::path::{Path, PathBuf};

use chunk_restore::files::{Extract, ExtractReport, Files, Selection};
use chunk_restore::{Cancel, ErrorKind, Restore};
use testkit::pxar::{Content, Layout, Node, Tree, assert_same, describe_folder, encode};

use crate::extract::{UNFINISHED, folder, open, paths, small_tree};
use crate::made::snapshot;

fn failed(report: &ExtractReport) -> Vec<PathBuf> {
    let failures = report.failures.iter();
    failures.map(|failure| failure.path.clone()).collect()
}

fn run(extract: &Extract, tree: &Tree, target: &Path) -> ExtractReport {
    let files = open(tree, &Layout::v1());
    extract.run(&files, target, |_| {}).unwrap()
}

/// Extracts until the observer was called so often.
fn stop(extract: &Extract, tree: &Tree, target: &Path, calls: usize) {
    let cancel = Cancel::new();
    let (snapshot, _) = snapshot(&encode(tree, &Layout::v1()));
    let files = Files::open(&Restore::new().cancel(&cancel), &snapshot, "root.pxar").unwrap();
    let mut seen = 0;
    let stopped = extract.run(&files, target, |_| {
        seen += 1;
        if seen == calls {
            cancel.cancel();
        }
    });
    assert_eq!(stopped.unwrap_err().kind(), ErrorKind::Cancelled);
}

/// Takes the times from the files below a folder, as a kill does before their data is durable. The
/// files that are not in `before` have `time` then.
fn untime(target: &Path, before: &[PathBuf], time: Option<std::time::SystemTime>) {
    for path in paths(target) {
        let path = target.join(&path);
        if path.is_symlink() || !path.is_file() || before.contains(&path) {
            continue;
        }
        let time = time.unwrap_or_else(std::time::SystemTime::now);
        let file = fs::File::open(&path).unwrap();
        file.set_modified(time).unwrap();
    }
}

#[test]
fn an_extraction_that_was_stopped_goes_on() {
    let mut tree = Tree::new();
    for number in 0..200 {
        let name = format!("d{}/f{number:03}", number / 20);
        if number % 20 == 0 {
            tree = tree.add(format!("d{}", number / 20), Node::directory());
        }
        tree = tree.add(name, Node::file(Content::random(number, 3000)));
    }
    let folder = folder();
    let target = folder.path().join("target");
    let (snapshot, _) = snapshot(&encode(&tree, &Layout::v1()));
    for stop in [1, 50, 120] {
        let cancel = Cancel::new();
        let restore = Restore::new().cancel(&cancel);
        let files = Files::open(&restore, &snapshot, "root.pxar").unwrap();
        let mut seen = 0;
        let stopped = Extract::new().run(&files, &target, |_| {
            seen += 1;
            if seen == stop {
                cancel.cancel();
            }
        });
        assert_eq!(stopped.unwrap_err().kind(), ErrorKind::Cancelled);
        assert!(target.join(UNFINISHED).exists());
    }
    let files = Files::open(&Restore::new(), &snapshot, "root.pxar").unwrap();
    let report = Extract::new().run(&files, &target, |_| {}).unwrap();
    assert!(report.is_complete(), "{report:?}");
    // What was whole when the others were stopped is kept.
    assert!(report.kept >= 50, "{report:?}");
    assert!(!target.join(UNFINISHED).exists());
    assert_same(&describe_folder(&target), &tree.manifest());
}

#[test]
fn an_extraction_that_was_finished_finds_all_that_it_made() {
    let folder = folder();
    let target = folder.path().join("target");
    run(&Extract::new(), &small_tree(), &target);
    let report = run(&Extract::new(), &small_tree(), &target);
    assert!(report.is_complete(), "{report:?}");
    assert_eq!((report.files, report.kept), (0, 3));
    assert!(!target.join(UNFINISHED).exists());
    assert_same(&describe_folder(&target), &small_tree().manifest());
}

#[test]
fn a_directory_that_was_changed_since_is_not_taken_for_one_of_an_earlier_extraction() {
    let folder = folder();
    let target = folder.path().join("target");
    run(&Extract::new(), &small_tree(), &target);
    fs::write(target.join("etc/mine"), "mine").unwrap();
    let report = run(&Extract::new(), &small_tree(), &target);
    assert_eq!(failed(&report), [Path::new("etc")]);
    assert!(!target.join(UNFINISHED).exists());
}

#[test]
fn another_part_of_the_archive_comes_into_directories_of_the_first() {
    let folder = folder();
    let target = folder.path().join("target");
    let part = Extract::new().selection(Selection::default().path("etc/hosts"));
    run(&part, &small_tree(), &target);
    // Stopped in the middle, it has changed the directory.
    for calls in [2, 3, 4] {
        stop(&Extract::new(), &small_tree(), &target, calls);
    }
    let report = run(&Extract::new(), &small_tree(), &target);
    assert!(report.is_complete(), "{report:?}");
    assert_same(&describe_folder(&target), &small_tree().manifest());
    assert!(!target.join(UNFINISHED).exists());
}

#[test]
fn a_file_that_did_not_become_durable_is_replaced_beside_files_of_the_user_too() {
    let tree = Tree::new()
        .add("d", Node::directory())
        .add("d/a", Node::file("a"))
        .add("d/b", Node::file(Content::random(1, 400_000)))
        .add("d/c", Node::hard_link("d/a"))
        .add("d/e", Node::directory())
        .add("d/e/f", Node::file("f"))
        .add("d/l", Node::symlink("a"));
    let folder = folder();
    let target = folder.path().join("target");
    fs::create_dir_all(target.join("d")).unwrap();
    fs::write(target.join("d/mine"), "mine").unwrap();
    let into = Extract::new().allow_existing_directories(true);
    // The times as they are before the data is durable, as a kill leaves them.
    let mut time = None;
    let files = open(&tree, &Layout::v1());
    into.run(&files, &target, |_| {
        // Files of this length are made one after the other, and no data is durable before the end.
        if time.is_none() {
            let found = fs::metadata(target.join("d/b"));
            time = found.ok().and_then(|found| found.modified().ok());
        }
    })
    .unwrap();
    let mine = [target.join("d/mine")];
    untime(&target, &mine, time);
    let report = run(&into, &tree, &target);
    assert!(report.is_complete(), "{report:?}");
    assert_eq!((report.files, report.kept), (3, 0));
    assert_eq!(fs::read(target.join("d/mine")).unwrap(), b"mine");
    fs::remove_file(target.join("d/mine")).unwrap();
    run(&into, &tree, &target);
    assert_same(&describe_folder(&target), &tree.manifest());

    // With any other time, it may be the user's.
    untime(&target, &[], None);
    let report = run(&into, &tree, &target);
    assert_eq!(
        failed(&report),
        ["d/a", "d/b", "d/c", "d/e/f"].map(Path::new)
    );
}

#[test]
fn a_folder_of_its_own_gets_its_properties_also_if_the_first_extraction_was_stopped() {
    let mut tree = small_tree();
    tree.meta.mode = 0o751;
    let folder = folder();
    let target = folder.path().join("target");
    let part = Extract::new().selection(Selection::default().path("etc").path("var/log.gz"));
    stop(&part, &tree, &target, 2);
    let report = run(&part, &tree, &target);
    assert!(report.is_complete(), "{report:?}");
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(&target).unwrap());
    assert_eq!(mode & 0o7777, 0o751);
}
