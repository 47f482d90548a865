//! What an extraction has done, what it left out, and what failed.

use std::path::Path;
use std::time::Duration;

use crate::error::Error;
use crate::files::omission::{
    self, EntryFailure, FAILURES_LISTED_MAX, FileDamage, LeftOut, Omission,
};
use crate::files::pattern::Pattern;

/// What an extraction has done so far, and in the end what it did.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ExtractReport {
    /// How many directories were made or found, with the target folder itself.
    pub directories: u64,
    /// How many regular files were written.
    pub files: u64,
    /// How many bytes the files have that were written.
    pub bytes: u64,
    /// How many regular files were there already, whole, and were kept.
    pub kept: u64,
    /// How many bytes the files have that were kept.
    pub kept_bytes: u64,
    /// How many hard links were made or found.
    pub hard_links: u64,
    /// How many symbolic links were made or found.
    pub symlinks: u64,
    /// How many devices, named pipes and sockets were made or found.
    pub specials: u64,
    /// Patterns of the selection that say what is taken and match no entry of the archive. They are
    /// listed at the end of the extraction.
    pub unmatched: Vec<Pattern>,
    /// What could not be restored because of the file system, the user's rights or an option.
    pub omissions: Vec<Omission>,
    /// Entries that could not be restored: the first thousand of them.
    pub failures: Vec<EntryFailure>,
    /// How many entries could not be restored.
    pub failed: u64,
    /// Parts of files that are lost: the files have zeros there.
    pub damage: Vec<FileDamage>,
    /// Time since the start.
    pub elapsed: Duration,
}

impl ExtractReport {
    /// Whether all entries were restored, with all of their bytes. Omissions don't count.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.failed == 0 && self.damage.is_empty()
    }

    pub(super) fn leave_out(&mut self, what: LeftOut, path: &Path) {
        omission::count(&mut self.omissions, what, path);
    }

    pub(super) fn fail(&mut self, path: &Path, error: Error) {
        self.failed += 1;
        if self.failures.len() < FAILURES_LISTED_MAX {
            self.failures.push(EntryFailure::new(path, error));
        }
    }
}
