//! Decodes catalogs (`catalog.pcat1`): the names of all entries of a snapshot's file archives. Does
//! no I/O.
//!
//! A catalog is only a hint, since nothing ties it to the archives: an entry that it lists may not
//! be there, and an entry that is there may not be listed. Split archives have no catalog.
//!
//! Each directory is a block of bytes. The last 8 bytes of the catalog lead to the root's block
//! ([`root_block`]). The root has a directory for each archive, named as the archive's index, such
//! as `root.pxar.didx`. A block says at its start how long it is ([`block_len`]), and
//! [`entries`] reads the entries in it.
//!
//! A directory's block lies before the block of the directory around it, so no walk goes in
//! circles. A hostile catalog can still list one block in many directories: visit no block twice.

use std::error::Error;
use std::fmt::{self, Display};

const MAGIC: [u8; 8] = [0x91, 0xfd, 0x60, 0xf9, 0xc4, 0x67, 0x58, 0xd5];

/// The offset of the root's block is as long as this, and lies at the end.
const TRAILER_LEN: u64 = 8;

/// A number takes at most 10 bytes, 7 bits in each.
const NUMBER_MAX: usize = 10;

/// The longest name, in bytes.
const NAME_MAX: u64 = 4095;

/// The fewest bytes that an entry takes: its type, and a name of one byte with its length.
const ENTRY_MIN: u64 = 3;

/// An entry of a directory in a catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CatalogEntry<'a> {
    /// The name: not empty, not `.` or `..`, without `/` and zero bytes.
    pub name: &'a [u8],
    /// What the entry is.
    pub kind: CatalogKind,
}

/// What an entry of a catalog is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CatalogKind {
    /// A directory.
    Directory {
        /// The offset of the directory's own block. It is less than that of this block, so no
        /// directory lies in itself.
        block: u64,
    },
    /// A regular file.
    File {
        /// The length, in bytes.
        size: u64,
        /// When it was last changed, in seconds since 1970 began.
        mtime: i64,
    },
    /// A symbolic link.
    Symlink,
    /// Another name of a file.
    HardLink,
    /// A block device.
    BlockDevice,
    /// A character device.
    CharDevice,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// Why a catalog is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CatalogError {
    /// The bytes do not begin as a catalog does.
    Magic,
    /// A block does not lie between the start and the end of the catalog.
    Block {
        /// The offset where the block should begin.
        offset: u64,
    },
    /// An entry is cut short, or no entry can have these bytes.
    Entry {
        /// The offset of the block that has the entry.
        block: u64,
        /// Where the entry begins in the content of the block, in bytes.
        at: usize,
    },
}

impl Display for CatalogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CatalogError::Magic => f.write_str("this is no catalog"),
            CatalogError::Block { offset } => {
                write!(f, "the catalog has no directory at offset {offset}")
            }
            CatalogError::Entry { block, at } => write!(
                f,
                "the entry at byte {at} of the catalog's directory at offset {block} is damaged"
            ),
        }
    }
}

impl Error for CatalogError {}

/// The offset of the root's block, by the first and the last 8 bytes of a catalog of `len` bytes.
///
/// # Errors
/// This is no catalog.
pub fn root_block(first: &[u8; 8], last: &[u8; 8], len: u64) -> Result<u64, CatalogError> {
    if *first != MAGIC {
        return Err(CatalogError::Magic);
    }
    let offset = u64::from_le_bytes(*last);
    let blocks = MAGIC.len() as u64..len.saturating_sub(TRAILER_LEN);
    let is_there = blocks.contains(&offset);
    is_there
        .then_some(offset)
        .ok_or(CatalogError::Block { offset })
}

/// Where the content of a block lies in a catalog of `len` bytes: its offset and its length.
/// `start` has the first bytes of the block: 10, or fewer at the end of the catalog.
///
/// # Errors
/// The block goes beyond the end of the catalog.
pub fn block_len(start: &[u8], block: u64, len: u64) -> Result<(u64, u64), CatalogError> {
    let mut rest = start;
    let content = number(&mut rest).and_then(|content_len| {
        let offset = block.checked_add((start.len() - rest.len()) as u64)?;
        let end = offset.checked_add(content_len)?;
        (end <= len.saturating_sub(TRAILER_LEN)).then_some((offset, content_len))
    });
    content.ok_or(CatalogError::Block { offset: block })
}

/// The entries in the content of the block at the offset `block`. After an error there are no more.
///
/// ```
/// use chunk_restore::files::catalog::{CatalogKind, entries};
///
/// let content = b"\x02l\x04link\x70\x04pipe";
/// let names: Vec<_> = entries(content, 8).map(|entry| entry.unwrap().name).collect();
/// assert_eq!(names, [b"link", b"pipe"]);
/// ```
pub fn entries(
    content: &[u8],
    block: u64,
) -> impl Iterator<Item = Result<CatalogEntry<'_>, CatalogError>> {
    let mut rest = content;
    // A directory can't have more entries than there is room for.
    let count = number(&mut rest).filter(|count| *count <= rest.len() as u64 / ENTRY_MIN);
    let mut left = count;
    std::iter::from_fn(move || {
        let at = content.len() - rest.len();
        let damaged = CatalogError::Entry { block, at };
        match left {
            Some(0) if rest.is_empty() => None,
            Some(1..) => match entry(&mut rest, block) {
                Some(entry) => {
                    left = left.map(|left| left - 1);
                    Some(Ok(entry))
                }
                None => {
                    (left, rest) = (Some(0), &[]);
                    Some(Err(damaged))
                }
            },
            // The count is wrong, or bytes follow the last entry.
            _ => {
                (left, rest) = (Some(0), &[]);
                Some(Err(damaged))
            }
        }
    })
}

