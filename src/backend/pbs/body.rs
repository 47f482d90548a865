//! Decodes the body of an HTTP/1.1 answer, piece by piece as it comes.

use std::mem;

use crate::backend::FetchError;
use crate::backend::pbs::head::{Framing, fatal};

/// The most bytes of a line around a chunk, and of all lines after the last chunk together.
const MAX_LINES: usize = 4096;

/// The body of an answer, which is taken out of its framing.
pub(super) struct Body {
    state: State,
    limit: usize,
    /// How many bytes of the body have come.
    len: usize,
    /// The bytes of the body that have come and were not taken yet.
    bytes: Vec<u8>,
    /// The part of a line around a chunk that has come.
    line: Vec<u8>,
}

/// The part of the body that comes next.
#[derive(Clone, Copy)]
enum State {
    /// This many bytes, and then the end.
    Rest(u64),
    /// Bytes until the connection is closed.
    UntilClosed,
    /// The line before a chunk, with its length.
    Length,
    /// This many bytes of a chunk.
    Chunk(u64),
    /// The line end after a chunk.
    ChunkEnd,
    /// The lines after the last chunk, which end with an empty line. This many bytes of them have
    /// come.
    Trailer(usize),
    Done,
}

impl Body {
    /// A body that has at most `limit` bytes.
    ///
    /// # Errors
    /// [`FetchError::TooLong`] if the body is announced to be longer.
    pub(super) fn new(framing: Framing, limit: usize) -> Result<Body, FetchError> {
        let state = match framing {
            Framing::Length(0) => State::Done,
            Framing::Length(len) if len > limit as u64 => return Err(FetchError::TooLong),
            Framing::Length(len) => State::Rest(len),
            Framing::Chunked => State::Length,
            Framing::UntilClosed => State::UntilClosed,
        };
        Ok(Body {
            state,
            limit,
            len: 0,
            bytes: Vec::new(),
            line: Vec::new(),
        })
    }

    /// Whether the whole body has come.
    pub(super) fn is_complete(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Whether the body is complete if nothing more comes.
    pub(super) fn may_end_here(&self) -> bool {
        matches!(self.state, State::Done | State::UntilClosed)
    }

    /// How many bytes of the body have come.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The bytes that have come since they were last taken.
    pub(super) fn take_bytes(&mut self) -> Vec<u8> {
        mem::take(&mut self.bytes)
    }

    /// Decodes the next bytes of the answer. Bytes after the end of the body are ignored.
    ///
    /// # Errors
    /// [`FetchError::TooLong`] beyond the limit, up to which the body is kept;
    /// [`FetchError::Fatal`] for malformed chunks.
    pub(super) fn push(&mut self, mut piece: &[u8]) -> Result<(), FetchError> {
        while !piece.is_empty() {
            self.state = match self.state {
                State::Done => return Ok(()),
                State::UntilClosed => {
                    self.take(&mut piece, u64::MAX)?;
                    State::UntilClosed
                }
                State::Rest(len) => match len - self.take(&mut piece, len)? {
                    0 => State::Done,
                    left => State::Rest(left),
                },
                State::Chunk(len) => match len - self.take(&mut piece, len)? {
                    0 => State::ChunkEnd,
                    left => State::Chunk(left),
                },
                around => {
                    if !self.take_line(&mut piece)? {
                        return Ok(());
                    }
                    let next = self.after_line(around)?;
                    self.line.clear();
                    next
                }
            };
        }
        Ok(())
    }

    /// Moves at most `most` bytes of the body from the piece. Returns how many were moved.
    fn take(&mut self, piece: &mut &[u8], most: u64) -> Result<u64, FetchError> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let (taken, rest) = piece.split_at(most.min(piece.len()));
        let room = self.limit - self.len;
        let kept = &taken[..taken.len().min(room)];
        self.bytes.extend_from_slice(kept);
        self.len += kept.len();
        if taken.len() > room {
            return Err(FetchError::TooLong);
        }
        *piece = rest;
        Ok(taken.len() as u64)
    }

