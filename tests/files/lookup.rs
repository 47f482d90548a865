//! `Files`: lookups, lists, walks, patterns and contents, on archives that a real PBS wrote.

use std::ffi::OsStr;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use chunk_restore::files::pxar::EntryKind;
use chunk_restore::files::{FileEntry, Files, Node, Pattern};
use chunk_restore::{Error, ErrorKind, Restore};

use crate::describe::{Described, Tree, lines, sha256};
use crate::golden::{Golden, manifest, snapshot};

fn open(golden: &Golden) -> Files {
    Files::open(&Restore::new(), &golden.open(), "root.pxar").unwrap()
}

fn read(files: &Files, entry: &FileEntry) -> Vec<u8> {
    let mut content = Vec::new();
    let mut reader = files.read_entry(entry).unwrap();
    reader.read_to_end(&mut content).unwrap();
    assert_eq!(content.len() as u64, reader.len());
    content
}

/// Describes entries that were found one way or the other.
pub(crate) fn tree_of(
    files: &Files,
    entries: impl Iterator<Item = Result<FileEntry, Error>>,
) -> Tree {
    let entries = entries.map(|entry| {
        let found = entry.unwrap();
        let entry = files.resolve(&found).unwrap();
        let is_file = matches!(entry.kind, EntryKind::File(_));
        let digest = is_file.then(|| sha256(&read(files, &found)));
        let target = match &found.node {
            Node::HardLink(link) => Some(link.target),
            _ => None,
        };
        let path = found.path.as_os_str().as_bytes().to_vec();
        let described = Described {
            entry,
            digest,
            target,
        };
        (path, described)
    });
    entries.collect()
}

#[test]
fn entries_and_their_contents_are_those_that_were_backed_up() {
    for golden in Golden::ALL {
        let files = open(&golden);
        let tree = tree_of(&files, files.entries());
        assert_eq!(lines(&tree), manifest(golden.state));
    }
}

#[test]
fn each_path_is_found_by_the_tables() {
    for golden in Golden::ALL {
        let files = open(&golden);
        for walked in files.entries() {
            let walked = walked.unwrap();
            assert_eq!(files.entry(&walked.path).unwrap(), walked);
            let from_root = Path::new("/").join(&walked.path);
            assert_eq!(files.entry(from_root).unwrap(), walked);
            let beside = [walked.path.as_os_str().as_bytes(), b"x"].concat();
            let error = files.entry(OsStr::from_bytes(&beside)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound);
        }
    }
}

#[test]
fn a_list_has_the_entries_of_one_directory_and_a_walk_all_below() {
    for golden in Golden::ALL {
        let files = open(&golden);
        let all: Vec<_> = files.entries().map(Result::unwrap).collect();
        for entry in &all {
            let Node::Entry(directory) = &entry.node else {
                continue;
            };
            if !directory.is_directory() {
                let error = files.list(&entry.path).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Invalid);
                continue;
            }
            let list = files.list(&entry.path).unwrap().map(Result::unwrap);
            let inside = all
                .iter()
                .filter(|other| other.path.parent() == Some(&entry.path));
            assert!(list.eq(inside.cloned()));
            let walk = files.walk(&entry.path).unwrap().map(Result::unwrap);
            let below = all
                .iter()
                .filter(|other| other.path.starts_with(&entry.path));
            assert!(walk.eq(below.cloned()), "{}", entry.path.display());
        }
        let alone: Vec<_> = files.walk("hard/b").unwrap().map(Result::unwrap).collect();
        assert_eq!(alone, [files.entry("hard/b").unwrap()]);
    }
}

#[test]
fn a_split_archive_opens_by_any_of_its_names() {
    let snapshot = Golden::ALL[1].open();
    for name in [
        "root.pxar",
        "root.pxar.didx",
        "root.mpxar",
        "root.ppxar",
        "root.ppxar.didx",
    ] {
        let files = Files::open(&Restore::new(), &snapshot, name).unwrap();
        assert!(files.prelude().is_some());
        assert_eq!(files.root().metadata.mode, 0o040_755);
    }
    let kind = |snapshot, name| {
        Files::open(&Restore::new(), snapshot, name)
            .unwrap_err()
            .kind()
    };
    assert_eq!(kind(&snapshot, "other.pxar"), ErrorKind::NotFound);
    assert_eq!(kind(&snapshot, "drive-scsi0.img"), ErrorKind::Invalid);
    let whole = Golden::ALL[0].open();
    assert_eq!(kind(&whole, "catalog.pcat1"), ErrorKind::Invalid);
    assert_eq!(kind(&whole, "root.mpxar"), ErrorKind::NotFound);
}

