//! Answers requests: reads from the archive, and sends the replies.

use std::error::Error as _;
use std::io;
use std::ops::Range;

use super::buffers::Buffers;
use super::channel::Channel;
use super::codec::{
    Command, DATA_HEADER_LEN, DESCRIPTOR_LEN, ErrorCode, SIMPLE_LEN, STATUS_HEADER_LEN,
    UNFRAGMENTED_LEN_MAX, data, descriptor, done, error, error_at, hole, simple, status,
};
use super::service::FailureHook;
use super::tally::Tally;
use crate::cancel::Cancel;
use crate::error::{Error, ErrorKind};
use crate::read::{Announced, Extent, Reader};

/// The most data that is read and sent at once, in bytes. Most reads of a guest are no longer.
const DATA_LEN_MAX: u32 = UNFRAGMENTED_LEN_MAX;

/// The largest buffer for one piece of a reply, in bytes.
pub(super) const PIECE_LEN_MAX: usize = DATA_HEADER_LEN + DATA_LEN_MAX as usize;

/// Pieces of a long read end at multiples of this many bytes, so that clients can write them
/// without reading anything back.
const PIECE_ALIGNMENT: u64 = 4096;

/// The most extents in the reply to one question.
const EXTENTS_MAX: usize = 16 << 10;

/// What a worker needs to answer requests.
pub(super) struct Answers<'a> {
    pub(super) channel: &'a Channel<'a>,
    pub(super) reader: &'a Reader,
    pub(super) is_structured: bool,
    pub(super) buffers: &'a Buffers,
    /// The name of the export.
    pub(super) export: &'a str,
    pub(super) tally: &'a Tally,
    pub(super) failure_hook: &'a FailureHook,
    pub(super) cancel: &'a Cancel,
}

/// A failure of a request: the client gets it as the reply.
struct Failure {
    code: ErrorCode,
    message: String,
    offset: Option<u64>,
}

