//! What must hold in every schedule: books kept apart from the dispatcher's, from what the simulation sees alone.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Error, FetchError, Scope};
use crate::fetch::dispatcher::{Dispatcher, QUEUED_MIN, Rules};
use crate::fetch::failure::Failure;
use crate::fetch::job::{Arrival, Job, Stage, Urgency};
use crate::fetch::lanes::LaneSettings;
use crate::fetch::simulation::breakers::Probes;
use crate::fetch::simulation::lane::SimulatedLane;
use crate::fetch::simulation::place::{Place, Stock};
use crate::fetch::task::Want;
use crate::format::blob::Verified;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Ending {
    Open,
    Came,
    Failed(String, Option<Scope>),
    Forgotten,
}

/// What is known of a want.
pub(super) struct Known {
    pub(super) want: Want,
    pub(super) ending: Ending,
    pub(super) asked_at: Option<Instant>,
    /// The unanswered first request.
    pub(super) sent: Option<(u64, Arc<Stage>)>,
    /// How often each place said that the chunk is missing or corrupt, and that it can't be read.
    pub(super) damaged: Vec<u32>,
    pub(super) unreadable: Vec<u32>,
    pub(super) refused: HashSet<usize>,
    pub(super) shortages: u32,
    /// How often the dispatcher asked for it, hedged requests aside.
    pub(super) asked: u32,
    /// Whether it is urgent, and was not asked for when jobs were given out.
    is_overdue: bool,
    pub(super) is_hedged: bool,
    /// The only place asked to be left alone until then.
    pub(super) not_before: Option<Instant>,
}

impl Known {
    pub(super) fn looks(&self, place: usize) -> u32 {
        self.damaged[place] + self.unreadable[place]
    }
}

pub(super) struct Checks {
    pub(super) rules: Rules,
    pub(super) lanes: Vec<LaneSettings>,
    pub(super) places: Vec<Place>,
    pub(super) slots: usize,
    pub(super) wants: BTreeMap<u64, Known>,
    open: usize,
    pub(super) hang_ups: usize,
    pub(super) hedges: usize,
    /// Jobs that were given and did not come back, with their lanes, by urgency.
    jobs: HashMap<u64, (usize, Urgency)>,
    queued: Vec<[usize; 2]>,
    /// Whether a lane had as many urgent jobs as it may when jobs were given out.
    is_full: bool,
    in_flight_most: Vec<usize>,
    pub(super) probes: Probes,
    /// When a chunk came, or a place said that it lacks one, for the last time.
    pub(super) progress: Instant,
    /// Whether a want was forgotten or given up since, which may have used up the patience of others.
    pub(super) patience_was_shared: bool,
    pub(super) asked: usize,
    /// Late answers that are outstanding, whose chunks came another way; and hedged requests that are.
    late: HashSet<u64>,
    hedging: HashSet<u64>,
    pub(super) fetched: usize,
    pub(super) surplus: usize,
    /// Jobs in the order in which workers requested them.
    pub(super) requests: Vec<(u64, usize, Urgency)>,
}

impl Checks {
    pub(super) fn new(
        rules: Rules,
        lanes: Vec<LaneSettings>,
        places: Vec<Place>,
        slots: usize,
        now: Instant,
    ) -> Checks {
        Checks {
            rules,
            queued: vec![[0; 2]; lanes.len()],
            is_full: false,
            in_flight_most: vec![0; lanes.len()],
            lanes,
            probes: Probes::new(places.len()),
            places,
            slots,
            wants: BTreeMap::new(),
            open: 0,
            hang_ups: 0,
            hedges: 0,
            jobs: HashMap::new(),
            progress: now,
            patience_was_shared: false,
            asked: 0,
            late: HashSet::new(),
            hedging: HashSet::new(),
            fetched: 0,
            surplus: 0,
            requests: Vec::new(),
        }
    }

    pub(super) fn open(&self) -> usize {
        self.open
    }

    pub(super) fn is_open(&self, ticket: u64) -> bool {
        self.wants[&ticket].ending == Ending::Open
    }

    pub(super) fn open_tickets(&self) -> impl Iterator<Item = u64> {
        let open = |known: &&Known| known.ending == Ending::Open;
        self.wants
            .values()
            .filter(open)
            .map(|known| known.want.ticket)
    }

    pub(super) fn wanted(&mut self, want: Want) {
        let known = Known {
            want,
            ending: Ending::Open,
            asked_at: None,
            sent: None,
            damaged: vec![0; self.places.len()],
            unreadable: vec![0; self.places.len()],
            refused: HashSet::new(),
            shortages: 0,
            asked: 0,
            is_overdue: false,
            is_hedged: false,
            not_before: None,
        };
        self.open += 1;
        self.wants.insert(want.ticket, known);
    }

    /// Somebody waits for a want from now on.
    pub(super) fn hurried(&mut self, ticket: u64) {
        if let Some(known) = self.wants.get_mut(&ticket) {
            known.want.urgency = Urgency::Now;
        }
    }

