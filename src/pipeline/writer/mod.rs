//! The writer: commits strictly in index order. It decides what becomes of a failure, and knows nothing of how a chunk is
//! fetched.

mod commit;
mod patience;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, never, select};

use crate::error::{Error, ErrorKind, Result, Scope};
use crate::format::blob::Verified;
use crate::format::index::Index;
use crate::pipeline::ahead::Ahead;
use crate::pipeline::arrivals::{Arrivals, Arrived};
use crate::pipeline::cache::Cache;
use crate::pipeline::growth::Growth;
use crate::pipeline::held::Arrival;
use crate::pipeline::plan::{Plan, Step};
use crate::pipeline::progress::ProgressTimer;
use crate::pipeline::race::Race;
use crate::pipeline::retry::{Failure, Rules, Verdict, judge};
use crate::pipeline::scan::{Finding, Scan};
use crate::pipeline::{Common, Job, Settings};
use crate::report::{Damage, Event, PlaceReport, Report};
use crate::target::{ReadAt, Target};

/// How long it may wait without looking whether it was cancelled.
const GLANCE: Duration = Duration::from_millis(200);

/// How long the observer may hear nothing. Less than the second that is promised, as it is only seen at a glance.
const SILENCE: Duration = Duration::from_millis(500);

/// Zeros are given to the target in pieces, so that it can be cancelled in between.
const ZEROS_AT_ONCE: u64 = 4 << 20;

pub(super) struct Writer<'a> {
    common: &'a Common<'a>,
    index: &'a Index,
    plan: &'a Plan,
    scan: Option<&'a Scan<'a>>,
    target: &'a mut dyn Target,
    /// The target, where it can be read back.
    readable: Option<Arc<dyn ReadAt>>,
    /// What is needed again, where it can't.
    cache: Cache,
    observe: &'a mut dyn FnMut(Event<'_>),
    arrivals: Arrivals,
    growth: Growth,
    progress: ProgressTimer,
    /// Why a place failed the last time that one did.
    last_failure: Option<String>,
    /// Whether a connection was given up before anything had come over any.
    tried_another: bool,
    /// The positions of chunks that zeros stand in for, in their order.
    lost: Vec<usize>,
    report: Report,
    started: Instant,
    told: Instant,
}

