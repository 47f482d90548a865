//! Reads that a reader hears of before their bytes are asked for.

use std::ops::Range;
use std::sync::atomic::Ordering;

use super::Reader;
use crate::error::Result;
use crate::read::streams::StreamId;

/// A read that is made in pieces, of which the reader knows as a whole. Its pieces alone would look like
/// reads in no order where several such reads are made at once.
#[derive(Debug)]
pub(crate) struct Announced<'a> {
    reader: &'a Reader,
    stream: StreamId,
}

impl Reader {
    /// Has the chunks of a read fetched, and those that the next reads will need. Whoever waits for a
    /// chunk comes first.
    pub(crate) fn announce(&self, range: Range<u64>) -> Announced<'_> {
        let shared = &self.0.shared;
        shared.counts.reads.fetch_add(1, Ordering::Relaxed);
        let end = range.end.min(self.len());
        let read = self.locate(range.start.min(end)..end);
        Announced {
            reader: self,
            // A read of no bytes waits for nothing.
            stream: read.map_or(0, |read| shared.announce(&read)),
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
        match self.reader.locate(offset..offset + len) {
            Some(read) => (self.reader).copy(&read, &mut buffer[..len as usize], self.stream),
            None => Ok(0),
        }
    }
}