    pub(super) fn forgot(&mut self, ticket: u64) {
        let known = self.wants.get_mut(&ticket).expect("it was wanted");
        assert_eq!(known.ending, Ending::Open);
        known.ending = Ending::Forgotten;
        self.patience_was_shared = true;
        self.open -= 1;
    }

    /// The dispatcher gave out a job.
    pub(super) fn gave(&mut self, job: &Job, dispatcher: &Dispatcher, now: Instant) {
        let known = &self.wants[&job.ticket];
        assert_eq!(known.ending, Ending::Open, "{job:?}");
        assert_eq!(known.want.chunk, job.chunk);
        assert!(job.urgency <= known.want.urgency, "{job:?}");
        self.check_room(job, dispatcher);
        let place = self.lanes[job.lane].place;
        assert!(!known.refused.contains(&place), "refused before: {job:?}");
        if job.is_hedge {
            self.check_hedge(job, dispatcher, now);
            self.hedging.insert(job.id);
            self.hedges += 1;
        } else {
            self.check_request(job, place, now);
            self.check_order(job);
            self.asked += usize::from(known.asked == 0);
        }
        self.probes.asked(place, job, dispatcher, now);
        self.queued[job.lane][job.urgency as usize] += 1;
        let is_new = self.jobs.insert(job.id, (job.lane, job.urgency)).is_none();
        assert!(is_new, "the id was given before: {job:?}");
        let known = self.wants.get_mut(&job.ticket).expect("it was wanted");
        if job.is_hedge {
            known.is_hedged = true;
        } else {
            known.asked += 1;
            known.asked_at.get_or_insert(now);
            known.sent = Some((job.id, Arc::clone(&job.stage)));
        }
    }

    /// No lane is given more jobs than it may have.
    fn check_room(&self, job: &Job, dispatcher: &Dispatcher) {
        let settings = self.lanes[job.lane];
        assert_eq!(settings.is_hedging, job.is_hedge);
        let queued = self.queued[job.lane];
        let [now, ahead] = queued;
        let most = match (job.is_hedge, job.urgency) {
            (true, _) => settings.workers,
            (false, _) if settings.adapts => QUEUED_MIN.max(2 * dispatcher.in_flight(job.lane)),
            (false, _) => 2 * dispatcher.in_flight(job.lane),
        };
        let count = match job.urgency {
            Urgency::Now => now,
            Urgency::Ahead => now + ahead,
        };
        assert!(count < most, "{queued:?} of {most}: {job:?}");
    }

    /// At the end of a hand-out nothing urgent waits where there is room.
    pub(super) fn handed_out(&mut self, dispatcher: &Dispatcher) {
        self.is_full = false;
        for (lane, settings) in self.lanes.iter().enumerate() {
            let limit = dispatcher.in_flight(lane);
            assert!(limit >= 1 && limit <= self.slots.min(settings.in_flight_max));
            self.in_flight_most[lane] = self.in_flight_most[lane].max(limit);
            let [now, ahead] = self.queued[lane];
            assert_eq!(dispatcher.lanes[lane].queued(), now + ahead);
            self.is_full |= now >= 2 * limit;
        }
        let is_anywhere = (0..self.places.len()).any(|place| dispatcher.breakers.is_closed(place));
        for known in self.wants.values_mut() {
            known.is_overdue =
                is_anywhere && known.asked == 0 && known.want.urgency == Urgency::Now;
        }
    }

    /// Nothing is asked for ahead while something urgent was never asked for.
    fn check_order(&self, job: &Job) {
        let urgent = |known: &&Known| {
            known.ending == Ending::Open && known.want.urgency == Urgency::Now && known.asked == 0
        };
        if job.urgency == Urgency::Ahead {
            let first = self.wants.values().find(urgent).map(|known| known.want);
            assert!(first.is_none(), "{first:?} waits: {job:?}");
        }
    }

    /// A worker makes a request.
    pub(super) fn began(&mut self, job: &Job) {
        self.requests.push((job.ticket, job.lane, job.urgency));
        if job.urgency == Urgency::Ahead {
            let waiting = self
                .wants
                .values()
                .find(|known| known.is_overdue && known.ending == Ending::Open && known.asked == 0);
            let waiting = waiting.map(|known| known.want);
            assert!(
                self.is_full || waiting.is_none(),
                "{waiting:?} waits: {job:?}"
            );
        }
    }

    pub(super) fn is_within_limit(&self, lane: &SimulatedLane, number: usize) {
        let in_flight = lane.wanted_in_flight();
        let most = self.in_flight_most[number];
        assert!(
            in_flight <= most,
            "{in_flight} of {most} in flight in lane {number}"
        );
    }

    /// A job that no worker had taken was taken back.
    pub(super) fn took_back(&mut self, job: &Job) {
        self.forget_job(job);
        self.probes
            .returned_unasked(self.lanes[job.lane].place, job);
    }

