//! Data blobs, encoded and decoded in the plainest way. Knows nothing of digests and indexes.

use zstd::bulk;

use crate::key::{TestKey, decrypt, encrypt, iv_of};

/// The four kinds of blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BlobKind {
    /// The data as it is.
    Plain,
    /// Compressed.
    Zstd,
    /// Encrypted.
    Encrypted,
    /// Compressed, then encrypted.
    ZstdEncrypted,
}

impl BlobKind {
    /// All four.
    pub const ALL: [BlobKind; 4] = [
        BlobKind::Plain,
        BlobKind::Zstd,
        BlobKind::Encrypted,
        BlobKind::ZstdEncrypted,
    ];

    /// The first eight bytes of such a blob.
    pub fn magic(self) -> [u8; 8] {
        match self {
            BlobKind::Plain => [0x42, 0xab, 0x38, 0x07, 0xbe, 0x83, 0x70, 0xa1],
            BlobKind::Zstd => [0x31, 0xb9, 0x58, 0x42, 0x6f, 0xb6, 0xa3, 0x7f],
            BlobKind::Encrypted => [0x7b, 0x67, 0x85, 0xbe, 0x22, 0x2d, 0x4c, 0xf0],
            BlobKind::ZstdEncrypted => [0xe6, 0x59, 0x1b, 0xbf, 0x0b, 0xbf, 0xd8, 0x0b],
        }
    }

    /// Whether it is encrypted.
    pub fn is_encrypted(self) -> bool {
        matches!(self, BlobKind::Encrypted | BlobKind::ZstdEncrypted)
    }

    /// Whether it is compressed.
    pub fn is_compressed(self) -> bool {
        matches!(self, BlobKind::Zstd | BlobKind::ZstdEncrypted)
    }

    /// The kind of a blob, from its first bytes.
    ///
    /// # Panics
    /// It is no blob.
    pub fn of(blob: &[u8]) -> BlobKind {
        let kind = BlobKind::ALL
            .into_iter()
            .find(|kind| blob.starts_with(&kind.magic()));
        kind.expect("a blob begins with one of four magics")
    }
}

/// Encodes a blob of this kind. The same data and key always give the same blob.
///
/// A frame that is not encrypted does not state the size of its content, as those of PBS 3; an encrypted one does.
///
/// # Panics
/// The kind is an encrypted one and there is no key.
pub fn encode(kind: BlobKind, data: &[u8], key: Option<&TestKey>) -> Vec<u8> {
    let payload = if kind.is_compressed() {
        &compress(kind, data)
    } else {
        data
    };
    wrap(kind, payload, key)
}

/// Encodes as PBS does: encrypted where there is a key, compressed (zstd level 1) where that is shorter.
pub fn encode_auto(data: &[u8], key: Option<&TestKey>) -> Vec<u8> {
    let (plain, zstd) = match key {
        Some(_) => (BlobKind::Encrypted, BlobKind::ZstdEncrypted),
        None => (BlobKind::Plain, BlobKind::Zstd),
    };
    let compressed = compress(zstd, data);
    if compressed.len() < data.len() {
        wrap(zstd, &compressed, key)
    } else {
        wrap(plain, data, key)
    }
}

/// Decodes a blob of at most `limit` decoded bytes.
///
/// # Panics
/// The blob is wrong in any way, its CRC included, or it is encrypted and there is no key.
pub fn decode(blob: &[u8], key: Option<&TestKey>, limit: usize) -> Vec<u8> {
    let kind = BlobKind::of(blob);
    let (_, rest) = blob.split_at(8);
    let (crc, rest) = rest.split_first_chunk().expect("a blob has a CRC");
    let (iv_and_tag, payload) = rest.split_at(if kind.is_encrypted() { 32 } else { 0 });
    assert_eq!(
        u32::from_le_bytes(*crc),
        crc32fast::hash(payload),
        "the CRC is wrong"
    );
    let mut data = payload.to_vec();
    if kind.is_encrypted() {
        let key = key.expect("an encrypted blob needs a key");
        let iv = iv_and_tag.first_chunk().expect("an IV has 16 bytes");
        let tag = iv_and_tag.last_chunk().expect("a tag has 16 bytes");
        decrypt(key.enc_key(), iv, tag, &mut data);
    }
    if kind.is_compressed() {
        data = bulk::decompress(&data, limit).expect("the frame is whole and within the limit");
    }
    assert!(
        data.len() <= limit,
        "the blob holds more than {limit} bytes"
    );
    data
}

fn compress(kind: BlobKind, data: &[u8]) -> Vec<u8> {
    let mut zstd = bulk::Compressor::new(1).expect("level 1 exists");
    zstd.include_contentsize(kind.is_encrypted())
        .expect("the flag exists");
    zstd.compress(data)
        .expect("the buffer is as large as the worst case")
}

/// Puts the header before a payload, which it encrypts where the kind says so.
fn wrap(kind: BlobKind, payload: &[u8], key: Option<&TestKey>) -> Vec<u8> {
    let header = if kind.is_encrypted() { 44 } else { 12 };
    let mut blob = Vec::with_capacity(header + payload.len());
    blob.extend(kind.magic());
    blob.resize(header, 0);
    blob.extend(payload);
    if kind.is_encrypted() {
        let key = key.expect("an encrypted blob needs a key");
        let iv = iv_of(payload);
        let tag = encrypt(key.enc_key(), &iv, &mut blob[header..]);
        blob[12..28].copy_from_slice(&iv);
        blob[28..44].copy_from_slice(&tag);
    }
    let crc = crc32fast::hash(&blob[header..]);
    blob[8..12].copy_from_slice(&crc.to_le_bytes());
    blob
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_gives_its_data_back() {
        let key = TestKey::from_seed(1);
        for data in [&b""[..], b"x", &[7; 100_000]] {
            for kind in BlobKind::ALL {
                let blob = encode(kind, data, Some(&key));
                assert_eq!(BlobKind::of(&blob), kind);
                assert_eq!(decode(&blob, Some(&key), data.len()), data, "{kind:?}");
                assert_eq!(blob, encode(kind, data, Some(&key)), "{kind:?} differs");
            }
        }
    }

    #[test]
    fn auto_compresses_only_what_gets_shorter() {
        let key = TestKey::from_seed(1);
        assert_eq!(BlobKind::of(&encode_auto(&[0; 100], None)), BlobKind::Zstd);
        assert_eq!(BlobKind::of(&encode_auto(b"ab", None)), BlobKind::Plain);
        assert_eq!(
            BlobKind::of(&encode_auto(b"ab", Some(&key))),
            BlobKind::Encrypted
        );
    }

    #[test]
    #[should_panic(expected = "the tag is that of the data")]
    fn wrong_key_does_not_decode() {
        let blob = encode_auto(b"data", Some(&TestKey::from_seed(1)));
        decode(&blob, Some(&TestKey::from_seed(2)), 4);
    }
}
