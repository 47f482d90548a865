//! Frames as they are on the wire (RFC 9113, sections 4 and 6). Knows nothing of what they mean together.

use super::error::{ConnectionError, ErrorCode};

/// What a connection starts with, before the client's first SETTINGS.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The length of a frame's header.
pub(super) const HEADER: usize = 9;

/// The largest frame that every endpoint accepts, and the least that one may announce.
pub(super) const LEAST_MAX_FRAME: u32 = 1 << 14;
/// The largest frame there can be.
pub(super) const MOST_MAX_FRAME: u32 = (1 << 24) - 1;
/// The largest window, and the largest stream id.
pub(super) const MAX_31: u32 = (1 << 31) - 1;

pub(super) const ACK: u8 = 0x1;
pub(super) const END_STREAM: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
pub(super) const PADDED: u8 = 0x8;
pub(super) const PRIORITY: u8 = 0x20;

/// The sorts of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Data,
    Headers,
    Priority,
    ResetStream,
    Settings,
    PushPromise,
    Ping,
    GoAway,
    WindowUpdate,
    Continuation,
    /// An extension, to be ignored.
    Unknown,
}

const KINDS: [Kind; 10] = [
    Kind::Data,
    Kind::Headers,
    Kind::Priority,
    Kind::ResetStream,
    Kind::Settings,
    Kind::PushPromise,
    Kind::Ping,
    Kind::GoAway,
    Kind::WindowUpdate,
    Kind::Continuation,
];

/// The header of a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) kind: Kind,
    pub(super) flags: u8,
    /// 0 is the connection.
    pub(super) stream: u32,
    /// Bytes of payload, padding included.
    pub(super) len: usize,
}

impl Frame {
    pub(super) fn parse(header: &[u8; HEADER]) -> Frame {
        let [a, b, c, kind, flags, stream @ ..] = *header;
        Frame {
            kind: *KINDS.get(usize::from(kind)).unwrap_or(&Kind::Unknown),
            flags,
            stream: u32::from_be_bytes(stream) & MAX_31,
            len: u32::from_be_bytes([0, a, b, c]) as usize,
        }
    }

    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Writes a whole frame, whose payload is short.
pub(super) fn write(out: &mut Vec<u8>, kind: Kind, flags: u8, stream: u32, payload: &[&[u8]]) {
    let len: usize = payload.iter().map(|part| part.len()).sum();
    debug_assert!(len <= LEAST_MAX_FRAME as usize, "every peer takes it");
    out.extend_from_slice(&(len as u32).to_be_bytes()[1..]);
    out.extend_from_slice(&[kind as u8, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    for part in payload {
        out.extend_from_slice(part);
    }
}

/// The header block's fragment in the payload of a HEADERS frame: without padding and priority.
pub(super) fn fragment<'a>(
    frame: &Frame,
    mut payload: &'a [u8],
) -> Result<&'a [u8], ConnectionError> {
    let short = ConnectionError::size("a HEADERS frame that is too short");
    let mut padding = 0;
    if frame.has(PADDED) {
        let (first, rest) = payload.split_first().ok_or(short)?;
        (padding, payload) = (usize::from(*first), rest);
    }
    if frame.has(PRIORITY) {
        payload = payload.get(5..).ok_or(short)?;
    }
    let len = payload.len().checked_sub(padding);
    let too_much = ConnectionError::protocol("more padding than payload");
    Ok(&payload[..len.ok_or(too_much)?])
}

/// The number that is the whole payload of a WINDOW_UPDATE or RST_STREAM frame, without the reserved bit of the former.
pub(super) fn number(payload: &[u8]) -> Result<u32, ConnectionError> {
    let wrong = ConnectionError::size("a WINDOW_UPDATE or RST_STREAM frame of a wrong length");
    let bytes: [u8; 4] = payload.try_into().map_err(|_| wrong)?;
    Ok(u32::from_be_bytes(bytes))
}

/// The last stream id and the error code of a GOAWAY frame. What a server has to say besides is for its own people.
pub(super) fn going_away(payload: &[u8]) -> Result<(u32, ErrorCode), ConnectionError> {
    let Some([a, b, c, d, code @ ..]) = payload.first_chunk::<8>() else {
        return Err(ConnectionError::size("a GOAWAY frame that is too short"));
    };
    let last = u32::from_be_bytes([*a, *b, *c, *d]) & MAX_31;
    Ok((last, ErrorCode(u32::from_be_bytes(*code))))
}