#[test]
fn a_file_is_read_from_any_offset() {
    for golden in Golden::ALL {
        let files = open(&golden);
        let mut reader = files.read("big/text").unwrap();
        let mut whole = Vec::new();
        reader.read_to_end(&mut whole).unwrap();
        assert_eq!(whole.len(), 1_500_000);
        let mut piece = [0; 1000];
        for offset in [0, 1, 999_999, 1_499_000] {
            reader.seek(SeekFrom::Start(offset)).unwrap();
            reader.read_exact(&mut piece).unwrap();
            assert_eq!(piece[..], whole[offset as usize..][..1000]);
            assert_eq!(reader.read_at(&mut piece, offset).unwrap(), 1000);
        }
        assert_eq!(reader.seek(SeekFrom::End(-10)).unwrap(), 1_499_990);
        let mut end = Vec::new();
        reader.read_to_end(&mut end).unwrap();
        assert_eq!(end, whole[1_499_990..]);
        assert_eq!(reader.seek(SeekFrom::Current(100)).unwrap(), 1_500_100);
        assert_eq!(reader.read(&mut piece).unwrap(), 0);
        assert!(reader.seek(SeekFrom::Current(-2_000_000)).is_err());
        // Another name of a file has the file's bytes; an empty file has none.
        let names = ["hard/a", "hard/b", "hard/sub/c", "zz-link-in-root"];
        let contents = names.map(|name| read(&files, &files.entry(name).unwrap()));
        assert!(contents.iter().all(|content| *content == contents[0]));
        assert!(files.read("empty").unwrap().is_empty());
        for no_file in ["", "etc", "sym/rel", "dev/null", "dev/fifo"] {
            let error = files.read(no_file).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{no_file}");
        }
        let of_archive = "root.";
        for (path, subject) in [("/", "the root"), ("etc", "etc")] {
            let message = files.read(path).unwrap_err().to_string();
            let start = format!("{subject} of {of_archive}");
            assert!(message.starts_with(&start), "{message}");
        }
        let error = files.read("etc/../etc/hostname").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        // No link is followed.
        assert_eq!(
            files.entry("sym/loop/abs").unwrap_err().kind(),
            ErrorKind::NotFound
        );
    }
}

#[test]
fn patterns_find_what_matches() {
    let files = open(&Golden::ALL[1]);
    let find = |pattern: &str| -> Vec<_> {
        let pattern = Pattern::new(pattern).unwrap();
        let found = files.find(&pattern).map(|entry| entry.unwrap().path);
        found
            .map(|path| path.to_string_lossy().into_owned())
            .collect()
    };
    assert_eq!(find("/etc/*"), ["etc/hostname", "etc/shadow"]);
    assert_eq!(
        find("deep0[45]/"),
        [
            "deep00/deep01/deep02/deep03/deep04",
            "deep00/deep01/deep02/deep03/deep04/deep05"
        ]
    );
    assert_eq!(find("hard/**/c"), ["hard/sub/c"]);
    assert_eq!(find("empty"), ["empty"]);
    // The root has no name, so no pattern matches it.
    for all in ["*", "**", "/*", "/**"] {
        assert!(!find(all).contains(&String::new()), "{all}");
    }
    assert_eq!(find("*").len(), files.entries().count() - 1);
    assert!(find("nothing").is_empty());
}

#[test]
fn archives_of_an_older_client_are_looked_up_too() {
    let snapshot = snapshot("datastore", "host/tree/2024-06-10T14:00:00Z");
    let files = Files::open(&Restore::new(), &snapshot, "tree.pxar").unwrap();
    let mut hello = String::new();
    let mut reader = files.read("hello.txt").unwrap();
    reader.read_to_string(&mut hello).unwrap();
    assert_eq!(hello, "hello pxar\n");
    assert_eq!(files.entries().count(), 12);
}
