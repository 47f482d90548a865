//! A lane's workers as the simulation plays them, by the rules of the real ones (`worker.rs`). The channels are the real ones.

use std::collections::VecDeque;
use std::time::Instant;

use crate::fetch::job::Job;
use crate::fetch::lanes::{Jobs, Lane, LaneSettings};

pub(super) struct SimulatedLane {
    pub(super) lane: Lane,
    pub(super) jobs: Jobs,
    /// The requests that the workers may have in flight, as they heard last.
    pub(super) in_flight: usize,
    /// Whether that may grow before an answer comes, and whether the workers look for it.
    pub(super) may_grow: bool,
    pub(super) looks: bool,
    pub(super) started: usize,
    pub(super) workers: Vec<SimulatedWorker>,
}

#[derive(Default)]
pub(super) struct SimulatedWorker {
    /// Requests that are not answered.
    pub(super) held: Vec<HeldJob>,
    pub(super) is_connected: bool,
    /// How many connections it has had.
    pub(super) connections: usize,
    /// A job that needs a connection of its own, once all that is held has come.
    pub(super) for_fresh_connection: VecDeque<Job>,
}

pub(super) struct HeldJob {
    pub(super) job: Job,
    pub(super) begun: Instant,
    /// When something comes of it; `None` never.
    pub(super) due: Option<Instant>,
}

impl SimulatedLane {
    pub(super) fn new(settings: LaneSettings) -> SimulatedLane {
        let lane = Lane::new(settings);
        SimulatedLane {
            jobs: lane.jobs(),
            lane,
            in_flight: 0,
            may_grow: false,
            looks: false,
            started: 0,
            workers: (0..settings.workers)
                .map(|_| SimulatedWorker::default())
                .collect(),
        }
    }

    pub(super) fn settings(&self) -> LaneSettings {
        self.lane.shared.settings
    }

    /// The most requests that a worker may have in flight.
    fn share(&self, worker: usize) -> usize {
        let workers = self.workers.len();
        self.in_flight / workers + usize::from(worker < self.in_flight % workers)
    }

    /// Whether a worker takes another job now, over a connection that takes so many.
    fn has_room(&self, worker: usize, depth: usize) -> bool {
        let held = &self.workers[worker].held;
        let wanted = held.iter().filter(|held| !held.job.stage.is_unwanted());
        held.len() < depth && wanted.count() < self.share(worker)
    }

    /// The next job that a worker takes: those that somebody waits for come first.
    pub(super) fn next_job(&self, worker: usize, depth: usize) -> Option<Job> {
        let is_free = worker < self.started
            && self.workers[worker].for_fresh_connection.is_empty()
            && self.has_room(worker, depth);
        if !is_free {
            return None;
        }
        let Jobs { now, ahead } = &self.jobs;
        now.try_recv().or_else(|_| ahead.try_recv()).ok()
    }

    /// Requests in flight that somebody wants.
    pub(super) fn wanted_in_flight(&self) -> usize {
        let held = self.workers.iter().flat_map(|worker| &worker.held);
        held.filter(|held| !held.job.stage.is_unwanted()).count()
    }

    pub(super) fn is_idle(&self) -> bool {
        let is_free = |worker: &SimulatedWorker| {
            worker.held.is_empty() && worker.for_fresh_connection.is_empty()
        };
        self.workers.iter().all(is_free)
    }
}
