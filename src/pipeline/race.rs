//! Racing: the chunk that the writer waits for is asked for a second time when it is late. Knows nothing of who answers.

use std::time::Duration;

use crate::pipeline::ahead::Ahead;
use crate::pipeline::pace::Pace;
use crate::pipeline::{Common, Job};

/// One chunk in so many may be asked for twice; and of what came, one byte in so many may be for nothing before no more is.
const ONE_IN: usize = 20;

/// So many of them from the start, when few were asked for; of a restore of few chunks, one.
const AT_FIRST: usize = 2;

/// A place that was left aside is given so long with the chunk that it is tried with, and with those that were asked for
/// before, where nothing else is known.
const PROBE: Duration = Duration::from_secs(1);

pub(super) struct Race<'a> {
    common: &'a Common<'a>,
    pace: Pace,
    /// The turn that was raced last. Turns are awaited one after the other, so each is raced once.
    last: Option<usize>,
    races: usize,
    /// The bytes that came, and how many of them came too late.
    fetched: usize,
    surplus: usize,
    /// The turns whose chunks came another way while their first requests are still unanswered. These hold memory.
    abandoned: Vec<usize>,
}

impl<'a> Race<'a> {
    pub(super) fn new(common: &'a Common<'a>) -> Race<'a> {
        Race {
            common,
            pace: Pace::default(),
            last: None,
            races: 0,
            fetched: 0,
            surplus: 0,
            abandoned: Vec::new(),
        }
    }

    /// What nine in ten chunks took at the most, of those that came last.
    pub(super) fn usual(&self) -> Option<Duration> {
        self.pace.usual()
    }

    /// How many chunks were asked for twice.
    pub(super) fn count(&self) -> usize {
        self.races
    }

    /// Asks for the chunk of the turn that is waited for once more if it is late, or says in how long it will be.
    pub(super) fn run(&mut self, turn: usize, ahead: &mut Ahead<'_, '_, '_>) -> Option<Duration> {
        let settings = self.common.settings;
        // What a sick place was asked for would fail sooner or later, and be asked for once more all the same.
        let is_in_doubt = ahead.is_in_doubt(turn);
        if self.last == Some(turn) || self.abandoned.len() >= settings.abandoned {
            return None;
        }
        let most = (self.common.plan.chunks_to_fetch() / ONE_IN).max(1);
        let is_allowed = settings.race
            && self.races < most.min(AT_FIRST + turn / ONE_IN)
            && self.surplus <= self.fetched / ONE_IN;
        let limit = match self.pace.limit() {
            None if is_in_doubt => PROBE,
            Some(limit) if is_in_doubt || is_allowed => limit,
            _ => return None,
        };
        let age = self.common.turns.age(turn)?;
        if age < limit {
            return Some(limit - age);
        }
        if ahead.race(turn) {
            self.last = Some(turn);
            self.races += 1;
        }
        None
    }

    /// A chunk came in so many bytes, and was awaited or had come before.
    pub(super) fn came(
        &mut self,
        job: &Job,
        len: usize,
        was_awaited: bool,
        ahead: &Ahead<'_, '_, '_>,
    ) {
        self.fetched += len;
        if !was_awaited {
            self.surplus += len;
        }
        if let Some(took) = job.took {
            self.pace.took(took);
        }
        if job.is_race && was_awaited && ahead.is_out(job.turn) {
            self.abandoned.push(job.turn);
        }
        self.came_back(job);
    }

    /// A request was answered, by a failure perhaps.
    pub(super) fn came_back(&mut self, job: &Job) {
        if !job.is_race {
            self.abandoned.retain(|turn| *turn != job.turn);
        }
    }
}
