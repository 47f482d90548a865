//! Tables that lie about their directory. Who reads an archive from start to end may pass over what they say.

use super::{Hostile, harmless, refused, v1};
use crate::pxar::goodbye::{Row, TAIL, Table};
use crate::pxar::item::{GOODBYE, item_of_size, numbers};
use crate::pxar::{Archive, Content, Layout, Node, Writer};

/// More than a directory needs that is not made to attack, and a whole number of rows.
const HUGE: u64 = 24 << 20;

pub(super) fn all() -> Vec<Hostile> {
    [rows(), rows_elsewhere(), tails(), shapes(), inner()].concat()
}

/// Three files and a root whose table was changed.
fn with(change: impl FnOnce(&mut Table)) -> Archive {
    let mut writer = Writer::new(&Layout::v1());
    writer.attributes(&Node::directory());
    for name in [b"a", b"b", b"c"] {
        writer.entry(name, &Node::file(&name[..]));
    }
    let mut table = writer.end_directory_without_table();
    change(&mut table);
    Archive {
        stream: writer.stream.then(table.bytes()),
        payload: None,
    }
}

fn each(change: impl Fn(&mut Row)) -> Archive {
    with(|table| table.rows.iter_mut().for_each(change))
}

/// Keeps the size that the tail states equal to that of the table.
fn resized(table: &mut Table) {
    table.tail.size = 16 + 24 * (table.rows.len() as u64 + 1);
}

fn rows() -> Vec<Hostile> {
    let fewer = with(|table| {
        table.rows.pop();
        resized(table);
    });
    let none = with(|table| {
        table.rows.clear();
        resized(table);
    });
    let more = with(|table| {
        let row = table.rows[0];
        table.rows.extend(vec![row; 5]);
        resized(table);
    });
    vec![
        harmless(
            "table-row-missing",
            "a table with fewer rows than entries",
            fewer,
        ),
        harmless("table-without-rows", "a table without rows", none),
        harmless(
            "table-rows-added",
            "a table with more rows than entries",
            more,
        ),
        harmless(
            "table-unsorted",
            "rows in no order",
            with(|table| table.rows.reverse()),
        ),
        harmless(
            "table-hashes-wrong",
            "hashes of other names",
            each(|row| row.hash ^= 1),
        ),
        harmless(
            "table-hashes-equal",
            "one hash for all names",
            each(|row| row.hash = 7),
        ),
    ]
}

fn rows_elsewhere() -> Vec<Hostile> {
    let swapped = with(|table| {
        let (first, last) = (table.rows[0].offset, table.rows[2].offset);
        (table.rows[0].offset, table.rows[2].offset) = (last, first);
    });
    let to_the_root = with(|table| {
        let start = table.tail.offset;
        table.rows.iter_mut().for_each(|row| row.offset = start);
    });
    let offset = "a row that leads out of the directory";
    vec![
        harmless(
            "table-rows-swapped",
            "a name's row leads to another entry",
            swapped,
        ),
        harmless("table-rows-into-items", offset, each(|row| row.offset -= 8)),
        harmless("table-rows-behind", offset, each(|row| row.offset = 0)),
        harmless("table-rows-before", offset, each(|row| row.offset += 1000)),
        harmless(
            "table-rows-overflow",
            offset,
            each(|row| row.offset = u64::MAX),
        ),
        harmless(
            "table-rows-to-the-root",
            "rows that lead to the directory itself",
            to_the_root,
        ),
        harmless(
            "table-sizes-0",
            "entries without a size",
            each(|row| row.size = 0),
        ),
        harmless(
            "table-sizes-large",
            "entries over the end",
            each(|row| row.size = 1 << 40),
        ),
        harmless(
            "table-sizes-overflow",
            "sizes that overflow",
            each(|row| row.size = u64::MAX),
        ),
    ]
}

