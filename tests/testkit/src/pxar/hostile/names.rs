//! Names that lead elsewhere, are none, or come twice.

use super::{Build, Hostile, Outside, harmless, refused, v1};
use crate::pxar::Node;
use crate::pxar::item::FILENAME;

pub(super) fn all(outside: &Outside) -> Vec<Hostile> {
    [
        bad_names(outside),
        unended(),
        takeable(),
        duplicates(outside),
    ]
    .concat()
}

fn bad_names(outside: &Outside) -> Vec<Hostile> {
    let below_link = [&outside.absolute[..], b"/link"].concat();
    let names: Vec<(&str, Vec<u8>)> = vec![
        ("dot-dot", b"..".to_vec()),
        ("dot", b".".to_vec()),
        ("empty", Vec::new()),
        ("with-slash", b"a/b".to_vec()),
        ("ends-in-slash", b"a/".to_vec()),
        ("slash", b"/".to_vec()),
        ("dot-dot-and-path", outside.relative_file()),
        ("absolute", outside.file()),
        ("absolute-new", below_link),
        ("inner-zero", b"a\0b".to_vec()),
        ("dot-dot-and-zero", b"..\0a".to_vec()),
        ("two-zeros", b"a\0".to_vec()),
        ("only-zeros", b"\0".to_vec()),
        ("over-4096-bytes", vec![b'n'; 4097]),
    ];
    let kinds = [
        ("file", Node::file("escaped")),
        ("directory", Node::directory().mode(0o777)),
        ("symlink", Node::symlink(&outside.absolute)),
    ];
    let mut all = Vec::new();
    for (slug, name) in &names {
        for (kind, node) in &kinds {
            let archive = v1(|w| {
                w.entry(name, node);
            });
            all.push(refused(
                format!("name-{slug}-{kind}"),
                "a name that is none, or leads out of its directory",
                archive,
            ));
        }
    }
    let beneath = v1(|w| {
        w.name(b"..");
        w.attributes(&Node::directory());
        w.entry(b"escaped", &Node::file("escaped"));
        w.end_directory();
    });
    all.push(refused(
        "name-dot-dot-and-file-beneath",
        "a directory that is its parent",
        beneath,
    ));
    all
}

fn unended() -> Vec<Hostile> {
    let with_item = |content: &[u8]| {
        v1(|w| {
            w.item(FILENAME, content);
            w.attributes(&Node::file(""));
            w.file_content(&"content".into());
        })
    };
    vec![
        refused(
            "name-without-final-zero",
            "the end of a name is missing",
            with_item(b"name"),
        ),
        refused(
            "name-without-content",
            "a FILENAME of no bytes",
            with_item(b""),
        ),
    ]
}

fn takeable() -> Vec<Hostile> {
    let file = Node::file("content");
    let long = v1(|w| {
        w.entry(&[b'n'; 256], &file);
    });
    let unsorted = v1(|w| {
        for name in [b"c", b"a", b"b"] {
            w.entry(name, &file);
        }
    });
    let odd = v1(|w| {
        for name in [&b"\x1b[2J"[..], b"a\nb", b"\xff", b"-rf", b"C:\\x", b"..."] {
            w.entry(name, &file);
        }
    });
    vec![
        harmless(
            "name-of-256-bytes",
            "Linux takes names of up to 255 bytes",
            long,
        ),
        harmless(
            "names-unsorted",
            "a reader that relies on the order of names",
            unsorted,
        ),
        harmless(
            "names-for-terminals",
            "names that change what a terminal shows",
            odd,
        ),
    ]
}

fn duplicates(outside: &Outside) -> Vec<Hostile> {
    let node = |node: Node| -> Build {
        Box::new(move |w| {
            w.entry(b"x", &node);
        })
    };
    let folder = |name: &'static [u8]| -> Build {
        Box::new(move |w| {
            w.name(b"x");
            w.attributes(&Node::directory().mode(0o777));
            w.entry(name, &Node::file("escaped"));
            w.end_directory();
        })
    };
    let out = || node(Node::symlink(&outside.absolute));
    let out_file = || node(Node::symlink(outside.file()));
    let file = || node(Node::file("escaped").mode(0o4777));
    let cases: Vec<(&str, Build, Build)> = vec![
        ("file-and-file", file(), file()),
        ("file-and-symlink", file(), out_file()),
        ("symlink-and-file", out_file(), file()),
        ("symlink-and-symlink", out(), out_file()),
        ("symlink-and-directory", out(), folder(b"file")),
        ("directory-and-symlink", folder(b"a"), out()),
        ("directory-and-directory", folder(b"a"), folder(b"b")),
        ("directory-and-file", folder(b"a"), file()),
        ("file-and-directory", file(), folder(b"a")),
        ("fifo-and-file", node(Node::fifo()), file()),
        ("socket-and-file", node(Node::socket()), file()),
        ("device-and-file", node(Node::char_device(1, 3)), file()),
        ("symlink-and-fifo", out_file(), node(Node::fifo())),
    ];
    let attack = "a name that comes twice: the second entry could go through the first one";
    let mut all = Vec::new();
    for (slug, first, second) in &cases {
        let archive = v1(|w| {
            first(w);
            second(w);
        });
        all.push(refused(format!("twice-{slug}"), attack, archive));
    }
    let apart = v1(|w| {
        w.entry(b"x", &Node::symlink(outside.file()));
        w.entry(b"y", &Node::file(""));
        w.entry(b"x", &Node::file("escaped"));
    });
    all.push(refused("twice-with-another-between", attack, apart));
    let link = v1(|w| {
        let target = w.entry(b"a", &Node::file("escaped"));
        w.entry(b"x", &Node::symlink(outside.file()));
        w.hard_link(b"x", target, b"a");
    });
    all.push(refused("twice-symlink-and-hard-link", attack, link));
    all
}
