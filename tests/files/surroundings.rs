//! Extractions into folders where something stands in the way, or comes there meanwhile.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use chunk_restore::files::{Extract, ExtractReport, Files};
use chunk_restore::{ErrorKind, Restore};
use rustix::fs::{CWD, FileType, IFlags, Mode, ioctl_getflags, mknodat};
use testkit::pxar::item::PAYLOAD;
use testkit::pxar::{Archive, Content, Layout, Node, Tree, Writer, encode};

use crate::extract::{folder, remove};
use crate::made::snapshot;

const UNFINISHED: &str = ".chunk-restore-unfinished";

fn open(archive: &Archive) -> Files {
    let (snapshot, _) = snapshot(archive);
    Files::open(&Restore::new(), &snapshot, "root.pxar").unwrap()
}

fn of(tree: &Tree) -> Files {
    open(&encode(tree, &Layout::v1()))
}

fn failed(report: &ExtractReport) -> Vec<PathBuf> {
    let failures = report.failures.iter();
    failures.map(|failure| failure.path.clone()).collect()
}

#[test]
fn what_is_planted_under_the_name_of_the_own_file_is_not_written_to() {
    let folder = folder();
    let outside = folder.path().join("outside");
    fs::write(&outside, "canary").unwrap();
    let files = of(&Tree::new().add("a", Node::file("a")));
    let plants: [&dyn Fn(&Path); 4] = [
        &|own| fs::hard_link(&outside, own).unwrap(),
        &|own| symlink(&outside, own).unwrap(),
        &|own| mknodat(CWD, own, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap(),
        &|own| fs::create_dir(own).unwrap(),
    ];
    for (number, plant) in plants.iter().enumerate() {
        let target = folder.path().join(format!("target{number}"));
        fs::create_dir(&target).unwrap();
        plant(&target.join(UNFINISHED));
        let error = Extract::new().run(&files, &target, |_| {}).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Target);
        assert!(error.to_string().contains(UNFINISHED), "{error}");
        assert_eq!(fs::read(&outside).unwrap(), b"canary", "plant {number}");
        assert!(!target.join("a").exists(), "plant {number}");
    }
}

#[test]
fn no_file_of_the_user_is_taken_for_a_temporary_one() {
    let tree = Tree::new()
        .add(".chunk-restore-0", Node::file("archive"))
        .add("file", Node::file("file"))
        .add("link", Node::symlink("file"))
        .add("other", Node::hard_link("file"));
    let files = of(&tree);
    let offset = files.entry("file").unwrap().node.offset();
    let folder = folder();
    let mut own = vec![
        ".chunk-restore-0".to_owned(),
        ".chunk-restore-new".to_owned(),
    ];
    own.push(format!(".chunk-restore-{:x}", offset));
    for name in own
        .iter()
        .map(String::as_str)
        .chain(["file", "link", "other"])
    {
        fs::write(folder.path().join(name), "mine").unwrap();
    }
    let all = Extract::new()
        .overwrite_files(true)
        .overwrite_symlinks(true);
    let report = all.overwrite_hard_links(true);
    let report = report.run(&files, folder.path(), |_| {}).unwrap();
    assert!(report.is_complete(), "{report:?}");
    for name in &own[1..] {
        let path = folder.path().join(name);
        assert_eq!(fs::read(path).unwrap(), b"mine", "{name}");
    }
    let read = |name| fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(read(".chunk-restore-0"), "archive");
    assert_eq!(
        (read("file"), read("other")),
        ("file".into(), "file".into())
    );
    let link = fs::read_link(folder.path().join("link")).unwrap();
    assert_eq!(link, Path::new("file"));
    let count = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(count, 4 + 2, "something is left");
}

