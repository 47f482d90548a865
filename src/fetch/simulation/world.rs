//! Drives a dispatcher on a virtual clock, as the `Fetcher` does on the real one.

use std::collections::{HashSet, VecDeque};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use crate::digest::Digest;
use crate::fetch::dispatcher::{Dispatcher, Outcome, Rules};
use crate::fetch::job::{Arrival, Urgency};
use crate::fetch::lanes::LaneSettings;
use crate::fetch::simulation::chance::Chance;
use crate::fetch::simulation::checks::Checks;
use crate::fetch::simulation::lane::SimulatedLane;
use crate::fetch::simulation::place::Place;
use crate::fetch::task::Want;
use crate::format::blob::ChunkDecoder;
use crate::format::index::Chunk;

/// How long the consumer waits at a time.
const GLANCE: Duration = Duration::from_secs(1);

/// After so many waits a schedule goes on for ever.
const WAITS_MAX: usize = 20_000;

/// The size of each blob, in bytes.
pub(super) const BLOB: usize = 1000;

/// The chunks that there are. A chunk's offset is its number.
pub(super) static CHUNKS: LazyLock<Vec<Chunk>> = LazyLock::new(|| {
    let chunk = |number: u64| Chunk {
        digest: Digest::of(&number.to_le_bytes()),
        offset: number,
        len: 8,
    };
    (0..1100).map(chunk).collect()
});

/// How a world is made.
pub(super) struct Setup {
    pub(super) places: Vec<Place>,
    pub(super) lanes: Vec<LaneSettings>,
    pub(super) rules: Rules,
    pub(super) slots: usize,
    /// After so long without an answer a connection ends by itself.
    pub(super) stall_limit: Option<Duration>,
    pub(super) seeded: HashSet<usize>,
}

pub(super) struct World {
    pub(super) begun: Instant,
    pub(super) now: Instant,
    pub(super) dispatcher: Dispatcher,
    pub(super) checks: Checks,
    pub(super) lanes: Vec<SimulatedLane>,
    pub(super) places: Vec<Place>,
    pub(super) chance: Chance,
    pub(super) stall_limit: Option<Duration>,
    pub(super) seeded: HashSet<usize>,
    pub(super) inbox: VecDeque<Arrival>,
    pub(super) received: u64,
    pub(super) decoder: ChunkDecoder,
    next_ticket: u64,
    waits: usize,
}

impl World {
    pub(super) fn new(setup: Setup, seed: u64) -> World {
        let Setup {
            places,
            lanes,
            rules,
            slots,
            stall_limit,
            seeded,
        } = setup;
        let begun = Instant::now();
        let mut dispatcher = Dispatcher::new(places.len(), &lanes, rules);
        dispatcher.set_slots(slots);
        World {
            begun,
            now: begun,
            dispatcher,
            checks: Checks::new(rules, lanes.clone(), places.clone(), slots, begun),
            lanes: lanes.into_iter().map(SimulatedLane::new).collect(),
            places,
            chance: Chance::new(seed),
            stall_limit,
            seeded,
            inbox: VecDeque::new(),
            received: 0,
            decoder: ChunkDecoder::new(None),
            next_ticket: 0,
            waits: 0,
        }
    }

    /// The time since the start.
    pub(super) fn elapsed(&self) -> Duration {
        self.now - self.begun
    }

    pub(super) fn want(&mut self, chunk: usize, urgency: Urgency) -> u64 {
        let want = Want {
            ticket: self.next_ticket,
            position: chunk,
            chunk: CHUNKS[chunk],
            urgency,
        };
        self.next_ticket += 1;
        self.checks.wanted(want);
        self.dispatcher.want(want);
        want.ticket
    }

    pub(super) fn forget(&mut self, ticket: u64) {
        self.checks.forgot(ticket);
        self.dispatcher.forget(ticket);
    }

    pub(super) fn forget_queued(&mut self, ticket: u64) {
        if self.dispatcher.forget_queued(ticket) {
            self.checks.forgot(ticket);
        }
    }

    pub(super) fn hurry(&mut self, ticket: u64) {
        self.checks.hurried(ticket);
        self.dispatcher.hurry(ticket);
    }

    pub(super) fn set_slots(&mut self, slots: usize) {
        self.checks.slots = slots;
        self.dispatcher.set_slots(slots);
    }

    /// The consumer does something else for so long, while the workers go on.
    pub(super) fn be_away(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(event) = self.next_event().filter(|event| event.0 <= until) {
            self.happen(event);
        }
        self.now = until;
    }

