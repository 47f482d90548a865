//! Extractions of a part of an archive.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use chunk_restore::ErrorKind;
use chunk_restore::files::{Extract, Selection};
use testkit::pxar::Layout;

use crate::extract::{folder, open, paths, small_tree, whole};

#[test]
fn a_selection_takes_no_more_than_it_says() {
    let patterns = |patterns: &[&str]| {
        let mut selection = Selection::default();
        for pattern in patterns {
            selection = selection.pattern(pattern).unwrap();
        }
        selection
    };
    let cases: [(Selection, &[&str]); 6] = [
        (
            Selection::default().path("/var/hosts"),
            &["var", "var/hosts"],
        ),
        (
            Selection::default().path("etc/empty").path("var/log.gz"),
            &["etc", "etc/empty", "var", "var/log.gz"],
        ),
        (
            patterns(&["hosts"]),
            &["etc", "etc/hosts", "var", "var/hosts"],
        ),
        (
            patterns(&["var", "!*.gz"]),
            &["var", "var/big", "var/hosts"],
        ),
        (patterns(&["!var"]), &[]),
        (patterns(&["empty/"]), &["etc", "etc/empty"]),
    ];
    for layout in [Layout::v1(), Layout::split()] {
        let files = open(&small_tree(), &layout);
        for (selection, expected) in &cases {
            let folder = folder();
            let extract = Extract::new().selection(selection.clone());
            whole(&extract, &files, folder.path());
            let expected: Vec<PathBuf> = expected.iter().map(PathBuf::from).collect();
            assert_eq!(paths(folder.path()), expected, "{selection:?}");
        }
        let folder = folder();
        let target = folder.path().join("target");
        let extract = Extract::new().selection(Selection::default().path("etc/none"));
        let error = extract.run(&files, &target, |_| {}).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(!target.exists());
    }
}

#[test]
fn several_paths_of_one_directory_stay_in_it() {
    for layout in [Layout::v1(), Layout::split()] {
        let files = open(&small_tree(), &layout);
        let folder = folder();
        let paths = [
            "etc/link",
            "etc/hosts",
            "var/log.gz",
            "etc/empty",
            "var/big",
        ];
        let selection = paths
            .iter()
            .fold(Selection::default(), |all, path| all.path(path));
        let report = whole(&Extract::new().selection(selection), &files, folder.path());
        // The folder itself, both directories, and the empty one.
        assert_eq!(report.directories, 4);
        let mut expected: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
        expected.extend(["etc", "var"].map(PathBuf::from));
        expected.sort();
        assert_eq!(self::paths(folder.path()), expected);
    }
}

#[test]
fn a_link_to_a_file_that_is_not_taken_is_the_file() {
    let files = open(&small_tree(), &Layout::v1());
    let folder = folder();
    let selection = Selection::default().path("var/hosts").path("etc/other");
    whole(&Extract::new().selection(selection), &files, folder.path());
    let read = |path| fs::read(folder.path().join(path)).unwrap();
    assert_eq!(read("var/hosts"), b"localhost\n");
    let inode = |path| fs::metadata(folder.path().join(path)).unwrap().ino();
    assert_eq!(inode("var/hosts"), inode("etc/other"));
}
