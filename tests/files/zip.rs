//! Zip archives: what unzip and Python make of them, and what they hold.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use chunk_restore::Restore;
use chunk_restore::files::{Files, LeftOut, PackReport, Selection};
use proptest::prelude::*;
use testkit::pxar::strategy::{Allowed, trees};
use testkit::pxar::{Kind, Layout, Node, Tree, assert_same, encode, hostile};
use zip::ZipArchive;

use crate::golden::{Golden, manifest};
use crate::made::snapshot;
use crate::unpack::{described, has, unpack};

const PYTHON: &str = "import zipfile; zipfile.ZipFile('../archive').extractall()";

fn zip(files: &Files, selection: &Selection) -> (Vec<u8>, PackReport) {
    let mut archive = Vec::new();
    let report = files.pack(selection).zip(&mut archive, |_| ()).unwrap();
    (archive, report)
}

fn open(golden: &Golden) -> Files {
    Files::open(&Restore::new(), &golden.open(), "root.pxar").unwrap()
}

fn open_made(tree: &Tree) -> Files {
    let (snapshot, _) = snapshot(&encode(tree, &Layout::v1()));
    Files::open(&Restore::new(), &snapshot, "root.pxar").unwrap()
}

/// The names of an archive, in its order.
fn names(archive: &[u8]) -> Vec<String> {
    let archive = ZipArchive::new(Cursor::new(archive)).unwrap();
    let names =
        (0..archive.len()).map(|at| archive.name_for_index(at).unwrap().unwrap().into_owned());
    names.collect()
}

/// The field of a manifest's line that stands for a path, with escapes of a zip archive undone.
fn unescaped(field: &str) -> String {
    let mut text = String::new();
    let mut rest = field;
    while let Some(at) = rest.find('%') {
        let hex = rest
            .get(at + 1..at + 3)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        text += &rest[..at];
        match hex {
            Some(byte @ (b'\\' | 0..33 | 127..)) => text += &format!("\\x{byte:02x}"),
            Some(byte) => text.push(char::from(byte)),
            None => text += "%",
        }
        rest = &rest[at + hex.map_or(1, |_| 3)..];
    }
    text + rest
}

/// What a zip archive holds of the entries of a manifest: path, kind, permissions, size, time in
/// seconds, target and digest. `is_read` undoes the escapes of an archive that was unpacked.
fn held<'a>(lines: impl IntoIterator<Item = &'a str>, is_read: bool) -> String {
    let lines = lines.into_iter().skip(1).filter_map(|line| {
        let fields: Vec<_> = line.split(' ').collect();
        let (path, kind, target) = (fields[0], fields[1], fields[10]);
        if !"dfl".contains(kind) || path == "sym/abs" || path == "sym/escape" {
            return None;
        }
        let mode = u32::from_str_radix(fields[2], 8).unwrap() & 0o777;
        let nanos: i128 = fields[6].parse().unwrap();
        let secs = nanos.div_euclid(1_000_000_000);
        // unzip doesn't set the times of symbolic links, and can't have times before 1970.
        let secs = secs * i128::from(kind != "l" && path != "perm/sticky");
        let [path, target] = [path, target].map(|field| match is_read {
            true => unescaped(field),
            false => field.to_owned(),
        });
        // A target with escapes is longer.
        let size = if kind == "l" { "-" } else { fields[5] };
        let digest = fields[11];
        Some(format!(
            "{path} {kind} {mode:o} {size} {secs} {target} {digest}\n"
        ))
    });
    let mut lines: Vec<_> = lines.collect();
    lines.sort();
    lines.concat()
}

#[test]
fn unzip_unpacks_what_a_zip_archive_holds() {
    if !has("unzip") {
        return;
    }
    for golden in Golden::ALL {
        let (archive, report) = zip(&open(&golden), &Selection::default());
        let folder = unpack(&archive, &["unzip", "-qq", "../archive"]);
        let manifest = manifest(golden.state);
        let expected = held(manifest.iter().map(String::as_str), false);
        assert_same(&held(described(&folder).lines(), true), &expected);
        assert_eq!(report.entries, expected.lines().count() as u64);
    }
}

#[test]
fn python_reads_the_same_contents() {
    if !has("python3") {
        return;
    }
    /// Path and digest of each file.
    fn contents(held: &str) -> Vec<String> {
        let files = held.lines().filter(|line| line.contains(" f "));
        let files = files.map(|line| {
            let fields: Vec<_> = line.split(' ').collect();
            format!("{} {}", fields[0], fields[6])
        });
        // Python writes symbolic links as files.
        files.filter(|line| !line.starts_with("sym/")).collect()
    }
    for golden in [&Golden::ALL[0], &Golden::ALL[2]] {
        let (archive, _) = zip(&open(golden), &Selection::default());
        let folder = unpack(&archive, &["python3", "-c", PYTHON]);
        let manifest = manifest(golden.state);
        let expected = held(manifest.iter().map(String::as_str), false);
        let unpacked = held(described(&folder).lines(), true);
        assert_eq!(contents(&unpacked), contents(&expected));
    }
}