#[test]
fn what_comes_to_the_place_of_an_entry_meanwhile_is_not_replaced() {
    let tree = Tree::new()
        .add("a", Node::file("a"))
        .add("d", Node::file(Content::random(1, 300_000)))
        .add("f", Node::file("f"))
        .add("l", Node::symlink("a"))
        .add("o", Node::hard_link("a"));
    let folder = folder();
    let target = folder.path().join("target");
    let mut is_first = true;
    let report = Extract::new().run(&of(&tree), &target, |_| {
        if std::mem::take(&mut is_first) {
            for name in ["d", "f", "l", "o"] {
                fs::write(target.join(name), "mine").unwrap();
            }
        }
    });
    let mut failed = failed(&report.unwrap());
    failed.sort();
    assert_eq!(failed, ["d", "f", "l", "o"].map(Path::new));
    for name in ["d", "f", "l", "o"] {
        assert_eq!(fs::read(target.join(name)).unwrap(), b"mine", "{name}");
    }
}

#[test]
fn a_file_with_more_attributes_than_the_file_system_holds_is_there_and_the_next_too() {
    // Some file systems keep as much. On ext4, all attributes of a file share one block.
    let folder = tempfile::tempdir().unwrap();
    let large = Node::file("content").mode(0o644);
    let large = large.xattr("user.large", vec![7; 60_000]);
    let tree = Tree::new()
        .add("a", large)
        .add("b", Node::hard_link("a"))
        .add("c", Node::file("next"));
    let report = Extract::new().run(&of(&tree), folder.path(), |_| {});
    let report = report.unwrap();
    assert!(report.failures.len() <= 1, "{report:?}");
    for (name, content) in [("a", "content"), ("b", "content"), ("c", "next")] {
        let found = fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(found, content, "{name}");
    }
    if report.failed > 0 {
        assert_eq!(failed(&report), [Path::new("a")]);
        assert!(report.failures[0].error.to_string().contains("attributes"));
        let mode = fs::metadata(folder.path().join("a")).unwrap().mode();
        assert_eq!(mode & 0o7777, 0o600);
    }
}

#[test]
fn a_file_gets_its_own_bytes_also_if_a_split_archive_has_others_in_the_first_half() {
    let mut writer = Writer::new(&Layout::split());
    writer.attributes(&Node::directory());
    // More than are looked for ahead of time.
    for number in 0..600 {
        let (name, content) = (format!("f{number:03}"), format!("content {number}"));
        if number % 2 == 0 {
            writer.entry(name.as_bytes(), &Node::file(content.as_str()));
        } else {
            writer.name(name.as_bytes());
            writer.attributes(&Node::file(""));
            writer.item(PAYLOAD, content.as_bytes());
        }
    }
    let files = open(&writer.finish());
    let folder = folder();
    let report = Extract::new().run(&files, folder.path(), |_| {}).unwrap();
    assert!(report.is_complete(), "{report:?}");
    for number in 0..600 {
        let found = fs::read_to_string(folder.path().join(format!("f{number:03}")));
        assert_eq!(found.unwrap(), format!("content {number}"));
    }
}

#[test]
fn a_directory_that_forbids_changes_does_not_hold_up_the_next_extraction() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: only root can forbid changes");
        return;
    }
    // APPEND and IMMUTABLE.
    let tree = Tree::new()
        .add("d", Node::directory().flags(0x41_0000))
        .add("d/a", Node::file("a"))
        .add("z", Node::file("z"));
    let files = of(&tree);
    let folder = folder();
    let target = folder.path().join("target");
    fs::create_dir(&target).unwrap();
    fs::create_dir(target.join("z")).unwrap();
    let report = Extract::new().run(&files, &target, |_| {}).unwrap();
    assert_eq!(failed(&report), [Path::new("z")]);
    fs::remove_dir(target.join("z")).unwrap();
    let report = Extract::new().run(&files, &target, |_| {}).unwrap();
    assert!(report.is_complete(), "{report:?}");
    let flags = ioctl_getflags(fs::File::open(target.join("d")).unwrap());
    if let Ok(flags) = flags {
        assert!(flags.contains(IFlags::APPEND | IFlags::IMMUTABLE));
    }
    remove(&target);
}

