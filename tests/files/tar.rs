//! Tar archives: what GNU tar and bsdtar make of them.

use std::error::Error as _;
use std::io;
use std::path::Path;

use chunk_restore::files::{Files, LeftOut, PackReport, Selection};
use chunk_restore::{ErrorKind, Restore};
use proptest::prelude::*;
use testkit::pxar::strategy::{Allowed, trees};
use testkit::pxar::{Layout, Node, Tree, assert_same, encode, hostile};

use crate::golden::{Golden, manifest};
use crate::made::snapshot;
use crate::unpack::{described, has, is_almighty, unpack};

const GNU_TAR: &[&str] = &[
    "tar",
    "--xattrs",
    "--xattrs-include=*",
    "--acls",
    "--numeric-owner",
    "-xpf",
    "../archive",
];
const BSDTAR: &[&str] = &["bsdtar", "--numeric-owner", "-xpf", "../archive"];

fn tar(files: &Files, selection: &Selection) -> (Vec<u8>, PackReport) {
    let mut archive = Vec::new();
    let report = files.pack(selection).tar(&mut archive, |_| ()).unwrap();
    (archive, report)
}

fn open(golden: &Golden) -> Files {
    Files::open(&Restore::new(), &golden.open(), "root.pxar").unwrap()
}

fn open_made(tree: &Tree, layout: &Layout) -> Files {
    let (snapshot, _) = snapshot(&encode(tree, layout));
    Files::open(&Restore::new(), &snapshot, "root.pxar").unwrap()
}

/// The lines of a manifest without sockets, which tar archives can't hold.
fn without_sockets<'a>(lines: impl IntoIterator<Item = &'a str>) -> String {
    let is_socket = |line: &&str| line.split(' ').nth(1) == Some("s");
    let lines = lines.into_iter().filter(|line| !is_socket(line));
    lines.map(|line| format!("{line}\n")).collect()
}

/// The lines of a manifest without the times that bsdtar gets wrong, in its own archives too: that
/// of the folder it unpacks into, and times before 1970 with a fraction of a second.
fn without_odd_times(manifest: &str) -> String {
    let lines = manifest.lines().map(|line| {
        let mut fields: Vec<_> = line.split(' ').collect();
        if fields[0] == "." || (fields[6].starts_with('-') && !fields[6].ends_with("000000000")) {
            fields[6] = "odd";
        }
        fields.join(" ") + "\n"
    });
    lines.collect()
}

#[test]
fn gnu_tar_unpacks_what_was_backed_up() {
    if !has("tar") || !is_almighty() {
        return;
    }
    for golden in Golden::ALL {
        let (archive, report) = tar(&open(&golden), &Selection::default());
        let manifest = manifest(golden.state);
        let expected = without_sockets(manifest.iter().map(String::as_str));
        assert_same(&described(&unpack(&archive, GNU_TAR)), &expected);
        assert_eq!(report.entries, expected.lines().count() as u64);
        let [omission] = &report.omissions[..] else {
            panic!("{report:?}");
        };
        assert_eq!(omission.what, LeftOut::Socket);
        assert_eq!(omission.example, Path::new("dev/sock"));
    }
}

