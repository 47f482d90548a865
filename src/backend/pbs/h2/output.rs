//! Bytes that wait to be sent. Knows nothing of what they say.

use super::error::ErrorCode;
use super::frame::{self, Kind};

/// More than this may wait for being sent only if a server makes us answer and does not read.
const MAX_WAITING: usize = 256 << 10;

/// A queue of bytes that keeps its memory.
pub(super) struct Output {
    bytes: Vec<u8>,
    sent: usize,
}

impl Output {
    pub(super) fn new() -> Output {
        Output {
            bytes: Vec::with_capacity(4096),
            sent: 0,
        }
    }

    pub(super) fn waiting(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// So many of the waiting bytes have been sent.
    pub(super) fn sent(&mut self, len: usize) {
        self.sent = self.bytes.len().min(self.sent + len);
        if self.sent == self.bytes.len() {
            self.bytes.clear();
            self.sent = 0;
        } else if self.sent > self.bytes.len() / 2 {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() - self.sent > MAX_WAITING
    }

    pub(super) fn raw(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    pub(super) fn frame(&mut self, kind: Kind, flags: u8, stream: u32, payload: &[u8]) {
        frame::write(&mut self.bytes, kind, flags, stream, &[payload]);
    }

    pub(super) fn window_update(&mut self, stream: u32, by: u32) {
        self.frame(Kind::WindowUpdate, 0, stream, &by.to_be_bytes());
    }

    /// The server has started no streams, so none of them is the last.
    pub(super) fn go_away(&mut self, code: ErrorCode) {
        let payload = [[0; 4], code.0.to_be_bytes()];
        self.frame(Kind::GoAway, 0, 0, payload.as_flattened());
    }
}
