//! Packing that is stopped.

use chunk_restore::files::{Files, PackReport, Selection};
use chunk_restore::{Cancel, ErrorKind, Restore};
use testkit::pxar::{Content, Layout, Node, Tree, encode};

use crate::made::snapshot;

/// Packs with an output that stops nothing itself. Cancels as soon as `is_time`, and returns what was
/// packed by then and in the end.
fn stop(
    tree: &Tree,
    format: &str,
    is_time: impl Fn(&PackReport) -> bool,
) -> (PackReport, PackReport) {
    let (snapshot, _) = snapshot(&encode(tree, &Layout::split()));
    let cancel = Cancel::new();
    let files = Files::open(&Restore::new().cancel(&cancel), &snapshot, "root.pxar").unwrap();
    let pack = files.pack(&Selection::default());
    let (mut then, mut last) = (None, PackReport::default());
    let observe = |report: &PackReport| {
        last = report.clone();
        if then.is_none() && is_time(report) {
            then = Some(report.clone());
            cancel.cancel();
        }
    };
    let packed = match format {
        "tar" => pack.tar(Vec::new(), observe),
        _ => pack.zip(Vec::new(), observe),
    };
    assert_eq!(packed.unwrap_err().kind(), ErrorKind::Cancelled, "{format}");
    (then.unwrap(), last)
}

#[test]
fn a_packing_stops_between_two_entries() {
    // No bytes are fetched for these.
    let mut tree = Tree::new();
    for number in 0..100 {
        tree = tree.add(format!("d{number:02}"), Node::directory());
    }
    for format in ["tar", "zip"] {
        let (then, last) = stop(&tree, format, |report| report.entries == 10);
        assert_eq!((then.entries, last.entries), (10, 10), "{format}");
    }
}

#[test]
fn a_packing_stops_within_a_large_file() {
    let content = Content::random(1, 100).then(Content::zeros(40 << 20));
    let tree = Tree::new().add("large", Node::file(content));
    for format in ["tar", "zip"] {
        let (then, last) = stop(&tree, format, |report| report.bytes > 0);
        assert!(then.bytes < 10 << 20, "{format}: {}", then.bytes);
        assert_eq!(last.bytes, then.bytes, "{format}");
    }
}
