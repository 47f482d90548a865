//! An archive that decodes has only names that are file names, and decodes to the same items in any pieces.
#![no_main]

use chunk_restore::files::pxar::{Decoder, EntryKind, Item, Limits, PxarError};
use libfuzzer_sys::fuzz_target;

/// The length of the payload archive that half of the inputs have.
const PAYLOADS: u64 = 1 << 30;

/// All items, with the bytes of a file in one piece.
fn decode(archive: &[u8], how: u8, piece_len: usize) -> Result<Vec<String>, PxarError> {
    let limits = Limits::default();
    let mut decoder = Decoder::new(limits);
    if how & 1 != 0 {
        decoder = decoder.payload_archive_len(PAYLOADS);
    }
    if how & 2 != 0 {
        decoder = decoder.payloads_in_any_order();
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
            assert!(decoder.depth() <= limits.depth && decoder.path().len() <= limits.path);
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
    let piece_len = usize::from(how / 4) + 1;
    let whole = decode(archive, *how, usize::MAX);
    assert_eq!(decode(archive, *how, piece_len), whole);
});
