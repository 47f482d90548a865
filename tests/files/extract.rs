//! Extracted trees: what was backed up comes out, and nothing outside of the target changes.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use chunk_restore::files::{Extract, ExtractReport, Files, LeftOut, Selection};
use chunk_restore::{ErrorKind, Restore};
use proptest::prelude::*;
use rustix::fs::{IFlags, ioctl_setflags};
use tempfile::TempDir;
use testkit::pxar::strategy::{Allowed, trees};
use testkit::pxar::{
    Content, Layout, Node, Tree, Writer, assert_same, describe_folder, encode, hostile,
};

use crate::golden::{Golden, manifest};
use crate::made::snapshot;

pub(crate) const UNFINISHED: &str = ".chunk-restore-unfinished";

/// A folder in memory where there is one, since every extraction makes its file system sync.
pub(crate) fn folder() -> TempDir {
    let in_memory = tempfile::tempdir_in("/dev/shm");
    in_memory.or_else(|_| tempfile::tempdir()).unwrap()
}

/// What the user who runs the tests can restore.
fn allowed() -> Allowed {
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    match uid.is_root() {
        true => Allowed::all(),
        false => Allowed::by_user(uid.as_raw(), gid.as_raw()),
    }
}

pub(crate) fn open(tree: &Tree, layout: &Layout) -> Files {
    let (snapshot, _) = snapshot(&encode(tree, layout));
    Files::open(&Restore::new(), &snapshot, "root.pxar").unwrap()
}

fn extract(extract: &Extract, files: &Files, folder: &Path) -> ExtractReport {
    extract.run(files, folder, |_| {}).unwrap()
}

pub(crate) fn whole(extract: &Extract, files: &Files, folder: &Path) -> ExtractReport {
    let report = self::extract(extract, files, folder);
    assert!(report.is_complete(), "{report:?}");
    report
}

#[test]
fn golden_archives_come_out_as_they_were_backed_up() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: only root can restore owners and devices");
        return;
    }
    for golden in Golden::ALL {
        let files = Files::open(&Restore::new(), &golden.open(), "root.pxar").unwrap();
        let folder = folder();
        let target = folder.path().join("target");
        whole(&Extract::new(), &files, &target);
        let expected = manifest(golden.state).join("\n") + "\n";
        assert_same(&describe_folder(&target), &expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_tree_comes_out_as_it_went_in(tree in trees(allowed())) {
        for layout in [Layout::v1(), Layout::reused(1)] {
            let folder = folder();
            let target = folder.path().join("target");
            whole(&Extract::new(), &open(&tree, &layout), &target);
            assert_same(&describe_folder(&target), &tree.manifest());
            // Nothing is done twice, but the same is there.
            let again = Extract::new().allow_existing_directories(true);
            let files = open(&tree, &layout);
            let report = extract(&again, &files, &target);
            prop_assert_eq!(report.files, 0);
            assert_same(&describe_folder(&target), &tree.manifest());
        }
    }
}

/// The ways to extract over something.
fn ways() -> [Extract; 6] {
    let new = Extract::new;
    let all = new().overwrite_files(true).overwrite_symlinks(true);
    let all = all.overwrite_hard_links(true);
    [
        new(),
        new().allow_existing_directories(true),
        new().overwrite_files(true),
        new().overwrite_symlinks(true),
        new().overwrite_hard_links(true),
        all.allow_existing_directories(true),
    ]
}

/// Links that lead out of the target, under the names that the attacks use most.
fn plant(target: &Path, outside: &Path) {
    fs::create_dir(target).unwrap();
    symlink(outside, target.join("a")).unwrap();
    symlink(outside.join("file"), target.join("b")).unwrap();
    fs::hard_link(outside.join("file"), target.join("x")).unwrap();
    fs::create_dir(target.join("d")).unwrap();
    symlink(outside, target.join("d/a")).unwrap();
    symlink("../../outside", target.join("link")).unwrap();
}

/// Removes a folder, also where flags of the file system forbid changes.
pub(crate) fn remove(folder: &Path) {
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        let entries = fs::read_dir(&next).unwrap().map(Result::unwrap);
        let entries = entries.filter(|entry| {
            let kind = entry.file_type().unwrap();
            kind.is_dir() || kind.is_file()
        });
        let mut changed = vec![next.clone()];
        for entry in entries {
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => changed.push(entry.path()),
            }
        }
        for path in changed {
            let file = fs::File::open(path).unwrap();
            let _ = ioctl_setflags(&file, IFlags::empty());
        }
    }
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn hostile_archives_change_nothing_outside_of_the_target() {
    let folder = folder();
    let outside = folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "canary").unwrap();
    fs::set_permissions(&outside, fs::Permissions::from_mode(0o750)).unwrap();
    let canary = describe_folder(&outside);
    let mut count = 0;
    for hostile in hostile(&outside) {
        let (snapshot, _) = snapshot(&hostile.archive);
        let Ok(files) = Files::open(&Restore::new(), &snapshot, "root.pxar") else {
            continue;
        };
        let leads_out = ["name", "twice", "kind", "mode", "link"];
        let leads_out = leads_out.iter().any(|word| hostile.name.starts_with(word));
        for (number, way) in ways().into_iter().enumerate() {
            for is_planted in [false, true] {
                // Whatever else is wrong with an archive is tried in the two ways that differ most.
                if !leads_out && !matches!((number, is_planted), (0, false) | (5, true)) {
                    continue;
                }
                let target = folder.path().join("target");
                if is_planted {
                    plant(&target, &outside);
                }
                let _ = way.run(&files, &target, |_| {});
                count += 1;
                let name = &hostile.name;
                let beside = fs::read_dir(folder.path()).unwrap().count();
                assert_eq!(beside, 2, "{name}, way {number}");
                // This removes the planted name of the file outside as well.
                remove(&target);
                let now = describe_folder(&outside);
                assert_eq!(now, canary, "{name}, way {number}, planted: {is_planted}");
            }
        }
    }
    assert!(count > 40 * 12, "only {count} extractions");
}

