//! `FileReader`: the bytes of one regular file.

use std::io::{self, Read, Seek, SeekFrom};

use crate::error::Result;
use crate::read::Reader;

/// The bytes of one regular file of an archive. Cheap to clone; each clone has a position of its
/// own.
///
/// As [`Read`], it fetches the chunks that it needs, and [`Reader`] fetches those that follow ahead
/// of time. An error of [`Read`] has the library's [`Error`](crate::Error) inside.
#[derive(Clone, Debug)]
pub struct FileReader {
    reader: Reader,
    /// The offset of the first byte in the archive.
    start: u64,
    len: u64,
    position: u64,
}

impl FileReader {
    pub(crate) fn new(reader: Reader, start: u64, len: u64) -> FileReader {
        FileReader {
            reader,
            start,
            len,
            position: 0,
        }
    }

    /// The length of the file, in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the file has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The offset in the file where the chunk ends that the byte at `offset` lies in, or the file.
    pub(crate) fn chunk_end(&self, offset: u64) -> u64 {
        let end = self.reader.chunk_end(self.start + offset);
        (end - self.start).min(self.len)
    }

    /// Reads from an offset of the file. Returns how many bytes it has read: fewer than fit in
    /// `buffer` only at the end of the file.
    ///
    /// # Errors
    /// As [`Reader::read_at`].
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let left = self.len.saturating_sub(offset);
        let len = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        if len == 0 {
            return Ok(0);
        }
        self.reader.read_at(&mut buffer[..len], self.start + offset)
    }
}

impl Read for FileReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.read_at(buffer, self.position);
        let len = len.map_err(io::Error::other)?;
        self.position += len as u64;
        Ok(len)
    }
}

impl Seek for FileReader {
    /// Moves to an offset, which may lie beyond the end.
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(distance) => self.position.checked_add_signed(distance),
            SeekFrom::End(distance) => self.len.checked_add_signed(distance),
        };
        self.position = position.ok_or_else(|| {
            let message = "a position before the start of the file, or beyond all numbers";
            io::Error::new(io::ErrorKind::InvalidInput, message)
        })?;
        Ok(self.position)
    }
}