fn entry<'a>(rest: &mut &'a [u8], block: u64) -> Option<CatalogEntry<'a>> {
    let kind = byte(rest)?;
    let len = number(rest).filter(|len| *len <= NAME_MAX)?;
    let (name, after) = rest.split_at_checked(len as usize)?;
    *rest = after;
    if name.is_empty() || name == b"." || name == b".." || name.iter().any(|b| b"/\0".contains(b)) {
        return None;
    }
    let kind = match kind {
        b'd' => CatalogKind::Directory {
            block: number(rest)
                .filter(|back| *back > 0)
                .and_then(|back| block.checked_sub(back))
                .filter(|child| *child >= MAGIC.len() as u64)?,
        },
        b'f' => CatalogKind::File {
            size: number(rest)?,
            mtime: signed_number(rest)?,
        },
        b'l' => CatalogKind::Symlink,
        b'h' => CatalogKind::HardLink,
        b'b' => CatalogKind::BlockDevice,
        b'c' => CatalogKind::CharDevice,
        b'p' => CatalogKind::Fifo,
        b's' => CatalogKind::Socket,
        _ => return None,
    };
    Some(CatalogEntry { name, kind })
}

fn byte(rest: &mut &[u8]) -> Option<u8> {
    let (byte, after) = rest.split_first()?;
    *rest = after;
    Some(*byte)
}

/// A number of up to 10 bytes with 7 bits in each, the lowest first. The highest bit of a byte says
/// whether more follow.
fn number(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for at in 0..NUMBER_MAX {
        let byte = byte(rest)?;
        number |= bits(byte, at)?;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

/// A number that may be negative: then all its bytes say that more follow, and a zero byte does.
fn signed_number(rest: &mut &[u8]) -> Option<i64> {
    let mut number = 0;
    for at in 0..=NUMBER_MAX {
        let byte = byte(rest)?;
        if byte == 0 {
            return 0_i64.checked_sub_unsigned(number);
        }
        number |= bits(byte, at)?;
        if byte < 0x80 {
            return i64::try_from(number).ok();
        }
    }
    None
}

/// The bits that the byte at this place adds to a number, if they fit in.
fn bits(byte: u8, at: usize) -> Option<u64> {
    let bits = u64::from(byte & 0x7f);
    match at {
        0..9 => Some(bits << (7 * at)),
        9 if bits <= 1 => Some(bits << 63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(bytes: &[u8]) -> Option<i64> {
        let mut rest = bytes;
        signed_number(&mut rest).filter(|_| rest.is_empty())
    }

    #[test]
    fn numbers_have_seven_bits_in_a_byte() {
        let of = |bytes: &[u8]| number(&mut { bytes });
        assert_eq!(of(&[0]), Some(0));
        assert_eq!(of(&[0x7f]), Some(127));
        assert_eq!(of(&[0x80, 1]), Some(128));
        let most = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        assert_eq!(of(&most), Some(u64::MAX));
        let more = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2];
        assert_eq!(of(&more), None);
        assert_eq!(of(&[0x80; 11]), None);
        assert_eq!(of(&[0x80]), None);
    }

    #[test]
    fn negative_numbers_end_with_a_zero_byte() {
        assert_eq!(signed(&[0]), Some(0));
        assert_eq!(signed(&[5]), Some(5));
        assert_eq!(signed(&[0x82, 0]), Some(-2));
        assert_eq!(signed(&[0x80, 0x81, 0]), Some(-128));
        assert_eq!(signed(&[0x80, 1]), Some(128));
        let least = [
            0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x81, 0,
        ];
        assert_eq!(signed(&least), Some(i64::MIN));
        assert_eq!(signed(&[0x80; 12]), None);
    }

    #[test]
    fn a_directory_lies_before_the_one_around_it() {
        let kinds = |content: &'static [u8]| -> Result<Vec<_>, _> {
            entries(content, 20)
                .map(|entry| entry.map(|entry| entry.kind))
                .collect()
        };
        let inside = vec![CatalogKind::Directory { block: 8 }];
        assert_eq!(kinds(b"\x01d\x01a\x0c"), Ok(inside));
        for back in [b"\x01d\x01a\x00", b"\x01d\x01a\x0d", b"\x01d\x01a\x7f"] {
            assert!(kinds(back).is_err());
        }
    }

    #[test]
    fn an_error_is_the_last_item() {
        for content in [
            &b""[..],
            b"\x02l\x01a",
            b"\x01l\x01al",
            b"\x00l",
            b"\x01l\x02..",
            b"\x01x\x01a",
            b"\x01f\x01a\x80",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01l\x01a",
        ] {
            let found: Vec<_> = entries(content, 8).collect();
            assert!(found.last().is_some_and(Result::is_err), "{content:?}");
            assert_eq!(found.iter().filter(|entry| entry.is_err()).count(), 1);
        }
        assert_eq!(entries(b"\x00", 8).count(), 0);
    }

    #[test]
    fn a_block_ends_before_the_catalog_does() {
        assert_eq!(block_len(&[5, 1], 8, 22), Ok((9, 5)));
        let beyond = Err(CatalogError::Block { offset: 8 });
        assert_eq!(block_len(&[5, 1], 8, 21), beyond);
        assert_eq!(block_len(&[0x80], 8, 21), beyond);
        let root = |offset: u64, len| root_block(&MAGIC, &offset.to_le_bytes(), len);
        assert_eq!(root(8, 17), Ok(8));
        for (offset, len) in [(7, 17), (9, 17), (8, 16), (0, 0), (u64::MAX, 17)] {
            assert_eq!(root(offset, len), Err(CatalogError::Block { offset }));
        }
        assert_eq!(root_block(&[0; 8], &[0; 8], 17), Err(CatalogError::Magic));
    }
}