#[test]
fn what_a_zip_archive_can_not_hold_is_counted() {
    let (_, report) = zip(&open(&Golden::ALL[0]), &Selection::default());
    let omissions = report.omissions.iter();
    let omissions = omissions.map(|left| (left.what, left.count, left.example.to_str().unwrap()));
    let omissions: Vec<_> = omissions.collect();
    let expected = [
        (LeftOut::Socket, 1, "dev/sock"),
        (LeftOut::Fifo, 1, "dev/fifo"),
        (LeftOut::Device, 4, "dev/big"),
        (LeftOut::OutsideSymlink, 2, "sym/abs"),
        (LeftOut::HardLink, 4, "hard/b"),
        (LeftOut::Owner, report.entries, ".hidden"),
        (LeftOut::Time, 1, "perm/setgid"),
        (LeftOut::Xattrs, 2, "xattr/dir"),
        (LeftOut::Capabilities, 1, "xattr/caps"),
        (LeftOut::Acls, 4, "acl/d"),
    ];
    assert_eq!(omissions, expected);
}

#[test]
fn names_that_could_lead_outside_are_escaped() {
    let mut tree = Tree::new().add("...", Node::directory());
    for name in [
        &b"..\\..\\x"[..],
        b"c:",
        b"a%5Cb",
        b"a\\b",
        b"100%",
        b"\xff%",
        b".../line\nfeed",
    ] {
        tree = tree.add(name, Node::file("x"));
    }
    let (archive, _) = zip(&open_made(&tree), &Selection::default());
    let expected = [
        "..%2E/",
        "..%2E/line%0Afeed",
        "..%5C..%5Cx",
        "100%",
        "a%255Cb",
        "a%5Cb",
        "c%3A",
        "%FF%25",
    ];
    assert_eq!(names(&archive), expected);
}

#[test]
fn symbolic_links_that_could_lead_outside_are_left_out() {
    let tree = Tree::new()
        .add("absolute", Node::symlink("/etc"))
        .add("d", Node::directory())
        .add("d/after-a-name", Node::symlink("x/../y"))
        .add("d/inside", Node::symlink("../d/x"))
        .add("d/outside", Node::symlink("../../x"))
        .add("d/windows", Node::symlink("..\\..\\x"))
        .add("up", Node::symlink(".."));
    let (archive, report) = zip(&open_made(&tree), &Selection::default());
    assert_eq!(names(&archive), ["d/", "d/inside", "d/windows"]);
    let omission = &report.omissions[0];
    assert_eq!(omission.what, LeftOut::OutsideSymlink);
    assert_eq!(
        (omission.count, omission.example.to_str()),
        (4, Some("absolute"))
    );
    let mut archive = ZipArchive::new(Cursor::new(archive)).unwrap();
    let mut target = String::new();
    let mut link = archive.by_name("d/windows").unwrap();
    link.read_to_string(&mut target).unwrap();
    assert_eq!(target, "..%5C..%5Cx");
    assert_eq!(link.unix_mode(), Some(0o120_777));
}

#[test]
fn no_name_of_a_hostile_archive_leads_outside() {
    for hostile in hostile("/no/such/folder/outside") {
        let (snapshot, _) = snapshot(&hostile.archive);
        let Ok(files) = Files::open(&Restore::new(), &snapshot, "root.pxar") else {
            continue;
        };
        let mut archive = Vec::new();
        let packed = files.pack(&Selection::default()).zip(&mut archive, |_| ());
        if packed.is_err() {
            assert!(
                ZipArchive::new(Cursor::new(archive)).is_err(),
                "{}",
                hostile.name
            );
            continue;
        }
        for name in names(&archive) {
            let is_inside = |part: &str| !["", ".", ".."].contains(&part) && !part.contains('\\');
            assert!(
                name.trim_end_matches('/').split('/').all(is_inside),
                "{name}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_files_of_any_tree_have_their_contents(tree in trees(Allowed::all())) {
        let (archive, report) = zip(&open_made(&tree), &Selection::default());
        let entries = tree.entries();
        let nodes: BTreeMap<&[u8], &Node> =
            entries.iter().map(|(path, node)| (&path[..], *node)).collect();
        let mut contents = Vec::new();
        for (_, node) in &entries {
            let node = match &node.kind {
                Kind::HardLink(target) => nodes[&target[..]],
                _ => node,
            };
            if let Kind::File(content) = &node.kind {
                contents.push((node.meta.mode, content.to_vec()));
            }
        }
        let mut archive = ZipArchive::new(Cursor::new(archive)).unwrap();
        assert_eq!(archive.len() as u64, report.entries);
        let mut read = Vec::new();
        for at in 0..archive.len() {
            let mut file = archive.by_index(at).unwrap();
            let mode = file.external_attributes() >> 16;
            if mode & 0o170_000 == 0o100_000 {
                let mut content = Vec::new();
                file.read_to_end(&mut content).unwrap();
                read.push((mode & 0o7777, content));
            }
        }
        let modes = |files: &[(u32, Vec<u8>)]| -> Vec<_> {
            let files = files.iter();
            files.map(|(mode, content)| (*mode, content.len())).collect()
        };
        assert_eq!(modes(&read), modes(&contents));
        assert!(read == contents);
    }
}
