//! Bad blobs of chunks.

use chunk_restore::backend::Buffer;
use chunk_restore::format::ChunkDecoder;
use chunk_restore::{Digest, ErrorKind, Key};
use proptest::prelude::*;

use crate::support::{
    ENCRYPTED, PLAIN, SECRET, ZSTD, ZSTD_ENCRYPTED, blob, buffer, chain, chunk, decode, frame,
    keyed_chunk, lying_frame, sealed, with_right_crc,
};

const DATA: &[u8; 16] = b"sixteen bytes...";
const DAMAGED: &str = "its CRC is wrong too: it was damaged in the store or on the way";
const AS_WRITTEN: &str = "its CRC is right: it is as it was written, but not what was asked for";

fn key() -> Key {
    Key::from_bytes(SECRET)
}

/// A blob of each kind of some data, with the length of its header.
fn all_kinds(data: &[u8]) -> [(Vec<u8>, usize); 4] {
    [
        (blob(PLAIN, data), 12),
        (blob(ZSTD, &frame(data)), 12),
        (sealed(ENCRYPTED, data), 44),
        (sealed(ZSTD_ENCRYPTED, &frame(data)), 44),
    ]
}

/// Asserts that a blob is refused as that of the unencrypted `data`, or of the encrypted if its header is long.
fn assert_refused(data: &[u8], header: usize, blob: &[u8], why: &str) {
    let (chunk, key) = match header {
        12 => (chunk(data), None),
        _ => (keyed_chunk(data), Some(key())),
    };
    let rejected = decode(key.as_ref(), &chunk, blob).unwrap_err();
    let error = rejected.error;
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!(error.digest(), Some(chunk.digest));
    assert_eq!(error.offset(), Some(chunk.offset));
    assert_eq!(
        error.to_string(),
        format!("chunk {} is corrupt", chunk.digest)
    );
    assert!(chain(&error).contains(why), "{error:?} does not say: {why}");
    assert_eq!(rejected.buffer.len(), blob.len());
}

#[test]
fn blobs_made_by_hand_are_decoded() {
    for (blob, header) in all_kinds(DATA) {
        let (chunk, key) = match header {
            12 => (chunk(DATA), None),
            _ => (keyed_chunk(DATA), Some(key())),
        };
        assert_eq!(decode(key.as_ref(), &chunk, &blob).unwrap(), DATA);
    }
}

#[test]
fn a_blob_shorter_than_its_header_is_refused() {
    for (blob, header) in all_kinds(DATA) {
        assert_refused(DATA, header, &[], "its blob is empty");
        for len in 1..header {
            let why = format!("its blob of {len} bytes is shorter than a header");
            assert_refused(DATA, header, &blob[..len], &why);
        }
    }
}

#[test]
fn an_unknown_magic_is_refused() {
    for (mut blob, header) in all_kinds(DATA) {
        blob[3] ^= 0x10;
        let why = "it is not a data blob: its first bytes are of no known kind";
        assert_refused(DATA, header, &blob, why);
    }
}

#[test]
fn a_changed_payload_is_refused_as_damaged_by_its_crc_and_as_forged_without() {
    for (blob, header) in all_kinds(DATA) {
        let mut changed = blob;
        // The last byte of a zstd frame without checksum is one of its data.
        *changed.last_mut().unwrap() ^= 1;
        assert_refused(DATA, header, &changed, DAMAGED);
        assert_refused(DATA, header, &with_right_crc(changed, header), AS_WRITTEN);
    }
}

#[test]
fn right_data_with_a_wrong_crc_is_taken_since_the_digest_is_the_proof() {
    for (mut blob, header) in all_kinds(DATA) {
        blob[8] ^= 1;
        let (chunk, key) = match header {
            12 => (chunk(DATA), None),
            _ => (keyed_chunk(DATA), Some(key())),
        };
        assert_eq!(decode(key.as_ref(), &chunk, &blob).unwrap(), DATA);
    }
}

#[test]
fn another_chunk_is_refused_by_its_digest() {
    let other = b"fifteen and one.";
    let why = format!(
        "its data has the digest {}; {AS_WRITTEN}",
        Digest::of(other)
    );
    assert_refused(DATA, 12, &blob(PLAIN, other), &why);
    assert_refused(DATA, 12, &blob(ZSTD, &frame(other)), &why);
    let why = format!("its data has the digest {}", key().digest(other));
    assert_refused(DATA, 44, &sealed(ENCRYPTED, other), &why);
    // The digest of encrypted data has the key in it.
    let error = decode(Some(&key()), &chunk(DATA), &sealed(ENCRYPTED, DATA)).unwrap_err();
    assert!(chain(&error.error).contains("its data has the digest"));
}

