//! Data blobs: this is the one place where stored bytes become verified data.

mod small;
mod unzip;

use std::fmt;
use std::mem;

use zstd::zstd_safe;

use crate::digest::{Digest, Hasher};
use crate::error::{Error, ErrorKind};
use crate::format::index::Chunk;
use crate::format::key::Key;
use crate::memory::Buffer;

use unzip::Unzip;

pub(crate) use small::{MAX_BLOB, MAX_RAW, decode_blob, is_encrypted};

/// The length of the header of a blob that is not encrypted, in bytes: magic and CRC.
const HEADER: usize = 12;
/// The length of the header of an encrypted blob, in bytes: magic, CRC, IV and tag.
const ENCRYPTED_HEADER: usize = 44;

/// The magic of a blob that is neither encrypted nor compressed.
const PLAIN: [u8; 8] = [0x42, 0xab, 0x38, 0x07, 0xbe, 0x83, 0x70, 0xa1];

/// The four kinds of blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kind {
    is_encrypted: bool,
    is_compressed: bool,
}

impl Kind {
    fn of(blob: &[u8]) -> Result<Kind, Reason> {
        let (is_encrypted, is_compressed) = match blob.first_chunk() {
            Some(&PLAIN) => (false, false),
            Some([0x31, 0xb9, 0x58, 0x42, 0x6f, 0xb6, 0xa3, 0x7f]) => (false, true),
            Some([0x7b, 0x67, 0x85, 0xbe, 0x22, 0x2d, 0x4c, 0xf0]) => (true, false),
            Some([0xe6, 0x59, 0x1b, 0xbf, 0x0b, 0xbf, 0xd8, 0x0b]) => (true, true),
            Some(_) => return Err(Reason::Magic),
            None => return Err(Reason::Short(blob.len())),
        };
        let kind = Kind {
            is_encrypted,
            is_compressed,
        };
        if blob.len() < kind.header() {
            return Err(Reason::Short(blob.len()));
        }
        Ok(kind)
    }

    fn header(self) -> usize {
        if self.is_encrypted {
            ENCRYPTED_HEADER
        } else {
            HEADER
        }
    }
}

/// Whether bytes begin with the magic of a blob.
#[cfg(any(feature = "https", feature = "s3"))]
pub(crate) fn is_begun_as_blob(bytes: &[u8]) -> bool {
    Kind::of(bytes).is_ok()
}

/// Whether the CRC of a whole blob is that of its payload. Must be called before the payload is
/// decrypted in place.
fn crc_holds(blob: &[u8], kind: Kind) -> bool {
    let Some(stated) = blob.get(8..).and_then(<[u8]>::first_chunk) else {
        return false;
    };
    crc32fast::hash(&blob[kind.header()..]) == u32::from_le_bytes(*stated)
}

/// Decrypts the payload of an encrypted blob in place.
fn decrypt(blob: &mut [u8], key: &Key) -> Result<(), Reason> {
    let Some((header, payload)) = blob.split_first_chunk_mut::<ENCRYPTED_HEADER>() else {
        return Err(Reason::Short(blob.len()));
    };
    let (_, iv_and_tag) = header.split_at(HEADER);
    let (Some(iv), Some(tag)) = (iv_and_tag.first_chunk(), iv_and_tag.last_chunk()) else {
        return Err(Reason::Short(ENCRYPTED_HEADER));
    };
    key.decrypt(iv, tag, payload).map_err(|_| Reason::Tag)
}

/// Decodes the blobs of an archive's chunks, and proves that the data is right. Each thread needs
/// its own decoder.
pub struct ChunkDecoder {
    key: Option<Key>,
    unzip: Option<Unzip>,
}

impl ChunkDecoder {
    /// With a key, the decoder accepts only encrypted blobs; without a key, only blobs that are not
    /// encrypted. The manifest says which of them an archive has, so any other blob is damage or an
    /// attack.
    #[must_use]
    pub fn new(key: Option<Key>) -> ChunkDecoder {
        ChunkDecoder { key, unzip: None }
    }

    /// The most bytes that the blob of a chunk of `len` bytes can have. PBS keeps a compressed
    /// chunk only where it is shorter than the data. This limit also admits longer ones, up to the
    /// most that zstd can make of a chunk.
    #[must_use]
    pub fn blob_limit(len: u32) -> usize {
        ENCRYPTED_HEADER + zstd_safe::compress_bound(len as usize)
    }

