//! An index that parses is one whose chunks follow each other without gaps, whatever its bytes were.
#![no_main]

use chunk_restore::format::Index;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(index) = Index::parse(bytes) else {
        return;
    };
    assert_eq!(index.chunks().len(), index.count());
    let mut end = 0;
    for chunk in index.chunks() {
        assert_eq!(chunk.offset, end);
        assert!(chunk.len > 0 && chunk.len <= index.largest_chunk());
        end += u64::from(chunk.len);
    }
    assert_eq!(end, index.len());
    assert!(index.chunk(index.count()).is_none());
});
