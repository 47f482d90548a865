//! Tells why reads of disks failed: the programs that read learn little more than that they did.

use std::collections::HashSet;

use chunk_restore::{Error, ErrorKind};
use parking_lot::Mutex;

use crate::failure::Failure;
use crate::output::Output;

/// Tells of failed reads.
#[derive(Debug)]
pub(crate) struct ReadFailures {
    output: Output,
    /// The chunks whose failures were told.
    told: Mutex<HashSet<(String, Option<usize>)>>,
}

impl ReadFailures {
    pub(crate) fn new(output: &Output) -> ReadFailures {
        ReadFailures {
            output: *output,
            told: Mutex::default(),
        }
    }

    /// Tells it once for each chunk, since programs try again.
    pub(crate) fn tell(&self, name: &str, error: &Error) {
        if error.kind() == ErrorKind::Cancelled {
            return;
        }
        if !self.told.lock().insert((name.to_owned(), error.position())) {
            return;
        }
        let failure = Failure::from_library(error).about(name);
        let mut json = failure.facts();
        json["event"] = "read_failed".into();
        json["archive"] = name.into();
        self.output.warn(failure.text("a read failed"), &json);
    }
}