impl Answers<'_> {
    /// Answers one request, whose read may have been announced.
    ///
    /// # Errors
    /// The connection is broken, or can't be used any more.
    pub(super) fn answer(
        &self,
        cookie: u64,
        command: Command,
        announced: Option<Announced<'_>>,
    ) -> io::Result<()> {
        if self.cancel.is_cancelled() {
            let message = "the server is shutting down";
            return self.fail(cookie, &Failure::new(ErrorCode::Shutdown, message));
        }
        match command {
            Command::Read {
                offset,
                len,
                is_unfragmented,
            } => {
                let range = offset..offset + u64::from(len);
                let source = announced.unwrap_or_else(|| self.reader.announce(range.clone()));
                match (self.is_structured, is_unfragmented) {
                    (false, _) => self.read_simple(cookie, range, &source),
                    (true, true) => self.read_unfragmented(cookie, range, &source),
                    (true, false) => self.read(cookie, range, &source),
                }
            }
            Command::BlockStatus {
                offset,
                len,
                is_one,
            } => self.block_status(cookie, offset..offset + u64::from(len), is_one),
            Command::Cache { .. } if self.is_structured => self.send(&done(cookie)),
            Command::Cache { .. } => self.send(&simple(cookie, None)),
            Command::Refuse { error, message } => self.fail(cookie, &Failure::new(error, message)),
            // The thread that reads requests keeps this to itself.
            Command::Disconnect => Ok(()),
        }
    }

    /// Sends zeros as holes, and data in pieces, each of which is whole before it is announced.
    fn read(&self, cookie: u64, range: Range<u64>, source: &Announced<'_>) -> io::Result<()> {
        let end = range.end;
        let mut sent = range.start;
        for extent in self.reader.extents(range) {
            let extent_end = extent.offset + extent.len;
            if extent.is_zero {
                let len = len_of(extent.len);
                self.send(&hole(cookie, extent.offset, len, extent_end == end))?;
            } else {
                for piece in pieces(extent.offset..extent_end) {
                    if !self.send_piece(cookie, piece, end, source)? {
                        return Ok(());
                    }
                }
            }
            sent = extent_end;
        }
        match sent == end {
            true => Ok(()),
            false => self.fail(
                cookie,
                &Failure::new(ErrorCode::Io, "the archive is too short"),
            ),
        }
    }

    /// Sends everything in one piece.
    fn read_unfragmented(
        &self,
        cookie: u64,
        range: Range<u64>,
        source: &Announced<'_>,
    ) -> io::Result<()> {
        let is_zero = |extent: Extent| extent.is_zero;
        if self.reader.extents(range.clone()).all(is_zero) {
            return self.read(cookie, range, source);
        }
        let end = range.end;
        self.send_piece(cookie, range, end, source).map(drop)
    }

    /// Sends a piece of data; `end` is the end of the whole read. Returns `false` if the piece
    /// can't be read: then the reply is over.
    fn send_piece(
        &self,
        cookie: u64,
        piece: Range<u64>,
        end: u64,
        source: &Announced<'_>,
    ) -> io::Result<bool> {
        let len = piece_len(&piece);
        let mut buffer = self.buffers.take(DATA_HEADER_LEN + len);
        let Some((header, space)) = buffer.split_first_chunk_mut() else {
            return Ok(false);
        };
        if let Err(failure) = self.read_exact(space, piece.start, source) {
            drop(buffer);
            self.fail(cookie, &failure)?;
            return Ok(false);
        }
        let is_last = piece.end == end;
        data(header, cookie, piece.start, len_of(len as u64), is_last);
        self.send(&buffer)?;
        self.tally.record_bytes(len);
        Ok(true)
    }

    /// Reads everything before the reply says that all is well.
    fn read_simple(
        &self,
        cookie: u64,
        range: Range<u64>,
        source: &Announced<'_>,
    ) -> io::Result<()> {
        if range.end - range.start > u64::from(DATA_LEN_MAX) {
            return self.read_simple_twice(cookie, range, source);
        }
        let len = piece_len(&range);
        let mut buffer = self.buffers.take(SIMPLE_LEN + len);
        let (header, space) = buffer.split_at_mut(SIMPLE_LEN);
        if let Err(failure) = self.read_exact(space, range.start, source) {
            drop(buffer);
            return self.fail(cookie, &failure);
        }
        header.copy_from_slice(&simple(cookie, None));
        self.send(&buffer)?;
        self.tally.record_bytes(len);
        Ok(())
    }

    /// Reads the range once to see that all of it can be read, and again to send it.
    fn read_simple_twice(
        &self,
        cookie: u64,
        range: Range<u64>,
        source: &Announced<'_>,
    ) -> io::Result<()> {
        let mut buffer = self.buffers.take(DATA_LEN_MAX as usize);
        for piece in pieces(range.clone()) {
            let space = &mut buffer[..piece_len(&piece)];
            if let Err(failure) = self.read_exact(space, piece.start, source) {
                drop(buffer);
                return self.fail(cookie, &failure);
            }
        }
        let mut sending = self.channel.begin();
        sending.send(&simple(cookie, None), None)?;
        for piece in pieces(range) {
            let space = &mut buffer[..piece_len(&piece)];
            if let Err(failure) = self.read_exact(space, piece.start, source) {
                // The reply can't be taken back, so the connection must end.
                self.tally.record_failure();
                return Err(io::Error::other(failure.message));
            }
            sending.send(space, None)?;
            self.tally.record_bytes(space.len());
        }
        Ok(())
    }

    fn read_exact(
        &self,
        space: &mut [u8],
        offset: u64,
        source: &Announced<'_>,
    ) -> Result<(), Failure> {
        match source.read_at(space, offset) {
            Ok(count) if count == space.len() => Ok(()),
            Ok(_) => Err(Failure::new(ErrorCode::Io, "the archive is too short")),
            Err(error) => {
                self.failure_hook.call(self.export, &error);
                Err(Failure::of_read(&error, offset, space.len()))
            }
        }
    }

    /// Says which parts of the range are zeros.
    fn block_status(&self, cookie: u64, range: Range<u64>, is_one: bool) -> io::Result<()> {
        let most = if is_one { 1 } else { EXTENTS_MAX };
        // The index is asked twice, so that the reply is made in a buffer of the right size.
        let count = self.reader.extents(range.clone()).take(most).count();
        if count == 0 {
            return self.fail(
                cookie,
                &Failure::new(ErrorCode::Io, "the archive is too short"),
            );
        }
        let len = STATUS_HEADER_LEN + count * DESCRIPTOR_LEN;
        let mut buffer = self.buffers.take(len);
        let (header, extents) = buffer.split_at_mut(STATUS_HEADER_LEN);
        header.copy_from_slice(&status(cookie, len_of(count as u64)));
        let found = self.reader.extents(range);
        for (space, extent) in extents.chunks_exact_mut(DESCRIPTOR_LEN).zip(found) {
            space.copy_from_slice(&descriptor(len_of(extent.len), extent.is_zero));
        }
        self.send(&buffer)
    }

    fn fail(&self, cookie: u64, failure: &Failure) -> io::Result<()> {
        self.tally.record_failure();
        let Failure { code, message, .. } = failure;
        match failure.offset {
            _ if !self.is_structured => self.send(&simple(cookie, Some(*code))),
            None => self.send(&error(cookie, *code, message)),
            Some(offset) => self.send(&error_at(cookie, *code, message, offset)),
        }
    }

    fn send(&self, message: &[u8]) -> io::Result<()> {
        self.channel.send(message, None)
    }
}

