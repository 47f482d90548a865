//! The dispatcher decides which chunk is asked for next, and at which place. It has no threads, does no I/O, and has no clock:
//! the time is an argument.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::fetch::health::{Choice, CircuitBreakers, PlaceSet};
use crate::fetch::hedge::{HedgeRules, Hedging};
use crate::fetch::job::{Job, Stage, Urgency};
use crate::fetch::lanes::LaneSettings;
use crate::fetch::latency::LatencyWindow;
use crate::fetch::patience::ProgressTimer;
use crate::fetch::ramp::InFlightRamp;
use crate::fetch::task::{Sent, Task};
use crate::format::blob::Verified;
use crate::report::PlaceReport;

/// A lane that adapts how many requests are in flight is given so many jobs at the least.
pub(super) const QUEUED_MIN: usize = 32;

/// The limits that a dispatcher keeps to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// How many times a chunk that is not right is asked for at each place; at least 1.
    pub(crate) attempts: u32,
    /// Whether a failed chunk is replaced by zeros: then every chunk is looked at twice before it is given up.
    pub(crate) salvage: bool,
    /// How long the places may give nothing while something is waited for.
    pub(crate) patience: Duration,
    /// What to do after a chunk was given up because the places give nothing; for the error.
    pub(crate) advice: &'static str,
    pub(crate) hedge: HedgeRules,
}

/// What became of a want.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A wanted chunk is there.
    Came {
        ticket: u64,
        chunk: Verified,
        /// Whether a seed had it.
        is_seeded: bool,
    },
    /// A wanted chunk can't be had.
    Failed { ticket: u64, error: Error },
    /// A worker panicked: its panic is raised again when the threads are joined.
    Broken(Error),
}

/// What was done so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// The bytes of all blobs that came, and of those whose chunks had come another way.
    pub(crate) fetched: u64,
    pub(crate) surplus: u64,
    /// How often a chunk was asked for again because it failed, and how often because it was late.
    pub(crate) retries: u64,
    pub(crate) hedges: u64,
    /// The time of all workers.
    pub(crate) fetching: Duration,
    pub(crate) decoding: Duration,
    pub(crate) places: Vec<PlaceReport>,
}

/// Decides what is asked for, where and when, and what becomes of the answers.
#[derive(Debug)]
pub(super) struct Dispatcher {
    pub(super) rules: Rules,
    pub(super) breakers: CircuitBreakers,
    /// The first ones serve a place each, in the order of the places.
    pub(super) lanes: Vec<LaneState>,
    /// The most chunks that may be in flight, by the memory that there is.
    slots: usize,
    /// All wants that are not settled, by their tickets.
    pub(super) tasks: BTreeMap<u64, Task>,
    /// Requests that workers made, whose answers nobody waits for any more.
    pub(super) unwanted: Vec<Sent>,
    /// The wants that are urgent.
    pub(super) urgent: BTreeSet<u64>,
    /// The wants that were never asked for.
    pub(super) fresh: BTreeSet<(Urgency, u64)>,
    /// The wants that are to be asked for again.
    pub(super) retries: BTreeSet<u64>,
    /// Jobs that are ready to be given out.
    pub(super) ready: VecDeque<Job>,
    next_id: u64,
    /// Whether any bytes of an answer have come.
    pub(super) has_received: bool,
    /// How many chunks were asked for.
    pub(super) asked: usize,
    pub(super) latency: LatencyWindow,
    pub(super) hedging: Hedging,
    pub(super) progress: ProgressTimer,
    /// When slow connections were last looked for while answers came.
    pub(super) looked: Option<Instant>,
    /// Why a place failed the last time that one did.
    pub(super) last_failure: Option<String>,
    /// The workers whose connections are to be ended: lane and number.
    pub(super) hang_ups: Vec<(usize, usize)>,
    pub(super) outcomes: VecDeque<Outcome>,
    pub(super) tally: Tally,
}

