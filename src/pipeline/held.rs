//! The jobs that a worker holds, and how they come back: each once, whatever becomes of the worker. Knows nothing of how they are
//! done.

use std::time::Duration;
use std::{mem, thread};

use crossbeam_channel::Sender;

use crate::backend::FetchError;
use crate::format::blob::Verified;
use crate::pipeline::Job;
use crate::pipeline::retry::Failure;
use crate::pipeline::turns::Turns;

/// A job that comes back.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) job: Job,
    /// The size of the blob that came, in bytes; `None` where none was fetched.
    pub(super) fetched: Option<usize>,
    /// What the worker spent its time with since its last arrival.
    pub(super) spent: Spent,
    pub(super) outcome: Result<Verified, Failure>,
}

/// Time of one worker.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spent {
    pub(super) fetching: Duration,
    pub(super) decoding: Duration,
}

/// The jobs that a worker has taken and not answered. Every one is answered, also when the worker stops or
/// unwinds: the writer waits for each.
pub(super) struct Held {
    pub(super) jobs: Vec<Job>,
    /// Not yet told.
    pub(super) spent: Spent,
    pub(super) arrivals: Sender<Arrival>,
}

impl Held {
    pub(super) fn has(&self, id: u64) -> bool {
        self.jobs.iter().any(|job| job.id == id)
    }

    /// Notes how long it took, unless it came another way: then the slot may be another's by now.
    pub(super) fn came(&mut self, id: u64, turns: &Turns) {
        let mut jobs = self.jobs.iter_mut();
        if let Some(job) = jobs.find(|job| job.id == id && !job.is_race)
            && !turns.has_come(job.turn)
        {
            job.took = turns.age(job.turn);
        }
    }

    pub(super) fn fail(&mut self, id: u64, failure: Failure) {
        self.answer(id, None, Err(failure));
    }

    pub(super) fn answer(
        &mut self,
        id: u64,
        fetched: Option<usize>,
        outcome: Result<Verified, Failure>,
    ) {
        let Some(at) = self.jobs.iter().position(|job| job.id == id) else {
            return;
        };
        let arrival = Arrival {
            job: self.jobs.swap_remove(at),
            fetched,
            spent: mem::take(&mut self.spent),
            outcome,
        };
        // Without a receiver the restore has ended, and nobody waits.
        let _ = self.arrivals.send(arrival);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        while let Some(job) = self.jobs.last() {
            let failure = if thread::panicking() {
                Failure::Panicked
            } else {
                Failure::Fetch(FetchError::Cancelled)
            };
            self.answer(job.id, None, Err(failure));
        }
    }
}
