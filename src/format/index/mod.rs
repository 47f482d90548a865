//! Indexes: the list of the chunks of an archive.

pub(crate) mod occurrences;
pub(crate) mod zeros;

use std::fmt;

use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};

const FIXED_MAGIC: [u8; 8] = [0x2f, 0x7f, 0x41, 0xed, 0x91, 0xfd, 0x0f, 0xcd];
const DYNAMIC_MAGIC: [u8; 8] = [0x1c, 0x91, 0x4e, 0xa5, 0x19, 0xba, 0xb3, 0xcd];
pub(crate) const HEADER: usize = 4096;
const FIXED_ENTRY: usize = 32;
const DYNAMIC_ENTRY: usize = 40;
/// Indexes with chunks of other lengths are refused. Images have chunks of 4 MiB; no decoded blob
/// has more than 128 MiB.
const MIN_CHUNK_SIZE: u64 = 4 << 10;
const MAX_CHUNK: u64 = 128 << 20;

/// The most bytes that the fixed index of an archive can have; `len` is the length of the archive,
/// in bytes.
pub(crate) fn longest_fixed(len: u64) -> u64 {
    let entries = len.div_ceil(MIN_CHUNK_SIZE);
    entries
        .saturating_mul(FIXED_ENTRY as u64)
        .saturating_add(HEADER as u64)
}

/// The most bytes that the dynamic index of an archive can have; `len` is the length of the
/// archive, in bytes.
pub(crate) fn longest_dynamic(len: u64) -> u64 {
    len.saturating_mul(DYNAMIC_ENTRY as u64)
        .saturating_add(HEADER as u64)
}

/// One chunk of an archive, as the index lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The digest of the chunk's decoded bytes.
    pub digest: Digest,
    /// Where the chunk begins in the archive, in bytes.
    pub offset: u64,
    /// The length of the chunk's decoded data, in bytes.
    pub len: u32,
}

/// The list of an archive's chunks: a fixed index (`.fidx`) of an image, or a dynamic index
/// (`.didx`) of a file archive.
///
/// It is kept in memory as the bytes of the index file, 32 or 40 for each chunk.
pub struct Index {
    bytes: Vec<u8>,
    len: u64,
    chunk_size: Option<u32>,
    largest_chunk: u32,
    csum: Digest,
}

impl Index {
    /// Reads an index file. The first bytes of the file say which kind of index it is.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] where the file is not an index, has a wrong length, or lists chunks
    /// of impossible lengths; [`Error::position`] then gives the first of these chunks.
    pub fn parse(bytes: impl Into<Vec<u8>>) -> Result<Index> {
        let bytes = bytes.into();
        match bytes.first_chunk() {
            Some(&FIXED_MAGIC) => parse_fixed(bytes),
            Some(&DYNAMIC_MAGIC) => parse_dynamic(bytes),
            _ => Err(corrupt(
                "it is not an index: its first 8 bytes are of no known kind",
            )),
        }
    }

    /// Whether a file begins with the magic of an index.
    #[cfg(any(feature = "https", feature = "s3"))]
    pub(crate) fn is_begun_by(beginning: &[u8]) -> bool {
        let magic = beginning.first_chunk();
        magic.is_some_and(|magic| [FIXED_MAGIC, DYNAMIC_MAGIC].contains(magic))
    }

    /// The length of the archive, in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the archive has no bytes, and hence no chunks.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many chunks the archive has.
    #[must_use]
    pub fn count(&self) -> usize {
        (self.bytes.len() - HEADER) / self.entry_len()
    }

    /// The chunk at a position, counted from 0; `None` from [`count`](Index::count) on.
    #[must_use]
    pub fn chunk(&self, position: usize) -> Option<Chunk> {
        (position < self.count()).then(|| self.listed(position))
    }

    /// The position of the chunk that holds the byte at an offset; `None` from [`len`](Index::len)
    /// on.
    #[must_use]
    pub fn position_at(&self, offset: u64) -> Option<usize> {
        if offset >= self.len {
            return None;
        }
        let Some(size) = self.chunk_size else {
            let (mut first, mut end) = (0, self.count());
            while end - first > 1 {
                let middle = first.midpoint(end);
                match self.listed(middle).offset <= offset {
                    true => first = middle,
                    false => end = middle,
                }
            }
            return Some(first);
        };
        usize::try_from(offset / u64::from(size)).ok()
    }

    /// All chunks, in the order of the archive.
    pub fn chunks(&self) -> impl ExactSizeIterator<Item = Chunk> {
        (0..self.count()).map(|position| self.listed(position))
    }

    /// The checksum that a manifest lists for this index: the SHA-256 over its entries. It is
    /// computed from the entries; the checksum in the index's own header is not used.
    #[must_use]
    pub fn csum(&self) -> Digest {
        self.csum
    }