    fn forget_job(&mut self, job: &Job) {
        let given = self.jobs.remove(&job.id);
        assert_eq!(
            given,
            Some((job.lane, job.urgency)),
            "it came back twice: {job:?}"
        );
        self.queued[job.lane][job.urgency as usize] -= 1;
        self.late.remove(&job.id);
        self.hedging.remove(&job.id);
    }

    /// An answer is about to be told to the dispatcher.
    pub(super) fn returned(&mut self, arrival: &Arrival, now: Instant) {
        let Arrival {
            job,
            fetched,
            outcome,
            ..
        } = arrival;
        self.forget_job(job);
        let place = self.lanes[job.lane].place;
        self.probes.returned(place, arrival, now);
        let known = self.wants.get_mut(&job.ticket).expect("it was wanted");
        let is_open = known.ending == Ending::Open;
        let bytes = fetched.unwrap_or_default();
        self.fetched += bytes;
        if !is_open || outcome.is_err() {
            self.surplus += bytes;
        }
        let is_sent = known.sent.take_if(|(id, _)| *id == job.id).is_some();
        match outcome {
            Ok(_) if is_open && job.is_hedge => {
                let sent = known.sent.as_ref();
                let is_late = |(_, stage): &&(u64, Arc<Stage>)| !stage.is_unwanted();
                self.late.extend(sent.filter(is_late).map(|(id, _)| *id));
            }
            Err(failure) if is_open && is_sent => known.failed(failure, place, now),
            _ => {}
        }
        let late = self.late.len();
        assert!(
            late <= self.rules.hedge.abandoned_max,
            "{late} late answers"
        );
        let is_progress = match outcome {
            Ok(_) => fetched.is_some(),
            Err(failure) => failure.scope() == Some(Scope::Chunk),
        };
        if is_progress {
            (self.progress, self.patience_was_shared) = (now, false);
        }
    }

    /// After an answer.
    pub(super) fn compare(&mut self, dispatcher: &Dispatcher, now: Instant) {
        self.probes.compare(dispatcher, now);
    }

    /// How many answers may turn out to be late: those that are, and those to the requests that were hedged.
    pub(super) fn may_be_late(&self) -> usize {
        self.late.len() + self.hedging.len()
    }

    pub(super) fn settled(&mut self, ticket: u64, result: Result<Verified, Error>, now: Instant) {
        let known = &self.wants[&ticket];
        assert_eq!(
            known.ending,
            Ending::Open,
            "ticket {ticket} is settled a second time"
        );
        let ending = match result {
            Ok(chunk) => {
                assert_eq!(chunk.data(), known.want.chunk.offset.to_le_bytes());
                Ending::Came
            }
            Err(error) => {
                self.check_failure(known, &error, now);
                self.patience_was_shared |= error.scope() != Some(Scope::Chunk);
                Ending::Failed(format!("{error:?}"), error.scope())
            }
        };
        self.wants.get_mut(&ticket).expect("it was wanted").ending = ending;
        self.open -= 1;
    }

    /// Whether some place has a chunk, and gives all that it has within the patience.
    pub(super) fn is_to_be_had(&self, known: &Known) -> bool {
        let chunk = known.want.chunk.offset as usize;
        let gives = |place: &Place| {
            place.stock[chunk] == Stock::Good && place.is_reliable(self.rules.patience)
        };
        self.places.iter().any(gives)
    }

    /// Nothing is left.
    pub(super) fn ended(&self, dispatcher: &Dispatcher) {
        assert!(self.jobs.is_empty(), "never came back: {:?}", self.jobs);
        assert_eq!(self.open, 0);
        assert!(dispatcher.is_idle(), "{dispatcher:?}");
        assert!(dispatcher.lanes.iter().all(|lane| lane.queued() == 0));
        let (tally, hedges) = (&dispatcher.tally, self.hedges as u64);
        let counted = (self.fetched as u64, self.surplus as u64, hedges);
        assert_eq!((tally.fetched, tally.surplus, tally.hedges), counted);
    }
}

impl Known {
    fn failed(&mut self, failure: &Failure, place: usize, now: Instant) {
        match failure {
            Failure::Fetch(FetchError::Unreadable(_)) => self.unreadable[place] += 1,
            Failure::Corrupt(_) | Failure::Fetch(FetchError::Missing | FetchError::TooLong) => {
                self.damaged[place] += 1;
            }
            Failure::Fetch(FetchError::Denied(_)) => _ = self.refused.insert(place),
            Failure::Fetch(FetchError::Resources(_)) => self.shortages += 1,
            Failure::Fetch(FetchError::Transient { retry_after, .. })
                if self.damaged.len() == 1 =>
            {
                // The least of all pauses where the place does not name one.
                let pause = retry_after.unwrap_or(Duration::from_millis(125));
                self.not_before = Some(now + pause);
            }
            _ => {}
        }
    }
}
