//! Items that are missing, come twice, or stand where they don't belong.

use super::{Hostile, harmless, in_root, refused, v1};
use crate::pxar::item::{
    ENTRY, FILENAME, FORMAT_VERSION, GOODBYE, PAYLOAD, PAYLOAD_REF, PAYLOAD_START, PAYLOAD_TAIL,
    PRELUDE, item, numbers,
};
use crate::pxar::{Archive, Content, Layout, Meta, Node, Tree, Writer, encode};

/// Deeper than any tree that is not made to attack.
const DEPTH: u64 = 100_000;

pub(super) fn all() -> Vec<Hostile> {
    [
        entries(),
        ends(),
        starts(),
        versions(),
        preludes(),
        depths(),
    ]
    .concat()
}

/// A bare stream.
fn bare(stream: Vec<u8>) -> Archive {
    Archive {
        stream: stream.into(),
        payload: None,
    }
}

fn small() -> Archive {
    encode(&Tree::new().add("a", Node::file("content")), &Layout::v1())
}

fn before(start: &[u8], archive: &Archive) -> Archive {
    Archive {
        stream: Content::from(start).then(archive.stream.to_vec()),
        payload: archive.payload.clone(),
    }
}

fn behind(archive: Archive, end: impl Into<Content>) -> Archive {
    Archive {
        stream: archive.stream.then(end),
        payload: archive.payload,
    }
}

/// An archive whose root holds what `build` writes.
fn strange(slug: &str, build: impl FnOnce(&mut Writer)) -> Hostile {
    let attack = "items in an order that no archive has";
    refused(format!("order-{slug}"), attack, v1(build))
}

fn entries() -> Vec<Hostile> {
    let regular = 0o100_644;
    vec![
        strange("name-and-name", |w| {
            w.name(b"a");
            w.entry(b"b", &Node::file("content"));
        }),
        strange("name-and-payload", |w| {
            w.name(b"a");
            w.item(PAYLOAD, b"content");
        }),
        strange("name-and-end", |w| {
            w.name(b"a");
        }),
        strange("two-entries", |w| {
            w.name(b"a");
            w.stat(regular, &Meta::new(0));
            w.stat(regular, &Meta::new(0));
            w.item(PAYLOAD, b"content");
        }),
        strange("entry-without-name", |w| {
            w.stat(regular, &Meta::new(0));
            w.item(PAYLOAD, b"content");
        }),
        strange("payload-without-entry", |w| w.item(PAYLOAD, b"content")),
        strange("payload-of-the-root", |w| {
            w.item(PAYLOAD, b"content");
            w.entry(b"a", &Node::file("content"));
        }),
        strange("unknown-item", |w| w.item(0x1234_5678_9abc_def0, b"")),
        strange("item-of-type-0", |w| w.item(0, b"")),
        strange("reference-in-one-stream", |w| {
            w.name(b"a");
            w.stat(regular, &Meta::new(0));
            w.item(PAYLOAD_REF, &numbers(&[16, 7]));
        }),
        strange("payload-start-in-stream", |w| w.item(PAYLOAD_START, b"")),
        strange("payload-tail-in-stream", |w| w.item(PAYLOAD_TAIL, b"")),
    ]
}

fn ends() -> Vec<Hostile> {
    let without_table = v1(|w| {
        w.name(b"a");
        w.attributes(&Node::directory());
        w.end_directory_without_table();
    });
    let mut without_root = Writer::new(&Layout::v1());
    without_root.attributes(&Node::directory());
    without_root.entry(b"a", &Node::file("content"));
    without_root.end_directory_without_table();
    let trailing = "bytes behind the root's table";
    let table = v1(|_| {}).stream.to_vec()[56..].to_vec();
    vec![
        refused(
            "end-of-directory-missing",
            "a directory without a table",
            without_table,
        ),
        refused(
            "end-of-root-missing",
            "the root has no table",
            without_root.finish(),
        ),
        refused(
            "end-twice",
            "a second table of the root",
            behind(small(), table),
        ),
        refused("end-and-zero", trailing, behind(small(), &b"\0"[..])),
        refused(
            "end-and-item",
            trailing,
            behind(small(), item(FILENAME, b"b\0")),
        ),
        refused(
            "end-and-archive",
            "a second archive behind the first",
            behind(small(), small().stream.to_vec()),
        ),
        refused(
            "end-and-zeros",
            "a long row of zeros behind the root",
            behind(small(), Content::zeros(1 << 20)),
        ),
    ]
}

