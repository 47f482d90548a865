//! Tells why reads of disks and file archives failed: the programs that read learn little more than
//! that a read failed.

use std::collections::HashSet;

use chunk_restore::{Error, ErrorKind};
use parking_lot::Mutex;
use serde_json::json;

use crate::failure::Failure;
use crate::output::Output;
use crate::shown::shown;

/// How many failures are told at most: a damaged file archive can have one for each entry.
const TOLD_MAX: usize = 1000;

/// Tells of failed reads.
#[derive(Debug)]
pub(crate) struct ReadFailures {
    output: Output,
    /// The failures that were told.
    told: Mutex<HashSet<Told>>,
}

/// A failure that was told: the archive, the position of the chunk or else the offset, and the kind.
type Told = (String, Option<u64>, ErrorKind);

impl ReadFailures {
    pub(crate) fn new(output: &Output) -> ReadFailures {
        ReadFailures {
            output: *output,
            told: Mutex::default(),
        }
    }

    /// Tells why a read of an archive failed. A failure of the same chunk and of the same kind is told
    /// once, since programs try again.
    pub(crate) fn tell(&self, name: &str, error: &Error) {
        if error.kind() == ErrorKind::Cancelled {
            return;
        }
        let position = error.position().map(|position| position as u64);
        if !self.is_new((name.to_owned(), position.or(error.offset()), error.kind())) {
            return;
        }
        let failure = Failure::from_library(error);
        let mut json = failure.facts();
        json["event"] = "read_failed".into();
        json["archive"] = name.into();
        let text = failure.text(&format!("a read of {} failed", shown(name)));
        self.output.warn(text, &json);
    }

    /// Tells that a folder of a file archive has a name that no program could list.
    pub(crate) fn tell_long_name(&self, archive: &str) {
        if self.is_new((archive.to_owned(), None, ErrorKind::Invalid)) {
            let text = format!("{archive} has names of more than 255 bytes, which are not shown");
            let json = json!({ "event": "long_names", "archive": archive });
            self.output.warn(text, &json);
        }
    }

    /// Whether a failure was not told before, and may be told.
    fn is_new(&self, failure: Told) -> bool {
        let mut told = self.told.lock();
        if told.len() < TOLD_MAX {
            return told.insert(failure);
        }
        let is_next = told.len() == TOLD_MAX && told.insert(failure);
        if is_next {
            let text = format!("more reads failed: only the first {TOLD_MAX} failures are told");
            self.output
                .warn(text, &json!({ "event": "more_reads_failed" }));
        }
        false
    }
}
