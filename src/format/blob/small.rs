//! Decodes small blobs: manifests and configuration files, which have no digest of their own. Does
//! no I/O.

use std::io::Read;

use zstd::stream::read::Decoder;

use crate::error::{Error, ErrorKind, Result};
use crate::format::blob::{ENCRYPTED_HEADER, Kind, Reason, crc_holds, decrypt};
use crate::format::key::Key;

/// The most bytes that a blob may hold by the format's definition.
pub(crate) const MAX_BLOB: usize = 128 << 20;

/// The most bytes that such a blob can have, with its header. A compressed blob is shorter, since
/// compression that does not help is not kept.
pub(crate) const MAX_RAW: u64 = (MAX_BLOB + ENCRYPTED_HEADER) as u64;

/// Decodes a whole blob to at most `limit` bytes. The errors do not name the file; the caller adds
/// its name.
pub(crate) fn decode_blob(mut blob: Vec<u8>, key: Option<&Key>, limit: usize) -> Result<Vec<u8>> {
    let kind = Kind::of(&blob).map_err(corrupt)?;
    if !crc_holds(&blob, kind) {
        return Err(corrupt(Reason::Crc));
    }
    if kind.is_encrypted {
        let Some(key) = key else {
            return Err(Error::new(
                ErrorKind::Key,
                "it is encrypted, and no key was given",
            ));
        };
        decrypt(&mut blob, key).map_err(corrupt)?;
    }
    let payload = match kind.is_compressed {
        true => decompress(&blob[kind.header()..], limit).map_err(corrupt)?,
        false => {
            // The header is removed in place, since the blob may be long.
            blob.drain(..kind.header());
            blob
        }
    };
    if payload.len() > limit {
        return Err(too_long(limit));
    }
    Ok(payload)
}

/// Whether a blob is of an encrypted kind. Bytes that are no blob are not.
pub(crate) fn is_encrypted(raw: &[u8]) -> bool {
    Kind::of(raw).is_ok_and(|kind| kind.is_encrypted)
}

/// Decompresses exactly one frame, with nothing after it, to at most one byte more than `limit`.
fn decompress(payload: &[u8], limit: usize) -> Result<Vec<u8>, Reason> {
    let failed = |error: std::io::Error| Reason::Zstd(error.to_string());
    let mut data = Vec::new();
    let mut decoder = Decoder::with_buffer(payload)
        .map_err(failed)?
        .single_frame();
    let most = limit as u64 + 1;
    let read = decoder
        .by_ref()
        .take(most)
        .read_to_end(&mut data)
        .map_err(failed)?;
    if read as u64 != most && !decoder.finish().is_empty() {
        return Err(Reason::Trailing);
    }
    Ok(data)
}

fn corrupt(reason: Reason) -> Error {
    Error::new(ErrorKind::Corrupt, reason.to_string())
}

fn too_long(limit: usize) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        format!("it decodes to more than {limit} bytes"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(magic: [u8; 8], payload: &[u8]) -> Vec<u8> {
        let mut blob = magic.to_vec();
        blob.extend(crc32fast::hash(payload).to_le_bytes());
        blob.extend(payload);
        blob
    }

    const ZSTD: [u8; 8] = [0x31, 0xb9, 0x58, 0x42, 0x6f, 0xb6, 0xa3, 0x7f];

    #[test]
    fn a_bomb_ends_at_the_limit() {
        let frame = zstd::bulk::compress(&vec![0; 1 << 20], 1).expect("zeros compress");
        let error = decode_blob(blob(ZSTD, &frame), None, 1000).unwrap_err();
        assert_eq!(error.to_string(), "it decodes to more than 1000 bytes");
        assert_eq!(
            decode_blob(blob(ZSTD, &frame), None, 1 << 20)
                .expect("it just fits")
                .len(),
            1 << 20
        );
    }

    #[test]
    fn a_second_frame_and_trailing_bytes_are_refused() {
        let frame = zstd::bulk::compress(b"one", 1).expect("three bytes compress");
        for payload in [
            [&frame[..], &frame[..]].concat(),
            [&frame[..], b"x"].concat(),
        ] {
            let error = decode_blob(blob(ZSTD, &payload), None, 1000).unwrap_err();
            assert_eq!(error.to_string(), "something follows its zstd frame");
        }
    }
}