fn tails() -> Vec<Hostile> {
    let tail = |change: fn(&mut Row)| with(|table| change(&mut table.tail));
    let attack = "a tail that leads elsewhere than to the start of the directory";
    vec![
        harmless(
            "tail-hash-wrong",
            "the last row is no tail",
            tail(|tail| tail.hash = 7),
        ),
        harmless("tail-offset-0", attack, tail(|tail| tail.offset = 0)),
        harmless(
            "tail-offset-too-small",
            attack,
            tail(|tail| tail.offset -= 8),
        ),
        harmless(
            "tail-offset-too-large",
            attack,
            tail(|tail| tail.offset += 8),
        ),
        harmless(
            "tail-offset-overflows",
            attack,
            tail(|tail| tail.offset = u64::MAX),
        ),
        harmless(
            "tail-size-0",
            "a table of no size",
            tail(|tail| tail.size = 0),
        ),
        harmless(
            "tail-size-too-small",
            "a table that starts later",
            tail(|tail| tail.size -= 24),
        ),
        harmless(
            "tail-size-too-large",
            "a table that starts earlier",
            tail(|tail| tail.size += 24),
        ),
        harmless(
            "tail-size-overflows",
            "a table of all there is",
            tail(|tail| tail.size = u64::MAX),
        ),
    ]
}

/// Tables that are none, or are huge.
fn shapes() -> Vec<Hostile> {
    let root_with = |bytes: &dyn Fn(&Table) -> Vec<u8>| {
        let mut writer = Writer::new(&Layout::v1());
        writer.attributes(&Node::directory());
        writer.entry(b"a", &Node::file("content"));
        let table = writer.end_directory_without_table();
        Archive {
            stream: writer.stream.then(bytes(&table)),
            payload: None,
        }
    };
    let of_content = |content: &[u8]| item_of_size(GOODBYE, 16 + content.len() as u64, content);
    let attack = "a table that is no whole number of rows, or has none";
    let huge = root_with(&|table| item_of_size(GOODBYE, 16 + HUGE, &table.content()));
    let zeros = Archive {
        stream: huge.stream.clone().then(Content::zeros(HUGE - 48)),
        payload: None,
    };
    vec![
        refused(
            "table-without-tail",
            attack,
            root_with(&|_| of_content(b"")),
        ),
        refused(
            "table-of-8-bytes",
            attack,
            root_with(&|_| of_content(&[0; 8])),
        ),
        refused(
            "table-and-a-byte",
            attack,
            root_with(&|table| of_content(&[&table.content()[..], b"\0"].concat())),
        ),
        refused(
            "table-less-a-byte",
            attack,
            root_with(&|table| of_content(&table.content()[..47])),
        ),
        refused(
            "table-stated-24-MiB",
            "a table that is said to be huge",
            huge,
        ),
        harmless("table-of-24-MiB-of-zeros", "a table that is huge", zeros),
    ]
}

fn inner() -> Vec<Hostile> {
    // The row of "d/loop" leads to "d" itself: who follows it by its size ends where it was.
    let circle = v1(|w| {
        let start = w.name(b"d");
        w.attributes(&Node::directory());
        w.entry(b"loop", &Node::directory());
        let mut table = w.end_directory_without_table();
        let here = w.position();
        let size = here + 16 + 24 * 2 - start;
        table.rows[0].offset = here - start;
        table.rows[0].size = size;
        w.stream.push(&table.bytes());
    });
    let to_sibling = v1(|w| {
        let secret = w.entry(b"a", &Node::file("of a"));
        w.name(b"d");
        w.attributes(&Node::directory());
        w.entry(b"b", &Node::file("of b"));
        let mut table = w.end_directory_without_table();
        table.rows[0].offset = w.position() - secret;
        w.stream.push(&table.bytes());
    });
    let forged = [0xff; 8]
        .iter()
        .chain(&TAIL.to_le_bytes())
        .copied()
        .collect::<Vec<u8>>();
    let in_content = v1(|w| {
        let content = [forged, numbers(&[40, 40])].concat();
        w.entry(b"a", &Node::file(content));
    });
    vec![
        harmless("table-in-a-circle", "a directory that holds itself", circle),
        harmless(
            "table-to-a-sibling",
            "a row that leads into another directory",
            to_sibling,
        ),
        harmless(
            "table-in-content",
            "a file that ends like a table",
            in_content,
        ),
    ]
}
