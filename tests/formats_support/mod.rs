//! Blobs, indexes, manifests and key files made by hand, byte for byte. Uses none of the crate's own code for it.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test that can't be set up has failed")]

use std::collections::HashMap;
use std::path::PathBuf;

use aes_gcm::aead::AeadInOut;
use aes_gcm::aead::consts::U16;
use aes_gcm::aes::Aes256;
use aes_gcm::{AesGcm, KeyInit};
use chunk_restore::backend::{ArchivePath, Backend, Buffer, Connection, FetchError};
use chunk_restore::format::{Chunk, ChunkDecoder, KeyFile, Rejected, SnapshotPath};
use chunk_restore::{Cancel, Error, Key};
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

pub(crate) const PLAIN: [u8; 8] = [0x42, 0xab, 0x38, 0x07, 0xbe, 0x83, 0x70, 0xa1];
pub(crate) const ZSTD: [u8; 8] = [0x31, 0xb9, 0x58, 0x42, 0x6f, 0xb6, 0xa3, 0x7f];
pub(crate) const ENCRYPTED: [u8; 8] = [0x7b, 0x67, 0x85, 0xbe, 0x22, 0x2d, 0x4c, 0xf0];
pub(crate) const ZSTD_ENCRYPTED: [u8; 8] = [0xe6, 0x59, 0x1b, 0xbf, 0x0b, 0xbf, 0xd8, 0x0b];

/// 00 01 .. 1f.
pub(crate) const SECRET: [u8; 32] = {
    let mut bytes = [0; 32];
    let mut at = 0;
    while at < 32 {
        bytes[at] = at as u8;
        at += 1;
    }
    bytes
};

pub(crate) fn golden(path: &str) -> PathBuf {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
    PathBuf::from(root).join(path)
}

pub(crate) fn golden_file(name: &str) -> KeyFile {
    KeyFile::read(golden("keys").join(name)).unwrap()
}

pub(crate) fn golden_key(name: &str) -> Key {
    golden_file(name).unlock(Some(b"test-passphrase")).unwrap()
}

