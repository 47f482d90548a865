//! A request for a chunk, on its way from the dispatcher to a worker and back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::fetch::failure::Failure;
use crate::format::blob::Verified;
use crate::format::index::Chunk;
use crate::rate_limit::HeldTime;

/// How urgently a chunk is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Urgency {
    /// Somebody waits for it: workers look for such jobs first.
    Now,
    /// It will be needed.
    Ahead,
}

/// One request for a chunk, to be made by a worker of one lane.
#[derive(Debug)]
pub(super) struct Job {
    /// Unique among the jobs of a dispatcher, also where a chunk is asked for twice.
    pub(super) id: u64,
    /// Names the want that the job is for.
    pub(super) ticket: u64,
    pub(super) chunk: Chunk,
    pub(super) lane: usize,
    pub(super) urgency: Urgency,
    /// Whether to look into the seeds before the place is asked: true for the first request for a chunk.
    pub(super) may_be_seeded: bool,
    /// Whether the request must not go over a connection that is open already: the last answer was corrupt.
    pub(super) fresh_connection: bool,
    /// Whether it is the second request for a chunk that is late.
    pub(super) is_hedge: bool,
    pub(super) stage: Arc<Stage>,
}

/// How far a job has come, which the dispatcher and the worker must agree on at any moment.
#[derive(Debug, Default)]
pub(super) struct Stage(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Once a worker has made the request.
    requested: Option<Requested>,
    /// The chunk came another way, or nobody wants it any more.
    is_unwanted: bool,
    /// Somebody waits for the chunk since the job was given to a worker.
    is_hurried: bool,
}

#[derive(Debug)]
struct Requested {
    at: Instant,
    /// When it went out, once there was a connection for it.
    sent: Option<Instant>,
    /// The worker's number in its lane.
    worker: usize,
    /// How long the rate limit held the worker back, and how long it had before the request.
    held: Arc<HeldTime>,
    held_before: Duration,
}

impl Stage {
    /// A worker makes the request now. `false` where the job is unwanted: then nothing is to be done.
    pub(super) fn begin(&self, worker: usize, held: &Arc<HeldTime>, now: Instant) -> bool {
        let mut state = self.0.lock();
        if state.is_unwanted {
            return false;
        }
        state.requested = Some(Requested {
            at: now,
            sent: None,
            worker,
            held: Arc::clone(held),
            held_before: held.total(now),
        });
        true
    }

    /// The request has gone out.
    pub(super) fn record_sent(&self, now: Instant) {
        if let Some(requested) = &mut self.0.lock().requested {
            requested.sent = Some(now);
        }
    }

    /// How long an answer has been waited for; `None` before the request went out.
    pub(super) fn waited(&self, now: Instant) -> Option<Duration> {
        let sent = self.0.lock().requested.as_ref()?.sent?;
        Some(now.saturating_duration_since(sent))
    }

    /// From now on nobody wants the chunk from this job.
    pub(super) fn discard(&self) {
        self.0.lock().is_unwanted = true;
    }

    /// Discards the job if no worker has taken it. Says whether it did.
    pub(super) fn withdraw(&self) -> bool {
        let mut state = self.0.lock();
        let is_queued = state.requested.is_none() && !state.is_unwanted;
        state.is_unwanted |= is_queued;
        is_queued
    }

    /// From now on somebody waits for the chunk.
    pub(super) fn hurry(&self) {
        self.0.lock().is_hurried = true;
    }

    pub(super) fn is_hurried(&self) -> bool {
        self.0.lock().is_hurried
    }

    pub(super) fn is_unwanted(&self) -> bool {
        self.0.lock().is_unwanted
    }

    /// How long ago the request was made, without the time for which the rate limit held the worker back; `None` before it
    /// was made.
    pub(super) fn age(&self, now: Instant) -> Option<Duration> {
        let state = self.0.lock();
        let requested = state.requested.as_ref()?;
        let held = requested.held.total(now);
        let age = now.saturating_duration_since(requested.at);
        Some(age.saturating_sub(held.saturating_sub(requested.held_before)))
    }

    /// Which worker of the lane made the request; `None` before it was made.
    pub(super) fn worker(&self) -> Option<usize> {
        Some(self.0.lock().requested.as_ref()?.worker)
    }
}

/// A job that comes back.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) job: Job,
    /// The size of the blob that came, in bytes; `None` where none was fetched.
    pub(super) fetched: Option<usize>,
    /// How long the place took for a whole answer; `None` where that can't be told.
    pub(super) took: Option<Took>,
    /// Whether the connection was ended for the sake of a request over it.
    pub(super) was_hung_up: bool,
    /// What the worker spent its time with since its last arrival.
    pub(super) spent: Spent,
    pub(super) outcome: Result<Verified, Failure>,
}

/// How long a place took for an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Took {
    /// From the request to the last byte.
    pub(super) whole: Duration,
    /// From the first byte to the last one, with all that is done with bytes as they come.
    pub(super) coming: Duration,
}

/// Time of one worker.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spent {
    pub(super) fetching: Duration,
    pub(super) decoding: Duration,
}
