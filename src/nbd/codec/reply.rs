//! Replies to requests, as bytes: simple ones, and the chunks of structured ones.

use super::wire::{
    ALLOCATION_ID, CHUNK_DONE, SIMPLE_REPLY_MAGIC, STATE_HOLE_AND_ZERO, STRING_LEN_MAX,
    STRUCTURED_REPLY_MAGIC, chunk,
};

/// The length of a simple reply without its data, in bytes.
pub(crate) const SIMPLE_LEN: usize = 16;
/// The length of what stands before the data of a structured reply, in bytes.
pub(crate) const DATA_HEADER_LEN: usize = CHUNK_HEADER_LEN + 8;
/// The length of what stands before the extents of a block status, in bytes.
pub(crate) const STATUS_HEADER_LEN: usize = CHUNK_HEADER_LEN + 4;
/// The length of an extent of a block status, in bytes.
pub(crate) const DESCRIPTOR_LEN: usize = 8;

const CHUNK_HEADER_LEN: usize = 20;

/// Why a request failed, in the protocol's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorCode {
    /// EPERM
    NotPermitted = 1,
    /// EIO
    Io = 5,
    /// EINVAL
    Invalid = 22,
    /// EOVERFLOW
    Overflow = 75,
    /// ESHUTDOWN
    Shutdown = 108,
}

impl ErrorCode {
    fn number(self) -> u32 {
        self as u32
    }
}

/// A simple reply. The data follows if there is no error.
pub(crate) fn simple(cookie: u64, error: Option<ErrorCode>) -> [u8; SIMPLE_LEN] {
    let mut bytes = [0; SIMPLE_LEN];
    bytes[..4].copy_from_slice(&SIMPLE_REPLY_MAGIC.to_be_bytes());
    bytes[4..8].copy_from_slice(&error.map_or(0, ErrorCode::number).to_be_bytes());
    bytes[8..].copy_from_slice(&cookie.to_be_bytes());
    bytes
}

/// Writes what stands before `len` bytes of data that were read at `offset`.
pub(crate) fn data(
    space: &mut [u8; DATA_HEADER_LEN],
    cookie: u64,
    offset: u64,
    len: u32,
    is_last: bool,
) {
    let head = head(chunk::OFFSET_DATA, cookie, 8 + len, is_last);
    space[..CHUNK_HEADER_LEN].copy_from_slice(&head);
    space[CHUNK_HEADER_LEN..].copy_from_slice(&offset.to_be_bytes());
}

/// A chunk for `len` zeros at `offset`.
pub(crate) fn hole(cookie: u64, offset: u64, len: u32, is_last: bool) -> Vec<u8> {
    let head = head(chunk::OFFSET_HOLE, cookie, 12, is_last);
    [&head[..], &offset.to_be_bytes(), &len.to_be_bytes()].concat()
}

/// A chunk without content that ends a reply.
pub(crate) fn done(cookie: u64) -> [u8; CHUNK_HEADER_LEN] {
    head(chunk::NONE, cookie, 0, true)
}

/// A chunk that ends a reply with an error. A long message is cut.
pub(crate) fn error(cookie: u64, error: ErrorCode, message: &str) -> Vec<u8> {
    let message = cut(message);
    let head = head(chunk::ERROR, cookie, 6 + u32::from(message.len), true);
    [&head[..], &message.after(error)].concat()
}

/// A chunk that ends a reply with an error at this offset. A long message is cut.
pub(crate) fn error_at(cookie: u64, error: ErrorCode, message: &str, offset: u64) -> Vec<u8> {
    let message = cut(message);
    let len = 14 + u32::from(message.len);
    let head = head(chunk::ERROR_OFFSET, cookie, len, true);
    [&head[..], &message.after(error), &offset.to_be_bytes()].concat()
}

/// What stands before so many extents. They are the whole reply.
pub(crate) fn status(cookie: u64, extents: u32) -> [u8; STATUS_HEADER_LEN] {
    let len = 4 + extents * DESCRIPTOR_LEN as u32;
    let mut bytes = [0; STATUS_HEADER_LEN];
    bytes[..CHUNK_HEADER_LEN].copy_from_slice(&head(chunk::BLOCK_STATUS, cookie, len, true));
    bytes[CHUNK_HEADER_LEN..].copy_from_slice(&ALLOCATION_ID.to_be_bytes());
    bytes
}

/// An extent of a block status.
pub(crate) fn descriptor(len: u32, is_zero: bool) -> [u8; DESCRIPTOR_LEN] {
    let state = if is_zero { STATE_HOLE_AND_ZERO } else { 0 };
    let mut bytes = [0; DESCRIPTOR_LEN];
    bytes[..4].copy_from_slice(&len.to_be_bytes());
    bytes[4..].copy_from_slice(&state.to_be_bytes());
    bytes
}

