//! Passes data that was written through the page cache on to the disk while the restore goes on, so
//! that little is left to sync at the end.

use std::fs::File;
use std::num::NonZeroU64;

use rustix::fs::{Advice, fadvise};

/// Written pages are passed on in pieces of this many bytes.
const PIECE: u64 = 8 << 20;

/// Even a quick disk has mostly written a page by the time that this many bytes more were written.
const BEHIND: u64 = 512 << 20;

/// How much of a file was passed on to the disk so far. The file is written from start to end.
#[derive(Debug, Default)]
pub(super) struct Flush {
    passed: u64,
    /// Whether pages are forgotten once they are on the disk.
    forgets: bool,
    /// Pages before this offset are left alone.
    kept: u64,
}

impl Flush {
    /// Passes pages on, and also `forgets` them later.
    pub(super) fn new(forgets: bool) -> Flush {
        Flush {
            forgets,
            ..Flush::default()
        }
    }

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
        (self.passed, self.kept) = (offset + len, offset + len);
    }

    /// Passes on everything before `from`, and continues at `to`.
    pub(super) fn jump(&mut self, file: &File, from: u64, to: u64) {
        self.pass_on(file, from);
        (self.passed, self.kept) = (to, to);
    }

    /// Forgets clean pages, if pages are to be forgotten.
    pub(super) fn forget(&self, file: &File, offset: u64, len: u64) {
        if let Some(len) = NonZeroU64::new(len).filter(|_| self.forgets) {
            let _ = fadvise(file, offset, Some(len), Advice::DontNeed);
        }
    }

    /// Forgets all pages that are left, if pages are to be forgotten. The file was synced.
    pub(super) fn forget_rest(&self, file: &File, end: u64) {
        self.forget(file, self.kept, end.saturating_sub(self.kept));
    }

    fn pass_on(&mut self, file: &File, end: u64) {
        if end <= self.passed {
            return;
        }
        let start = match self.forgets {
            true => self.passed.saturating_sub(BEHIND).max(self.kept),
            false => self.passed,
        };
        if let Some(len) = NonZeroU64::new(end.saturating_sub(start)) {
            // For pages that are no longer needed, Linux starts to write the dirty ones, and
            // forgets only the clean ones.
            let _ = fadvise(file, start, Some(len), Advice::DontNeed);
            self.passed = end;
        }
    }
}