    /// The length of the index file, in bytes.
    pub(crate) fn file_len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Whether this is a fixed index: all chunks but the last have
    /// [`chunk_size`](Index::chunk_size) bytes.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        self.chunk_size.is_some()
    }

    /// The length of all chunks but the last, in bytes; `None` for a dynamic index.
    #[must_use]
    pub fn chunk_size(&self) -> Option<u32> {
        self.chunk_size
    }

    /// The length of the longest chunk, in bytes; 0 where there are no chunks.
    #[must_use]
    pub fn largest_chunk(&self) -> u32 {
        self.largest_chunk
    }

    fn entry_len(&self) -> usize {
        if self.is_fixed() {
            FIXED_ENTRY
        } else {
            DYNAMIC_ENTRY
        }
    }

    fn listed(&self, position: usize) -> Chunk {
        let entry = &self.bytes[HEADER + position * self.entry_len()..][..self.entry_len()];
        let (offset, end) = match self.chunk_size {
            Some(size) => {
                let offset = position as u64 * u64::from(size);
                (offset, self.len.min(offset + u64::from(size)))
            }
            None if position == 0 => (0, u64_at(entry, 0)),
            None => {
                let before = HEADER + (position - 1) * DYNAMIC_ENTRY;
                (u64_at(&self.bytes, before), u64_at(entry, 0))
            }
        };
        let digest: [u8; 32] = *entry
            .last_chunk()
            .expect("an entry ends with 32 bytes of digest");
        Chunk {
            digest: digest.into(),
            offset,
            len: u32::try_from(end - offset).expect("parse admits no chunk above 128 MiB"),
        }
    }
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index")
            .field("len", &self.len)
            .field("count", &self.count())
            .field("chunk_size", &self.chunk_size)
            .field("csum", &self.csum)
            .finish_non_exhaustive()
    }
}

fn parse_fixed(bytes: Vec<u8>) -> Result<Index> {
    let entries = entries(&bytes)?;
    let len = u64_at(&bytes, 64);
    let chunk_size = u64_at(&bytes, 72);
    if !chunk_size.is_power_of_two() || !(MIN_CHUNK_SIZE..=MAX_CHUNK).contains(&chunk_size) {
        return Err(corrupt(format!(
            "the index states an impossible chunk size of {chunk_size} bytes"
        )));
    }
    let count = len.div_ceil(chunk_size);
    if count.checked_mul(FIXED_ENTRY as u64) != Some(entries.len() as u64) {
        return Err(corrupt(format!(
            "the index has {} bytes of entries, not the {count} entries of 32 bytes that an archive of {len} bytes needs",
            entries.len()
        )));
    }
    let chunk_size = u32::try_from(chunk_size).expect("it was found to be at most 128 MiB");
    Ok(Index {
        csum: Digest::of(entries),
        len,
        chunk_size: Some(chunk_size),
        largest_chunk: u32::try_from(len).map_or(chunk_size, |len| len.min(chunk_size)),
        bytes,
    })
}

fn parse_dynamic(bytes: Vec<u8>) -> Result<Index> {
    let entries = entries(&bytes)?;
    if entries.len() % DYNAMIC_ENTRY != 0 {
        return Err(corrupt(format!(
            "the index has {} bytes of entries, which is no multiple of 40",
            entries.len()
        )));
    }
    let (mut len, mut largest_chunk) = (0, 0);
    for (position, entry) in entries.chunks_exact(DYNAMIC_ENTRY).enumerate() {
        let end = u64_at(entry, 0);
        largest_chunk = end
            .checked_sub(len)
            .filter(|len| (1..=MAX_CHUNK).contains(len))
            .and_then(|len| u32::try_from(len).ok())
            .ok_or_else(|| impossible_chunk(position, len, end))?
            .max(largest_chunk);
        len = end;
    }
    Ok(Index {
        csum: Digest::of(entries),
        len,
        chunk_size: None,
        largest_chunk,
        bytes,
    })
}

fn entries(bytes: &[u8]) -> Result<&[u8]> {
    bytes.get(HEADER..).ok_or_else(|| {
        corrupt(format!(
            "the index is cut short: it has {} of its header's 4096 bytes",
            bytes.len()
        ))
    })
}

fn impossible_chunk(position: usize, offset: u64, end: u64) -> Error {
    corrupt(format!(
        "the index lists an impossible chunk at position {position}: from byte {offset} to {end}"
    ))
    .at_position(position)
    .at_offset(offset)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let bytes = bytes[at..]
        .first_chunk()
        .expect("header and entries were found to be whole");
    u64::from_le_bytes(*bytes)
}

fn corrupt(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Corrupt, message)
}