#[test]
fn a_changed_tag_or_iv_is_refused() {
    for (blob, header) in &all_kinds(DATA)[2..] {
        for at in 12..44 {
            let mut changed = blob.clone();
            changed[at] ^= 0x80;
            // Header bytes are outside the CRC.
            let why = format!("it does not decrypt with this key; {AS_WRITTEN}");
            assert_refused(DATA, *header, &changed, &why);
        }
    }
}

#[test]
fn encrypted_blobs_where_plain_ones_belong_and_plain_where_encrypted_are_refused() {
    let kinds = all_kinds(DATA);
    for (plain, sealed) in [(&kinds[0].0, &kinds[2].0), (&kinds[1].0, &kinds[3].0)] {
        let why = "it is not encrypted, and the manifest says that it is";
        assert_refused(DATA, 44, plain, why);
        assert_refused(
            DATA,
            12,
            sealed,
            "it is encrypted, and the manifest says that it is not",
        );
    }
}

#[test]
fn data_that_is_too_short_or_too_long_is_refused_even_where_the_digest_fits() {
    for len in [15_u32, 17, 1 << 20] {
        let plain = chunk_restore::format::Chunk { len, ..chunk(DATA) };
        let keyed = chunk_restore::format::Chunk {
            len,
            ..keyed_chunk(DATA)
        };
        for (blob, header) in all_kinds(DATA) {
            let error = match header {
                12 => decode(None, &plain, &blob),
                _ => decode(Some(&key()), &keyed, &blob),
            };
            let error = chain(&error.unwrap_err().error);
            let is_compressed = [ZSTD, ZSTD_ENCRYPTED].contains(blob.first_chunk().unwrap());
            let why = if is_compressed && len < 16 {
                "it does not decompress: Destination buffer is too small".to_owned()
            } else {
                format!("it decodes to 16 bytes, where the index has {len}")
            };
            assert!(error.contains(&why), "{error} does not say: {why}");
        }
    }
}

#[test]
fn a_zstd_bomb_takes_no_more_memory_than_its_chunk() {
    let bomb = frame(&vec![0; 64 << 20]);
    assert!(bomb.len() < 64 << 10);
    for (blob, key) in [
        (blob(ZSTD, &bomb), None),
        (sealed(ZSTD_ENCRYPTED, &bomb), Some(key())),
    ] {
        let mut decoder = ChunkDecoder::new(key.clone());
        let mut scratch = Buffer::new();
        let chunk = match &key {
            Some(_) => keyed_chunk(DATA),
            None => chunk(DATA),
        };
        let rejected = decoder
            .decode(&chunk, buffer(&blob), &mut scratch)
            .unwrap_err();
        assert!(chain(&rejected.error).contains("it does not decompress"));
        // The memory that the bomb was to fill is what the next chunk comes in.
        let sound = match &key {
            Some(_) => sealed(ZSTD_ENCRYPTED, &frame(DATA)),
            None => self::blob(ZSTD, &frame(DATA)),
        };
        let verified = decoder
            .decode(&chunk, buffer(&sound), &mut scratch)
            .unwrap();
        assert!(verified.into_buffer().capacity() <= ChunkDecoder::blob_limit(16));
    }
}

#[test]
fn a_frame_that_lies_about_its_size_is_refused() {
    assert_eq!(
        decode(None, &chunk(DATA), &blob(ZSTD, &lying_frame(16, DATA))).unwrap(),
        DATA
    );
    // The largest number, which zstd reads as "unknown", is no lie.
    for stated in [0, 15, 17, 1 << 27, 1 << 60, u64::MAX - 2, u64::MAX - 1] {
        let blob = blob(ZSTD, &lying_frame(stated, DATA));
        assert_refused(DATA, 12, &blob, "it does not decompress");
    }
}

