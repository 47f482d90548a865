//! An archive that decodes has only names that are file names, and decodes to the same items in any pieces.
#![no_main]

use chunk_restore::files::pxar::{Decoder, EntryKind, Item, Limits, PxarError};
use libfuzzer_sys::fuzz_target;

/// The length of the payload archive of half of the inputs.
const PAYLOADS: u64 = 1 << 30;

/// All items, with the bytes of a file in one piece.
fn decode(archive: &[u8], is_split: bool, piece_len: usize) -> Result<Vec<String>, PxarError> {
    let mut decoder = Decoder::new(Limits::default());
    if is_split {
        decoder = decoder.payload_archive_len(PAYLOADS);
    }
    let (mut items, mut data) = (Vec::new(), 0);
    for mut piece in archive.chunks(piece_len) {
        while let Some(item) = decoder.decode(&mut piece)? {
            if let Item::Data(piece) = item {
                data += piece.len();
                continue;
            }
            if let Item::Entry(entry) = &item {
                assert!(!entry.name.contains(&0) && !entry.name.contains(&b'/'));
                assert!(entry.name != b"." && entry.name != b"..");
                assert_eq!(entry.name.is_empty(), decoder.path().is_empty());
                if let EntryKind::File(payload) = entry.kind {
                    assert!(!payload.is_split || payload.offset + payload.len <= PAYLOADS);
                }
            }
            assert!(decoder.depth() <= 1024);
            items.push(format!("{data} {item:?}"));
        }
        assert!(piece.is_empty());
    }
    decoder.finish()?;
    Ok(items)
}

fuzz_target!(|bytes: &[u8]| {
    let Some((how, archive)) = bytes.split_first() else {
        return;
    };
    let (is_split, piece_len) = (how % 2 == 1, usize::from(how / 2) + 1);
    let whole = decode(archive, is_split, usize::MAX);
    assert_eq!(decode(archive, is_split, piece_len), whole);
});
