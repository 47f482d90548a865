//! Racing: the chunk that the writer waits for is asked for a second time when it is late. Knows nothing of who answers.

use std::time::Duration;

use crate::pipeline::ahead::{Ahead, WorkersEnded};
use crate::pipeline::pace::Pace;
use crate::pipeline::{Common, Job};

/// One chunk in so many may be asked for twice.
const ONE_IN: usize = 20;

/// And so many from the start, when few were asked for.
const AT_FIRST: usize = 2;

/// A place that was left aside is given so long with the chunk that it is tried with, where nothing else is known.
const PROBE: Duration = Duration::from_secs(1);

pub(super) struct Race<'a> {
    common: &'a Common<'a>,
    pace: Pace,
    /// The turn that was raced last. Turns are awaited one after the other, so each is raced once.
    last: Option<usize>,
    /// That turn, as long as its first request is unanswered.
    unanswered: Option<usize>,
    races: usize,
    /// First requests that are still unanswered although their chunks came another way. They hold memory.
    abandoned: usize,
}

impl<'a> Race<'a> {
    pub(super) fn new(common: &'a Common<'a>) -> Race<'a> {
        Race {
            common,
            pace: Pace::default(),
            last: None,
            unanswered: None,
            races: 0,
            abandoned: 0,
        }
    }

    /// How many chunks were asked for twice.
    pub(super) fn count(&self) -> usize {
        self.races
    }

    /// Asks for the chunk of the turn that is waited for once more if it is late, or says in how long it will be.
    pub(super) fn run(
        &mut self,
        turn: usize,
        ahead: &mut Ahead<'_>,
    ) -> Result<Option<Duration>, WorkersEnded> {
        let settings = self.common.settings;
        let is_probe = ahead.is_probe(turn);
        if self.last == Some(turn) || self.abandoned >= settings.abandoned {
            return Ok(None);
        }
        let is_allowed = settings.race && self.races < AT_FIRST + turn / ONE_IN;
        let limit = match self.pace.limit() {
            None if is_probe => PROBE,
            Some(limit) if is_probe || is_allowed => limit,
            _ => return Ok(None),
        };
        let Some(age) = self.common.turns.age(turn) else {
            return Ok(None);
        };
        if age < limit {
            return Ok(Some(limit - age));
        }
        if ahead.race(turn)? {
            (self.last, self.unanswered) = (Some(turn), Some(turn));
            self.races += 1;
        }
        Ok(None)
    }

    /// A chunk came, which was awaited or had come before.
    pub(super) fn came(&mut self, job: &Job, was_awaited: bool) {
        if let Some(took) = job.took {
            self.pace.took(took);
        }
        match (job.is_race, was_awaited) {
            (true, true) if self.unanswered == Some(job.turn) => self.abandoned += 1,
            (false, false) => self.abandoned = self.abandoned.saturating_sub(1),
            _ => {}
        }
    }

    /// A request failed.
    pub(super) fn failed(&mut self, job: &Job, was_awaited: bool) {
        if job.is_race {
            return;
        }
        if !was_awaited {
            self.abandoned = self.abandoned.saturating_sub(1);
        }
        if self.unanswered == Some(job.turn) {
            self.unanswered = None;
        }
    }
}
