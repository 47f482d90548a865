//! Look-ups in split archives as older clients wrote them, and in archives whose tables and links lie.

use std::io::Read;

use chunk_restore::ErrorKind;
use chunk_restore::files::pxar::{Decoder, Limits, Problem};
use chunk_restore::files::{FileEntry, Files, Node as Found, Pattern};
use testkit::pxar::goodbye::{Row, Table, hash};
use testkit::pxar::item::{ENTRY, FILENAME, PAYLOAD, item, numbers};
use testkit::pxar::{Archive, Layout, Meta, Node, Writer, terminated};

use crate::damage::{cause, open, snapshot_of};

fn writer(layout: &Layout) -> Writer {
    let mut writer = Writer::new(layout);
    writer.attributes(&Node::directory());
    writer
}

/// A split archive with the files "x", "y" and "z". The payload of "x" is the second of two, and that of both
/// others the first.
fn falling() -> Archive {
    let mut writer = writer(&Layout::split());
    for (name, offset) in [(b"x", 16 + 16 + 5), (b"y", 16), (b"z", 16)] {
        writer.name(name);
        writer.stat(0o100_644, &Meta::new(0o644));
        writer.reference(offset, 5);
    }
    let mut archive = writer.finish();
    let payloads = [&b"first"[..], b"other"].map(|data| item(PAYLOAD, data));
    let start = archive.payload.unwrap().to_vec()[..16].to_vec();
    archive.payload = Some([start, payloads.concat()].concat().into());
    archive
}

fn read(files: &Files, entry: &FileEntry) -> String {
    let mut content = String::new();
    let mut reader = files.read_entry(entry).unwrap();
    reader.read_to_string(&mut content).unwrap();
    content
}

#[test]
fn payloads_in_any_order_are_looked_up_in_each_way_and_refused_in_one_pass() {
    let archive = falling();
    let files = open(&snapshot_of(&archive)).unwrap();
    let contents = |entries: Vec<FileEntry>| -> Vec<_> {
        let entries = entries
            .iter()
            .filter(|entry| !entry.path.as_os_str().is_empty());
        entries.map(|entry| read(&files, entry)).collect()
    };
    let expected = ["other", "first", "first"];
    let walked: Result<_, _> = files.entries().collect();
    assert_eq!(contents(walked.unwrap()), expected);
    let walked: Result<_, _> = files.walk("").unwrap().collect();
    assert_eq!(contents(walked.unwrap()), expected);
    let listed: Result<_, _> = files.list("").unwrap().collect();
    assert_eq!(contents(listed.unwrap()), expected);
    let found: Result<_, _> = files.find(&Pattern::new("[xyz]").unwrap()).collect();
    assert_eq!(contents(found.unwrap()), expected);
    let entries = ["x", "y", "z"].map(|name| files.entry(name).unwrap());
    assert_eq!(contents(entries.to_vec()), expected);

    let stream = archive.stream.to_vec();
    let payloads_len = archive.payload.unwrap().len();
    let decoder = || Decoder::new(Limits::default()).payload_archive_len(payloads_len);
    let decode = |mut decoder: Decoder| {
        let mut input = &stream[..];
        while decoder.decode(&mut input)?.is_some() {}
        decoder.finish()
    };
    let error = decode(decoder()).unwrap_err();
    let falls_back = Problem::PayloadFallsBack { offset: 16 };
    assert_eq!((error.problem(), error.path()), (&falls_back, &b"y"[..]));
    assert_eq!(decode(decoder().payloads_in_any_order()), Ok(()));
}

/// An archive of version 1 with a root whose table was changed.
fn with_table(writer: Writer, change: impl FnOnce(&mut Table, u64)) -> Archive {
    let mut writer = writer;
    let mut table = writer.end_directory_without_table();
    let here = writer.position();
    change(&mut table, here);
    Archive {
        stream: writer.stream.then(table.bytes()),
        payload: None,
    }
}

/// The names that a list of the root gives, up to an error.
fn list(archive: &Archive) -> (Vec<String>, Option<Problem>) {
    let files = open(&snapshot_of(archive)).unwrap();
    let mut names = Vec::new();
    for entry in files.list("").unwrap() {
        match entry {
            Ok(entry) => names.push(entry.path.display().to_string()),
            Err(error) => return (names, Some(cause(&error).problem().clone())),
        }
    }
    (names, None)
}

#[test]
fn a_list_refuses_a_table_with_the_hash_of_another_name() {
    let mut writer = writer(&Layout::v1());
    writer.entry(b"a", &Node::file("content"));
    writer.entry(b"b", &Node::fifo());
    let right = with_table(writer.clone(), |_, _| {});
    assert_eq!(list(&right), (vec!["a".to_owned(), "b".to_owned()], None));
    let other = with_table(writer, |table, _| {
        let of_b = table.rows.iter_mut().find(|row| row.hash == hash(b"b"));
        of_b.unwrap().hash = hash(b"c");
    });
    assert_eq!(list(&other), (vec!["a".to_owned()], Some(Problem::Table)));
}

/// The bytes of a file with this name and no content.
fn inner_file(name: &[u8]) -> Vec<u8> {
    let entry = item(ENTRY, &numbers(&[0o100_644, 0, 0, 0, 0]));
    [item(FILENAME, &terminated(name)), entry, item(PAYLOAD, b"")].concat()
}

#[test]
fn a_list_refuses_an_entry_that_lies_in_another() {
    let in_each = |outer: &dyn Fn(&mut Writer)| {
        let mut writer = writer(&Layout::v1());
        outer(&mut writer);
        let stream = writer.stream.to_vec();
        let inner = inner_file(b"inner");
        let at = stream.windows(inner.len()).position(|bytes| bytes == inner);
        let at = at.unwrap() as u64;
        let archive = with_table(writer, |table, here| {
            let mut rows = table.rows.clone();
            rows.push(Row {
                hash: hash(b"inner"),
                offset: here - at,
                size: inner.len() as u64,
            });
            *table = Table::new(rows, table.tail.offset);
        });
        assert_eq!(
            list(&archive),
            (vec!["outer".to_owned()], Some(Problem::Table))
        );
    };
    in_each(&|writer| {
        writer.entry(b"outer", &Node::file(&inner_file(b"inner")[..]));
    });
    in_each(&|writer| {
        let directory = Node::directory();
        writer.name(b"outer");
        writer.attributes(&directory);
        writer.entry(b"inner", &Node::file("").mode(0o644).time(0, 0));
        writer.end_directory();
    });
    in_each(&|writer| {
        let fifo = Node::fifo().xattr(b"user.x", inner_file(b"inner"));
        writer.entry(b"outer", &fifo);
    });
    in_each(&|writer| {
        let link = Node::symlink("x").xattr(b"user.x", inner_file(b"inner"));
        writer.entry(b"outer", &link);
    });
}

#[test]
fn a_link_that_leads_to_no_entry_is_told_of_the_link() {
    let mut writer = writer(&Layout::v1());
    let target = writer.entry(b"a", &Node::file("content"));
    let link = writer.name(b"link");
    writer.hard_link_item(link - (target + 1), b"a");
    let fifo = writer.entry(b"fifo", &Node::fifo());
    writer.hard_link(b"other", fifo, b"fifo");
    let files = open(&snapshot_of(&writer.finish())).unwrap();
    for path in ["link", "other"] {
        let entry = files.entry(path).unwrap();
        assert!(matches!(entry.node, Found::HardLink(_)));
        let error = files.resolve(&entry).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert_eq!(cause(&error).path(), path.as_bytes());
    }
}