#[test]
fn many_directories_get_their_properties_in_between() {
    let mut tree = Tree::new();
    for number in 0..20_100 {
        tree = tree.add(format!("d{number}"), Node::directory().mode(0o750));
    }
    let files = of(&tree);
    let folder = folder();
    let target = folder.path().join("target");
    let mut is_sealed = false;
    let report = Extract::new().run(&files, &target, |report| {
        if report.directories == 20_050 {
            let first = fs::metadata(target.join("d0")).unwrap();
            is_sealed |= first.permissions().mode() & 0o7777 == 0o750;
        }
    });
    assert!(report.unwrap().is_complete());
    assert!(is_sealed);
}

#[test]
fn a_file_that_took_the_name_of_a_new_one_gets_neither_its_time_nor_its_flags() {
    let large = || Node::file(Content::random(1, 300_000));
    // NODUMP.
    let tree = Tree::new()
        .add("a", large())
        .add("b", large().flags(0x10_0000));
    let folder = folder();
    let (outside, target) = (folder.path().join("outside"), folder.path().join("target"));
    fs::write(&outside, "canary").unwrap();
    fs::create_dir(&target).unwrap();
    let before = fs::metadata(&outside).unwrap().modified().unwrap();
    let mut is_planted = false;
    let report = Extract::new().run(&of(&tree), &target, |report| {
        if report.files == 2 && !std::mem::replace(&mut is_planted, true) {
            for name in ["a", "b"] {
                fs::remove_file(target.join(name)).unwrap();
                fs::hard_link(&outside, target.join(name)).unwrap();
            }
        }
    });
    assert_eq!(failed(&report.unwrap()), ["a", "b"].map(Path::new));
    assert_eq!(fs::metadata(&outside).unwrap().modified().unwrap(), before);
    let flags = ioctl_getflags(fs::File::open(&outside).unwrap());
    assert!(!flags.is_ok_and(|flags| flags.contains(IFlags::NODUMP)));
}

#[test]
fn trees_deeper_than_what_is_held_open_come_out() {
    let mut tree = Tree::new();
    let mut path = String::new();
    // The paths are longer than Linux takes at once.
    for level in 0..600 {
        tree = tree.add(format!("{path}a"), Node::file(format!("a{level}").as_str()));
        tree = tree.add(format!("{path}directory"), Node::directory().mode(0o700));
        // An archive states the paths of links too, and these have a limit.
        if level < 400 {
            tree = tree.add(format!("{path}z"), Node::hard_link(format!("{path}a")));
        }
        tree = tree.add(format!("{path}zz"), Node::symlink("z"));
        path.push_str("directory/");
    }
    tree = tree.add("zzz", Node::hard_link(format!("{}a", &path[..3990])));
    let files = of(&tree);
    let folder = folder();
    let target = folder.path().join("target");
    for (files_made, kept) in [(600, 0), (0, 600)] {
        let extract = Extract::new().allow_existing_directories(true);
        let report = extract.run(&files, &target, |_| {}).unwrap();
        assert!(report.is_complete() || kept > 0, "{report:?}");
        assert_eq!((report.files, report.kept), (files_made, kept));
        assert_eq!((report.directories, report.hard_links), (601, 401));
        assert_eq!((report.symlinks, report.failed), (600, 0));
    }
}

/// A file system in memory, mounted for reading only.
struct ReadOnly(PathBuf);

impl ReadOnly {
    /// `None` where the user may not mount anything.
    fn mount(at: PathBuf) -> Option<ReadOnly> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "ro", "tmpfs"]).arg(&at);
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        mounted.then_some(ReadOnly(at))
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_read_only_file_system_in_the_folder_fails_alone() {
    let tree = Tree::new()
        .add("d", Node::directory())
        .add("d/a", Node::file("a"))
        .add("z", Node::file("z"));
    let folder = folder();
    fs::create_dir(folder.path().join("d")).unwrap();
    let Some(_mounted) = ReadOnly::mount(folder.path().join("d")) else {
        eprintln!("SKIPPED: this user may not mount a file system");
        return;
    };
    let extract = Extract::new().allow_existing_directories(true);
    let report = extract.run(&of(&tree), folder.path(), |_| {}).unwrap();
    assert_eq!(failed(&report), [Path::new("d")]);
    assert_eq!(fs::read(folder.path().join("z")).unwrap(), b"z");
}
