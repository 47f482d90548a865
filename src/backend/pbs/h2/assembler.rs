//! Cuts received bytes into frames, however they were split. DATA is passed on as it comes; other frames are whole.
//! Knows nothing of streams.

use super::error::ConnectionError;
use super::frame::{ACK, Frame, HEADER, Kind, PADDED};

/// The longest frame, other than DATA and those that are ignored, that is let through. It holds a header block of the
/// size that we announce, with padding and priority.
const MAX_ASSEMBLED: usize = (64 << 10) + 1 + 5 + 255;

/// A step in the reading of a connection.
#[derive(Debug)]
pub(super) enum Piece<'a> {
    /// A DATA frame begins; its length is what flow control counts.
    DataBegins(Frame),
    /// Bytes of that frame, without padding.
    Data(Frame, &'a [u8]),
    /// The DATA frame is over; it had that many bytes.
    DataEnds(Frame, usize),
    /// A frame of a sort that is to be ignored begins.
    Ignored(Frame),
    /// Any other frame, with its payload.
    Whole(Frame, &'a [u8]),
}

/// What the next byte is a part of.
enum State {
    /// A frame's header, of which so many bytes are there.
    Header(usize),
    /// The length of the padding of a DATA frame.
    PadLength(Frame),
    /// A DATA frame's bytes, of which so many are to come, and so many of padding.
    Data(Frame, usize, usize),
    /// A DATA frame's padding, of which so much is to come, after that many bytes of data.
    Padding(Frame, usize, usize),
    /// A payload to be assembled.
    Payload(Frame),
    /// A payload to be ignored, of which so much is to come.
    Ignored(usize),
}

/// Reads the server's side of a connection.
pub(super) struct Assembler {
    state: State,
    header: [u8; HEADER],
    payload: Vec<u8>,
    max_frame: usize,
    /// The server's SETTINGS, which must come first, have begun.
    has_begun: bool,
}

impl Assembler {
    pub(super) fn new(max_frame: u32) -> Assembler {
        Assembler {
            state: State::Header(0),
            header: [0; HEADER],
            payload: Vec::new(),
            max_frame: max_frame as usize,
            has_begun: false,
        }
    }

    /// Takes from `bytes` up to the end of the next piece; `None` when they are used up before.
    pub(super) fn next<'a, 'b: 'a>(
        &'a mut self,
        bytes: &mut &'b [u8],
    ) -> Result<Option<Piece<'a>>, ConnectionError> {
        loop {
            match self.state {
                State::Header(have) => {
                    let part = take(bytes, HEADER - have);
                    let have = have + part.len();
                    self.header[have - part.len()..have].copy_from_slice(part);
                    self.state = State::Header(have);
                    if have < HEADER {
                        return Ok(None);
                    }
                    let frame = Frame::parse(&self.header);
                    self.check(&frame)?;
                    self.payload.clear();
                    let begins = match frame.kind {
                        Kind::Data => Some(Piece::DataBegins(frame)),
                        Kind::Unknown | Kind::Priority => Some(Piece::Ignored(frame)),
                        _ => None,
                    };
                    self.state = match frame.kind {
                        Kind::Data if frame.has(PADDED) => State::PadLength(frame),
                        Kind::Data => State::Data(frame, frame.len, 0),
                        Kind::Unknown | Kind::Priority => State::Ignored(frame.len),
                        _ => State::Payload(frame),
                    };
                    if begins.is_some() {
                        return Ok(begins);
                    }
                }
                State::PadLength(frame) => {
                    let Some((&padding, rest)) = bytes.split_first() else {
                        return Ok(None);
                    };
                    *bytes = rest;
                    let padding = usize::from(padding);
                    let Some(data) = (frame.len - 1).checked_sub(padding) else {
                        return Err(ConnectionError::protocol("more padding than payload"));
                    };
                    self.state = State::Data(frame, data, padding);
                }
                State::Data(frame, 0, padding) => {
                    let data = frame.len - padding - usize::from(frame.has(PADDED));
                    self.state = State::Padding(frame, padding, data);
                }
                State::Data(frame, left, padding) => {
                    let part = take(bytes, left);
                    if part.is_empty() {
                        return Ok(None);
                    }
                    self.state = State::Data(frame, left - part.len(), padding);
                    return Ok(Some(Piece::Data(frame, part)));
                }
                State::Padding(frame, 0, data) => {
                    self.state = State::Header(0);
                    return Ok(Some(Piece::DataEnds(frame, data)));
                }
                State::Padding(frame, left, data) => {
                    let part = take(bytes, left);
                    if part.is_empty() {
                        return Ok(None);
                    }
                    self.state = State::Padding(frame, left - part.len(), data);
                }
                State::Payload(frame) => {
                    let part = take(bytes, frame.len - self.payload.len());
                    if part.len() == frame.len {
                        self.state = State::Header(0);
                        return Ok(Some(Piece::Whole(frame, part)));
                    }
                    self.payload.extend_from_slice(part);
                    if self.payload.len() < frame.len {
                        return Ok(None);
                    }
                    self.state = State::Header(0);
                    return Ok(Some(Piece::Whole(frame, &self.payload)));
                }
                State::Ignored(left) => {
                    let left = left - take(bytes, left).len();
                    if left > 0 {
                        self.state = State::Ignored(left);
                        return Ok(None);
                    }
                    self.state = State::Header(0);
                }
            }
        }
    }

    /// What can be said of a frame by its header alone, so that nothing is assembled that will not do.
    fn check(&mut self, frame: &Frame) -> Result<(), ConnectionError> {
        if !self.has_begun {
            let is_settings = frame.kind == Kind::Settings && frame.stream == 0 && !frame.has(ACK);
            if !is_settings || !frame.len.is_multiple_of(6) || frame.len > MAX_ASSEMBLED {
                return Err(ConnectionError::NotHttp2);
            }
            self.has_begun = true;
        }
        if frame.len > self.max_frame {
            return Err(ConnectionError::size("a frame longer than announced"));
        }
        let (is_right, is_bounded) = match frame.kind {
            Kind::Data => (!frame.has(PADDED) || frame.len > 0, true),
            Kind::Priority => (frame.len == 5, true),
            Kind::Unknown => (true, true),
            _ => (true, frame.len <= MAX_ASSEMBLED),
        };
        if !is_right {
            return Err(ConnectionError::size("a frame too short for what it holds"));
        }
        if !is_bounded {
            return Err(ConnectionError::excess("a frame without data is too long"));
        }
        Ok(())
    }
}

/// The first `len` of the bytes, or as many as there are.
fn take<'a>(bytes: &mut &'a [u8], len: usize) -> &'a [u8] {
    let (part, rest) = bytes.split_at(len.min(bytes.len()));
    *bytes = rest;
    part
}
