//! Asking ahead: which chunk is asked for next, where, and which once more. Knows nothing of what is done with them.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};

use crate::error::Result;
use crate::format::index::Chunk;
use crate::memory::MemoryShare;
use crate::pipeline::places::{Choice, Places, Set};
use crate::pipeline::plan::Step;
use crate::pipeline::scan::{Finding, Scan};
use crate::pipeline::team::Team;
use crate::pipeline::{Common, Job, queued};

/// The jobs that are given out, in index order, by a window of slots.
pub(super) struct Ahead<'scope, 'hire, 'a> {
    common: &'a Common<'a>,
    scan: Option<&'a Scan<'a>>,
    share: MemoryShare,
    /// Jobs that may be asked for and not yet committed, by the memory that there is by now.
    slots: usize,
    team: &'a mut Team<'scope, 'hire>,
    crews: Vec<Line<'a>>,
    pub(super) places: Places,
    /// Where in the index to look for the next chunk to ask for.
    position: usize,
    /// The turn of the next chunk that is asked for the first time.
    turn: usize,
    /// The number of the next job.
    id: u64,
    /// Jobs that wait to be asked for again.
    retries: Vec<(Instant, Job)>,
    /// What was asked for last, for each slot.
    given: Vec<Option<Given>>,
}

/// A chunk that was asked for.
#[derive(Clone, Copy)]
struct Given {
    turn: usize,
    position: usize,
    chunk: Chunk,
    place: usize,
    crew: usize,
    lacking: Set,
    hang_ups: u32,
    /// Its answer has not come.
    is_out: bool,
}

/// The line to one crew.
struct Line<'a> {
    jobs: Sender<Job>,
    /// The workers' end, to take back what they have not taken.
    taken_back: &'a Receiver<Job>,
    /// Jobs that are with its workers.
    queued: usize,
    /// Requests that it may have in flight, where there is memory for them.
    in_flight: usize,
}