/// A tree with one entry of each kind, and two links to a file.
pub(crate) fn small_tree() -> Tree {
    Tree::new()
        .add("etc", Node::directory())
        .add("etc/empty", Node::directory())
        .add("etc/hosts", Node::file("localhost\n"))
        .add("etc/link", Node::symlink("hosts"))
        .add("etc/other", Node::hard_link("etc/hosts"))
        .add("var", Node::directory())
        .add("var/big", Node::file(Content::random(5, 700_000)))
        .add("var/hosts", Node::hard_link("etc/hosts"))
        .add("var/log.gz", Node::file("packed"))
}

pub(crate) fn paths(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            }
            found.push(entry.path().strip_prefix(folder).unwrap().to_owned());
        }
    }
    found.sort();
    found
}

#[test]
fn only_what_may_be_replaced_is_replaced() {
    let files = open(&small_tree(), &Layout::v1());
    let folder = folder();
    let target = folder.path().join("target");
    fs::create_dir(&target).unwrap();
    fs::create_dir(target.join("etc")).unwrap();
    fs::write(target.join("etc/hosts"), "mine").unwrap();
    fs::write(target.join("etc/link"), "mine").unwrap();
    fs::create_dir(target.join("etc/other")).unwrap();
    let failed = |report: &ExtractReport| -> Vec<PathBuf> {
        report
            .failures
            .iter()
            .map(|failure| failure.path.clone())
            .collect()
    };

    let report = extract(&Extract::new(), &files, &target);
    assert_eq!(failed(&report), [Path::new("etc")]);
    assert!(target.join("var/big").exists() && target.join(UNFINISHED).exists());
    // What was there before is still not the extraction's own.
    let report = extract(&Extract::new(), &files, &target);
    assert_eq!(failed(&report), [Path::new("etc")]);

    let into = Extract::new().allow_existing_directories(true);
    let report = extract(&into, &files, &target);
    assert_eq!(
        failed(&report),
        ["etc/hosts", "etc/link", "etc/other"].map(Path::new)
    );
    assert_eq!(fs::read(target.join("etc/hosts")).unwrap(), b"mine");

    let report = extract(&into.clone().overwrite_files(true), &files, &target);
    assert_eq!(failed(&report), ["etc/link", "etc/other"].map(Path::new));
    assert_eq!(fs::read(target.join("etc/hosts")).unwrap(), b"localhost\n");

    let report = extract(&into.clone().overwrite_symlinks(true), &files, &target);
    // A directory is never replaced.
    assert_eq!(failed(&report), [Path::new("etc/other")]);
    fs::remove_dir(target.join("etc/other")).unwrap();
    fs::write(target.join("etc/other"), "mine").unwrap();
    let report = extract(&into, &files, &target);
    assert_eq!(failed(&report), [Path::new("etc/other")]);
    whole(&into.overwrite_hard_links(true), &files, &target);
    assert_same(&describe_folder(&target), &small_tree().manifest());
}

