//! The header of an entry in a tar archive: in GNU's format, with a pax header before it for what
//! GNU's format has no field for.
//!
//! Long names are in GNU's format too. pax wants names in UTF-8, and unpackers convert them.

use ::tar::{EntryType, Header as Block};

use crate::files::pack::tar::records::Records;
use crate::files::pxar::{Device, Metadata, Mtime};

/// The length of a block, in bytes: headers and contents fill whole blocks.
pub(super) const BLOCK_LEN: usize = 512;

/// How many bytes of a name, and of the target of a link, a header has room for.
const NAME_LEN_MAX: usize = 100;

/// What GNU tar calls the entries that hold a long name or target.
const LONG_NAME: &[u8] = b"././@LongLink";

/// What Python calls pax headers.
const PAX_NAME: &[u8] = b"././@PaxHeader";

/// Mode, owner and time of an entry.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stat {
    mode: u32,
    uid: u32,
    gid: u32,
    mtime: Mtime,
}

impl Stat {
    pub(super) fn of(metadata: &Metadata) -> Stat {
        Stat {
            mode: metadata.mode & 0o7777,
            uid: metadata.uid,
            gid: metadata.gid,
            mtime: metadata.mtime,
        }
    }
}

/// What the header of an entry says, but for its name.
pub(super) struct Header<'a> {
    pub(super) kind: EntryType,
    /// The length of the content, in bytes.
    pub(super) size: u64,
    /// The target of a symbolic or hard link.
    pub(super) link: &'a [u8],
    pub(super) device: Option<Device>,
    stat: Stat,
}

impl Header<'_> {
    pub(super) fn new(kind: EntryType, stat: Stat) -> Self {
        Header {
            kind,
            size: 0,
            link: b"",
            device: None,
            stat,
        }
    }

    /// All blocks before the content.
    pub(super) fn encode(&self, name: &[u8], mut records: Records) -> Vec<u8> {
        let mut blocks = Vec::new();
        records.push_mtime(self.stat.mtime);
        if !records.is_empty() {
            let block = Block::new_ustar();
            push_long(
                &mut blocks,
                block,
                EntryType::XHeader,
                PAX_NAME,
                records.as_bytes(),
            );
        }
        for (text, kind) in [(self.link, b'K'), (name, b'L')] {
            if text.len() > NAME_LEN_MAX {
                let terminated = [text, b"\0"].concat();
                let kind = EntryType::new(kind);
                push_long(&mut blocks, Block::new_gnu(), kind, LONG_NAME, &terminated);
            }
        }
        let mut block = Block::new_gnu();
        block.set_entry_type(self.kind);
        block.set_mode(self.stat.mode);
        block.set_uid(self.stat.uid.into());
        block.set_gid(self.stat.gid.into());
        block.set_size(self.size);
        block.set_mtime(u64::try_from(self.stat.mtime.secs).unwrap_or(0));
        put(&mut block.as_old_mut().name, name);
        put(&mut block.as_old_mut().linkname, self.link);
        if let (Some(device), Some(gnu)) = (self.device, block.as_gnu_mut()) {
            gnu.dev_major = number(device.major);
            gnu.dev_minor = number(device.minor);
        }
        block.set_cksum();
        blocks.extend(block.as_bytes());
        blocks
    }
}

/// Adds an entry that holds something for the next one.
fn push_long(blocks: &mut Vec<u8>, mut block: Block, kind: EntryType, name: &[u8], content: &[u8]) {
    block.set_entry_type(kind);
    block.set_mode(0o644);
    block.set_uid(0);
    block.set_gid(0);
    block.set_size(content.len() as u64);
    put(&mut block.as_old_mut().name, name);
    block.set_cksum();
    blocks.extend(block.as_bytes());
    blocks.extend(content);
    blocks.resize(blocks.len().next_multiple_of(BLOCK_LEN), 0);
}

/// As much of a text as a field has room for.
fn put(field: &mut [u8], text: &[u8]) {
    let len = text.len().min(field.len());
    field[..len].copy_from_slice(&text[..len]);
}

/// A number as all fields of eight bytes hold it: in octal, or in base 256 if it is too large.
fn number(number: u32) -> [u8; 8] {
    let mut block = Block::new_gnu();
    block.set_uid(number.into());
    block.as_old().uid
}