#[test]
fn a_second_frame_a_skippable_one_and_trailing_bytes_are_refused() {
    let whole = frame(DATA);
    let skippable = [0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4];
    for payload in [
        [&whole[..], &whole].concat(),
        [&frame(b""), &whole[..]].concat(),
        [&whole[..], &frame(b"")].concat(),
        [&skippable[..], &whole].concat(),
        [&whole[..], &skippable].concat(),
        [&whole[..], b"x"].concat(),
    ] {
        let why = "something follows its zstd frame";
        assert_refused(DATA, 12, &blob(ZSTD, &payload), why);
        assert_refused(DATA, 44, &sealed(ZSTD_ENCRYPTED, &payload), why);
    }
    assert_refused(DATA, 12, &blob(ZSTD, &skippable), "it decodes to 0 bytes");
}

#[test]
fn a_frame_that_is_cut_short_or_none_at_all_is_refused() {
    let whole = frame(DATA);
    for len in 0..whole.len() {
        assert_refused(
            DATA,
            12,
            &blob(ZSTD, &whole[..len]),
            "it does not decompress",
        );
    }
    assert_refused(
        DATA,
        12,
        &blob(ZSTD, b"not a frame"),
        "it does not decompress",
    );
    assert_refused(
        DATA,
        44,
        &sealed(ZSTD_ENCRYPTED, b"not a frame"),
        "it does not decompress",
    );
}

#[test]
fn a_decoder_that_refused_a_blob_decodes_the_next_with_the_same_memory() {
    let mut decoder = ChunkDecoder::new(None);
    let (mut buffer, mut scratch) = (Buffer::new(), Buffer::new());
    for _ in 0..3 {
        buffer.clear();
        buffer.extend_from_slice(&blob(ZSTD, &frame(DATA)[..9]));
        buffer = decoder
            .decode(&chunk(DATA), buffer, &mut scratch)
            .unwrap_err()
            .buffer;
        for (blob, _) in &all_kinds(DATA)[..2] {
            buffer.clear();
            buffer.extend_from_slice(blob);
            let verified = decoder.decode(&chunk(DATA), buffer, &mut scratch).unwrap();
            assert_eq!(verified.data(), DATA);
            buffer = verified.into_buffer();
        }
    }
}

#[test]
fn a_decoder_keeps_no_memory_and_leaves_the_other_buffer_to_its_caller() {
    let limit = ChunkDecoder::blob_limit(DATA.len() as u32);
    for (blob, header) in all_kinds(DATA) {
        let (chunk, key) = match header {
            12 => (chunk(DATA), None),
            _ => (keyed_chunk(DATA), Some(key())),
        };
        let is_compressed = blob[..8] == ZSTD || blob[..8] == ZSTD_ENCRYPTED;
        let (fetched, mut scratch) = (buffer(&blob), Buffer::new());
        scratch.reserve(limit);
        let (of_blob, of_scratch) = (fetched.as_ptr(), scratch.as_ptr());
        let mut decoder = ChunkDecoder::new(key);
        let verified = decoder.decode(&chunk, fetched, &mut scratch).unwrap();
        let data_in = verified.into_buffer().as_ptr();
        let expected = match is_compressed {
            true => (of_scratch, of_blob),
            false => (of_blob, of_scratch),
        };
        assert_eq!((data_in, scratch.as_ptr()), expected);
    }
}

proptest! {
    #[test]
    fn a_changed_blob_is_refused_or_decodes_to_the_same_data(
        data in prop::collection::vec(0_u8..4, 1..300),
        kind in 0_usize..4,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
        tail in prop::collection::vec(any::<u8>(), 0..4),
        repair in any::<bool>(),
    ) {
        let (mut blob, header) = all_kinds(&data)[kind].clone();
        for (at, byte) in changes {
            let at = at.index(blob.len());
            blob[at] = byte;
        }
        if let Some(cut) = cut {
            blob.truncate(cut.index(blob.len()));
        }
        blob.extend(tail);
        if repair && blob.len() >= header {
            blob = with_right_crc(blob, header);
        }
        for (chunk, key) in [(chunk(&data), None), (keyed_chunk(&data), Some(key()))] {
            if let Ok(decoded) = decode(key.as_ref(), &chunk, &blob) {
                prop_assert_eq!(&decoded, &data);
            }
        }
    }

    #[test]
    fn arbitrary_bytes_are_never_a_chunk(
        magic in prop::sample::select(vec![PLAIN, ZSTD, ENCRYPTED, ZSTD_ENCRYPTED]),
        rest in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let blob = [&magic[..], &rest].concat();
        prop_assert!(decode(None, &chunk(DATA), &blob).is_err());
        prop_assert!(decode(Some(&key()), &keyed_chunk(DATA), &blob).is_err());
    }
}
