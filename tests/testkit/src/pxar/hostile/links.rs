//! Hard links to whatever is no earlier regular file, and paths in them that lead out of the target.

use super::{Hostile, Outside, harmless, refused, v1};
use crate::pxar::item::{FILENAME, HARDLINK, HEADER};
use crate::pxar::{Archive, Content, Layout, Node, Writer};

pub(super) fn all(outside: &Outside) -> Vec<Hostile> {
    let mut all = vec![
        refused("link-to-itself", "an offset of 0", to_itself(b"a")),
        refused(
            "link-to-itself-path-outside",
            "an offset of 0",
            to_itself(&outside.relative_file()),
        ),
        refused(
            "link-to-itself-path-absolute",
            "an offset of 0",
            to_itself(&outside.file()),
        ),
        refused(
            "link-forward",
            "a link to a file that comes later",
            forward(),
        ),
        refused(
            "links-in-a-circle",
            "two links that lead to one another",
            circle(),
        ),
        refused(
            "link-into-an-item",
            "an offset that leads into an item",
            moved(8),
        ),
        refused(
            "link-to-an-item",
            "an offset that leads to an ENTRY",
            moved(HEADER + 2),
        ),
        refused(
            "link-into-content",
            "a file whose content looks like an entry",
            into_content(),
        ),
    ];
    all.extend(outside_the_archive());
    all.extend(to_other_kinds());
    all.extend(paths(outside));
    all.extend(broken_items());
    all.extend(items_beside());
    all
}

fn to_itself(path: &[u8]) -> Archive {
    v1(|w| {
        w.entry(b"a", &Node::file("content"));
        w.entry(b"link", &Node::hard_link(path));
    })
}

/// The bytes of a hard link with a name and a path of one byte each.
const LINK_LEN: u64 = (HEADER + 2) + (HEADER + 8 + 2);

fn forward() -> Archive {
    v1(|w| {
        let here = w.position();
        w.hard_link(b"a", here + LINK_LEN, b"b");
        assert_eq!(w.entry(b"b", &Node::file("content")), here + LINK_LEN);
    })
}

fn circle() -> Archive {
    v1(|w| {
        let here = w.position();
        w.hard_link(b"a", here + LINK_LEN, b"b");
        w.hard_link(b"b", here, b"a");
    })
}

/// A link that leads so many bytes behind the start of a file's entry.
fn moved(by: u64) -> Archive {
    v1(|w| {
        let file = w.entry(b"a", &Node::file("content"));
        w.hard_link(b"b", file + by, b"a");
    })
}

fn into_content() -> Archive {
    let mut forged = Writer::new(&Layout::v1());
    forged.entry(b"forged", &Node::file("forged").mode(0o4755));
    let forged: Content = forged.finish().stream;
    v1(|w| {
        w.entry(b"a", &Node::file(forged.to_vec()));
        let content = w.position() - forged.len();
        w.hard_link(b"b", content, b"forged");
    })
}

fn outside_the_archive() -> Vec<Hostile> {
    let from_link = |target: &dyn Fn(u64) -> u64| {
        v1(|w| {
            w.entry(b"a", &Node::file("content"));
            let here = w.position();
            w.hard_link(b"b", target(here), b"a");
        })
    };
    let before = from_link(&|_| 0_u64.wrapping_sub(1000));
    let behind = from_link(&|here| here + (1 << 40));
    let attack = "an offset that leads out of the archive";
    vec![
        refused("link-before-the-archive", attack, before),
        refused("link-behind-the-archive", attack, behind),
        refused(
            "link-by-the-greatest-offset",
            attack,
            from_link(&|here| here.wrapping_add(1)),
        ),
        refused(
            "link-to-the-root",
            "an offset that leads to the root",
            from_link(&|_| 0),
        ),
    ]
}

