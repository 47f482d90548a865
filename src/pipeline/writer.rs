//! The writer: asks in index order, ahead by a window of slots, and commits strictly in that order. It owns retry, and
//! knows nothing of how a chunk is fetched.

use std::io;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use crate::buffer::Buffers;
use crate::datastore::snapshot::Archive;
use crate::error::{Error, ErrorKind, Result};
use crate::format::blob::{ChunkDecoder, Verified};
use crate::format::index::Index;
use crate::pipeline::arrivals::Arrivals;
use crate::pipeline::plan::{Plan, Step};
use crate::pipeline::retry::{Verdict, judge};
use crate::pipeline::worker::Arrival;
use crate::pipeline::{Job, Settings};
use crate::report::{Event, Report};
use crate::target::Target;

/// How long it may wait without looking whether it was cancelled.
const GLANCE: Duration = Duration::from_millis(200);

/// How long the observer may hear nothing. Less than the second that is promised, as it is only seen at a glance.
const SILENCE: Duration = Duration::from_millis(500);

/// Zeros are given to the target in pieces, so that it can be cancelled in between.
const ZEROS_AT_ONCE: u64 = 4 << 20;

pub(super) struct Writer<'a> {
    index: &'a Index,
    plan: &'a Plan,
    settings: &'a Settings,
    target: &'a mut dyn Target,
    observe: &'a mut dyn FnMut(Event<'_>),
    jobs: Sender<Job>,
    inbox: Receiver<Arrival>,
    arrivals: Arrivals,
    /// Where in the index to look for the next chunk to ask for.
    ask_from: usize,
    /// The turn of the next chunk that is asked for the first time.
    next_turn: usize,
    /// Jobs that are with the workers.
    queued: usize,
    /// Jobs that wait to be asked for again.
    retries: Vec<(Instant, Job)>,
    /// Buffers of slots that are free.
    spare: Vec<Buffers>,
    report: Report,
    started: Instant,
    told: Instant,
}