fn starts() -> Vec<Hostile> {
    let mut file = Writer::new(&Layout::v1());
    file.attributes(&Node::file(""));
    file.file_content(&"content".into());
    let mut symlink = Writer::new(&Layout::v1());
    symlink.attributes(&Node::symlink(""));
    symlink.item(crate::pxar::item::SYMLINK, b"/\0");
    let named = before(&item(FILENAME, b"a\0"), &small());
    let table = numbers(&[0xef5e_ed5b_753e_1555, 0, 40]);
    vec![
        refused("start-file", "the root is a file", file.finish()),
        refused("start-symlink", "the root is a symlink", symlink.finish()),
        refused("start-name", "the root has a name", named),
        refused(
            "start-table",
            "a table and nothing else",
            bare(item(GOODBYE, &table)),
        ),
        refused("start-nothing", "no bytes at all", bare(Vec::new())),
        refused("start-zeros", "zeros only", bare(vec![0; 4096])),
        refused(
            "start-text",
            "no archive",
            bare(b"PK\x03\x04 this is no archive of this kind".to_vec()),
        ),
    ]
}

fn versions() -> Vec<Hostile> {
    let version = |version| {
        let layout = Layout {
            version: Some(version),
            ..Layout::v1()
        };
        encode(&Tree::new(), &layout)
    };
    let attack = "a version that is not known";
    let mut all: Vec<Hostile> = [0, 3, u64::MAX]
        .into_iter()
        .map(|number| refused(format!("version-{number}"), attack, version(number)))
        .collect();
    let two = 2_u64.to_le_bytes();
    let second = before(&item(FORMAT_VERSION, &two), &version(2));
    let short = before(&item(FORMAT_VERSION, &two[..4]), &small());
    let inside = v1(|w| w.item(FORMAT_VERSION, &two));
    all.push(refused("version-twice", "a second version", second));
    all.push(refused(
        "version-of-4-bytes",
        "a version that is too short",
        short,
    ));
    all.push(refused(
        "version-in-directory",
        "a version where an entry belongs",
        inside,
    ));
    all
}

fn preludes() -> Vec<Hostile> {
    let prelude = |version, prelude: &[u8]| {
        let layout = Layout {
            version,
            prelude: Some(prelude.to_vec()),
            ..Layout::v1()
        };
        encode(&Tree::new(), &layout)
    };
    // This one is in the archive in full.
    let version = item(FORMAT_VERSION, &2_u64.to_le_bytes());
    let len = 1_u64 << 26;
    let header = crate::pxar::item::item_of_size(PRELUDE, 16 + len, b"");
    let long = Archive {
        stream: Content::from(version)
            .then(header)
            .then(Content::zeros(len))
            .then(small().stream.to_vec()),
        payload: None,
    };
    let inside = in_root(&Layout::split(), |w| w.item(PRELUDE, b"{}"));
    vec![
        refused(
            "prelude-without-version",
            "a prelude in version 1",
            prelude(None, b"{}"),
        ),
        refused(
            "prelude-of-64-MiB",
            "a prelude that takes much memory",
            long,
        ),
        refused(
            "prelude-in-directory",
            "a prelude where an entry belongs",
            inside,
        ),
        harmless(
            "prelude-no-json",
            "a prelude that is no JSON",
            prelude(Some(2), b"\xff\0{"),
        ),
        harmless(
            "prelude-empty",
            "a prelude of no bytes",
            prelude(Some(2), b""),
        ),
    ]
}

fn depths() -> Vec<Hostile> {
    let deep = |depth: u64| {
        v1(|w| {
            for _ in 0..depth {
                w.name(b"d");
                w.attributes(&Node::directory());
            }
        })
    };
    let mut open = Writer::new(&Layout::v1());
    open.attributes(&Node::directory());
    for _ in 0..DEPTH {
        open.name(b"d");
        open.item(ENTRY, &numbers(&[0o040_755, 0, 0, 0, 0]));
    }
    let never_closed = Archive {
        stream: open.stream,
        payload: None,
    };
    vec![
        refused("depth-100000", "directories in directories", deep(DEPTH)),
        refused(
            "depth-100000-open",
            "directories that have no end",
            never_closed,
        ),
        harmless("depth-900", "deeper than a path may be long", deep(900)),
    ]
}
