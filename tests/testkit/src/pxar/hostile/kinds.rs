//! Entries whose mode and items disagree, and symlinks and devices that are none.

use super::{Hostile, Item, Outside, harmless, refused, v1};
use crate::pxar::item::{DEVICE, PAYLOAD, SYMLINK, numbers};
use crate::pxar::{Archive, Meta, Node};

const SOCKET: u64 = 0o140_000;
const LINK: u64 = 0o120_000;
const FILE: u64 = 0o100_000;
const BLOCK: u64 = 0o060_000;
const DIRECTORY: u64 = 0o040_000;
const CHAR: u64 = 0o020_000;
const FIFO: u64 = 0o010_000;

pub(super) fn all(outside: &Outside) -> Vec<Hostile> {
    [mismatches(outside), modes(), symlinks(outside), devices()].concat()
}

/// An entry of this mode with these items.
fn entry(mode: u64, items: &[Item<'_>]) -> Archive {
    v1(|w| {
        w.name(b"x");
        w.stat(mode | 0o644, &Meta::new(0));
        for (htype, content) in items {
            w.item(*htype, content);
        }
        w.name(b"y");
        w.attributes(&Node::fifo());
    })
}

fn mismatches(outside: &Outside) -> Vec<Hostile> {
    let payload = (PAYLOAD, &b"content"[..]);
    let target = [&outside.absolute[..], b"\0"].concat();
    let symlink = (SYMLINK, &target[..]);
    let numbers = numbers(&[1, 3]);
    let device = (DEVICE, &numbers[..]);
    let cases: Vec<(&str, u64, Vec<Item<'_>>)> = vec![
        ("file-without-payload", FILE, vec![]),
        ("file-with-target", FILE, vec![symlink]),
        ("file-with-device", FILE, vec![device]),
        ("file-with-two-payloads", FILE, vec![payload, payload]),
        ("file-with-payload-and-target", FILE, vec![payload, symlink]),
        ("directory-with-payload", DIRECTORY, vec![payload]),
        ("directory-with-target", DIRECTORY, vec![symlink]),
        ("symlink-without-target", LINK, vec![]),
        ("symlink-with-payload", LINK, vec![payload]),
        ("symlink-with-two-targets", LINK, vec![symlink, symlink]),
        (
            "symlink-with-target-and-payload",
            LINK,
            vec![symlink, payload],
        ),
        ("char-device-without-device", CHAR, vec![]),
        ("block-device-without-device", BLOCK, vec![]),
        ("device-with-payload", CHAR, vec![payload]),
        (
            "device-with-device-and-payload",
            BLOCK,
            vec![device, payload],
        ),
        ("device-with-target", CHAR, vec![symlink]),
        ("device-with-two-devices", CHAR, vec![device, device]),
        ("fifo-with-payload", FIFO, vec![payload]),
        ("fifo-with-target", FIFO, vec![symlink]),
        ("fifo-with-device", FIFO, vec![device]),
        ("socket-with-payload", SOCKET, vec![payload]),
        ("socket-with-target", SOCKET, vec![symlink]),
    ];
    let attack = "items that don't belong to the kind of entry that the mode states";
    let hostile = |(slug, mode, items): (&str, u64, Vec<Item<'_>>)| {
        refused(format!("kind-{slug}"), attack, entry(mode, &items))
    };
    cases.into_iter().map(hostile).collect()
}

fn modes() -> Vec<Hostile> {
    let payload: &[Item<'_>] = &[(PAYLOAD, b"content")];
    let modes = [
        ("no-type", 0),
        ("all-types", 0o170_000),
        ("type-03", 0o030_000),
        ("type-05", 0o050_000),
        ("high-bits", FILE | 1 << 16),
        ("highest-bit", FILE | 1 << 63),
    ];
    let attack = "a mode of no kind, or with bits that have no meaning";
    let hostile = |(slug, mode)| refused(format!("mode-{slug}"), attack, entry(mode, payload));
    modes.into_iter().map(hostile).collect()
}

fn symlinks(outside: &Outside) -> Vec<Hostile> {
    let with = |content: &[u8]| entry(LINK, &[(SYMLINK, content)]);
    let to = |target: &[u8]| {
        v1(|w| {
            w.entry(b"x", &Node::symlink(target));
        })
    };
    let empty = "Linux has no symlinks without a target";
    vec![
        refused("target-empty", empty, to(b"")),
        refused("target-without-content", empty, with(b"")),
        refused(
            "target-with-inner-zero",
            "a target with a zero in it",
            to(b"a\0b"),
        ),
        refused(
            "target-without-final-zero",
            "the end of a target is missing",
            with(b"target"),
        ),
        refused(
            "target-over-4096-bytes",
            "a target of 4097 bytes",
            to(&[b't'; 4097]),
        ),
        harmless(
            "target-outside",
            "a symlink that leads out, as many do",
            to(&outside.file()),
        ),
        harmless("target-itself", "a symlink that leads to itself", to(b"x")),
    ]
}

fn devices() -> Vec<Hostile> {
    let one = |node: Node| {
        v1(|w| {
            w.entry(b"x", &node);
        })
    };
    let disk = Node::block_device(8, 0);
    let zero = Node::char_device(1, 5);
    let large = Node::char_device(u64::MAX, u64::MAX);
    let too_large = Node::block_device(1 << 32, 1 << 32);
    vec![
        harmless(
            "device-setuid",
            "a device with setuid",
            one(zero.mode(0o6666)),
        ),
        harmless(
            "device-of-a-disk",
            "a disk that all can write",
            one(disk.mode(0o666)),
        ),
        harmless(
            "device-numbers-of-64-bits",
            "numbers that no device has",
            one(large),
        ),
        harmless(
            "device-numbers-of-33-bits",
            "numbers that become 0 if cut",
            one(too_large),
        ),
        harmless(
            "fifo-setuid",
            "a pipe with setuid",
            one(Node::fifo().mode(0o7777)),
        ),
        harmless(
            "file-setuid",
            "a program with setuid",
            one(Node::file("#!").mode(0o7777)),
        ),
    ]
}