impl<'scope, 'hire, 'a> Ahead<'scope, 'hire, 'a> {
    /// With both ends of a line to each crew, in their order.
    pub(super) fn new(
        common: &'a Common<'a>,
        scan: Option<&'a Scan<'a>>,
        share: MemoryShare,
        jobs: Vec<Sender<Job>>,
        workers: &'a [Receiver<Job>],
        team: &'a mut Team<'scope, 'hire>,
    ) -> Ahead<'scope, 'hire, 'a> {
        let ends = jobs.into_iter().zip(workers);
        Ahead {
            common,
            scan,
            share,
            slots: 0,
            team,
            crews: ends
                .zip(&common.settings.crews)
                .map(|((jobs, taken_back), crew)| Line {
                    jobs,
                    taken_back,
                    queued: 0,
                    in_flight: crew.in_flight,
                })
                .collect(),
            places: Places::new(common.archive.sources().len()),
            position: common.plan.positions().start,
            turn: 0,
            id: 0,
            retries: Vec::new(),
            given: vec![None; common.slots],
        }
    }

    /// Gives the workers as many jobs as they may have: first those that are due again, which the writer waits for
    /// soonest. `committed` is the number of jobs whose chunks have been.
    ///
    /// # Errors
    /// A worker's thread can't be started.
    pub(super) fn ask(&mut self, committed: usize) -> Result<()> {
        self.share.rebalance(self.turn - committed);
        let slots = self.share.slots();
        if slots != self.slots {
            self.slots = slots;
            self.common.spares.set_limit(self.share.buffers());
            (0..self.crews.len()).try_for_each(|crew| self.follow(crew))?;
        }
        let now = Instant::now();
        while let Some(job) = self.due_again(now) {
            self.send(job, now);
        }
        while let Some(job) = self.next_job(committed, now) {
            self.send(job, now);
        }
        Ok(())
    }

    /// From now on the first crew may have so many requests in flight.
    ///
    /// # Errors
    /// As [`ask`](Ahead::ask).
    pub(super) fn allow(&mut self, in_flight: usize) -> Result<()> {
        self.crews[0].in_flight = in_flight;
        self.follow(0)
    }

    /// Has a crew work as much as it may, and as there is memory for.
    fn follow(&mut self, crew: usize) -> Result<()> {
        let Common { settings, plan, .. } = self.common;
        let in_flight = self.crews[crew].in_flight.min(self.slots);
        self.common.in_flight[crew].store(in_flight, Ordering::Relaxed);
        let workers = settings.crews[crew].workers.min(in_flight);
        self.team.grow(crew, workers.min(plan.chunks_to_fetch()))
    }

    /// Whether a worker has ended, so that what it was asked for will never come.
    pub(super) fn lacks_a_worker(&self) -> bool {
        self.team.lacks_one()
    }

    /// Asks for the chunk of a turn a second time, of a crew that does nothing else; `false` where none is free, or the
    /// first request has failed and is to be made again.
    pub(super) fn race(&mut self, turn: usize) -> bool {
        let Some(given) = self.given(turn).filter(|given| given.is_out) else {
            return false;
        };
        let place = self.places.another(given.place, given.lacking);
        let mut crews = self.common.settings.crews.iter();
        let crew = crews.position(|crew| crew.is_racing && crew.source == place);
        let Some(crew) = crew.filter(|crew| self.has_room(*crew)) else {
            return false;
        };
        // Where none is well, a second request would come to nothing as the first does.
        if !self.places.is_closed(place) {
            return false;
        }
        let job = Job::new(turn, given.position, given.chunk, place);
        let job = Job {
            crew,
            is_race: true,
            ..job
        };
        self.send(job, Instant::now());
        true
    }

    /// Whether the chunk of a turn was asked for at a place that was left aside since, or that it is tried with.
    pub(super) fn is_in_doubt(&self, turn: usize) -> bool {
        (self.given(turn)).is_some_and(|given| !self.places.is_closed(given.place))
    }

    /// Whether the first request for the chunk of a turn is still unanswered.
    pub(super) fn is_out(&self, turn: usize) -> bool {
        self.given(turn).is_some_and(|given| given.is_out)
    }

    /// Whether the chunk of a turn was asked for, or would be if there were a place for it.
    pub(super) fn is_asked(&self, turn: usize) -> bool {
        turn < self.turn || (0..self.places.count()).all(|place| !self.places.is_closed(place))
    }

    /// The chunk of a turn that was asked for, and its position.
    pub(super) fn asked(&self, turn: usize) -> Option<(usize, Chunk)> {
        self.given(turn).map(|given| (given.position, given.chunk))
    }

    fn given(&self, turn: usize) -> Option<Given> {
        let given = self.given[turn % self.given.len()];
        given.filter(|given| given.turn == turn)
    }

    /// A job came back.
    pub(super) fn came_back(&mut self, job: &Job) {
        self.crews[job.crew].queued -= 1;
        let slot = job.turn % self.given.len();
        if let Some(given) = self.given[slot].as_mut()
            && given.turn == job.turn
            && !job.is_race
        {
            given.is_out = false;
        }
    }

    /// A place failed. While it is left aside, what waits for it may be asked for elsewhere.
    pub(super) fn failed(&mut self, place: usize, is_unreachable: bool) {
        let now = Instant::now();
        self.places.failed(place, is_unreachable, now);
        if self.places.is_closed(place) {
            return;
        }
        while let Ok(mut job) = self.crews[place].taken_back.try_recv() {
            self.crews[place].queued -= 1;
            job.failed = Some(place);
            self.retries.push((now, job));
        }
    }

    /// Ends the connections over which a chunk has not come for so long, and for twice as long after each time that a
    /// connection was ended for its sake.
    pub(super) fn hang_up_after(&self, limit: Duration) {
        let out = self.given.iter().flatten().filter(|given| given.is_out);
        for given in out {
            let age = self.common.turns.age(given.turn).unwrap_or_default();
            if age > limit.saturating_mul(1 << given.hang_ups.min(16)) {
                self.hang_up(given);
            }
        }
    }

    /// Ends the connection over which the chunk of a turn was asked for.
    pub(super) fn hang_up_on(&self, turn: usize) {
        if let Some(given) = self.given(turn).filter(|given| given.is_out) {
            self.hang_up(&given);
        }
    }

    fn hang_up(&self, given: &Given) {
        // One that no worker has requested yet has no age, and no connection.
        if self.common.turns.age(given.turn).is_some() {
            let worker = self.common.turns.worker(given.turn);
            self.common.hang_ups[given.crew][worker].pull();
        }
    }

    /// Asks once more, not before a time.
    pub(super) fn ask_again(&mut self, at: Instant, job: Job) {
        self.retries.push((at, job));
    }

    /// How long until a job may be asked for again, `limit` at the most.
    pub(super) fn next_due(&self, limit: Duration) -> Duration {
        let now = Instant::now();
        let due = self.retries.iter().map(|(at, job)| {
            let place = match self.places.choose(job.lacking, job.failed, now) {
                Choice::Wait(until) => until,
                Choice::Ask(_) | Choice::Nowhere => now,
            };
            place.max(*at).saturating_duration_since(now)
        });
        due.fold(limit, Duration::min)
    }

    fn send(&mut self, mut job: Job, now: Instant) {
        job.id = self.id;
        self.id += 1;
        self.places.asked(job.place, now);
        if !job.is_race {
            self.common.turns.begin(job.turn);
            let slot = job.turn % self.given.len();
            self.given[slot] = Some(Given {
                turn: job.turn,
                position: job.position,
                chunk: job.chunk,
                place: job.place,
                crew: job.crew,
                lacking: job.lacking,
                hang_ups: job.hang_ups,
                is_out: true,
            });
        }
        let line = &mut self.crews[job.crew];
        line.queued += 1;
        // The channel has room for every job that can be outstanding, so this does not wait; and both its ends are held here.
        let _ = line.jobs.send(job);
    }

    fn has_room(&self, crew: usize) -> bool {
        let in_flight = self.common.in_flight[crew].load(Ordering::Relaxed);
        self.crews[crew].queued < queued(in_flight)
    }

    fn due_again(&mut self, now: Instant) -> Option<Job> {
        // Another place may have had it meanwhile.
        let turns = &self.common.turns;
        self.retries.retain(|(_, job)| !turns.has_come(job.turn));
        let place_of =
            |(at, job): &(Instant, Job)| match self.places.choose(job.lacking, job.failed, now) {
                Choice::Ask(place) if *at <= now && self.has_room(place) => Some(place),
                _ => None,
            };
        // The writer waits for the first of them soonest.
        let due = self.retries.iter().enumerate();
        let due = due.filter_map(|(at, retry)| Some((retry.1.turn, at, place_of(retry)?)));
        let (_, at, place) = due.min()?;
        let (_, mut job) = self.retries.swap_remove(at);
        job.go_to(place);
        Some(job)
    }

    /// The next chunk that must be fetched, if there is a slot for it and it is known that it must.
    fn next_job(&mut self, committed: usize, now: Instant) -> Option<Job> {
        let Common { plan, archive, .. } = self.common;
        if self.turn - committed >= self.slots
            || !(0..self.crews.len()).any(|crew| self.has_room(crew))
        {
            return None;
        }
        loop {
            let is_fetched = plan.step(self.position)? == Step::Fetch;
            match self.scan.map(|scan| scan.finding(self.position)) {
                _ if !is_fetched => {}
                Some(Finding::Unknown) => return None,
                Some(Finding::Holds) => {}
                Some(Finding::Differs) | None => break,
            }
            self.position += 1;
        }
        let Choice::Ask(place) = self.places.choose(Set::default(), None, now) else {
            return None;
        };
        if !self.has_room(place) {
            return None;
        }
        let chunk = archive.index().chunk(self.position)?;
        let job = Job::new(self.turn, self.position, chunk, place);
        self.position += 1;
        self.turn += 1;
        Some(job)
    }
}
