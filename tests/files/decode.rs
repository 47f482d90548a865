//! Decodes whole archives that lie in memory.

use std::error::Error;

use chunk_restore::files::pxar::{
    Decoder, EntryKind, HardLink, Item, Limits, Payload, Problem, check_payload_header,
    check_payload_start,
};
use sha2::{Digest, Sha256};

use crate::describe::{Described, Tree};

/// Decodes an archive that comes in pieces of these lengths, again and again.
pub(crate) fn decode(
    archive: &[u8],
    payloads: Option<&[u8]>,
    pieces: &[usize],
) -> Result<Tree, Box<dyn Error>> {
    let mut decoder = Decoder::new(Limits::default()).archive_len(archive.len() as u64);
    if let Some(payloads) = payloads {
        let start = payloads.first_chunk().ok_or(Problem::PayloadHeader)?;
        check_payload_start(start)?;
        decoder = decoder.payload_archive_len(payloads.len() as u64);
    }
    let mut tree = Tree::new();
    let mut last: Option<(Vec<u8>, Sha256)> = None;
    let (mut rest, mut lens) = (archive, pieces.iter().cycle());
    while !rest.is_empty() {
        let len = rest.len().min(*lens.next().unwrap());
        let mut piece;
        (piece, rest) = rest.split_at(len);
        while let Some(item) = decoder.decode(&mut piece)? {
            let path = decoder.path().to_vec();
            if !matches!(item, Item::Data(_)) {
                finish(&mut tree, last.take());
            }
            match item {
                Item::Entry(entry) => {
                    if let EntryKind::File(payload) = entry.kind {
                        last = Some((path.clone(), begin(payload, payloads)?));
                    }
                    let (digest, target) = (None, None);
                    let described = Described {
                        entry,
                        digest,
                        target,
                    };
                    tree.insert(path, described);
                }
                Item::HardLink(link) => {
                    let described = linked(&tree, &link);
                    tree.insert(path, described);
                }
                Item::Data(data) => last.as_mut().unwrap().1.update(data),
                _ => {}
            }
        }
        assert!(piece.is_empty());
    }
    decoder.finish()?;
    Ok(tree)
}

/// The hash of a file so far: of all its bytes if they lie in the payload archive.
fn begin(payload: Payload, payloads: Option<&[u8]>) -> Result<Sha256, Problem> {
    let mut digest = Sha256::new();
    if payload.is_split {
        let (start, len) = (payload.offset as usize, payload.len as usize);
        let payloads = payloads.unwrap();
        let header = payloads[start - 16..].first_chunk().unwrap();
        check_payload_header(header, payload.len)?;
        digest.update(&payloads[start..start + len]);
    }
    Ok(digest)
}

fn finish(tree: &mut Tree, last: Option<(Vec<u8>, Sha256)>) {
    if let Some((path, digest)) = last {
        let described = tree.get_mut(&path).unwrap();
        described.digest = Some(digest.finalize().into());
    }
}

/// The file that a link is another name of: it came before.
fn linked(tree: &Tree, link: &HardLink) -> Described {
    let mut files = tree.values();
    let file = files.find(|file| file.entry.offset == link.target);
    let file = file.unwrap();
    Described {
        entry: file.entry.clone(),
        digest: file.digest,
        target: Some(link.target),
    }
}
