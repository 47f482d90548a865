//! Decoding and nothing else: AES-GCM, zstd and SHA-256 as their crates have them. Knows nothing of where blobs lie,
//! and proves nothing.

use aes_gcm::aead::AeadInOut;
use aes_gcm::aead::consts::U16;
use aes_gcm::aes::Aes256;
use aes_gcm::{AesGcm, KeyInit};
use sha2::{Digest, Sha256};
use testkit::TestKey;
use zstd::bulk::Decompressor;

const ZSTD: [u8; 8] = [0x31, 0xb9, 0x58, 0x42, 0x6f, 0xb6, 0xa3, 0x7f];
const ENCRYPTED_ZSTD: [u8; 8] = [0xe6, 0x59, 0x1b, 0xbf, 0x0b, 0xbf, 0xd8, 0x0b];
const HEADER: usize = 12;
const ENCRYPTED_HEADER: usize = 44;

/// What decodes the blobs of one archive, one after the other into the same memory.
pub(crate) struct Bare {
    key: Option<(AesGcm<Aes256, U16>, [u8; 32])>,
    decompressor: Decompressor<'static>,
    data: Vec<u8>,
}

impl Bare {
    /// For chunks of at most `largest` bytes; with a key for encrypted ones.
    pub(crate) fn new(largest: usize, key: Option<&TestKey>) -> Bare {
        let key = key.map(|key| (AesGcm::new(key.enc_key().into()), *key.id_key()));
        Bare {
            key,
            decompressor: Decompressor::new().expect("zstd starts"),
            data: vec![0; largest],
        }
    }

    /// Decrypts, decompresses and hashes what needs it.
    pub(crate) fn decode(&mut self, blob: &mut [u8]) {
        self.decrypt(blob);
        let (header, is_compressed) = self.shape(blob);
        let payload = &blob[header..];
        if is_compressed {
            let len = self.decompress(payload);
            self.hash(&self.data[..len]);
        } else {
            self.hash(payload);
        }
    }

    /// Decrypts a blob in place, where it is encrypted.
    pub(crate) fn decrypt(&self, blob: &mut [u8]) {
        let Some((cipher, _)) = &self.key else {
            return;
        };
        let (header, payload) = blob.split_at_mut(ENCRYPTED_HEADER);
        let iv: [u8; 16] = header[HEADER..28].try_into().expect("it has 16 bytes");
        let tag: [u8; 16] = header[28..].try_into().expect("it has 16 bytes");
        cipher
            .decrypt_inout_detached(&iv.into(), b"", payload.into(), &tag.into())
            .expect("the blob is sound");
    }

    /// Decompresses the payload of a blob into its own memory; gives the length.
    pub(crate) fn decompress(&mut self, payload: &[u8]) -> usize {
        let len = self
            .decompressor
            .decompress_to_buffer(payload, &mut self.data[..]);
        len.expect("the frame is sound")
    }

    /// Hashes a chunk's data as its digest wants it.
    pub(crate) fn hash(&self, data: &[u8]) {
        let hash = Sha256::new().chain_update(data);
        std::hint::black_box(match &self.key {
            Some((_, id_key)) => hash.chain_update(id_key).finalize(),
            None => hash.finalize(),
        });
    }

    /// Where a blob's payload begins, and whether it is compressed.
    pub(crate) fn shape(&self, blob: &[u8]) -> (usize, bool) {
        let header = if self.key.is_some() {
            ENCRYPTED_HEADER
        } else {
            HEADER
        };
        let is_compressed = blob.starts_with(&ZSTD) || blob.starts_with(&ENCRYPTED_ZSTD);
        (header, is_compressed)
    }

    /// What was decompressed last.
    pub(crate) fn data(&self, len: usize) -> &[u8] {
        &self.data[..len]
    }
}
