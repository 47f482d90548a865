//! Tells why reads of disks failed: the programs that read learn little more than that a read failed.

use std::collections::HashSet;

use chunk_restore::{Error, ErrorKind};
use parking_lot::Mutex;

use crate::failure::Failure;
use crate::output::Output;
use crate::shown::shown;

/// Tells of failed reads.
#[derive(Debug)]
pub(crate) struct ReadFailures {
    output: Output,
    /// The failures that were told: the disk, the position of the chunk, and the kind.
    told: Mutex<HashSet<(String, Option<usize>, ErrorKind)>>,
}

impl ReadFailures {
    pub(crate) fn new(output: &Output) -> ReadFailures {
        ReadFailures {
            output: *output,
            told: Mutex::default(),
        }
    }

    /// Tells why a read of a disk failed. A failure of the same chunk and of the same kind is told once,
    /// since programs try again.
    pub(crate) fn tell(&self, name: &str, error: &Error) {
        if error.kind() == ErrorKind::Cancelled {
            return;
        }
        let failed = (name.to_owned(), error.position(), error.kind());
        if !self.told.lock().insert(failed) {
            return;
        }
        let failure = Failure::from_library(error);
        let mut json = failure.facts();
        json["event"] = "read_failed".into();
        json["archive"] = name.into();
        let text = failure.text(&format!("a read of {} failed", shown(name)));
        self.output.warn(text, &json);
    }
}
