//! The serial restore that the parallel one is compared with. Knows nothing of places, threads and retries.

use crate::blob::decode;
use crate::index::{DYNAMIC_MAGIC, FIXED_MAGIC, HEADER};
use crate::key::{TestKey, chunk_digest, hex};

/// Restores an archive from its index, `.fidx` or `.didx`, and its chunks. The key is that of encrypted chunks; for
/// plain ones, signed or not, there is none.
///
/// # Panics
/// Anything is missing or wrong.
pub fn restore<B: AsRef<[u8]>>(
    index: &[u8],
    chunk: impl Fn(&[u8; 32]) -> Option<B>,
    key: Option<&TestKey>,
) -> Vec<u8> {
    let mut archive = Vec::new();
    for (digest, len) in index_entries(index) {
        let blob = chunk(&digest).unwrap_or_else(|| panic!("chunk {} is missing", hex(&digest)));
        let data = decode(blob.as_ref(), key, len);
        assert_eq!(data.len(), len, "chunk {} has a wrong length", hex(&digest));
        assert_eq!(
            hex(&chunk_digest(&data, key)),
            hex(&digest),
            "a digest is wrong"
        );
        archive.extend(data);
    }
    archive
}

/// The digest and the decoded bytes of each chunk that an index lists.
///
/// # Panics
/// It is no index.
pub fn index_entries(index: &[u8]) -> Vec<([u8; 32], usize)> {
    let number = |bytes: &[u8]| u64::from_le_bytes(*bytes.first_chunk().expect("it has 8 bytes"));
    let body = &index[HEADER..];
    let mut offset = 0;
    let mut entry = |end: u64, digest: [u8; 32]| {
        let len = (end - offset) as usize;
        offset = end;
        (digest, len)
    };
    if index.starts_with(&FIXED_MAGIC) {
        let (size, chunk_size) = (number(&index[64..]), number(&index[72..]));
        let (digests, []) = body.as_chunks::<32>() else {
            panic!("the index has half a digest")
        };
        assert_eq!(digests.len() as u64, size.div_ceil(chunk_size));
        let ends = (1..).map(|count| size.min(count * chunk_size));
        ends.zip(digests)
            .map(|(end, digest)| entry(end, *digest))
            .collect()
    } else {
        assert!(index.starts_with(&DYNAMIC_MAGIC), "it is no index");
        let (entries, []) = body.as_chunks::<40>() else {
            panic!("the index has half an entry")
        };
        let digest = |bytes: &[u8; 40]| *bytes.last_chunk().expect("a digest ends it");
        entries
            .iter()
            .map(|bytes| entry(number(bytes), digest(bytes)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;
    use crate::key::sha256;
    use crate::store::Folder;

    fn golden(path: &str) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("../golden")
            .join(path)
    }

    fn restore_golden(snapshot: &str, file: &str, key: Option<&TestKey>) -> String {
        let store = Folder::new(golden("datastore"));
        let index = store
            .file("", snapshot, file)
            .expect("the golden index is there");
        hex(&sha256(&restore(&index, |digest| store.chunk(digest), key)))
    }

    #[test]
    fn golden_image_is_restored() {
        assert_eq!(
            restore_golden("vm/200/2024-06-10T10:00:00Z", "drive-scsi0.img.fidx", None),
            "54e679a0c7461c60c837c4e5ffe0e13646fd23245b940604bbf24ae631222d72"
        );
    }

    #[test]
    fn golden_encrypted_images_are_restored() {
        let key = fs::read_to_string(golden("keys/plain.key")).expect("the golden key is there");
        let key = TestKey::from_key_file(&key);
        assert_eq!(
            restore_golden(
                "vm/201/2024-06-10T11:00:00Z",
                "drive-scsi0.img.fidx",
                Some(&key)
            ),
            "54e679a0c7461c60c837c4e5ffe0e13646fd23245b940604bbf24ae631222d72"
        );
        assert_eq!(
            restore_golden(
                "vm/201/2024-06-10T11:00:00Z",
                "drive-scsi1.img.fidx",
                Some(&key)
            ),
            "85f7bc65d185104b20f6439898656861943cffac22970bd626f00a0d52cdd6c2"
        );
    }

    #[test]
    fn golden_archive_has_the_csum_of_its_index() {
        let store = Folder::new(golden("datastore"));
        let snapshot = "host/tree/2024-06-10T14:00:00Z";
        let index = store
            .file("", snapshot, "tree.pxar.didx")
            .expect("it is there");
        let len: usize = index_entries(&index).iter().map(|(_, len)| len).sum();
        let archive = restore(&index, |digest| store.chunk(digest), None);
        assert_eq!(archive.len(), len);
        assert_eq!(sha256(&index[HEADER..]), index[32..64]);
    }
}
