//! Lanes: the workers of a place, how many there are, and how many requests they may have in flight.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::thread;

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::backend::Concurrency;
use crate::datastore::snapshot::Archive;
use crate::fetch::hang_up::HangUp;
use crate::fetch::job::{Job, Urgency};

/// Threads for a place over a network that gives one chunk at a time to each connection.
const ONE_BY_ONE_THREADS: usize = 32;

/// Threads for a folder, of which only so many work as bring something.
const LOCAL_THREADS: usize = 16;

/// Threads for a place that gives several chunks at a time to each connection.
const MULTIPLEXED_THREADS: std::ops::RangeInclusive<usize> = 4..=16;

/// Requests in flight over a network to begin with: enough to see how long a chunk takes.
const START_IN_FLIGHT: usize = 4;

/// Requests that the worker which is kept for urgent jobs may have in flight.
const URGENT_IN_FLIGHT: usize = 2;

/// Workers of each place that do nothing but make hedged requests.
const HEDGING_WORKERS: usize = 2;

/// The workers that serve one place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LaneSettings {
    /// The place's number.
    pub(crate) place: usize,
    /// Threads, which start when they are needed; at least 1.
    pub(crate) workers: usize,
    /// Requests that the workers may have in flight at once, all together, to begin with.
    pub(crate) in_flight: usize,
    /// The most that these may become.
    pub(crate) in_flight_max: usize,
    /// Whether the number follows how long chunks take, and how many can be decoded at the same time.
    pub(crate) adapts: bool,
    pub(crate) cores: usize,
    /// Whether the first worker is kept for urgent jobs, beside the requests that may be in flight. It opens its connection at
    /// once, and keeps one open.
    pub(crate) keeps_urgent_worker: bool,
    /// Whether the workers make nothing but hedged requests.
    pub(crate) is_hedging: bool,
}

/// How many workers and requests a caller wants; 0 of either for a good choice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Staff {
    pub(crate) threads: usize,
    pub(crate) in_flight: usize,
    /// The part of both that the run takes, where several runs go on at the same time.
    pub(crate) part: Part,
}

/// A part of a whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    pub(crate) part: u64,
    pub(crate) whole: u64,
}

impl Part {
    pub(crate) const ALL: Part = Part { part: 1, whole: 1 };

    /// This part of a number, rounded up: at least 1.
    fn of(self, number: usize) -> usize {
        let part = u128::from(self.part.min(self.whole));
        let product = (number as u128).saturating_mul(part);
        let part = product.div_ceil(u128::from(self.whole.max(1)));
        usize::try_from(part).unwrap_or(number).max(1)
    }
}

/// One lane for each place of an archive, in their order, for no more than `slots` chunks in memory.
pub(crate) fn lanes_of(archive: &Archive, staff: Staff, slots: usize) -> Vec<LaneSettings> {
    let sources = archive.sources();
    let share = (slots / 2 / sources.len().max(1)).max(1);
    let lane = |(place, concurrency): (usize, Concurrency)| {
        let mut lane = staff.lane(place, concurrency, share);
        lane.in_flight = lane.in_flight.min(slots);
        lane.in_flight_max = lane.in_flight_max.clamp(lane.in_flight, slots.max(1));
        lane
    };
    let concurrency = sources.iter().map(|source| source.backend().concurrency());
    concurrency.enumerate().map(lane).collect()
}

impl LaneSettings {
    /// The lane for somebody who waits for chunks in no order that is known before.
    pub(crate) fn with_urgent_worker(self) -> LaneSettings {
        LaneSettings {
            workers: self.workers + 1,
            keeps_urgent_worker: true,
            ..self
        }
    }

    /// How many requests a worker may have in flight, where the lane may have so many.
    pub(super) fn share_of(self, worker: usize, in_flight: usize) -> usize {
        let (worker, workers) = match (self.keeps_urgent_worker, worker) {
            (true, 0) => return URGENT_IN_FLIGHT,
            (true, _) => (worker - 1, self.workers - 1),
            (false, _) => (worker, self.workers),
        };
        in_flight / workers + usize::from(worker < in_flight % workers)
    }

    /// How many workers so many jobs have a use for, with so many requests in flight.
    pub(super) fn workers_for(self, jobs: usize, in_flight: usize) -> usize {
        let kept = usize::from(self.keeps_urgent_worker);
        (jobs.min(in_flight) + kept).min(self.workers)
    }
}

/// One lane more for each place, for hedged requests.
pub(crate) fn hedging_lanes(places: usize) -> impl Iterator<Item = LaneSettings> {
    (0..places).map(|place| LaneSettings {
        place,
        workers: HEDGING_WORKERS,
        in_flight: HEDGING_WORKERS,
        in_flight_max: HEDGING_WORKERS,
        adapts: false,
        cores: 1,
        keeps_urgent_worker: false,
        is_hedging: true,
    })
}

