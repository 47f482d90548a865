//! Reads that a reader hears of before their bytes are asked for.

use std::cell::Cell;
use std::ops::Range;
use std::sync::atomic::Ordering;

use super::Reader;
use crate::error::Result;
use crate::read::streams::{Read, StreamId};

/// A read that is made in pieces, of which the reader knows as a whole. Its pieces alone would look like
/// reads in no order where several such reads are made at once.
///
/// When this is dropped, the chunks of bytes that were not read are no longer fetched.
#[derive(Debug)]
pub(crate) struct Announced<'a> {
    reader: &'a Reader,
    stream: StreamId,
    /// The offset of the first byte that was not read yet, where pieces are read in order.
    next: Cell<u64>,
    /// The offset at which the read ends.
    end: u64,
}

impl Reader {
    /// Has the chunks of a read fetched, and those that the next reads will need. Whoever waits for a
    /// chunk comes first.
    pub(crate) fn announce(&self, range: Range<u64>) -> Announced<'_> {
        let shared = &self.0.shared;
        shared.counts.reads.fetch_add(1, Ordering::Relaxed);
        let end = range.end.min(self.len());
        let start = range.start.min(end);
        let read = self.locate(start..end);
        Announced {
            reader: self,
            // A read of no bytes waits for nothing.
            stream: read.map_or(0, |read| shared.announce(&read)),
            next: Cell::new(start),
            end,
        }
    }
}

impl Announced<'_> {
    /// Reads a piece, as [`Reader::read_at`] does.
    ///
    /// # Errors
    /// Those of [`Reader::read_at`].
    pub(crate) fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let len = (buffer.len() as u64).min(self.reader.len().saturating_sub(offset));
        let Some(read) = self.reader.locate(offset..offset + len) else {
            return Ok(0);
        };
        if let Some(unread) = self.unread() {
            self.reader.0.shared.begin_announced(&unread);
        }
        let buffer = &mut buffer[..len as usize];
        let count = self.reader.copy(&read, buffer, self.stream)?;
        self.next.set(self.next.get().max(read.bytes.end));
        Ok(count)
    }

    /// What was not read yet.
    fn unread(&self) -> Option<Read> {
        self.reader.locate(self.next.get()..self.end)
    }
}

impl Drop for Announced<'_> {
    fn drop(&mut self) {
        if let Some(unread) = self.unread() {
            self.reader.0.shared.take_back(&unread);
        }
    }
}