fn head(kind: u16, cookie: u64, len: u32, is_last: bool) -> [u8; CHUNK_HEADER_LEN] {
    let flags = if is_last { CHUNK_DONE } else { 0 };
    let mut bytes = [0; CHUNK_HEADER_LEN];
    bytes[..4].copy_from_slice(&STRUCTURED_REPLY_MAGIC.to_be_bytes());
    bytes[4..6].copy_from_slice(&flags.to_be_bytes());
    bytes[6..8].copy_from_slice(&kind.to_be_bytes());
    bytes[8..16].copy_from_slice(&cookie.to_be_bytes());
    bytes[16..].copy_from_slice(&len.to_be_bytes());
    bytes
}

struct Message<'a> {
    text: &'a str,
    len: u16,
}

impl Message<'_> {
    /// The error's number, the length of the message, and the message.
    fn after(&self, error: ErrorCode) -> Vec<u8> {
        let number = error.number().to_be_bytes();
        [&number, &self.len.to_be_bytes()[..], self.text.as_bytes()].concat()
    }
}

/// Cuts a message to the longest string of the protocol.
fn cut(text: &str) -> Message<'_> {
    let mut len = text.len().min(STRING_LEN_MAX);
    while !text.is_char_boundary(len) {
        len -= 1;
    }
    let text = &text[..len];
    Message {
        text,
        len: u16::try_from(text.len()).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COOKIE: u64 = 0x0102_0304_0506_0708;

    #[test]
    fn simple_replies_are_those_of_the_protocol() {
        let expected = b"\x67\x44\x66\x98\0\0\0\0\x01\x02\x03\x04\x05\x06\x07\x08";
        assert_eq!(&simple(COOKIE, None), expected);
        let expected = b"\x67\x44\x66\x98\0\0\0\x05\x01\x02\x03\x04\x05\x06\x07\x08";
        assert_eq!(&simple(COOKIE, Some(ErrorCode::Io)), expected);
    }

    #[test]
    fn the_chunks_of_structured_replies_are_those_of_the_protocol() {
        let begins = b"\x66\x8e\x33\xef";
        let cookie = COOKIE.to_be_bytes();
        let mut bytes = [0; DATA_HEADER_LEN];
        data(&mut bytes, COOKIE, 9, 512, false);
        let len_and_offset = b"\0\0\x02\x08\0\0\0\0\0\0\0\x09";
        let expected = [&begins[..], b"\0\0\0\x01", &cookie, len_and_offset].concat();
        assert_eq!(bytes[..], expected);
        let rest = b"\0\0\0\x0c\0\0\0\0\0\0\0\x09\0\0\x02\0";
        let expected = [&begins[..], b"\0\x01\0\x02", &cookie, rest].concat();
        assert_eq!(hole(COOKIE, 9, 512, true), expected);
        let expected = [&begins[..], b"\0\x01\0\0", &cookie, b"\0\0\0\0"].concat();
        assert_eq!(done(COOKIE)[..], expected);
    }

    #[test]
    fn errors_carry_their_text_and_offset() {
        let begins = b"\x66\x8e\x33\xef\0\x01";
        let cookie = COOKIE.to_be_bytes();
        let rest = b"\0\0\0\x08\0\0\0\x16\0\x02no";
        let expected = [&begins[..], b"\x80\x01", &cookie, rest].concat();
        assert_eq!(error(COOKIE, ErrorCode::Invalid, "no"), expected);
        let rest = b"\0\0\0\x10\0\0\0\x05\0\x02no\0\0\0\0\0\0\0\x09";
        let expected = [&begins[..], b"\x80\x02", &cookie, rest].concat();
        assert_eq!(error_at(COOKIE, ErrorCode::Io, "no", 9), expected);
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let text = "ä".repeat(3000);
        let bytes = error(COOKIE, ErrorCode::Io, &text);
        assert_eq!(bytes.len(), CHUNK_HEADER_LEN + 6 + STRING_LEN_MAX);
        let text = format!("a{text}");
        let bytes = error(COOKIE, ErrorCode::Io, &text);
        assert_eq!(bytes.len(), CHUNK_HEADER_LEN + 6 + STRING_LEN_MAX - 1);
        assert!(std::str::from_utf8(&bytes[CHUNK_HEADER_LEN + 6..]).is_ok());
    }

    #[test]
    fn a_block_status_lists_holes_and_data() {
        let header = status(COOKIE, 2);
        assert_eq!(header[6..8], [0, 5]);
        assert_eq!(header[16..], *b"\0\0\0\x14\0\0\0\x01");
        assert_eq!(descriptor(512, true), *b"\0\0\x02\0\0\0\0\x03");
        assert_eq!(descriptor(512, false), *b"\0\0\x02\0\0\0\0\0");
    }
}