#[test]
fn files_that_are_there_are_compared_if_that_is_wanted() {
    let files = open(&small_tree(), &Layout::split());
    let folder = folder();
    let target = folder.path().join("target");
    whole(&Extract::new(), &files, &target);
    let path = target.join("etc/hosts");
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    fs::write(&path, "LOCALHOST\n").unwrap();
    fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(modified)
        .unwrap();
    let into = Extract::new()
        .allow_existing_directories(true)
        .overwrite_files(true);
    assert_eq!(whole(&into, &files, &target).kept, 3);
    assert_eq!(fs::read(&path).unwrap(), b"LOCALHOST\n");
    let into = into.verify(true).overwrite_hard_links(true);
    assert_eq!(whole(&into, &files, &target).kept, 2);
    assert_same(&describe_folder(&target), &small_tree().manifest());
}

#[test]
fn a_folder_that_takes_a_part_of_an_archive_stays_as_it_is() {
    let files = open(&small_tree(), &Layout::v1());
    let selection = Selection::default().path("etc/hosts");
    let extract = Extract::new().selection(selection);
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
    let folder = folder();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    whole(&extract, &files, folder.path());
    assert_eq!(mode(folder.path()), 0o1777);
    let target = folder.path().join("target");
    whole(&extract, &files, &target);
    assert_eq!(mode(&target), 0o755);
}

#[test]
fn what_gives_rights_can_be_left_out() {
    let tree = Tree::new().add("su", Node::file("x").mode(0o4755));
    let files = open(&tree, &Layout::v1());
    let folder = folder();
    let report = whole(&Extract::new().special(false), &files, folder.path());
    let mode = fs::metadata(folder.path().join("su")).unwrap().mode();
    assert_eq!(mode & 0o7777, 0o755);
    assert_eq!(report.omissions[0].what, LeftOut::SetId);
    assert_eq!(report.omissions[0].example, Path::new("su"));
}

#[test]
fn two_extractions_into_one_folder_at_once_are_refused() {
    let files = open(&small_tree(), &Layout::v1());
    let folder = folder();
    let mut refused = None;
    Extract::new()
        .run(&files, folder.path(), |_| {
            let second = Extract::new().run(&files, folder.path(), |_| {});
            // The last call comes when the extraction is done.
            if let Err(error) = second {
                refused.get_or_insert(error);
            }
        })
        .unwrap();
    let error = refused.unwrap();
    assert_eq!(error.kind(), ErrorKind::Target);
    assert!(error.to_string().starts_with("another restore is at work"));
}

#[test]
fn files_that_share_their_bytes_do_not_fill_the_disk() {
    let mut writer = Writer::new(&Layout::split());
    writer.attributes(&Node::directory());
    let content = Node::file(Content::random(1, 100_000));
    writer.entry(b"a", &content);
    for number in 0..50 {
        writer.name(format!("b{number:02}").as_bytes());
        writer.attributes(&content);
        writer.reference(16, 100_000);
    }
    let (snapshot, _) = snapshot(&writer.finish());
    let files = Files::open(&Restore::new(), &snapshot, "root.pxar").unwrap();
    let folder = folder();
    let error = Extract::new()
        .run(&files, folder.path(), |_| {})
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let written = paths(folder.path()).len();
    assert!(written < 10, "{written} entries");
}