/// An error and all its causes.
pub(crate) fn chain(error: &Error) -> String {
    format!("{error:?}")
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// A blob of one of the unencrypted kinds.
pub(crate) fn blob(magic: [u8; 8], payload: &[u8]) -> Vec<u8> {
    let crc = crc32fast::hash(payload).to_le_bytes();
    [&magic[..], &crc, payload].concat()
}

/// A blob of one of the encrypted kinds, with a fixed IV.
pub(crate) fn sealed(magic: [u8; 8], payload: &[u8]) -> Vec<u8> {
    let iv = [7; 16];
    let mut payload = payload.to_vec();
    let cipher = AesGcm::<Aes256, U16>::new((&SECRET).into());
    let tag = cipher
        .encrypt_inout_detached((&iv).into(), b"", payload.as_mut_slice().into())
        .unwrap();
    let crc = crc32fast::hash(&payload).to_le_bytes();
    [&magic[..], &crc, &iv, &tag, &payload].concat()
}

/// Sets the CRC to what the payload has.
pub(crate) fn with_right_crc(mut blob: Vec<u8>, header: usize) -> Vec<u8> {
    let crc = crc32fast::hash(&blob[header..]).to_le_bytes();
    blob[8..12].copy_from_slice(&crc);
    blob
}

pub(crate) fn frame(data: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(data, 1).unwrap()
}

/// A zstd frame that states another content size than it has.
pub(crate) fn lying_frame(stated: u64, data: &[u8; 16]) -> Vec<u8> {
    // One segment, eight bytes of content size; then one raw block, which is the last.
    let block = (16_u32 << 3 | 1).to_le_bytes();
    let magic = [0x28, 0xb5, 0x2f, 0xfd, 0xe0];
    [&magic[..], &stated.to_le_bytes(), &block[..3], data].concat()
}

pub(crate) fn id_key() -> [u8; 32] {
    let mut id_key = [0; 32];
    pbkdf2::pbkdf2_hmac::<Sha256>(&SECRET, b"_id_key", 10, &mut id_key);
    id_key
}

/// The chunk of unencrypted data, at the start of an archive.
pub(crate) fn chunk(data: &[u8]) -> Chunk {
    Chunk {
        digest: sha256(data).into(),
        offset: 0,
        len: u32::try_from(data.len()).unwrap(),
    }
}

/// The chunk of the same data where it is encrypted.
pub(crate) fn keyed_chunk(data: &[u8]) -> Chunk {
    Chunk {
        digest: sha256(&[data, &id_key()].concat()).into(),
        ..chunk(data)
    }
}

/// Decodes with a decoder of its own; gives the data, or why not and the memory.
pub(crate) fn decode(key: Option<&Key>, chunk: &Chunk, blob: &[u8]) -> Result<Vec<u8>, Rejected> {
    let verified =
        ChunkDecoder::new(key.cloned()).decode(chunk, buffer(blob), &mut Buffer::new())?;
    Ok(verified.data().to_vec())
}

pub(crate) fn buffer(bytes: &[u8]) -> Buffer {
    let mut buffer = Buffer::new();
    buffer.extend_from_slice(bytes);
    buffer
}

pub(crate) fn fixed_index(len: u64, chunk_size: u64, digests: &[[u8; 32]]) -> Vec<u8> {
    let entries = digests.concat();
    let magic = [0x2f, 0x7f, 0x41, 0xed, 0x91, 0xfd, 0x0f, 0xcd];
    let mut bytes = [&magic[..], &[1; 16], &[0; 8], &sha256(&entries)].concat();
    bytes.extend(len.to_le_bytes());
    bytes.extend(chunk_size.to_le_bytes());
    bytes.resize(4096, 0);
    bytes.extend(entries);
    bytes
}

pub(crate) fn dynamic_index(chunks: &[(u64, [u8; 32])]) -> Vec<u8> {
    let entry = |(end, digest): &(u64, [u8; 32])| [&end.to_le_bytes()[..], digest].concat();
    let entries: Vec<u8> = chunks.iter().flat_map(entry).collect();
    let magic = [0x1c, 0x91, 0x4e, 0xa5, 0x19, 0xba, 0xb3, 0xcd];
    let mut bytes = [&magic[..], &[1; 16], &[0; 8], &sha256(&entries)].concat();
    bytes.resize(4096, 0);
    bytes.extend(entries);
    bytes
}

/// Sets the header's checksum to what the entries have.
pub(crate) fn with_right_csum(mut index: Vec<u8>) -> Vec<u8> {
    if let Some((header, entries)) = index.split_at_mut_checked(4096) {
        header[32..64].copy_from_slice(&sha256(entries));
    }
    index
}

/// The name of the snapshot of [`manifest`].
pub(crate) const SNAPSHOT: &str = "vm/100/2024-06-10T10:00:00Z";

/// A manifest of these files.
pub(crate) fn manifest(files: &Value) -> Value {
    json!({
        "backup-type": "vm", "backup-id": "100", "backup-time": 1_718_013_600,
        "files": files,
    })
}

/// Signs a manifest that serde_json already writes in the canonical order.
pub(crate) fn signed(mut manifest: Value, fingerprint: &str) -> Value {
    let mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(&id_key()).unwrap();
    let signature = mac.chain_update(manifest.to_string()).finalize();
    manifest["signature"] = hex(&signature.into_bytes()).into();
    manifest["unprotected"] = json!({ "key-fingerprint": fingerprint });
    manifest
}

/// The manifest's entry for a small file with this blob.
pub(crate) fn entry(name: &str, crypt_mode: &str, blob: &[u8]) -> Value {
    json!({
        "filename": name, "crypt-mode": crypt_mode,
        "size": blob.len(), "csum": hex(&sha256(blob)),
    })
}

/// The files of one snapshot, and no chunks.
pub(crate) struct Files(pub(crate) HashMap<String, Vec<u8>>);

impl Files {
    /// A snapshot with this manifest and one more file.
    pub(crate) fn new(manifest: &Value, name: &str, file: Vec<u8>) -> Files {
        let mut files = Files::with_manifest(blob(ZSTD, &frame(manifest.to_string().as_bytes())));
        files.0.insert(name.to_owned(), file);
        files
    }

    /// A snapshot with a manifest's blob as it is.
    pub(crate) fn with_manifest(blob: Vec<u8>) -> Files {
        Files([("index.json.blob".to_owned(), blob)].into())
    }
}

impl Backend for Files {
    fn read_file(&self, _: &SnapshotPath, file: &str, limit: u64) -> Result<Vec<u8>, FetchError> {
        let file = self.0.get(file).ok_or(FetchError::Missing)?;
        if file.len() as u64 > limit {
            return Err(FetchError::TooLong);
        }
        Ok(file.clone())
    }

    fn connect<'a>(
        &'a self,
        _: &ArchivePath,
        _: &'a Cancel,
        _: &'a chunk_restore::backend::RateLimit,
    ) -> Result<Box<dyn Connection + 'a>, FetchError> {
        Err(FetchError::Unsupported)
    }
}
