//! Passes written data on to the disk while the restore goes on, so that little is left to sync at
//! the end.

use std::fs::File;
use std::num::NonZeroU64;

use rustix::fs::{Advice, fadvise};

/// Written pages are passed on in pieces of this many bytes.
const PIECE: u64 = 8 << 20;

/// How much of a file was passed on to the disk so far. The file is written from start to end.
#[derive(Debug, Default)]
pub(super) struct Flush {
    passed: u64,
}

impl Flush {
    /// Passes on all whole pieces before `offset`, without waiting for the disk, as long as its
    /// queue has room.
    ///
    /// This only gives advice: data that could not be written is reported when the file is synced.
    /// A thread that syncs repeatedly was measured to be slower, since each sync also waits for the
    /// disk's own cache.
    pub(super) fn up_to(&mut self, file: &File, offset: u64) {
        self.pass_on(file, offset - offset % PIECE);
    }

    /// Passes on everything before `offset`, and continues behind the next `len` bytes, which were
    /// not written. The pages of those bytes are clean, so the advice would make the system forget
    /// them, although somebody may have them in memory for a reason.
    pub(super) fn pass_over(&mut self, file: &File, offset: u64, len: u64) {
        self.pass_on(file, offset);
        self.passed = offset + len;
    }

    /// Passes on everything before `from`, and continues at `to`.
    pub(super) fn jump(&mut self, file: &File, from: u64, to: u64) {
        self.pass_on(file, from);
        self.passed = to;
    }

    fn pass_on(&mut self, file: &File, end: u64) {
        if let Some(len) = NonZeroU64::new(end.saturating_sub(self.passed)) {
            // For pages that are no longer needed, Linux starts to write the dirty ones, and
            // forgets only the clean ones.
            let _ = fadvise(file, self.passed, Some(len), Advice::DontNeed);
            self.passed = end;
        }
    }
}
