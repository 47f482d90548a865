//! Asking ahead: which chunk is asked for next, where, and which once more. Knows nothing of what is done with them.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};

use crate::format::index::Chunk;
use crate::pipeline::places::{Places, Set};
use crate::pipeline::plan::Step;
use crate::pipeline::scan::{Finding, Scan};
use crate::pipeline::{Common, Job, queued};

/// The jobs that are given out, in index order, by a window of slots.
pub(super) struct Ahead<'a> {
    common: &'a Common<'a>,
    scan: Option<&'a Scan<'a>>,
    crews: Vec<Line>,
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
    lacking: Set,
    /// Its answer has not come.
    is_out: bool,
}

/// The line to one crew.
struct Line {
    jobs: Sender<Job>,
    /// The workers' end, to take back what they have not taken.
    taken_back: Receiver<Job>,
    /// Jobs that are with its workers.
    queued: usize,
}

/// Nobody takes jobs any more.
#[derive(Debug)]
pub(super) struct WorkersEnded;

impl<'a> Ahead<'a> {
    /// With a line to each crew, in their order.
    pub(super) fn new(
        common: &'a Common<'a>,
        scan: Option<&'a Scan<'a>>,
        lines: Vec<(Sender<Job>, Receiver<Job>)>,
    ) -> Ahead<'a> {
        let crews = lines.into_iter();
        Ahead {
            common,
            scan,
            crews: crews
                .map(|(jobs, taken_back)| Line {
                    jobs,
                    taken_back,
                    queued: 0,
                })
                .collect(),
            places: Places::new(common.archive.sources().len()),
            position: common.plan.positions().start,
            turn: 0,
            id: 0,
            retries: Vec::new(),
            given: vec![None; common.settings.slots],
        }
    }

    /// Gives the workers as many jobs as they may have: first those that are due again, which the writer waits for
    /// soonest. `committed` is the number of jobs whose chunks have been.
    pub(super) fn ask(&mut self, committed: usize) -> Result<(), WorkersEnded> {
        while let Some(job) = self.due_again() {
            self.send(job)?;
        }
        while let Some(job) = self.next_job(committed) {
            self.send(job)?;
        }
        Ok(())
    }

    /// Asks for the chunk of a turn a second time, of a crew that does nothing else; `false` where none is free, or the
    /// first request has failed and is to be made again.
    pub(super) fn race(&mut self, turn: usize) -> Result<bool, WorkersEnded> {
        let Some(given) = self.given(turn).filter(|given| given.is_out) else {
            return Ok(false);
        };
        let place = self.places.another(given.place, given.lacking);
        let mut crews = self.common.settings.crews.iter();
        let crew = crews.position(|crew| crew.is_racing && crew.source == place);
        let Some(crew) = crew.filter(|crew| self.has_room(*crew)) else {
            return Ok(false);
        };
        let job = Job::new(turn, given.position, given.chunk, place);
        self.send(Job {
            crew,
            is_race: true,
            ..job
        })?;
        Ok(true)
    }

    /// Whether the chunk of a turn was asked for at a place that was left aside since, or that it is tried with.
    pub(super) fn is_in_doubt(&self, turn: usize) -> bool {
        (self.given(turn)).is_some_and(|given| !self.places.is_trusted(given.place))
    }

    /// Whether the first request for the chunk of a turn is still unanswered.
    pub(super) fn is_out(&self, turn: usize) -> bool {
        self.given(turn).is_some_and(|given| given.is_out)
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

    /// A place failed. When it is given up for a while, what waits for it is asked elsewhere.
    pub(super) fn failed(&mut self, place: usize) {
        self.places.failed(place);
        if !self.places.is_aside(place) {
            return;
        }
        let now = Instant::now();
        while let Ok(mut job) = self.crews[place].taken_back.try_recv() {
            self.crews[place].queued -= 1;
            let other = self.places.choose(job.lacking, Some(place));
            job.go_to(other.unwrap_or(place));
            self.retries.push((now, job));
        }
    }

    /// Asks once more, not before a time.
    pub(super) fn ask_again(&mut self, at: Instant, job: Job) {
        self.retries.push((at, job));
    }

    /// How long until a job is due again, `limit` at the most.
    pub(super) fn next_due(&self, limit: Duration) -> Duration {
        let now = Instant::now();
        let due = self.retries.iter();
        due.map(|(at, _)| at.saturating_duration_since(now))
            .fold(limit, Duration::min)
    }

    fn send(&mut self, mut job: Job) -> Result<(), WorkersEnded> {
        job.id = self.id;
        self.id += 1;
        self.places.asked(job.place);
        if !job.is_race {
            self.common.turns.begin(job.turn);
            let slot = job.turn % self.given.len();
            self.given[slot] = Some(Given {
                turn: job.turn,
                position: job.position,
                chunk: job.chunk,
                place: job.place,
                lacking: job.lacking,
                is_out: true,
            });
        }
        let line = &mut self.crews[job.crew];
        line.queued += 1;
        // The channel has room for every job that can be outstanding, so this does not wait.
        line.jobs.send(job).map_err(|_| WorkersEnded)
    }

    fn has_room(&self, crew: usize) -> bool {
        let in_flight = self.common.in_flight[crew].load(Ordering::Relaxed);
        self.crews[crew].queued < queued(in_flight)
    }

    fn due_again(&mut self) -> Option<Job> {
        let now = Instant::now();
        let is_due = |(at, job): &(Instant, Job)| *at <= now && self.has_room(job.crew);
        let due = self.retries.iter().position(is_due)?;
        let (_, job) = self.retries.swap_remove(due);
        // Another place may have had it meanwhile.
        if self.common.turns.has_come(job.turn) {
            return self.due_again();
        }
        Some(job)
    }

    /// The next chunk that must be fetched, if there is a slot for it and it is known that it must.
    fn next_job(&mut self, committed: usize) -> Option<Job> {
        let Common {
            plan,
            archive,
            settings,
            ..
        } = self.common;
        if self.turn - committed >= settings.slots
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
        let place = self.places.choose(Set::default(), None)?;
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
