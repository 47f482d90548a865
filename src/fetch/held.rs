//! The jobs that a worker holds, and how they come back: each once, whatever becomes of the worker.

use std::time::{Duration, Instant};
use std::{mem, thread};

use crossbeam_channel::Sender;

use crate::error::FetchError;
use crate::fetch::failure::Failure;
use crate::fetch::job::{Arrival, Job, Spent, Took};
use crate::format::blob::Verified;

/// The jobs that a worker has taken and not answered. Every job is answered, also when the worker stops or unwinds: the
/// dispatcher waits for each.
pub(super) struct Held {
    jobs: Vec<HeldJob>,
    /// Time that no arrival has told of yet.
    pub(super) spent: Spent,
    arrivals: Sender<Arrival>,
}

struct HeldJob {
    job: Job,
    took: Option<Took>,
    /// When the connection stood that was made for it: what came before is no time of the place's.
    connected: Option<Instant>,
    was_hung_up: bool,
}

impl Held {
    pub(super) fn new(arrivals: Sender<Arrival>) -> Held {
        Held {
            jobs: Vec::new(),
            spent: Spent::default(),
            arrivals,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    pub(super) fn push(&mut self, job: Job) {
        self.jobs.push(HeldJob {
            job,
            took: None,
            connected: None,
            was_hung_up: false,
        });
    }

    pub(super) fn job(&self, id: u64) -> Option<&Job> {
        self.jobs().find(|job| job.id == id)
    }

    pub(super) fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.jobs.iter().map(|held| &held.job)
    }

    /// The connection stands that was made for a job.
    pub(super) fn record_connection(&mut self, id: u64) {
        if let Some(held) = self.held(id) {
            held.connected = Some(Instant::now());
        }
    }

    /// The request for a job has gone out.
    pub(super) fn record_sent(&self, id: u64) {
        if let Some(job) = self.job(id) {
            job.stage.record_sent(Instant::now());
        }
    }

    /// An answer has come whole: notes how long that took, of which its bytes came for so long.
    pub(super) fn record_answer(&mut self, id: u64, coming: Duration) {
        if let Some(held) = self.held(id) {
            let age = held.job.stage.age(Instant::now());
            let connected = held.connected.map(|connected| connected.elapsed());
            let whole = age.map(|age| connected.map_or(age, |since| since.min(age)));
            held.took = whole.map(|whole| Took { whole, coming });
        }
    }

    fn held(&mut self, id: u64) -> Option<&mut HeldJob> {
        self.jobs.iter_mut().find(|held| held.job.id == id)
    }

    /// The connection was ended for the sake of one of these jobs.
    pub(super) fn record_hang_up(&mut self, ids: &[u64]) {
        let jobs = self.jobs.iter_mut();
        jobs.filter(|held| ids.contains(&held.job.id))
            .for_each(|held| held.was_hung_up = true);
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
        let Some(at) = self.jobs.iter().position(|held| held.job.id == id) else {
            return;
        };
        let held = self.jobs.swap_remove(at);
        let arrival = Arrival {
            job: held.job,
            fetched,
            took: held.took,
            was_hung_up: held.was_hung_up,
            spent: mem::take(&mut self.spent),
            outcome,
        };
        // Without a receiver the dispatcher is gone, and nobody waits.
        let _ = self.arrivals.send(arrival);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        while let Some(id) = self.jobs.last().map(|held| held.job.id) {
            let failure = if thread::panicking() {
                Failure::Panicked
            } else {
                Failure::Fetch(FetchError::Cancelled)
            };
            self.answer(id, None, Err(failure));
        }
    }
}
