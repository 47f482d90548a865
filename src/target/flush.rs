//! Has what was written go to the disk as the restore goes on, so that little is left for the end. Knows nothing of
//! what is written.

use std::fs::File;
use std::num::NonZeroU64;

use rustix::fs::{Advice, fadvise};

/// Written pages are passed on in pieces of so many bytes.
const PIECE: u64 = 8 << 20;

/// How far a file that is written from start to end was passed on to the disk.
#[derive(Debug, Default)]
pub(super) struct Flush {
    passed: u64,
}

impl Flush {
    /// Passes on all whole pieces before `offset`, without waiting for the disk, as long as its queue has room.
    ///
    /// It only gives advice: what could not be written is known when the file is synced. A thread that syncs again and
    /// again was measured to be slower, as each time it also waits for the disk's own cache.
    pub(super) fn up_to(&mut self, file: &File, offset: u64) {
        self.pass_on(file, offset - offset % PIECE);
    }

    /// Passes on all before `offset`, and goes on behind the next `len` bytes, which were not written: they are clean,
    /// and would be forgotten, although somebody may have them in memory for a reason.
    pub(super) fn pass_over(&mut self, file: &File, offset: u64, len: u64) {
        self.pass_on(file, offset);
        self.passed = offset + len;
    }

    fn pass_on(&mut self, file: &File, end: u64) {
        if let Some(len) = NonZeroU64::new(end.saturating_sub(self.passed)) {
            // Linux begins to write dirty pages that are no longer needed, and forgets only those that are clean.
            let _ = fadvise(file, self.passed, Some(len), Advice::DontNeed);
            self.passed = end;
        }
    }
}