impl<'a> Writer<'a> {
    pub(super) fn new(
        archive: &'a Archive,
        plan: &'a Plan,
        settings: &'a Settings,
        target: &'a mut dyn Target,
        observe: &'a mut dyn FnMut(Event<'_>),
        jobs: Sender<Job>,
        inbox: Receiver<Arrival>,
    ) -> Writer<'a> {
        let started = Instant::now();
        let report = Report {
            len: archive.index().len(),
            ..Report::default()
        };
        Writer {
            index: archive.index(),
            plan,
            settings,
            target,
            observe,
            jobs,
            inbox,
            arrivals: Arrivals::new(settings.slots),
            ask_from: 0,
            next_turn: 0,
            queued: 0,
            retries: Vec::new(),
            spare: Vec::new(),
            report,
            started,
            told: started,
        }
    }

    /// Restores everything. Dropping the writer closes both channels, which ends the workers.
    pub(super) fn run(mut self) -> Result<Report> {
        self.check_cancelled()?;
        (self.target.begin(self.index.len()))
            .map_err(|error| self.target_error("prepare", error))?;
        let mut position = 0;
        while let Some(step) = self.plan.step(position) {
            position = match step {
                Step::Zero => self.commit_zeros(position)?,
                Step::Fetch => self.commit_fetched(position)?,
            };
        }
        // The one place that says so: every position was committed.
        self.check_cancelled()?;
        (self.target.finish()).map_err(|error| self.target_error("finish", error))?;
        self.tell_progress();
        Ok(self.report)
    }

    /// Commits a run of zero chunks as one, and says where it ends.
    fn commit_zeros(&mut self, first: usize) -> Result<usize> {
        let mut end = first;
        let mut left = 0;
        while let (Some(Step::Zero), Some(chunk)) = (self.plan.step(end), self.index.chunk(end)) {
            left += u64::from(chunk.len);
            end += 1;
        }
        while left > 0 {
            self.check_cancelled()?;
            self.ask_ahead()?;
            let piece = left.min(ZEROS_AT_ONCE);
            self.give(|target| target.write_zeros(piece))?;
            left -= piece;
            self.report.zeros += piece;
            self.committed(piece)?;
        }
        Ok(end)
    }

    /// Waits for the chunk at a position, commits it, and says what comes next.
    fn commit_fetched(&mut self, position: usize) -> Result<usize> {
        let chunk = self.next_arrival()?;
        let len = chunk.data().len() as u64;
        self.give(|target| target.write(chunk.data()))?;
        self.spare.push(chunk.into_buffers());
        self.report.chunks += 1;
        self.committed(len)?;
        Ok(position + 1)
    }

    fn give(&mut self, write: impl FnOnce(&mut dyn Target) -> io::Result<()>) -> Result<()> {
        let begun = Instant::now();
        let written = write(self.target);
        self.report.writing += begun.elapsed();
        written.map_err(|error| self.target_error("write", error))
    }

    fn next_arrival(&mut self) -> Result<Verified> {
        loop {
            self.check_cancelled()?;
            self.ask_ahead()?;
            if let Some(chunk) = self.arrivals.take_next() {
                return Ok(chunk);
            }
            let begun = Instant::now();
            let received = self.inbox.recv_timeout(self.patience());
            self.report.waiting += begun.elapsed();
            match received {
                Ok(arrival) => self.take(arrival)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(self.stopped()),
            }
            if self.told.elapsed() >= SILENCE {
                self.tell_progress();
            }
        }
    }

    /// Until the next job is due again, or the next glance.
    fn patience(&self) -> Duration {
        let now = Instant::now();
        let due = self
            .retries
            .iter()
            .map(|(at, _)| at.saturating_duration_since(now));
        due.fold(GLANCE, Duration::min)
    }

    /// Counts a commit, and hears what came meanwhile.
    fn committed(&mut self, len: u64) -> Result<()> {
        self.report.committed += len;
        self.tell_progress();
        while let Ok(arrival) = self.inbox.try_recv() {
            self.take(arrival)?;
        }
        Ok(())
    }

    fn take(&mut self, arrival: Arrival) -> Result<()> {
        self.queued -= 1;
        let Arrival {
            mut job,
            fetched,
            spent,
            outcome,
        } = arrival;
        self.report.fetching += spent.fetching;
        self.report.decoding += spent.decoding;
        match outcome {
            Ok(chunk) => {
                self.report.fetched += fetched as u64;
                self.arrivals.insert(job.turn, chunk);
            }
            Err(failure) => match judge(&mut job, failure, self.settings.attempts) {
                Verdict::Again { at, why } => {
                    self.report.retries += 1;
                    (self.observe)(Event::Retried(&why));
                    self.retries.push((at, job));
                }
                Verdict::Final(error) => {
                    // What fails after a cancel fails because of it.
                    self.check_cancelled()?;
                    return Err(error);
                }
            },
        }
        Ok(())
    }

    /// Gives the workers as many jobs as they may have: first those that are due again, which the writer waits for
    /// soonest.
    fn ask_ahead(&mut self) -> Result<()> {
        while self.queued < self.settings.queued() {
            let Some(job) = self.due_again().or_else(|| self.next_job()) else {
                break;
            };
            // The channel has room for every slot, so this does not wait.
            self.jobs.send(job).map_err(|_| self.stopped())?;
            self.queued += 1;
        }
        Ok(())
    }

    fn due_again(&mut self) -> Option<Job> {
        let now = Instant::now();
        let due = self.retries.iter().position(|(at, _)| *at <= now)?;
        Some(self.retries.swap_remove(due).1)
    }

    /// The next chunk that must be fetched, if there is a slot for it.
    fn next_job(&mut self) -> Option<Job> {
        let outstanding = self.next_turn - self.arrivals.next_turn();
        if outstanding >= self.settings.slots {
            return None;
        }
        while self.plan.step(self.ask_from)? != Step::Fetch {
            self.ask_from += 1;
        }
        let position = self.ask_from;
        let job = Job {
            turn: self.next_turn,
            position,
            chunk: self.index.chunk(position)?,
            attempt: 1,
            fresh_connection: false,
            buffers: self.spare.pop().unwrap_or_else(|| self.new_slot()),
        };
        self.ask_from += 1;
        self.next_turn += 1;
        Some(job)
    }

    /// Buffers that never grow: pages that no chunk needs are never touched, and cost nothing.
    fn new_slot(&self) -> Buffers {
        let largest = self.index.largest_chunk();
        let mut buffers = Buffers::default();
        buffers.blob.reserve(ChunkDecoder::blob_limit(largest));
        buffers.data.reserve(largest as usize);
        buffers
    }

    /// Why all workers have ended: they were cancelled, or a panic of theirs is on its way to the caller.
    fn stopped(&self) -> Error {
        let panicked = || Error::new(ErrorKind::Resources, "all workers have ended");
        self.check_cancelled().err().unwrap_or_else(panicked)
    }

    fn check_cancelled(&self) -> Result<()> {
        if self.settings.cancel.is_cancelled() {
            let message = format!(
                "cancelled after {} of {} bytes",
                self.report.committed, self.report.len
            );
            return Err(Error::new(ErrorKind::Cancelled, message));
        }
        Ok(())
    }

    fn tell_progress(&mut self) {
        self.told = Instant::now();
        self.report.elapsed = self.told - self.started;
        (self.observe)(Event::Progress(&self.report));
    }

    fn target_error(&self, verb: &str, error: io::Error) -> Error {
        let offset = self.report.committed;
        let message = format!("cannot {verb} the target at offset {offset}");
        Error::new(ErrorKind::Target, message)
            .because(error)
            .at_offset(offset)
    }
}