impl Failure {
    fn new(code: ErrorCode, message: &str) -> Failure {
        Failure {
            code,
            message: message.to_owned(),
            offset: None,
        }
    }

    /// The failure of a read of `len` bytes at `offset`.
    fn of_read(error: &Error, offset: u64, len: usize) -> Failure {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            message = format!("{message}: {error}");
            cause = error.source();
        }
        let last = offset + (len as u64).saturating_sub(1);
        Failure {
            code: match error.kind() {
                ErrorKind::Cancelled => ErrorCode::Shutdown,
                _ => ErrorCode::Io,
            },
            message,
            // The chunk may begin before the read.
            offset: Some(error.offset().unwrap_or(offset).clamp(offset, last)),
        }
    }
}

/// Cuts a range into pieces of at most [`DATA_LEN_MAX`] bytes.
fn pieces(range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let mut start = range.start;
    std::iter::from_fn(move || {
        let left = range.end - start;
        let len = match left > u64::from(DATA_LEN_MAX) {
            true => u64::from(DATA_LEN_MAX) - start % PIECE_ALIGNMENT,
            false => left,
        };
        let piece = start..start + len;
        start = piece.end;
        (len > 0).then_some(piece)
    })
}

/// The length of a range that is no longer than [`DATA_LEN_MAX`].
fn piece_len(piece: &Range<u64>) -> usize {
    usize::try_from(piece.end - piece.start).unwrap_or(usize::MAX)
}

/// A length within one request, which is below 4 GiB.
fn len_of(len: u64) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pieces_cover_a_range_without_gaps_and_end_at_blocks(
            start in 0..1_u64 << 40,
            len in 1..32_u64 << 20,
        ) {
            let mut at = start;
            for piece in pieces(start..start + len) {
                prop_assert_eq!(piece.start, at);
                prop_assert!(piece.end > at && piece.end - at <= u64::from(DATA_LEN_MAX));
                prop_assert!(piece.end % PIECE_ALIGNMENT == 0 || piece.end == start + len);
                at = piece.end;
            }
            prop_assert_eq!(at, start + len);
        }
    }

    #[test]
    fn a_failure_lies_within_its_read_and_tells_the_causes() {
        let cause = Error::new(ErrorKind::Missing, "no such chunk");
        let error = Error::new(ErrorKind::Missing, "cannot read")
            .at_offset(4096)
            .because(cause);
        let failure = Failure::of_read(&error, 5000, 100);
        assert_eq!(failure.offset, Some(5000));
        assert_eq!(failure.message, "cannot read: no such chunk");
        assert_eq!(failure.code, ErrorCode::Io);
        assert_eq!(Failure::of_read(&error, 4000, 100).offset, Some(4096));
        assert_eq!(Failure::of_read(&error, 1000, 100).offset, Some(1099));
        let cancelled = Error::new(ErrorKind::Cancelled, "cancelled");
        assert_eq!(Failure::of_read(&cancelled, 0, 1).code, ErrorCode::Shutdown);
    }
}
