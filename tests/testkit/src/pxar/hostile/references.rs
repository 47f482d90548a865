//! Split archives whose references lead elsewhere than to the next payload.

use super::{Hostile, harmless, refused, split};
use crate::pxar::item::{HEADER, PAYLOAD, PAYLOAD_START, PAYLOAD_TAIL, item, item_of_size};
use crate::pxar::{Archive, Content, Meta, Node, Writer};

/// The contents of the two files that come before: payloads at 16 and 39, the tail marker at 62.
const FIRST: u64 = 16;
const SECOND: u64 = FIRST + HEADER + 7;
const TAIL: u64 = SECOND + HEADER + 7;

pub(super) fn all() -> Vec<Hostile> {
    [one_reference(), two_references(), headers(), streams()].concat()
}

/// A file "x" with this reference; nothing else refers to the payloads.
fn referring(references: &[(u64, u64)]) -> Archive {
    let mut archive = split(|w| {
        for (index, (offset, size)) in references.iter().enumerate() {
            w.name(format!("x{index}").as_bytes());
            w.stat(0o100_644, &Meta::new(0));
            w.reference(*offset, *size);
        }
    });
    archive.payload = Some(payloads());
    archive
}

fn payloads() -> Content {
    let archive = split(|w| {
        w.entry(b"a", &Node::file("content"));
        w.entry(b"b", &Node::file("CONTENT"));
    });
    archive.payload.unwrap_or_default()
}

/// A payload stream with these bytes at 16, and zeros behind them.
fn payload_stream(bytes: &[u8]) -> Content {
    Content::from(item(PAYLOAD_START, b""))
        .then(bytes)
        .then(Content::zeros(1000))
        .then(item(PAYLOAD_TAIL, b""))
}

fn one_reference() -> Vec<Hostile> {
    let outside = "a reference to what is not in the payload stream";
    let marker = "a reference to a marker, as if it were a payload";
    let size = "a size that is not the payload's";
    let cases = [
        ("behind-the-end", outside, 1 << 40, 7),
        ("at-the-end", outside, TAIL + HEADER, 0),
        ("header-over-the-end", outside, TAIL + 8, 0),
        ("greatest-offset", outside, u64::MAX, 7),
        ("offset-overflows", outside, u64::MAX - 15, 7),
        ("size-overflows", outside, FIRST, u64::MAX),
        ("end-overflows", outside, FIRST, u64::MAX - 32),
        ("size-over-the-end", outside, FIRST, 1 << 40),
        ("start-marker", marker, 0, 0),
        ("tail-marker", marker, TAIL, 0),
        ("into-a-header", marker, FIRST + 8, 7),
        ("into-content", marker, FIRST + HEADER, 7),
        ("size-too-small", size, FIRST, 6),
        ("size-too-large", size, FIRST, 8),
        ("size-of-both", size, FIRST, 7 + HEADER + 7),
        ("size-0", size, FIRST, 0),
    ];
    let hostile = |(slug, attack, offset, size)| {
        refused(
            format!("reference-{slug}"),
            attack,
            referring(&[(offset, size)]),
        )
    };
    cases.into_iter().map(hostile).collect()
}

fn two_references() -> Vec<Hostile> {
    let falling = referring(&[(SECOND, 7), (FIRST, 7)]);
    let equal = referring(&[(FIRST, 7), (FIRST, 7)]);
    let inner = item(PAYLOAD, b"inner");
    let outer_len = inner.len() as u64;
    let mut overlapping = referring(&[(FIRST, outer_len), (FIRST + HEADER, 5)]);
    overlapping.payload = Some(payload_stream(&item(PAYLOAD, &inner)));
    let forged = item_of_size(PAYLOAD, HEADER + 1000, b"forged");
    let mut crossing = referring(&[(FIRST, forged.len() as u64), (FIRST + HEADER, 1000)]);
    crossing.payload = Some(payload_stream(&item(PAYLOAD, &forged)));
    let back = "references that fall: who reads the stream once can't go back";
    let over = "a payload inside of another one";
    vec![
        refused("references-falling", back, falling),
        refused("references-equal", back, equal),
        refused("references-overlapping", over, overlapping),
        refused("references-crossing", over, crossing),
    ]
}

/// The header in the payload stream is no payload's, or has another size than the reference.
fn headers() -> Vec<Hostile> {
    let with = |header: Vec<u8>, size: u64| {
        let mut archive = referring(&[(FIRST, size)]);
        archive.payload = Some(payload_stream(&header));
        archive
    };
    let other = with(item(0x1234, b"content"), 7);
    let zeros = with(vec![0; 16], 0);
    let small = with(item_of_size(PAYLOAD, 15, b""), 0);
    let large = with(item_of_size(PAYLOAD, u64::MAX, b""), u64::MAX - 16);
    let smaller = with(item_of_size(PAYLOAD, HEADER + 5, b""), 7);
    let attack = "a header in the payload stream that is wrong";
    vec![
        refused("payload-of-another-type", attack, other),
        refused("payload-of-zeros", attack, zeros),
        refused("payload-of-15-bytes", attack, small),
        refused("payload-of-2-to-64-bytes", attack, large),
        refused("payload-smaller-than-stated", attack, smaller),
    ]
}

fn streams() -> Vec<Hostile> {
    let with = |payload: Content| {
        let mut archive = referring(&[(FIRST, 7)]);
        archive.payload = Some(payload);
        archive
    };
    let file = |w: &mut Writer| {
        w.entry(b"a", &Node::file("content"));
    };
    let mut no_start = payloads().to_vec();
    no_start[..16].fill(0);
    let mut inline = split(file);
    inline.stream = super::in_root(&crate::pxar::Layout::v2_in_one_stream(), file).stream;
    let mut halves_swapped = split(file);
    halves_swapped.payload = Some(halves_swapped.stream.clone());
    let unreferenced = {
        let mut archive = split(|w| {
            w.entry(b"a", &Node::fifo());
        });
        archive.payload = Some(payloads());
        archive
    };
    let gap = with({
        let start = [item(PAYLOAD_START, b""), item(PAYLOAD, b"content")].concat();
        Content::from(start).then(Content::random(1, 1000))
    });
    vec![
        refused(
            "payloads-of-no-bytes",
            "an empty payload stream",
            with(Content::new()),
        ),
        refused(
            "payloads-without-start",
            "the start marker is missing",
            with(no_start.into()),
        ),
        refused(
            "payloads-are-the-metadata",
            "the same stream twice",
            halves_swapped,
        ),
        harmless(
            "payload-in-metadata",
            "a PAYLOAD in a split archive",
            inline,
        ),
        harmless("payloads-without-tail", "the tail marker is missing", gap),
        harmless(
            "payloads-unreferenced",
            "payloads that nothing refers to",
            unreferenced,
        ),
    ]
}
