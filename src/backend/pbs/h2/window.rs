//! Flow control (RFC 9113, section 5.2). Knows nothing of who is being held back.

use super::error::ConnectionError;
use super::frame::MAX_31;

/// What the server may still send, on a stream or in all.
pub(super) struct Window(u32);

impl Window {
    /// The largest there is.
    pub(super) fn full() -> Window {
        Window(MAX_31)
    }

    /// A DATA frame takes its part, padding and all.
    pub(super) fn take(&mut self, len: usize) -> Result<(), ConnectionError> {
        let left = u32::try_from(len)
            .ok()
            .and_then(|len| self.0.checked_sub(len));
        self.0 = left.ok_or(ConnectionError::flow("more data than the window allows"))?;
        Ok(())
    }

    /// What to add to the window, once it is half empty, so that it never keeps anyone waiting.
    pub(super) fn top_up(&mut self) -> Option<u32> {
        let missing = MAX_31 - self.0;
        (missing > MAX_31 / 2).then(|| {
            self.0 = MAX_31;
            missing
        })
    }
}

/// What the server lets us send. We send no DATA: all that counts is that it keeps to the rules.
pub(super) struct Allowance(i64);

impl Allowance {
    pub(super) fn new(initial: u32) -> Allowance {
        Allowance(initial.into())
    }

    /// A WINDOW_UPDATE came.
    pub(super) fn widen(&mut self, by: u32) -> Result<(), ConnectionError> {
        if by == 0 {
            return Err(ConnectionError::protocol("a window is widened by nothing"));
        }
        self.shift(by.into())
    }

    /// The initial size was changed, which changes all windows of streams, even to below nothing.
    pub(super) fn shift(&mut self, by: i64) -> Result<(), ConnectionError> {
        self.0 += by;
        if self.0 > i64::from(MAX_31) {
            return Err(ConnectionError::flow("a window is wider than there can be"));
        }
        Ok(())
    }
}
