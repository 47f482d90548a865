//! The workers of all lanes at work in a world.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::FetchError;
use crate::fetch::failure::Failure;
use crate::fetch::job::{Arrival, Job, Spent, Took};
use crate::fetch::simulation::lane::HeldJob;
use crate::fetch::simulation::place::Reply;
use crate::fetch::simulation::world::{BLOB, CHUNKS, World};
use crate::format::blob::Verified;
use crate::memory::Buffer;
use crate::rate_limit::HeldTime;

/// What becomes of a request: its lane, its worker, and the number among those that the worker holds.
pub(super) type Event = (Instant, usize, usize, usize);

impl World {
    /// Workers that wait for a job take one.
    pub(super) fn wake_workers(&mut self) {
        for lane in 0..self.lanes.len() {
            for worker in 0..self.lanes[lane].started {
                if self.lanes[lane].looks || self.lanes[lane].workers[worker].held.is_empty() {
                    self.take_jobs(lane, worker);
                }
            }
        }
    }

    fn depth(&self, lane: usize) -> usize {
        self.places[self.lanes[lane].settings().place].depth
    }

    /// A worker requests as much as it may.
    fn take_jobs(&mut self, lane: usize, worker: usize) {
        let depth = self.depth(lane);
        while let Some(job) = self.lanes[lane].next_job(worker, depth) {
            self.prepare(lane, worker, job);
        }
    }

    fn prepare(&mut self, lane: usize, worker: usize, job: Job) {
        if job.stage.is_unwanted() {
            return self.answer(job, None, None, Err(Failure::Needless));
        }
        let chunk = job.chunk.offset as usize;
        if job.may_be_seeded && self.seeded.contains(&chunk) {
            let verified = self.verified(chunk);
            return self.answer(job, None, None, Ok(verified));
        }
        if job.fresh_connection {
            let state = &mut self.lanes[lane].workers[worker];
            state.for_fresh_connection.push_back(job);
            return self.connect_afresh(lane, worker);
        }
        self.request(lane, worker, job);
    }

    /// Once all has come over the old connection, another is made.
    fn connect_afresh(&mut self, lane: usize, worker: usize) {
        let state = &mut self.lanes[lane].workers[worker];
        if state.held.is_empty()
            && let Some(job) = state.for_fresh_connection.pop_front()
        {
            state.is_connected = false;
            self.request(lane, worker, job);
        }
    }

    fn request(&mut self, lane: usize, worker: usize, job: Job) {
        let place = &self.places[self.lanes[lane].settings().place];
        if !job
            .stage
            .begin(worker, &Arc::<HeldTime>::default(), self.now)
        {
            return self.answer(job, None, None, Err(Failure::Needless));
        }
        job.stage.record_sent(self.now);
        let state = &mut self.lanes[lane].workers[worker];
        let is_first = !state.is_connected;
        (state.is_connected, state.connections) = (true, state.connections + usize::from(is_first));
        let is_sick = place.sick_worker == Some(worker) && state.connections == 1;
        let latency = self.chance.millis(place.latency.0, place.latency.1);
        let begun = self.now;
        let due = (!is_sick).then(|| begun + latency);
        let due = due.or_else(|| Some(begun + self.stall_limit?));
        self.checks.began(&job);
        state.held.push(HeldJob { job, begun, due });
        self.checks.is_within_limit(&self.lanes[lane], lane);
    }

    pub(super) fn next_event(&self) -> Option<Event> {
        let mut next: Option<Event> = None;
        for (lane, state) in self.lanes.iter().enumerate() {
            for (worker, state) in state.workers.iter().enumerate() {
                for (number, held) in state.held.iter().enumerate() {
                    if let Some(due) = held.due
                        && next.is_none_or(|next| due < next.0)
                    {
                        next = Some((due, lane, worker, number));
                    }
                }
            }
        }
        next
    }

    /// Something comes of a request.
    pub(super) fn happen(&mut self, (due, lane, worker, number): Event) {
        self.now = self.now.max(due);
        let now = self.now;
        let elapsed = self.elapsed();
        let of = self.lanes[lane].settings().place;
        let held = &mut self.lanes[lane].workers[worker].held[number];
        if (self.stall_limit).is_some_and(|limit| now >= held.begun + limit) {
            return self.lose(lane, worker, false);
        }
        let chunk = held.job.chunk.offset as usize;
        let place = &mut self.places[of];
        match place.reply(chunk, elapsed, &mut self.chance) {
            Reply::Later(at) => {
                let at = at.map(|at| self.begun + at);
                let stalls = self.stall_limit.map(|limit| held.begun + limit);
                held.due = [at, stalls].into_iter().flatten().min();
            }
            Reply::Lost => self.lose(lane, worker, false),
            Reply::Failed(failure) if !matches!(failure, Failure::Corrupt(_)) => {
                let held = self.lanes[lane].workers[worker].held.swap_remove(number);
                self.answer(held.job, None, None, Err(failure));
                self.go_on(lane, worker);
            }
            reply => self.receive(lane, worker, number, reply),
        }
    }

    /// A blob has come: the worker makes its next request first, and then decodes it.
    fn receive(&mut self, lane: usize, worker: usize, number: usize, reply: Reply) {
        let held = self.lanes[lane].workers[worker].held.swap_remove(number);
        let job = held.job;
        let age = job.stage.age(self.now);
        let took = age.map(|whole| Took {
            whole,
            coming: Duration::ZERO,
        });
        self.received += BLOB as u64;
        self.take_jobs(lane, worker);
        let chunk = job.chunk.offset as usize;
        let (fetched, outcome) = match reply {
            _ if job.stage.is_unwanted() => (Some(BLOB), Err(Failure::Overtaken)),
            Reply::Failed(failure) => (None, Err(failure)),
            _ => (Some(BLOB), Ok(self.verified(chunk))),
        };
        self.answer(job, fetched, took, outcome);
        self.go_on(lane, worker);
    }

    fn go_on(&mut self, lane: usize, worker: usize) {
        self.connect_afresh(lane, worker);
        self.take_jobs(lane, worker);
    }

    /// A connection ends, with all that was requested over it.
    pub(super) fn lose(&mut self, lane: usize, worker: usize, was_hung_up: bool) {
        let state = &mut self.lanes[lane].workers[worker];
        state.is_connected = false;
        for held in std::mem::take(&mut state.held) {
            let error = FetchError::unreachable("the connection is lost");
            self.inbox.push_back(Arrival {
                job: held.job,
                fetched: None,
                took: None,
                was_hung_up,
                spent: Spent::default(),
                outcome: Err(Failure::Connection(error)),
            });
        }
        self.go_on(lane, worker);
    }

    pub(super) fn hang_up(&mut self, lane: usize, worker: usize) {
        self.checks.hang_ups += 1;
        self.lose(lane, worker, true);
    }

    fn answer(
        &mut self,
        job: Job,
        fetched: Option<usize>,
        took: Option<Took>,
        outcome: Result<Verified, Failure>,
    ) {
        self.inbox.push_back(Arrival {
            job,
            fetched,
            took,
            was_hung_up: false,
            spent: Spent::default(),
            outcome,
        });
    }

    pub(super) fn verified(&self, number: usize) -> Verified {
        let mut data = Buffer::new();
        data.extend_from_slice(&(number as u64).to_le_bytes());
        let recognised = self.decoder.recognise(&CHUNKS[number], data);
        recognised.expect("it is the chunk's data")
    }
}