    /// Decodes the blob of a chunk, and compares the length and the digest of the decoded data with
    /// those that the index states.
    ///
    /// Data that is not compressed stays in the blob's buffer, and is decrypted there. Compressed
    /// data is decompressed into `scratch`, whose old bytes are lost. The result then holds the
    /// buffer that was `scratch`, and `scratch` becomes the buffer of the blob. So after each call,
    /// `scratch` may be used for the next chunk, or dropped. An empty buffer may be given as
    /// `scratch`.
    ///
    /// # Errors
    /// [`Rejected`] where the blob is damaged, or belongs to another chunk, or has data of another
    /// length.
    pub fn decode(
        &mut self,
        chunk: &Chunk,
        mut blob: Buffer,
        scratch: &mut Buffer,
    ) -> Result<Verified, Rejected> {
        match self.try_decode(chunk, &mut blob, scratch) {
            Ok(DataIn::Blob { header }) => Ok(Verified {
                buffer: blob,
                header,
            }),
            Ok(DataIn::Scratch) => Ok(Verified {
                buffer: mem::replace(scratch, blob),
                header: 0,
            }),
            Err(reason) => {
                let message = format!("chunk {} is corrupt", chunk.digest);
                let error = Error::new(ErrorKind::Corrupt, message)
                    .because(reason)
                    .of_chunk(chunk.digest)
                    .at_offset(chunk.offset);
                Err(Rejected {
                    buffer: blob,
                    error,
                })
            }
        }
    }

    /// Makes the buffer hash the payload of a blob as the bytes arrive, if the blob turns out to be
    /// neither encrypted nor compressed. [`decode`](ChunkDecoder::decode) then need not go through
    /// the bytes again.
    pub(crate) fn hash_while_received(&self, blob: &mut Buffer) {
        if self.key.is_none() {
            blob.hash_payload(PLAIN, HEADER);
        }
    }

    /// Lets the payload of a blob start on a page. Data that is not compressed can then be written to a
    /// disk from the buffer in which it came.
    pub(crate) fn align_payload(&self, blob: &mut Buffer) {
        blob.start_page_behind(match self.key {
            Some(_) => ENCRYPTED_HEADER,
            None => HEADER,
        });
    }

    /// Accepts data that is not in a blob, such as that of another disk, if it is the data of this
    /// chunk.
    ///
    /// # Errors
    /// Returns the data where it is not that of the chunk.
    pub(crate) fn recognise(&self, chunk: &Chunk, data: Buffer) -> Result<Verified, Buffer> {
        if data.len() == chunk.len as usize && self.digest(&data) == chunk.digest {
            return Ok(Verified {
                buffer: data,
                header: 0,
            });
        }
        Err(data)
    }

    fn digest(&self, data: &[u8]) -> Digest {
        let mut hasher = Hasher::default();
        hasher.update(data);
        self.digest_of(hasher)
    }

    fn digest_of(&self, data: Hasher) -> Digest {
        match &self.key {
            Some(key) => key.digest_of(data),
            None => data.finish(),
        }
    }

    fn try_decode(
        &mut self,
        chunk: &Chunk,
        blob: &mut Buffer,
        scratch: &mut Buffer,
    ) -> Result<DataIn, Reason> {
        let kind = Kind::of(blob)?;
        match (&self.key, kind.is_encrypted) {
            // The tag is checked first, so that the CRC can still be computed over the bytes as
            // they came.
            (Some(key), true) => {
                decrypt(blob.bytes_mut(), key).map_err(|reason| reason.blaming(blob, kind))?;
            }
            (None, false) => {}
            (Some(_), false) => return Err(Reason::Plain),
            (None, true) => return Err(Reason::Encrypted),
        }
        let result = self.verify(chunk, kind, blob, scratch);
        // The CRC says nothing about a decrypted payload: the tag has shown that it is whole, and
        // the CRC is that of the encrypted bytes.
        result.map_err(|reason| match kind.is_encrypted {
            true => reason,
            false => reason.blaming(blob, kind),
        })
    }