fn to_other_kinds() -> Vec<Hostile> {
    let kinds = [
        ("directory", Node::directory()),
        ("symlink", Node::symlink("target")),
        ("fifo", Node::fifo()),
        ("socket", Node::socket()),
        ("char-device", Node::char_device(1, 3)),
        ("block-device", Node::block_device(8, 0)),
    ];
    let attack = "a link to what is no regular file";
    let mut all = Vec::new();
    for (kind, node) in kinds {
        let archive = v1(|w| {
            let target = w.entry(b"a", &node);
            w.hard_link(b"b", target, b"a");
        });
        all.push(refused(format!("link-to-{kind}"), attack, archive));
    }
    let to_link = v1(|w| {
        let file = w.entry(b"a", &Node::file("content"));
        let link = w.position();
        w.hard_link(b"b", file, b"a");
        w.hard_link(b"c", link, b"b");
    });
    all.push(refused("link-to-link", attack, to_link));
    let to_parent = v1(|w| {
        let folder = w.name(b"a");
        w.attributes(&Node::directory());
        w.hard_link(b"b", folder, b"a");
        w.end_directory();
    });
    all.push(refused("link-to-the-directory-it-is-in", attack, to_parent));
    all
}

/// The offset is right, and the path leads elsewhere. Who resolves links by their offset is not led astray.
fn paths(outside: &Outside) -> Vec<Hostile> {
    let paths: Vec<(&str, Vec<u8>)> = vec![
        ("outside", outside.relative_file()),
        ("absolute", outside.file()),
        ("through-symlink", b"planted/file".to_vec()),
        ("of-symlink", b"planted".to_vec()),
        ("of-another-file", b"other".to_vec()),
        ("of-itself", b"x".to_vec()),
        ("of-nothing", b"nothing".to_vec()),
        ("empty", Vec::new()),
    ];
    let archive = |path: &[u8]| {
        v1(|w| {
            let target = w.entry(b"a", &Node::file("content"));
            w.entry(b"other", &Node::file("other"));
            w.entry(b"planted", &Node::symlink(&outside.absolute));
            w.hard_link(b"x", target, path);
        })
    };
    let attack = "a link whose path leads elsewhere than its offset";
    let hostile = |(slug, path): &(&str, Vec<u8>)| {
        harmless(format!("link-path-{slug}"), attack, archive(path))
    };
    paths.iter().map(hostile).collect()
}

fn broken_items() -> Vec<Hostile> {
    let with_item = |content: &dyn Fn(u64) -> Vec<u8>| {
        v1(|w| {
            let file = w.entry(b"a", &Node::file("content"));
            let link = w.name(b"b");
            w.item(HARDLINK, &content(link - file));
        })
    };
    let offset_and =
        |path: &'static [u8]| with_item(&|offset| [&offset.to_le_bytes()[..], path].concat());
    let long = with_item(&|offset| [&offset.to_le_bytes()[..], &[b'a'; 5000], b"\0"].concat());
    vec![
        refused(
            "link-path-without-final-zero",
            "the end of a path is missing",
            offset_and(b"a"),
        ),
        refused(
            "link-path-with-inner-zero",
            "a path with a zero in it",
            offset_and(b"a\0b\0"),
        ),
        refused(
            "link-without-path",
            "a HARDLINK of 8 bytes",
            offset_and(b""),
        ),
        refused(
            "link-of-4-bytes",
            "a HARDLINK of 4 bytes",
            with_item(&|_| vec![1, 0, 0, 0]),
        ),
        refused("link-path-too-long", "a path of 5000 bytes", long),
    ]
}

/// Links with items that they don't have, and without those that they have.
fn items_beside() -> Vec<Hostile> {
    let with_attributes = v1(|w| {
        let file = w.entry(b"a", &Node::file("content"));
        let link = w.name(b"b");
        w.attributes(&Node::file(""));
        w.hard_link_item(link - file, b"a");
    });
    let with_content = v1(|w| {
        let file = w.entry(b"a", &Node::file("content"));
        w.hard_link(b"b", file, b"a");
        w.file_content(&"more".into());
    });
    let without_name = v1(|w| {
        w.entry(b"a", &Node::file("content"));
        w.hard_link_item(10, b"a");
    });
    let nameless = v1(|w| {
        w.item(FILENAME, b"\0");
        w.hard_link_item(1, b"a");
    });
    vec![
        refused(
            "link-with-attributes",
            "a link with an ENTRY",
            with_attributes,
        ),
        refused("link-with-content", "a link with a PAYLOAD", with_content),
        refused(
            "link-without-name",
            "a HARDLINK without a FILENAME",
            without_name,
        ),
        refused(
            "link-with-empty-name",
            "a HARDLINK behind an empty name",
            nameless,
        ),
    ]
}