/// A lane, as the dispatcher sees it.
#[derive(Debug)]
pub(super) struct LaneState {
    pub(super) settings: LaneSettings,
    pub(super) ramp: InFlightRamp,
    /// Jobs that are with the workers, or on the way to them, by urgency.
    queued: [usize; 2],
    /// Whether jobs were withdrawn that may still wait for a worker.
    pub(super) has_unwanted: bool,
}

impl LaneState {
    fn new(settings: LaneSettings) -> LaneState {
        let LaneSettings {
            in_flight,
            in_flight_max,
            adapts,
            cores,
            ..
        } = settings;
        LaneState {
            settings,
            ramp: InFlightRamp::new(in_flight, in_flight_max, adapts, cores),
            queued: [0; 2],
            has_unwanted: false,
        }
    }

    pub(super) fn queued(&self) -> usize {
        self.queued.iter().sum()
    }
}

impl Dispatcher {
    /// For so many places, with a lane for each and perhaps others for hedged requests.
    pub(super) fn new(places: usize, lanes: &[LaneSettings], rules: Rules) -> Dispatcher {
        Dispatcher {
            rules,
            breakers: CircuitBreakers::new(places),
            lanes: lanes.iter().copied().map(LaneState::new).collect(),
            slots: 1,
            tasks: BTreeMap::new(),
            unwanted: Vec::new(),
            urgent: BTreeSet::new(),
            fresh: BTreeSet::new(),
            retries: BTreeSet::new(),
            ready: VecDeque::new(),
            next_id: 0,
            has_received: false,
            asked: 0,
            latency: LatencyWindow::default(),
            hedging: Hedging::new(rules.hedge),
            progress: ProgressTimer::new(rules.patience),
            looked: None,
            last_failure: None,
            hang_ups: Vec::new(),
            outcomes: VecDeque::new(),
            tally: Tally {
                places: vec![PlaceReport::default(); places],
                ..Tally::default()
            },
        }
    }

    /// From now on so many chunks may be in flight at the most; at least 1.
    pub(super) fn set_slots(&mut self, slots: usize) {
        self.slots = slots.max(1);
    }

    /// How many requests a lane may have in flight.
    pub(super) fn in_flight(&self, lane: usize) -> usize {
        self.lanes[lane].ramp.limit().min(self.slots)
    }

    /// The next job to give to the workers of its lane; `None` where they have as many as they may, or there is nothing to
    /// ask for now.
    pub(super) fn next_job(&mut self, now: Instant) -> Option<Job> {
        (self.ready.pop_front())
            .or_else(|| self.next_retry(now))
            .or_else(|| self.next_fresh(now))
    }

    /// The lanes that may hold jobs which were withdrawn; asked once.
    pub(super) fn lanes_to_sweep(&mut self) -> Vec<usize> {
        let lanes = self.lanes.iter_mut().enumerate();
        lanes
            .filter_map(|(number, lane)| mem::take(&mut lane.has_unwanted).then_some(number))
            .collect()
    }

    /// How long until something may be asked for again, `limit` at the most.
    pub(super) fn next_due(&self, limit: Duration, now: Instant) -> Duration {
        let due = self.retries.iter().filter_map(|ticket| {
            let task = self.tasks.get(ticket)?;
            let place = match self.breakers.choose(task.lacking, task.failed, now) {
                Choice::Wait(until) => until,
                // The lane has room for it when an answer comes, and not at any time that is known.
                Choice::Ask(place) if !self.has_room(place, Urgency::Now) => return None,
                Choice::Ask(_) | Choice::Nowhere => now,
            };
            let at = place.max(task.retry_at.unwrap_or(now));
            Some(at.saturating_duration_since(now))
        });
        due.chain(self.next_growth(now)).fold(limit, Duration::min)
    }

    fn has_room(&self, lane: usize, urgency: Urgency) -> bool {
        // As many jobs wait as are in flight, since a worker takes its next one the moment an answer comes, and while it
        // waits for another answer it hears of no new job.
        let most = 2 * self.in_flight(lane);
        // More of them wait where few requests are in flight because these suffice: whoever drives the dispatcher may be
        // busy for a while with what has come.
        let most = match self.lanes[lane].settings.adapts {
            true => most.max(QUEUED_MIN),
            false => most,
        };
        let lane = &self.lanes[lane];
        match urgency {
            // Those that somebody waits for don't wait until others have gone.
            Urgency::Now => lane.queued[Urgency::Now as usize] < most,
            Urgency::Ahead => lane.queued() < most,
        }
    }