    fn verify(
        &mut self,
        chunk: &Chunk,
        kind: Kind,
        blob: &mut Buffer,
        scratch: &mut Buffer,
    ) -> Result<DataIn, Reason> {
        let header = kind.header();
        let (len, digest, data_in) = if kind.is_compressed {
            // The scratch buffer will hold a blob later, so it needs room for one.
            scratch.reserve(ChunkDecoder::blob_limit(chunk.len));
            let data = scratch.space(chunk.len as usize);
            let mut hasher = Hasher::default();
            let unzip = match &mut self.unzip {
                Some(unzip) => unzip,
                none => none.insert(Unzip::new()?),
            };
            // The room in `data` limits the output, whatever length the frame states. Each block is
            // hashed while it is in the core's cache.
            let len = unzip.run(&blob[header..], data, |block| hasher.update(block))?;
            (len, self.digest_of(hasher), DataIn::Scratch)
        } else {
            let digest = match blob.take_hash() {
                Some(hash) => self.digest_of(hash),
                None => self.digest(&blob[header..]),
            };
            (blob.len() - header, digest, DataIn::Blob { header })
        };
        if len != chunk.len as usize {
            return Err(Reason::Length(len, chunk.len));
        }
        if digest != chunk.digest {
            return Err(Reason::Digest(digest));
        }
        Ok(data_in)
    }
}

impl fmt::Debug for ChunkDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChunkDecoder")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// The data of a chunk, proven to have the chunk's digest. Only a [`ChunkDecoder`] makes it.
#[derive(Debug)]
pub struct Verified {
    buffer: Buffer,
    /// Where the data begins in the buffer: an uncompressed chunk stays behind the header of its
    /// blob.
    header: usize,
}

/// The buffer that the data of a decoded chunk is in.
enum DataIn {
    Blob { header: usize },
    Scratch,
}

impl Verified {
    /// The chunk's data.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.buffer[self.header..]
    }

    /// Gives the data up, and returns the buffer that it was in, and where in it the data begins.
    pub(crate) fn into_parts(self) -> (Buffer, usize) {
        (self.buffer, self.header)
    }

    /// Gives the data up, and returns the buffer that it was in.
    #[must_use]
    pub fn into_buffer(self) -> Buffer {
        self.buffer
    }
}

/// A blob that was refused as that of its chunk.
#[derive(Debug)]
pub struct Rejected {
    /// The buffer of the blob, which can be used for the next blob.
    pub buffer: Buffer,
    /// Why the blob was refused, of kind [`ErrorKind::Corrupt`].
    pub error: Error,
}

/// Why a blob was refused.
#[derive(Debug, PartialEq, Eq)]
enum Reason {
    Short(usize),
    Magic,
    Plain,
    Encrypted,
    Tag,
    Zstd(String),
    Trailing,
    Length(usize, u32),
    Digest(Digest),
    Crc,
    Blamed(Box<Reason>, Blame),
}

/// Which mistake made the blob wrong, as the CRC tells: damage after it was written, or wrong
/// content when it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blame {
    Damage,
    Content,
}

impl Reason {
    fn blaming(self, blob: &[u8], kind: Kind) -> Reason {
        let blame = if crc_holds(blob, kind) {
            Blame::Content
        } else {
            Blame::Damage
        };
        Reason::Blamed(Box::new(self), blame)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Short(0) => f.write_str("its blob is empty"),
            Reason::Short(len) => write!(f, "its blob of {len} bytes is shorter than a header"),
            Reason::Magic => {
                f.write_str("it is not a data blob: its first bytes are of no known kind")
            }
            Reason::Plain => f.write_str("it is not encrypted, and the manifest says that it is"),
            Reason::Encrypted => {
                f.write_str("it is encrypted, and the manifest says that it is not")
            }
            Reason::Tag => f.write_str("it does not decrypt with this key"),
            Reason::Zstd(error) => write!(f, "it does not decompress: {error}"),
            Reason::Trailing => f.write_str("something follows its zstd frame"),
            Reason::Length(len, expected) => {
                write!(
                    f,
                    "it decodes to {len} bytes, where the index has {expected}"
                )
            }
            Reason::Digest(digest) => write!(f, "its data has the digest {digest}"),
            Reason::Crc => {
                f.write_str("its CRC is wrong: it was damaged in the store or on the way")
            }
            Reason::Blamed(reason, Blame::Damage) => {
                write!(
                    f,
                    "{reason}; its CRC is wrong too: it was damaged in the store or on the way"
                )
            }
            Reason::Blamed(reason, Blame::Content) => {
                write!(
                    f,
                    "{reason}; its CRC is right: it is as it was written, but not what was asked for"
                )
            }
        }
    }
}

impl std::error::Error for Reason {}
