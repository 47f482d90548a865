//! A cursor: reads an archive from a place that moves on, as a file is read.

use std::io::{self, BufRead, Read, Seek, SeekFrom};

use crate::read::Reader;

/// The length of a cursor's own buffer, in bytes.
const BUFFER_LEN: usize = 256 << 10;

/// Reads an archive as a file is read: from an offset that moves on with each read.
///
/// Each cursor has its own offset and a buffer of 256 KiB, which small reads are made from. Reads in
/// a row are recognised, and the chunks after them are read ahead.
///
/// An error of a read is an [`io::Error`] of kind [`Other`](io::ErrorKind::Other), whose source is
/// the [`Error`](crate::Error). The offset stays where it is, so that the read can be tried again.
#[derive(Debug)]
pub struct Cursor {
    reader: Reader,
    /// The offset in the archive of the next byte.
    offset: u64,
    /// Bytes from the offset on.
    buffer: Vec<u8>,
    /// How many bytes of the buffer were consumed already.
    consumed: usize,
}

impl Cursor {
    pub(super) fn new(reader: Reader) -> Cursor {
        Cursor {
            reader,
            offset: 0,
            buffer: Vec::new(),
            consumed: 0,
        }
    }

    fn buffered(&self) -> &[u8] {
        &self.buffer[self.consumed..]
    }
}

impl BufRead for Cursor {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.buffered().is_empty() {
            self.consumed = 0;
            self.buffer.resize(BUFFER_LEN, 0);
            let read = self.reader.read_at(&mut self.buffer, self.offset);
            self.buffer.truncate(*read.as_ref().unwrap_or(&0));
            read.map_err(io::Error::other)?;
        }
        Ok(self.buffered())
    }

    fn consume(&mut self, count: usize) {
        let count = count.min(self.buffered().len());
        self.consumed += count;
        self.offset += count as u64;
    }
}

impl Read for Cursor {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.buffered().is_empty() && buffer.len() >= BUFFER_LEN {
            let read = self.reader.read_at(buffer, self.offset);
            let count = read.map_err(io::Error::other)?;
            self.offset += count as u64;
            return Ok(count);
        }
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

impl Seek for Cursor {
    /// Moves to an offset, also beyond the end: reads there give nothing.
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(by) => self.offset.checked_add_signed(by),
            SeekFrom::End(by) => self.reader.len().checked_add_signed(by),
        };
        let target = target.ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                "a seek to before the first byte",
            )
        })?;
        let forward = target.checked_sub(self.offset);
        let within = forward.filter(|forward| *forward <= self.buffered().len() as u64);
        match within {
            Some(forward) => self.consume(forward as usize),
            None => {
                self.buffer.clear();
                (self.consumed, self.offset) = (0, target);
            }
        }
        Ok(target)
    }
}