/// The line to the workers. Dropping it ends them.
struct Line<'scope, 'hire, 'a> {
    ahead: Ahead<'scope, 'hire, 'a>,
    race: Race<'a>,
    inbox: Receiver<Arrival>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(
        common: &'a Common<'a>,
        scan: Option<&'a Scan<'a>>,
        readable: Option<Arc<dyn ReadAt>>,
        target: &'a mut dyn Target,
        observe: &'a mut dyn FnMut(Event<'_>),
    ) -> Writer<'a> {
        let started = Instant::now();
        let cache = match readable {
            Some(_) => Cache::default(),
            None => Cache::new(common.plan.repeats()),
        };
        let crew = &common.settings.crews[0];
        Writer {
            common,
            index: common.archive.index(),
            plan: common.plan,
            scan,
            target,
            readable,
            cache,
            observe,
            arrivals: Arrivals::new(common.slots),
            growth: Growth::new(crew.in_flight, crew.most),
            progress: ProgressTimer::new(common.settings.patience),
            last_failure: None,
            tried_another: false,
            lost: Vec::new(),
            report: Report {
                len: common.plan.len(),
                places: vec![PlaceReport::default(); common.archive.sources().len()],
                ..Report::default()
            },
            started,
            told: started,
        }
    }

    /// Restores everything.
    pub(super) fn run(
        mut self,
        ahead: Ahead<'_, '_, '_>,
        inbox: Receiver<Arrival>,
    ) -> Result<Report> {
        let race = Race::new(self.common);
        let line = &mut Line { ahead, race, inbox };
        let mut position = self.plan.positions().start;
        while let (Some(step), Some(chunk)) = (self.plan.step(position), self.index.chunk(position))
        {
            if step == Step::Zero {
                position = self.commit_zeros(position, line)?;
                continue;
            }
            match (step, self.finding(position, line)?) {
                (_, Finding::Holds) => self.keep(&chunk)?,
                (Step::Repeat, _) => self.commit_repeat(position, &chunk)?,
                _ => self.commit_arrival(position, &chunk, line)?,
            }
            self.tell_progress();
            self.hear(line)?;
            position += 1;
        }
        // The one place that says so: every position was committed.
        self.check_cancelled()?;
        let finished = self.target.finish(!self.report.damage.is_empty());
        if let Err(error) = finished {
            self.check_cancelled()?;
            return Err(target_error("finish", self.report.committed, error));
        }
        self.tell_progress();
        Ok(self.report)
    }

    /// Whether the target holds the chunk of a position; waits until it is known.
    fn finding(&mut self, position: usize, line: &mut Line<'_, '_, '_>) -> Result<Finding> {
        loop {
            self.check_cancelled()?;
            self.ask(line)?;
            match self.scan.map(|scan| scan.finding(position)) {
                None => return Ok(Finding::Differs),
                Some(Finding::Unknown) => self.wait(line)?,
                Some(finding) => return Ok(finding),
            }
        }
    }

    /// Waits until something happens: a chunk comes, the scan knows more, or a job is due again.
    fn wait(&mut self, line: &mut Line<'_, '_, '_>) -> Result<()> {
        self.check_cancelled()?;
        self.ask(line)?;
        let nothing = never();
        let bell = self.scan.map_or(&nothing, Scan::bell);
        let turn = self.arrivals.next_turn();
        let until_late = line.race.run(turn, &mut line.ahead);
        self.report.races = line.race.count() as u64;
        let patience = line
            .ahead
            .next_due(GLANCE)
            .min(until_late.unwrap_or(GLANCE));
        let begun = Instant::now();
        let mut arrival = None;
        select! {
            recv(line.inbox) -> received => arrival = received.ok(),
            recv(bell) -> _ => {}
            default(patience) => if line.ahead.lacks_a_worker() {
                return Err(self.stopped());
            }
        }
        let waited = begun.elapsed();
        self.report.waiting += waited;
        if let Some(arrival) = arrival {
            self.take(arrival, line)?;
        } else {
            self.lose_patience(waited, line)?;
        }
        if self.told.elapsed() >= SILENCE {
            self.tell_progress();
        }
        Ok(())
    }

    fn rules(&self) -> Rules {
        Rules {
            attempts: self.common.settings.attempts,
            salvage: self.common.settings.salvage,
        }
    }

    fn ask(&mut self, line: &mut Line<'_, '_, '_>) -> Result<()> {
        line.ahead.ask(self.arrivals.next_turn())
    }

    /// Takes what came meanwhile.
    fn hear(&mut self, line: &mut Line<'_, '_, '_>) -> Result<()> {
        while let Ok(arrival) = line.inbox.try_recv() {
            self.take(arrival, line)?;
        }
        Ok(())
    }

    fn take(&mut self, arrival: Arrival, line: &mut Line<'_, '_, '_>) -> Result<()> {
        line.ahead.came_back(&arrival.job);
        let Arrival {
            mut job,
            fetched,
            spent,
            outcome,
        } = arrival;
        self.report.fetching += spent.fetching;
        self.report.decoding += spent.decoding;
        let bytes = fetched.unwrap_or_default();
        self.report.fetched += bytes as u64;
        self.report.places[job.place].fetched += bytes as u64;
        let failure = match outcome {
            Ok(chunk) => {
                match fetched {
                    Some(_) => line.ahead.places.answered(job.place),
                    None => line.ahead.places.unprobed(job.place, Instant::now()),
                }
                if fetched.is_some() {
                    self.progress.chunk_came(self.common.received_bytes.total());
                }
                let is_awaited = self.arrivals.awaits(job.turn);
                line.race.came(&job, bytes, is_awaited, &line.ahead);
                if !is_awaited {
                    self.report.surplus += bytes as u64;
                    return Ok(());
                }
                if fetched.is_some()
                    && let Some(in_flight) = self.growth.came(self.started.elapsed())
                {
                    line.ahead.allow(in_flight)?;
                }
                self.arrived(&job, chunk, fetched);
                return Ok(());
            }
            Err(Failure::Overtaken) => {
                line.ahead.places.answered(job.place);
                line.race.came(&job, bytes, false, &line.ahead);
                self.report.surplus += bytes as u64;
                return Ok(());
            }
            Err(failure) => failure,
        };
        let scope = failure.scope();
        match scope {
            Some(Scope::Place) => {
                self.report.places[job.place].failures += 1;
                line.ahead.failed(job.place, failure.is_unreachable());
            }
            Some(Scope::Chunk) => {
                line.ahead.places.answered(job.place);
                self.progress.chunk_came(self.common.received_bytes.total());
            }
            Some(Scope::Ours) | None => line.ahead.places.unprobed(job.place, Instant::now()),
        }
        line.race.came_back(&job);
        // A worker that panicked may have been the last of its crew, whose jobs nobody would answer.
        let is_panic = matches!(failure, Failure::Panicked);
        if (job.is_race || !self.arrivals.awaits(job.turn)) && !is_panic {
            return Ok(());
        }
        let now = Instant::now();
        match judge(&mut job, failure, self.rules(), &line.ahead.places, now) {
            Verdict::Again { after, why } => {
                self.report.retries += 1;
                (self.observe)(Event::Retried(&why));
                if scope == Some(Scope::Place) {
                    self.last_failure = Some(format!("{why:?}"));
                }
                job.remember(why);
                line.ahead.ask_again(now + after, job);
                Ok(())
            }
            Verdict::Final(error) => {
                // What fails after a cancel fails because of it.
                self.check_cancelled()?;
                let damage = Damage::of(&job.chunk, job.position, &error);
                let damage = damage
                    .filter(|_| self.common.settings.salvage)
                    .ok_or(error)?;
                self.common.turns.came(job.turn);
                self.arrivals.insert(job.turn, Arrived::Lost(damage));
                Ok(())
            }
        }
    }

    fn arrived(&mut self, job: &Job, chunk: Verified, fetched: Option<usize>) {
        let arrived = match fetched {
            Some(_) => {
                self.report.places[job.place].chunks += 1;
                Arrived::Fetched(chunk)
            }
            None => Arrived::Seeded(chunk),
        };
        self.common.turns.came(job.turn);
        self.arrivals.insert(job.turn, arrived);
    }

    /// Why a worker has ended: it was cancelled, or a panic of its is on its way to the caller.
    fn stopped(&self) -> Error {
        let panicked = || Error::new(ErrorKind::Resources, "a worker has ended");
        self.check_cancelled().err().unwrap_or_else(panicked)
    }

    fn check_cancelled(&self) -> Result<()> {
        check_cancelled(self.common.settings, self.report.committed, self.report.len)
    }

    fn tell_progress(&mut self) {
        self.told = Instant::now();
        self.report.elapsed = self.told - self.started;
        (self.observe)(Event::Progress(&self.report));
    }
}

pub(super) fn check_cancelled(settings: &Settings, committed: u64, len: u64) -> Result<()> {
    if settings.cancel.is_cancelled() {
        let message = format!("cancelled after {committed} of {len} bytes");
        return Err(Error::new(ErrorKind::Cancelled, message));
    }
    Ok(())
}

pub(super) fn target_error(verb: &str, offset: u64, error: io::Error) -> Error {
    let message = format!("cannot {verb} the target at offset {offset}");
    Error::new(ErrorKind::Target, message)
        .because(error)
        .at_offset(offset)
}
