//! Asking ahead: which chunk the workers are asked for next, and which once more. Knows nothing of what is done with them.

use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use crate::format::index::Index;
use crate::pipeline::plan::{Plan, Step};
use crate::pipeline::scan::{Finding, Scan};
use crate::pipeline::{Job, Settings};

/// The jobs that are given out, in index order, by a window of slots.
pub(super) struct Ahead<'a> {
    index: &'a Index,
    plan: &'a Plan,
    scan: Option<&'a Scan<'a>>,
    settings: &'a Settings,
    jobs: Sender<Job>,
    /// Where in the index to look for the next chunk to ask for.
    position: usize,
    /// The turn of the next chunk that is asked for the first time.
    turn: usize,
    /// Jobs that are with the workers.
    queued: usize,
    /// Jobs that wait to be asked for again.
    retries: Vec<(Instant, Job)>,
}

/// Nobody takes jobs any more.
#[derive(Debug)]
pub(super) struct WorkersEnded;

impl<'a> Ahead<'a> {
    pub(super) fn new(
        index: &'a Index,
        plan: &'a Plan,
        scan: Option<&'a Scan<'a>>,
        settings: &'a Settings,
        jobs: Sender<Job>,
    ) -> Ahead<'a> {
        Ahead {
            index,
            plan,
            scan,
            settings,
            jobs,
            position: plan.positions().start,
            turn: 0,
            queued: 0,
            retries: Vec::new(),
        }
    }

    /// Gives the workers as many jobs as they may have: first those that are due again, which the writer waits for
    /// soonest. `committed` is the number of jobs whose chunks have been.
    pub(super) fn ask(&mut self, committed: usize) -> Result<(), WorkersEnded> {
        while self.queued < self.settings.queued() {
            let job = self.due_again().or_else(|| self.next_job(committed));
            let Some(job) = job else { break };
            // The channel has room for every slot, so this does not wait.
            self.jobs.send(job).map_err(|_| WorkersEnded)?;
            self.queued += 1;
        }
        Ok(())
    }

    /// A job came back.
    pub(super) fn came_back(&mut self) {
        self.queued -= 1;
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

    fn due_again(&mut self) -> Option<Job> {
        let now = Instant::now();
        let due = self.retries.iter().position(|(at, _)| *at <= now)?;
        Some(self.retries.swap_remove(due).1)
    }

    /// The next chunk that must be fetched, if there is a slot for it and it is known that it must.
    fn next_job(&mut self, committed: usize) -> Option<Job> {
        if self.turn - committed >= self.settings.slots {
            return None;
        }
        loop {
            let is_fetched = self.plan.step(self.position)? == Step::Fetch;
            match self.scan.map(|scan| scan.finding(self.position)) {
                _ if !is_fetched => {}
                Some(Finding::Unknown) => return None,
                Some(Finding::Holds) => {}
                Some(Finding::Differs) | None => break,
            }
            self.position += 1;
        }
        let job = Job {
            turn: self.turn,
            position: self.position,
            chunk: self.index.chunk(self.position)?,
            attempt: 1,
            fresh_connection: false,
        };
        self.position += 1;
        self.turn += 1;
        Some(job)
    }
}
