//! Look-ups in split archives as older clients wrote them, and in archives whose tables and links lie.

use chunk_restore::ErrorKind;
use chunk_restore::files::Node as Found;
use testkit::pxar::{Layout, Node, Writer};

use crate::damage::{cause, open, snapshot_of};

fn writer(layout: &Layout) -> Writer {
    let mut writer = Writer::new(layout);
    writer.attributes(&Node::directory());
    writer
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