    /// Moves bytes of a line from the piece. Returns whether the line is complete.
    fn take_line(&mut self, piece: &mut &[u8]) -> Result<bool, FetchError> {
        let end = piece.iter().position(|byte| *byte == b'\n');
        let (taken, rest) = piece.split_at(end.map_or(piece.len(), |end| end + 1));
        if taken.len() > MAX_LINES - self.line.len() {
            return Err(bad_chunk());
        }
        self.line.extend_from_slice(taken);
        *piece = rest;
        Ok(end.is_some())
    }

    /// The part that comes after a complete line.
    fn after_line(&self, before: State) -> Result<State, FetchError> {
        let is_empty = self.line == b"\r\n";
        match before {
            State::ChunkEnd if is_empty => Ok(State::Length),
            State::Trailer(_) if is_empty => Ok(State::Done),
            State::Trailer(len) if len + self.line.len() <= MAX_LINES => {
                Ok(State::Trailer(len + self.line.len()))
            }
            State::Length if self.line.first().is_some_and(u8::is_ascii_hexdigit) => {
                match httparse::parse_chunk_size(&self.line) {
                    Ok(httparse::Status::Complete((_, 0))) => Ok(State::Trailer(0)),
                    Ok(httparse::Status::Complete((_, len))) => Ok(State::Chunk(len)),
                    _ => Err(bad_chunk()),
                }
            }
            _ => Err(bad_chunk()),
        }
    }
}

fn bad_chunk() -> FetchError {
    fatal("the server's answer breaks the rules of chunked HTTP")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes bytes that come in pieces of this length. Returns the body if it is complete.
    fn decode(framing: Framing, sent: &[u8], piece: usize) -> Result<Option<Vec<u8>>, FetchError> {
        let mut body = Body::new(framing, 20)?;
        for piece in sent.chunks(piece) {
            body.push(piece)?;
        }
        Ok(body.may_end_here().then(|| body.take_bytes()))
    }

    #[test]
    fn a_body_is_the_same_however_it_comes() {
        let chunked = b"4\r\nWiki\r\n00B ;x=y\r\npedia in it\r\n0\r\nA: b\r\n\r\nand more";
        for piece in [1, 2, 3, 7, 100] {
            let decode = |framing, sent| decode(framing, sent, piece).expect("it is well formed");
            let whole = Some(b"Wikipedia in it".to_vec());
            assert_eq!(decode(Framing::Chunked, chunked), whole);
            assert_eq!(decode(Framing::Chunked, b"0\r\n\r\n"), Some(Vec::new()));
            assert_eq!(
                decode(Framing::Length(15), b"Wikipedia in it and more"),
                whole
            );
            assert_eq!(decode(Framing::Length(0), b"more"), Some(Vec::new()));
            assert_eq!(decode(Framing::UntilClosed, b"Wikipedia in it"), whole);
            assert_eq!(decode(Framing::Length(16), b"Wikipedia in it"), None);
            for end in 0..chunked.len() - b"and more".len() {
                assert_eq!(decode(Framing::Chunked, &chunked[..end]), None, "{end}");
            }
        }
    }

    #[test]
    fn what_is_too_long_or_no_chunk_is_refused() {
        let long = [b'a'; 21];
        let chunked = [b"15\r\n", &long[..]].concat();
        for (framing, sent) in [
            (Framing::Length(21), &long[..]),
            (Framing::UntilClosed, &long[..]),
            (Framing::Chunked, &chunked[..]),
        ] {
            let result = decode(framing, sent, 5);
            assert!(matches!(result, Err(FetchError::TooLong)), "{framing:?}");
        }
        let line = [b"1;".to_vec(), vec![b'x'; MAX_LINES]].concat();
        let trailer = [b"0\r\n".to_vec(), b"a: b\r\n".repeat(MAX_LINES / 6 + 1)].concat();
        for bad in [
            &b"x\r\n"[..],
            b"\r\n",
            b"-1\r\n",
            b";x\r\n",
            b"1\n",
            b"1\r\nab\r\n",
            b"1\r\na\n",
            b"11111111111111111\r\n",
            &line,
            &trailer,
        ] {
            let result = decode(Framing::Chunked, bad, 5);
            assert!(matches!(result, Err(FetchError::Fatal(_))), "{bad:?}");
        }
    }
}
