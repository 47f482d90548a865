//! How much a server may send that moves no answer forward. Knows nothing of what it sends.

use super::error::ConnectionError;

/// What a server may spend before it must deliver something: 8192 short frames, or 256 MiB of what nobody reads.
const FULL: u64 = 1 << 20;
/// What a frame costs, however short.
const FRAME: u64 = 128;
/// So many bytes without use cost as much as one byte of an answer earns.
const WASTE: u64 = 256;
/// What a whole answer earns beside its bytes, as it may have none.
const ANSWER: u64 = 1024;

/// A credit that frames without use draw on, and the bytes of answers fill up again.
pub(super) struct FloodCredit(u64);

impl FloodCredit {
    pub(super) fn new() -> FloodCredit {
        FloodCredit(FULL)
    }

    /// Pays for a frame that moves nothing forward.
    pub(super) fn frame(&mut self, len: usize) -> Result<(), ConnectionError> {
        self.spend(FRAME + len as u64 / WASTE)
    }

    /// Pays for bytes that are thrown away.
    pub(super) fn waste(&mut self, len: usize) -> Result<(), ConnectionError> {
        self.spend((len as u64).div_ceil(WASTE))
    }

    /// Bytes of an answer came.
    pub(super) fn bytes(&mut self, len: usize) {
        self.0 = FULL.min(self.0 + len as u64);
    }

    /// An answer is whole.
    pub(super) fn answer(&mut self) {
        self.bytes(ANSWER as usize);
    }

    fn spend(&mut self, cost: u64) -> Result<(), ConnectionError> {
        let excess = ConnectionError::excess("a flood of frames that lead nowhere");
        self.0 = self.0.checked_sub(cost).ok_or(excess)?;
        Ok(())
    }
}