    fn next_retry(&mut self, now: Instant) -> Option<Job> {
        // The oldest is waited for soonest.
        let due = self.retries.iter().find_map(|ticket| {
            let task = self.tasks.get(ticket)?;
            let is_due = task.retry_at.is_none_or(|at| at <= now);
            match self.breakers.choose(task.lacking, task.failed, now) {
                Choice::Ask(place) if is_due && self.has_room(place, Urgency::Now) => {
                    Some((*ticket, place))
                }
                _ => None,
            }
        });
        let (ticket, place) = due?;
        self.retries.remove(&ticket);
        self.job(ticket, place, place, Urgency::Now, false, now)
    }

    fn next_fresh(&mut self, now: Instant) -> Option<Job> {
        let (urgency, ticket) = *self.fresh.first()?;
        let Choice::Ask(place) =
            self.breakers
                .choose(PlaceSet::default(), PlaceSet::default(), now)
        else {
            return None;
        };
        if !self.has_room(place, urgency) {
            return None;
        }
        self.fresh.pop_first();
        self.asked += 1;
        self.job(ticket, place, place, urgency, false, now)
    }

    /// Makes the job for a want, which counts as given to its lane from now on.
    pub(super) fn job(
        &mut self,
        ticket: u64,
        lane: usize,
        place: usize,
        urgency: Urgency,
        is_hedge: bool,
        now: Instant,
    ) -> Option<Job> {
        let task = self.tasks.get_mut(&ticket)?;
        let id = self.next_id;
        self.next_id += 1;
        let stage = Arc::new(Stage::default());
        let sent = Sent {
            id,
            lane,
            place,
            stage: Arc::clone(&stage),
        };
        if is_hedge {
            task.is_hedged = true;
            task.hedge = Some(sent);
        } else {
            task.place = place;
            task.sent = Some(sent);
        }
        self.breakers.record_request(place, id, now);
        self.lanes[lane].queued[urgency as usize] += 1;
        Some(Job {
            id,
            ticket,
            chunk: task.want.chunk,
            lane,
            urgency,
            may_be_seeded: task.attempt == 1 && !is_hedge,
            fresh_connection: task.fresh_connection && !is_hedge,
            is_hedge,
            stage,
        })
    }

    /// A job was taken back, since nobody wants it and no worker has taken it.
    pub(super) fn took_back(&mut self, job: &Job, now: Instant) {
        self.record_return(job);
        let place = self.lanes[job.lane].settings.place;
        self.breakers.unprobed(place, job.id, now);
    }

    /// A job came back, or was taken back. Says whether the want's first request was this one.
    pub(super) fn record_return(&mut self, job: &Job) -> bool {
        self.lanes[job.lane].queued[job.urgency as usize] -= 1;
        self.hedging.record_return(job.id);
        self.unwanted.retain(|sent| sent.id != job.id);
        let Some(task) = self.tasks.get_mut(&job.ticket) else {
            return false;
        };
        let is = |sent: &mut Sent| sent.id == job.id;
        task.hedge.take_if(is);
        task.sent.take_if(is).is_some()
    }

    /// The want is to be asked for again, not before a time.
    pub(super) fn retry(&mut self, ticket: u64, at: Instant) {
        if let Some(task) = self.tasks.get_mut(&ticket) {
            task.retry_at = Some(at);
            self.retries.insert(ticket);
        }
    }

    /// Whether nothing is wanted, nothing is to be asked for, and no late answer is outstanding.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        let is_settled = self.tasks.is_empty() && self.outcomes.is_empty();
        let is_asked = self.fresh.is_empty() && self.retries.is_empty() && self.ready.is_empty();
        is_settled && is_asked && self.hedging.is_idle()
    }
}