impl Staff {
    /// The lane of a place, whose part of the memory is so many chunks.
    fn lane(self, place: usize, concurrency: Concurrency, share: usize) -> LaneSettings {
        let or = |set: usize, chosen: usize| self.part.of(if set == 0 { chosen } else { set });
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let workers = match concurrency {
            // One chunk for each connection: threads that wait cost little.
            Concurrency::OneByOne => ONE_BY_ONE_THREADS,
            Concurrency::Local => LOCAL_THREADS,
            Concurrency::Multiplexed => {
                cores.clamp(*MULTIPLEXED_THREADS.start(), *MULTIPLEXED_THREADS.end())
            }
        };
        let workers = or(self.threads, workers).min(share);
        let start = match concurrency {
            // What the page cache holds is there at once, and more threads than cores would only spread the work over
            // more memory. Where there is a disk to wait for, more of them bring more.
            Concurrency::Local => or(self.threads, cores).min(workers),
            Concurrency::OneByOne => or(self.threads, START_IN_FLIGHT).min(workers),
            Concurrency::Multiplexed => or(0, START_IN_FLIGHT.max(self.threads)),
        };
        let adapts = self.in_flight == 0
            && match concurrency {
                // These are threads, which the caller has named.
                Concurrency::Local | Concurrency::OneByOne => self.threads == 0,
                Concurrency::Multiplexed => true,
            };
        let in_flight = match self.in_flight {
            0 => start,
            set => self.part.of(set),
        };
        let in_flight_max = match concurrency {
            _ if !adapts => in_flight,
            Concurrency::Multiplexed => usize::MAX,
            Concurrency::Local | Concurrency::OneByOne => workers,
        };
        LaneSettings {
            place,
            workers: workers.min(in_flight_max),
            in_flight,
            in_flight_max,
            adapts,
            cores,
            keeps_urgent_worker: false,
            is_hedging: false,
        }
    }
}

/// What a lane's workers and whoever gives them jobs share.
#[derive(Debug)]
pub(super) struct LaneShared {
    pub(super) settings: LaneSettings,
    /// Requests that its workers may have in flight by now.
    pub(super) in_flight: AtomicUsize,
    /// Whether that number may grow before an answer comes, so that workers look at it while they wait for one.
    pub(super) may_grow: AtomicBool,
    /// One for each worker.
    pub(super) hang_ups: Vec<HangUp>,
}

/// The channels to a lane's workers, with both ends.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) shared: Arc<LaneShared>,
    /// Whether the worker that is kept for urgent jobs gets all others too, since there is no other
    /// worker.
    is_short: bool,
    now: (Sender<Job>, Receiver<Job>),
    ahead: (Sender<Job>, Receiver<Job>),
}

/// The worker's ends.
#[derive(Clone, Debug)]
pub(super) struct Jobs {
    pub(super) now: Receiver<Job>,
    pub(super) ahead: Receiver<Job>,
}

impl Lane {
    pub(super) fn new(settings: LaneSettings) -> Lane {
        Lane {
            shared: Arc::new(LaneShared {
                settings,
                in_flight: AtomicUsize::new(0),
                may_grow: AtomicBool::new(false),
                hang_ups: (0..settings.workers).map(|_| HangUp::default()).collect(),
            }),
            is_short: false,
            // The dispatcher bounds how many jobs there are.
            now: unbounded(),
            ahead: unbounded(),
        }
    }

    pub(super) fn jobs(&self) -> Jobs {
        Jobs {
            now: self.now.1.clone(),
            ahead: self.ahead.1.clone(),
        }
    }

    pub(super) fn send(&self, job: Job) {
        let (sender, _) = match job.urgency {
            Urgency::Ahead if !self.is_short => &self.ahead,
            Urgency::Now | Urgency::Ahead => &self.now,
        };
        // Both ends are held here, so this can't fail.
        let _ = sender.send(job);
    }

    /// Says that the system has no thread for a worker beside the one that is kept for urgent jobs, or
    /// that it has one again.
    pub(super) fn set_short(&mut self, is_short: bool) {
        self.is_short = is_short;
        if is_short {
            for job in self.ahead.1.try_iter() {
                let _ = self.now.0.send(job);
            }
        }
    }

    /// Takes back the jobs that nobody wants any more and no worker has taken.
    pub(super) fn take_back(&self) -> Vec<Job> {
        let mut unwanted = Vec::new();
        for (sender, receiver) in [&self.now, &self.ahead] {
            let waiting: Vec<Job> = receiver.try_iter().collect();
            for job in waiting {
                if job.stage.is_unwanted() {
                    unwanted.push(job);
                } else {
                    let _ = sender.send(job);
                }
            }
        }
        unwanted
    }
}
