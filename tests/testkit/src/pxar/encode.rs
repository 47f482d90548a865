//! Encodes a tree as an archive.

use std::collections::HashMap;

use super::content::Content;
use super::item::{HEADER, PAYLOAD, item_of_size};
use super::layout::Layout;
use super::tree::{Children, Kind, Node, Tree, joined};
use super::writer::{Archive, Writer};
use crate::image::Prng;

/// The official client writes this file of a backup with `--exclude` last into the root of a version 1 archive.
const EXCLUDED: &[u8] = b".pxarexclude-cli";

const GAP_MAX: u64 = 5000;

/// Encodes a tree.
///
/// # Panics
/// A hard link leads to no regular file before it.
pub fn encode(tree: &Tree, layout: &Layout) -> Archive {
    let mut encoder = Encoder {
        writer: Writer::new(layout),
        files: HashMap::new(),
        gaps: layout.gaps.map(Prng::new),
    };
    let root = Node {
        meta: tree.meta.clone(),
        kind: Kind::Directory(Children::new()),
    };
    encoder.writer.attributes(&root);
    let (last, first): (Vec<_>, Vec<_>) =
        (tree.children.iter()).partition(|(name, _)| layout.version.is_none() && *name == EXCLUDED);
    for (name, node) in first.into_iter().chain(last) {
        encoder.node(name.clone(), name, node);
    }
    encoder.writer.end_directory();
    encoder.gap();
    encoder.writer.finish()
}

struct Encoder {
    writer: Writer,
    /// Where the FILENAME of each file is.
    files: HashMap<Vec<u8>, u64>,
    gaps: Option<Prng>,
}

impl Encoder {
    fn node(&mut self, path: Vec<u8>, name: &[u8], node: &Node) {
        match &node.kind {
            Kind::HardLink(target) => {
                let file = self.files.get(target);
                let file = file.unwrap_or_else(|| panic!("no file {}", target.escape_ascii()));
                self.writer.hard_link(name, *file, target);
            }
            Kind::Directory(children) => {
                self.writer.name(name);
                self.writer.attributes(node);
                for (name, node) in children {
                    self.node(joined(&path, name), name, node);
                }
                self.writer.end_directory();
            }
            Kind::File(_) => {
                self.gap();
                let start = self.writer.entry(name, node);
                self.files.insert(path, start);
            }
            _ => {
                self.writer.entry(name, node);
            }
        }
    }

    /// Adds to the payload stream, now and then, what an earlier backup might have left there: a payload that nothing
    /// refers to any more, or a part of one.
    fn gap(&mut self) {
        let (Some(prng), Some(payload)) = (&mut self.gaps, &mut self.writer.payload) else {
            return;
        };
        let dice = prng.next_u64();
        let len = (dice >> 8) % GAP_MAX;
        if dice & 1 == 0 {
            payload.push(&item_of_size(PAYLOAD, HEADER + len, b""));
        }
        if dice & 2 == 0 {
            payload.append(&Content::random(dice, len));
        }
    }
}
