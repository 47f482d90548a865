//! Look-ups in split archives as older clients wrote them, and in archives whose tables and links lie.

use std::io::Read;

use chunk_restore::ErrorKind;
use chunk_restore::files::pxar::{Decoder, Limits, Problem};
use chunk_restore::files::{FileEntry, Files, Node as Found, Pattern};
use testkit::pxar::item::{PAYLOAD, item};
use testkit::pxar::{Archive, Layout, Meta, Node, Writer};

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
