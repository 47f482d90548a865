//! Extractions of archives that have lost chunks: all but what lay in them is restored, and what is lost is named.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use chunk_restore::files::{Extract, ExtractReport, Files};
use chunk_restore::{ErrorKind, Restore};
use testkit::SnapshotBuilder;
use testkit::pxar::{
    Archive, Content, Kind, Layout, Node, Tree, assert_same, describe_folder, encode,
};

use crate::damage::snapshot_without;
use crate::extract::folder;

const SNAPSHOT: &str = "host/made/2026-01-02T03:04:05Z";

/// Directories in directories, with files from none to some chunks long.
fn tree() -> Tree {
    let mut tree = Tree::new();
    for outer in 0..4 {
        tree = tree.add(format!("d{outer}"), Node::directory());
        for inner in 0..3 {
            let directory = format!("d{outer}/e{inner}");
            tree = tree.add(&directory, Node::directory());
            for file in 0..5 {
                let len = [0, 100, 900, 3000, 11_000][file];
                let content = Content::random((outer * 100 + inner * 10 + file) as u64, len);
                tree = tree.add(format!("{directory}/f{file}"), Node::file(content));
            }
        }
        tree = tree.add(format!("d{outer}/z"), Node::hard_link("d0/e0/f2"));
    }
    tree
}

fn builder(archive: &Archive) -> SnapshotBuilder {
    let builder = SnapshotBuilder::new(SNAPSHOT).chunk_size(2000);
    builder.files("root.pxar", archive, 1)
}

/// Extracts the archive with one chunk of one of its parts lost. `None` if the part has no such
/// chunk, or if the archive can't even be opened without it.
fn extract_without(
    archive: &Archive,
    part: &str,
    at: usize,
    target: &Path,
) -> Option<ExtractReport> {
    let mut has_chunk = false;
    let (snapshot, _) = snapshot_without(builder(archive), |info| {
        let digest = info.archive(part).digests.get(at);
        has_chunk = digest.is_some();
        digest.copied().into_iter().collect()
    });
    if !has_chunk {
        return None;
    }
    let files = Files::open(&Restore::new(), &snapshot, "root.pxar").unwrap();
    let strict = Extract::new().run(&files, target.join("strict"), |_| {});
    assert_eq!(strict.unwrap_err().kind(), ErrorKind::Missing);
    let extract = Extract::new().salvage(true);
    Some(extract.run(&files, target, |_| {}).unwrap())
}

/// Checks that each file is there as it should be, but for what the report names. Returns how many
/// entries are not there.
fn check(tree: &Tree, target: &Path, report: &ExtractReport) -> usize {
    let lost_in: BTreeSet<&Path> = report.failures.iter().map(|lost| &*lost.path).collect();
    let mut missing = 0;
    for (path, node) in tree.entries() {
        let path = PathBuf::from(OsStr::from_bytes(&path));
        if path.as_os_str().is_empty() {
            continue;
        }
        if fs::symlink_metadata(target.join(&path)).is_err() {
            missing += 1;
            let is_named = path
                .ancestors()
                .skip(1)
                .any(|around| lost_in.contains(around));
            assert!(is_named, "{} is not there, and not named", path.display());
            continue;
        }
        let Kind::File(content) = &node.kind else {
            continue;
        };
        let mut expected = content.to_vec();
        for damage in report.damage.iter().filter(|damage| damage.path == path) {
            let range = damage.range.start as usize..damage.range.end as usize;
            expected[range].fill(0);
        }
        let found = fs::read(target.join(&path)).unwrap();
        assert!(found == expected, "{} holds something else", path.display());
    }
    missing
}

#[test]
fn whichever_chunk_is_lost_the_rest_is_extracted_and_a_healed_archive_completes_it() {
    let tree = tree();
    let mut extractions = 0;
    for (layout, parts) in [
        (Layout::v1(), &["root.pxar"][..]),
        (Layout::split(), &["root.mpxar", "root.ppxar"]),
    ] {
        let archive = encode(&tree, &layout);
        let (whole, _) = snapshot_without(builder(&archive), |_| Vec::new());
        let healed = Files::open(&Restore::new(), &whole, "root.pxar").unwrap();
        for part in parts {
            // Without the first chunk there is no root.
            for at in 1.. {
                let folder = folder();
                let target = folder.path();
                fs::create_dir(target.join("strict")).unwrap();
                let Some(report) = extract_without(&archive, part, at, target) else {
                    break;
                };
                fs::remove_dir_all(target.join("strict")).unwrap();
                extractions += 1;
                assert!(!report.is_complete(), "chunk {at} of {part}");
                let missing = check(&tree, target, &report);
                if *part == "root.ppxar" {
                    assert_eq!(missing, 0);
                }
                // A chunk holds a few headers. That of an outer directory takes 20 entries with it.
                let limit = if *part == "root.mpxar" { 45 } else { 25 };
                assert!(
                    missing < limit,
                    "{missing} are lost with chunk {at} of {part}"
                );
                let report = Extract::new().run(&healed, target, |_| {}).unwrap();
                assert!(report.is_complete(), "{report:?}");
                assert!(report.kept > 0);
                assert_same(&describe_folder(target), &tree.manifest());
            }
        }
    }
    assert!(extractions > 50, "only {extractions} chunks");
}