#[test]
fn bsdtar_unpacks_what_was_backed_up() {
    if !has("bsdtar") || !is_almighty() {
        return;
    }
    for golden in Golden::ALL {
        let (archive, _) = tar(&open(&golden), &Selection::default());
        let manifest = manifest(golden.state);
        let expected = without_sockets(manifest.iter().map(String::as_str));
        let unpacked = without_odd_times(&described(&unpack(&archive, BSDTAR)));
        assert_same(&unpacked, &without_odd_times(&expected));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_tree_is_unpacked_as_it_went_in(tree in trees(Allowed::all())) {
        if !has("tar") || !has("bsdtar") || !is_almighty() {
            return Ok(());
        }
        let expected = without_sockets(tree.manifest().lines());
        for layout in [Layout::v1(), Layout::reused(1)] {
            let (archive, _) = tar(&open_made(&tree, &layout), &Selection::default());
            assert_same(&described(&unpack(&archive, GNU_TAR)), &expected);
            let unpacked = without_odd_times(&described(&unpack(&archive, BSDTAR)));
            assert_same(&unpacked, &without_odd_times(&expected));
        }
    }
}

#[test]
fn the_first_link_stands_for_a_file_that_was_not_selected() {
    if !has("tar") || !is_almighty() {
        return;
    }
    let selection = Selection::default();
    let selection = selection.path("hard/sub/c").path("zz-link-in-root");
    for golden in Golden::ALL {
        let (archive, _) = tar(&open(&golden), &selection);
        let unpacked = described(&unpack(&archive, GNU_TAR));
        let wanted = [".", "hard", "hard/sub", "hard/sub/c", "zz-link-in-root"];
        let lines = manifest(golden.state);
        let lines = lines.iter().filter(|line| {
            let path = line.split(' ').next();
            wanted.iter().any(|wanted| path == Some(wanted))
        });
        let expected: String = lines.map(|line| format!("{line}\n")).collect();
        let expected = expected.replace(" hard/a ", " hard/sub/c ");
        assert_same(&unpacked, &expected);
    }
}

#[test]
fn patterns_choose_what_is_packed() {
    let selection = Selection::default().pattern("/many/f0*").unwrap();
    let selection = selection.pattern("!f01").unwrap().path("etc/hostname");
    let (archive, _) = tar(&open(&Golden::ALL[0]), &selection);
    let mut archive = ::tar::Archive::new(&archive[..]);
    let entries = archive.entries().unwrap();
    let names = entries.map(|entry| entry.unwrap().path().unwrap().display().to_string());
    let names: Vec<_> = names.collect();
    let mut expected = vec!["./", "etc/", "etc/hostname", "many/"];
    let files =
        ["0", "2", "3", "4", "5", "6", "7", "8", "9"].map(|digit| format!("many/f0{digit}"));
    expected.extend(files.iter().map(String::as_str));
    assert_eq!(names, expected);
}

#[test]
fn what_a_tar_archive_can_not_hold_is_counted() {
    let mut long = Node::file("x");
    for number in 0..20 {
        long = long.xattr(format!("user.{number}"), vec![1; 65_000]);
    }
    let tree = Tree::new()
        .add("flags", Node::file("x").flags(0x1_0000 | 0x2000))
        .add("long", long)
        .add("project", Node::directory().project(5))
        .add("socket", Node::socket())
        .add("socket2", Node::socket());
    let (_, report) = tar(&open_made(&tree, &Layout::v1()), &Selection::default());
    let omissions = report.omissions.iter();
    let omissions = omissions.map(|left| (left.what, left.count, left.example.to_str().unwrap()));
    let omissions: Vec<_> = omissions.collect();
    let expected = [
        (LeftOut::Socket, 2, "socket"),
        (LeftOut::Xattrs, 1, "long"),
        (LeftOut::Flags, 1, "flags"),
        (LeftOut::FatFlags, 1, "flags"),
        (LeftOut::ProjectId, 1, "project"),
    ];
    assert_eq!(omissions, expected);
}

#[test]
fn numbers_and_names_that_are_too_long_for_a_plain_header_are_kept() {
    if !has("tar") || !has("bsdtar") || !is_almighty() {
        return;
    }
    let name = [&b"\xff"[..], &[b'n'; 254]].concat();
    let mut tree = Tree::new();
    let mut path = Vec::new();
    for _ in 0..5 {
        path.extend(&name);
        let directory = Node::directory()
            .xattr("user.a=b", "c")
            .time(9_000_000_000, 1);
        tree = tree.add(&path, directory);
        path.push(b'/');
    }
    let file = [&path[..], b"file"].concat();
    let node = Node::file("x").owner(u32::MAX - 1, 1 << 31);
    tree = tree.add(&file, node.xattr("user.bytes", b"\0=\n\xff"));
    tree = tree.add(b"target", Node::symlink(vec![b'\xfe'; 3000]));
    tree = tree.add([&name[..100], b"x"].concat(), Node::hard_link(&file));
    tree = tree.add(&name[..100], Node::file("exactly 100"));
    // bsdtar takes the beginnings of these for parts of Windows' paths.
    tree = tree.add("C:drive", Node::file("x"));
    tree = tree.add("\\\\.\\device", Node::hard_link("C:drive"));
    tree = tree.add("\\slash", Node::directory());
    let archive = tar(&open_made(&tree, &Layout::v1()), &Selection::default()).0;
    assert_same(&described(&unpack(&archive, GNU_TAR)), &tree.manifest());
    // bsdtar takes the keyword of an extended attribute as it is.
    let expected = tree.manifest().replace("user.a=b", "user.a%3Db");
    let unpacked = without_odd_times(&described(&unpack(&archive, BSDTAR)));
    assert_same(&unpacked, &without_odd_times(&expected));
}

#[test]
fn a_hard_link_has_the_metadata_of_its_file() {
    let (archive, _) = tar(&open(&Golden::ALL[0]), &Selection::default());
    let mut archive = ::tar::Archive::new(&archive[..]);
    let mut files = std::collections::HashMap::new();
    let mut links = 0;
    for entry in archive.entries().unwrap() {
        let entry = entry.unwrap();
        let header = entry.header();
        let stat = (header.mode().unwrap(), header.mtime().unwrap());
        if let Some(target) = entry
            .link_name()
            .unwrap()
            .filter(|_| header.entry_type().is_hard_link())
        {
            assert_eq!(files.get(&*target), Some(&stat));
            links += 1;
        }
        files.insert(entry.path().unwrap().into_owned(), stat);
    }
    assert_eq!(links, 4);
}

#[test]
fn no_name_of_a_hostile_archive_leads_outside() {
    for hostile in hostile("/no/such/folder/outside") {
        let (snapshot, _) = snapshot(&hostile.archive);
        let Ok(files) = Files::open(&Restore::new(), &snapshot, "root.pxar") else {
            continue;
        };
        let mut archive = Vec::new();
        let packed = files.pack(&Selection::default()).tar(&mut archive, |_| ());
        let ends = archive.ends_with(&[0; 1024]);
        assert_eq!(packed.is_ok(), ends, "{}", hostile.name);
        let mut archive = ::tar::Archive::new(&archive[..]);
        for entry in archive.entries().unwrap().map_while(Result::ok) {
            let path = entry.path().unwrap().into_owned();
            let is_inside = |component| {
                use std::path::Component;
                matches!(component, Component::Normal(_) | Component::CurDir)
            };
            assert!(path.components().all(is_inside), "{}", path.display());
        }
    }
}

/// Takes so many bytes, and breaks then.
struct Pipe(usize);

impl io::Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0 == 0 {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let len = bytes.len().min(self.0);
        self.0 -= len;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_broken_pipe_is_an_error_of_the_output() {
    let files = open(&Golden::ALL[0]);
    let pack = files.pack(&Selection::default());
    for len in [0, 600_000, 5_000_000, 13_000_000] {
        let errors = [
            pack.tar(Pipe(len), |_| ()).unwrap_err(),
            pack.zip(Pipe(len / 20), |_| ()).unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Target);
            let source = error.source().and_then(|source| source.downcast_ref());
            let source: &io::Error = source.unwrap();
            assert_eq!(source.kind(), io::ErrorKind::BrokenPipe);
        }
    }
}

#[test]
fn the_observer_sees_the_report_grow() {
    let files = open(&Golden::ALL[1]);
    let (mut entries, mut bytes) = (0, 0);
    let packed = files.pack(&Selection::default()).tar(io::sink(), |report| {
        assert!(report.entries >= entries && report.bytes >= bytes);
        (entries, bytes) = (report.entries, report.bytes);
    });
    let report = packed.unwrap();
    assert_eq!((report.entries, report.bytes), (entries, bytes));
    assert!(entries > 100 && bytes > 12_000_000);
}
