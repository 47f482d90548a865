//! Index files from whatever fields they are given, so that wrong ones can be made too. Knows nothing of chunks' data.

use crate::key::sha256;

/// Both kinds of index have a header of a page.
pub(crate) const HEADER: usize = 4096;
pub(crate) const FIXED_MAGIC: [u8; 8] = [0x2f, 0x7f, 0x41, 0xed, 0x91, 0xfd, 0x0f, 0xcd];
pub(crate) const DYNAMIC_MAGIC: [u8; 8] = [0x1c, 0x91, 0x4e, 0xa5, 0x19, 0xba, 0xb3, 0xcd];

/// The fields of a `.fidx` file. Nothing is checked: `bytes` writes what they say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixedIndex {
    /// Names the index.
    pub uuid: [u8; 16],
    /// Seconds since 1970.
    pub ctime: i64,
    /// Bytes of the image.
    pub size: u64,
    /// Bytes of every chunk but the last.
    pub chunk_size: u64,
    /// A digest for each chunk.
    pub digests: Vec<[u8; 32]>,
}

impl FixedIndex {
    /// An index with some uuid and time.
    pub fn new(size: u64, chunk_size: u64, digests: Vec<[u8; 32]>) -> FixedIndex {
        FixedIndex {
            uuid: [0x5a; 16],
            ctime: 1_767_323_045,
            size,
            chunk_size,
            digests,
        }
    }

    /// SHA-256 over all digests.
    pub fn csum(&self) -> [u8; 32] {
        sha256(self.digests.as_flattened())
    }

    /// The file.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = header(FIXED_MAGIC, self.uuid, self.ctime, self.csum());
        bytes.extend(self.size.to_le_bytes());
        bytes.extend(self.chunk_size.to_le_bytes());
        bytes.resize(HEADER, 0);
        bytes.extend(self.digests.as_flattened());
        bytes
    }
}

/// The fields of a `.didx` file. Nothing is checked: `bytes` writes what they say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DynamicIndex {
    /// Names the index.
    pub uuid: [u8; 16],
    /// Seconds since 1970.
    pub ctime: i64,
    /// For each chunk the offset of its end, and its digest.
    pub entries: Vec<(u64, [u8; 32])>,
}

impl DynamicIndex {
    /// An index with some uuid and time.
    pub fn new(entries: Vec<(u64, [u8; 32])>) -> DynamicIndex {
        DynamicIndex {
            uuid: [0xa5; 16],
            ctime: 1_767_323_045,
            entries,
        }
    }

    /// SHA-256 over all entries.
    pub fn csum(&self) -> [u8; 32] {
        sha256(&self.body())
    }

    /// The file.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = header(DYNAMIC_MAGIC, self.uuid, self.ctime, self.csum());
        bytes.resize(HEADER, 0);
        bytes.extend(self.body());
        bytes
    }

    fn body(&self) -> Vec<u8> {
        let entry = |(end, digest): &(u64, [u8; 32])| [&end.to_le_bytes()[..], digest].concat();
        self.entries.iter().flat_map(entry).collect()
    }
}

fn header(magic: [u8; 8], uuid: [u8; 16], ctime: i64, csum: [u8; 32]) -> Vec<u8> {
    [&magic[..], &uuid, &ctime.to_le_bytes(), &csum].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_index_is_made_again_byte_for_byte() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../golden/datastore/vm/200/2024-06-10T10:00:00Z/drive-scsi0.img.fidx"
        );
        let golden = std::fs::read(path).expect("the golden index is there");
        let mut index = FixedIndex::new(25_178_169, 4 << 20, Vec::new());
        index.uuid.copy_from_slice(&golden[8..24]);
        index.ctime = i64::from_le_bytes(*golden[24..].first_chunk().expect("8 bytes"));
        index.digests = golden[HEADER..].as_chunks().0.to_vec();
        assert!(index.bytes() == golden);
    }

    #[test]
    fn dynamic_index_has_forty_bytes_for_each_chunk() {
        let index = DynamicIndex::new(vec![(5, [1; 32]), (9, [2; 32])]);
        let bytes = index.bytes();
        assert_eq!(bytes.len(), 4096 + 80);
        assert_eq!(bytes[4136..4144], 9_u64.to_le_bytes());
        assert_eq!(bytes[32..64], sha256(&bytes[4096..]));
    }
}
