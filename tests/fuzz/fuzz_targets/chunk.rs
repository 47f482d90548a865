//! Only what hashes to its digest is ever decoded, and no more than a chunk's length.
#![no_main]

use chunk_restore::backend::Buffer;
use chunk_restore::format::{Chunk, ChunkDecoder};
use chunk_restore::{Digest, Key};
use libfuzzer_sys::fuzz_target;

/// What the chunk should hold, so that the fuzzer can find it.
const DATA: &[u8] = b"chunk";

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, bytes)) = bytes.split_first() else {
        return;
    };
    let key = (choice & 1 == 1).then(|| Key::from_bytes([7; 32]));
    let digest = match &key {
        Some(key) => key.digest(DATA),
        None => Digest::of(DATA),
    };
    let chunk = Chunk {
        digest,
        offset: 0,
        len: DATA.len() as u32,
    };
    let mut blob = Buffer::new();
    blob.extend_from_slice(bytes);
    let decoded = ChunkDecoder::new(key).decode(&chunk, blob, &mut Buffer::new());
    if let Ok(verified) = decoded {
        assert_eq!(verified.data(), DATA);
    }
});
