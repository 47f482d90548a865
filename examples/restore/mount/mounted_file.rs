//! The disks and small files that a mount shows.

use chunk_restore::Reader;
use fuser::{Errno, ReplyData};

use crate::disks::Disk;
use crate::read_failures::ReadFailures;

/// A disk or small file of a mount.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) content: Content,
    /// How many bytes of it are not in holes.
    pub(crate) data_len: u64,
}

#[derive(Clone, Debug)]
pub(crate) enum Content {
    Disk(Reader),
    Small(Vec<u8>),
}

impl File {
    pub(crate) fn of(disk: &Disk) -> File {
        let reader = disk.reader.clone();
        let extents = reader.extents(0..reader.len());
        let data_len = extents
            .filter(|extent| !extent.is_zero)
            .map(|extent| extent.len)
            .sum();
        File {
            name: disk.name.clone(),
            content: Content::Disk(reader),
            data_len,
        }
    }

    pub(crate) fn small(name: String, bytes: Vec<u8>) -> File {
        File {
            name,
            data_len: bytes.len() as u64,
            content: Content::Small(bytes),
        }
    }

    pub(crate) fn len(&self) -> u64 {
        match &self.content {
            Content::Disk(reader) => reader.len(),
            Content::Small(bytes) => bytes.len() as u64,
        }
    }

    /// Where data, or a hole, is next from an offset on; `None` beyond the end, and if no more data
    /// comes. The end of a file counts as a hole.
    pub(crate) fn seek(&self, offset: u64, to_hole: bool) -> Option<u64> {
        let len = self.len();
        if offset >= len {
            return None;
        }
        match &self.content {
            Content::Disk(reader) => {
                let mut extents = reader.extents(offset..len);
                let found = extents.find(|extent| extent.is_zero == to_hole);
                let found = found.map(|extent| extent.offset);
                found.or_else(|| to_hole.then_some(len))
            }
            Content::Small(_) if to_hole => Some(len),
            Content::Small(_) => Some(offset),
        }
    }

    /// Answers a read.
    pub(crate) fn read(
        &self,
        offset: u64,
        len: u32,
        buffer: &mut Vec<u8>,
        failures: &ReadFailures,
        reply: ReplyData,
    ) {
        match &self.content {
            Content::Small(bytes) => {
                let from =
                    usize::try_from(offset).map_or(bytes.len(), |from| from.min(bytes.len()));
                let to = from.saturating_add(len as usize).min(bytes.len());
                reply.data(&bytes[from..to]);
            }
            Content::Disk(reader) => {
                buffer.resize(len as usize, 0);
                match reader.read_at(buffer, offset) {
                    Ok(len) => reply.data(&buffer[..len]),
                    Err(error) => {
                        failures.tell(&self.name, &error);
                        reply.error(Errno::EIO);
                    }
                }
            }
        }
    }
}