    /// Takes the answers that are there, and waits until something happens.
    pub(super) fn step(&mut self) {
        while let Some(arrival) = self.inbox.pop_front() {
            self.answered(arrival);
        }
        self.wait();
    }

    fn wait(&mut self) {
        self.waits += 1;
        assert!(self.waits < WAITS_MAX, "it goes on for ever");
        let until_late = self.dispatcher.hedge(self.now).unwrap_or(GLANCE);
        self.hand_out();
        let limit = (self.dispatcher).next_due(GLANCE.min(until_late), self.now);
        if let Some(arrival) = self.inbox.pop_front() {
            return self.answered(arrival);
        }
        assert!(
            !limit.is_zero(),
            "what is due was not handed out, and the wait spins"
        );
        let until = self.now + limit;
        while let Some(event) = self.next_event().filter(|event| event.0 <= until) {
            self.happen(event);
            if let Some(arrival) = self.inbox.pop_front() {
                return self.answered(arrival);
            }
        }
        self.now = until;
        self.dispatcher.record_wait(limit, self.received, until);
        for (lane, worker) in std::mem::take(&mut self.dispatcher.hang_ups) {
            self.hang_up(lane, worker);
        }
        self.take_outcomes();
    }

    fn answered(&mut self, arrival: Arrival) {
        self.checks.returned(&arrival, self.now);
        (self.dispatcher).answered(arrival, self.received, self.now, &mut |_| {});
        if self.inbox.is_empty() {
            self.dispatcher.look_for_slow_connections(self.now);
        }
        for (lane, worker) in std::mem::take(&mut self.dispatcher.hang_ups) {
            self.hang_up(lane, worker);
        }
        self.take_outcomes();
        self.checks.compare(&self.dispatcher, self.now);
    }

    fn take_outcomes(&mut self) {
        while let Some(outcome) = self.dispatcher.outcomes.pop_front() {
            let outcome = match outcome {
                Outcome::Came { ticket, chunk, .. } => (ticket, Ok(chunk)),
                Outcome::Failed { ticket, error } => (ticket, Err(error)),
                Outcome::Broken(error) => panic!("nobody panicked: {error:?}"),
            };
            self.checks.settled(outcome.0, outcome.1, self.now);
        }
    }

    /// As [`Fetcher::hand_out`](crate::fetch::Fetcher::hand_out).
    fn hand_out(&mut self) {
        self.dispatcher.grow_unanswered(self.received, self.now);
        for lane in self.dispatcher.lanes_to_sweep() {
            for job in self.lanes[lane].lane.take_back() {
                self.checks.took_back(&job);
                self.dispatcher.took_back(&job, self.now);
            }
        }
        while let Some(job) = self.dispatcher.next_job(self.now) {
            self.checks.gave(&job, &self.dispatcher, self.now);
            self.lanes[job.lane].lane.send(job);
        }
        self.checks.handed_out(&self.dispatcher);
        for number in 0..self.lanes.len() {
            let lane = &mut self.lanes[number];
            // A worker that looks whether it may request more does so once more after the last growth.
            lane.looks = lane.may_grow;
            lane.may_grow = self.dispatcher.is_unanswered(number);
            lane.in_flight = self.dispatcher.in_flight(number);
            let queued = self.dispatcher.lanes[number].queued();
            let workers = lane.workers.len().min(lane.in_flight).min(queued);
            lane.started = lane.started.max(workers);
        }
        self.wake_workers();
    }

    /// Runs until every want is settled, at most for so long.
    pub(super) fn run(&mut self, most: Duration) {
        while self.checks.open() > 0 && self.elapsed() < most {
            self.step();
        }
        assert_eq!(self.checks.open(), 0, "not settled after {most:?}");
    }

    /// Ends everything, and looks whether anything is left.
    pub(super) fn end(mut self) {
        for round in 0.. {
            assert!(round < 1000, "jobs come without end");
            for lane in 0..self.lanes.len() {
                for worker in 0..self.lanes[lane].started {
                    self.lose(lane, worker, false);
                }
            }
            while let Some(arrival) = self.inbox.pop_front() {
                self.answered(arrival);
            }
            self.hand_out();
            if self.inbox.is_empty() && self.lanes.iter().all(|lane| lane.is_idle()) {
                break;
            }
        }
        self.checks.ended(&self.dispatcher);
    }
}
