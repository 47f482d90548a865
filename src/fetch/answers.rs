//! What becomes of an answer: the chunk is there, is asked for again, or is given up.

use std::mem;
use std::time::{Duration, Instant};

use crate::error::{Error, Scope};
use crate::fetch::dispatcher::{Dispatcher, Outcome};
use crate::fetch::failure::{Failure, error_of};
use crate::fetch::job::{Arrival, Job, Took};
use crate::fetch::retry::{Verdict, judge};
use crate::format::blob::Verified;

/// What is known of an answer beside its outcome.
#[derive(Clone, Copy)]
struct Answered {
    place: usize,
    /// The size of the blob that came, in bytes; `None` where none was fetched.
    fetched: Option<usize>,
    took: Option<Took>,
    decoding: Duration,
    /// Whether the want was waiting for this very job.
    is_first: bool,
    was_hung_up: bool,
    /// Whether the lane had as many jobs as it may have in flight.
    was_full: bool,
    now: Instant,
}

impl Dispatcher {
    /// A job came back when so many bytes of all answers had come. `retried` is told why a chunk is asked for again.
    pub(super) fn answered(
        &mut self,
        arrival: Arrival,
        received: u64,
        now: Instant,
        retried: &mut dyn FnMut(&Error),
    ) {
        let Arrival {
            job,
            fetched,
            took,
            was_hung_up,
            spent,
            outcome,
        } = arrival;
        let was_full = self.lanes[job.lane].queued() >= self.in_flight(job.lane);
        let answered = Answered {
            place: self.lanes[job.lane].settings.place,
            fetched,
            took: took.filter(|_| !job.is_hedge),
            decoding: spent.decoding,
            is_first: self.record_return(&job),
            was_hung_up,
            was_full,
            now,
        };
        let bytes = fetched.unwrap_or_default();
        self.tally.fetching += spent.fetching;
        self.tally.decoding += spent.decoding;
        self.tally.fetched += bytes as u64;
        self.tally.places[answered.place].fetched += bytes as u64;
        match outcome {
            Ok(chunk) => self.came(&job, chunk, received, answered),
            Err(Failure::Overtaken) => {
                self.breakers.record_answer(answered.place);
                self.record_surplus(answered);
            }
            Err(failure) => self.failed(&job, failure, received, answered, retried),
        }
    }

    fn came(&mut self, job: &Job, chunk: Verified, received: u64, answered: Answered) {
        let Answered {
            place,
            fetched,
            now,
            ..
        } = answered;
        let Some(bytes) = fetched else {
            self.breakers.unprobed(place, job.id, now);
            return self.settle(job, chunk, true);
        };
        self.breakers.record_answer(place);
        self.progress.chunk_came(received);
        if let Some(took) = answered.took {
            self.latency.record(took.whole);
        }
        if !job.is_hedge {
            let ramp = &mut self.lanes[job.lane].ramp;
            ramp.record_answer(answered.took, answered.decoding, answered.was_full);
        }
        if !self.tasks.contains_key(&job.ticket) {
            return self.record_surplus(answered);
        }
        self.hedging.record_fetched(bytes, true);
        self.tally.places[place].chunks += 1;
        self.settle(job, chunk, false);
    }

    /// A blob came for nothing.
    fn record_surplus(&mut self, answered: Answered) {
        let bytes = answered.fetched.unwrap_or_default();
        self.hedging.record_fetched(bytes, false);
        self.tally.surplus += bytes as u64;
    }

    /// The want of a job is settled by its chunk.
    fn settle(&mut self, job: &Job, chunk: Verified, is_seeded: bool) {
        let Some(task) = self.remove(job.ticket) else {
            return;
        };
        if let Some(sent) = task.sent.as_ref().filter(|_| job.is_hedge) {
            self.hedging.abandon(sent.id);
        }
        self.discard(task);
        let ticket = job.ticket;
        self.outcomes.push_back(Outcome::Came {
            ticket,
            chunk,
            is_seeded,
        });
    }

    fn failed(
        &mut self,
        job: &Job,
        failure: Failure,
        received: u64,
        answered: Answered,
        retried: &mut dyn FnMut(&Error),
    ) {
        let Answered { place, now, .. } = answered;
        let scope = failure.scope();
        match scope {
            Some(Scope::Place) => {
                self.tally.places[place].failures += 1;
                if failure.is_refusal() {
                    self.lanes[job.lane].ramp.record_refusal();
                }
                let is_unreachable = failure.is_unreachable();
                (self.breakers).record_failure(place, job.id, is_unreachable, now);
                if !self.breakers.is_closed(place) {
                    self.withdraw_from(place, now);
                }
            }
            Some(Scope::Chunk) => {
                self.breakers.record_answer(place);
                self.progress.chunk_came(received);
            }
            Some(Scope::Ours) | None => self.breakers.unprobed(place, job.id, now),
        }
        if matches!(failure, Failure::Panicked) {
            let position = self
                .tasks
                .get(&job.ticket)
                .map_or(0, |task| task.want.position);
            let error = error_of(&job.chunk, position, 1, failure);
            return self.outcomes.push_back(Outcome::Broken(error));
        }
        let Some(task) = self
            .tasks
            .get_mut(&job.ticket)
            .filter(|_| answered.is_first)
        else {
            return;
        };
        task.hang_ups += u32::from(answered.was_hung_up);
        let is_stalled = mem::take(&mut task.is_stalled);
        task.stalls += u32::from(answered.was_hung_up && is_stalled);
        match judge(task, failure, self.rules, &self.breakers, now) {
            Verdict::Again { after, why } => {
                self.tally.retries += 1;
                retried(&why);
                if scope == Some(Scope::Place) {
                    self.last_failure = Some(format!("{why:?}"));
                }
                task.remember(why);
                self.retry(job.ticket, now + after);
            }
            Verdict::Final(error) => self.give_up(job.ticket, error),
        }
    }

    /// The want is settled by a failure.
    pub(super) fn give_up(&mut self, ticket: u64, error: Error) {
        if let Some(task) = self.remove(ticket) {
            self.discard(task);
            self.outcomes.push_back(Outcome::Failed { ticket, error });
        }
    }
}
