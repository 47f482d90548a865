//! The writer: commits chunks strictly in the order of the index.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cancel::Cancel;
use crate::datastore::snapshot::Archive;
use crate::error::{Error, ErrorKind, Result};
use crate::report::{Event, Report};
use crate::restore::cache::Cache;
use crate::restore::plan::{Plan, Step};
use crate::restore::scan::{Finding, Scan};
use crate::restore::window::Window;
use crate::target::{ReadAt, Target};

/// How long the writer may wait before it checks again whether it was cancelled.
const GLANCE: Duration = Duration::from_millis(200);

/// How long the observer may hear nothing. This is less than the promised second, since the writer
/// checks it only every [`GLANCE`].
const SILENCE_MAX: Duration = Duration::from_millis(500);

/// Commits an archive into a target.
pub(super) struct Writer<'a> {
    pub(super) archive: &'a Archive,
    pub(super) plan: &'a Plan,
    scan: Option<&'a Scan>,
    cancel: &'a Cancel,
    pub(super) target: &'a mut dyn Target,
    /// A reader of the target, if it can be read back.
    pub(super) readable: Option<Arc<dyn ReadAt>>,
    /// The chunks that are needed again, if the target can't be read back.
    pub(super) cache: Cache,
    /// The chunks that the target has been lent, for which memory is set aside.
    pub(super) loans: Loans,
    /// How many bytes the target was given. Some of them may not be written yet.
    pub(super) given: u64,
    pub(super) observe: &'a mut dyn FnMut(Event<'_>),
    /// The positions of the chunks that zeros stand in for, sorted.
    pub(super) lost: Vec<usize>,
    pub(super) report: Report,
    started: Instant,
    told: Instant,
}

/// The chunks that a target is lent until it has written them.
#[derive(Debug, Default)]
pub(super) struct Loans {
    /// How many chunks may be lent at a time.
    max: usize,
    lent: Arc<()>,
}

impl Loans {
    /// At most `max` at a time.
    pub(super) fn new(max: usize) -> Loans {
        let lent = Arc::default();
        Loans { max, lent }
    }

    /// What is counted for one more chunk, if one more may be lent.
    pub(super) fn lend(&self) -> Option<&Arc<()>> {
        (Arc::strong_count(&self.lent) <= self.max).then_some(&self.lent)
    }
}

impl<'a> Writer<'a> {
    pub(super) fn new(
        archive: &'a Archive,
        plan: &'a Plan,
        scan: Option<&'a Scan>,
        cancel: &'a Cancel,
        readable: Option<Arc<dyn ReadAt>>,
        target: &'a mut dyn Target,
        observe: &'a mut dyn FnMut(Event<'_>),
    ) -> Writer<'a> {
        let started = Instant::now();
        let cache = match readable {
            Some(_) => Cache::default(),
            None => Cache::new(plan.repeats()),
        };
        Writer {
            archive,
            plan,
            scan,
            cancel,
            target,
            readable,
            cache,
            loans: Loans::default(),
            given: 0,
            observe,
            lost: Vec::new(),
            report: Report {
                len: plan.len() - plan.skipped(),
                skipped: plan.skipped(),
                ..Report::default()
            },
            started,
            told: started,
        }
    }

    /// Lends chunks to the target.
    pub(super) fn lending(self, loans: Loans) -> Writer<'a> {
        Writer { loans, ..self }
    }

    /// Restores everything.
    pub(super) fn run(mut self, window: &mut Window<'_>) -> Result<Report> {
        let index = self.archive.index();
        let mut position = self.plan.positions().start;
        while let (Some(step), Some(chunk)) = (self.plan.step(position), index.chunk(position)) {
            if step == Step::Zero {
                position = self.commit_zeros(position, window)?;
                continue;
            }
            if step == Step::Skip {
                position += 1;
                continue;
            }
            match (step, self.finding(position, window)?) {
                (_, Finding::Holds) => self.keep(&chunk)?,
                (Step::Repeat, _) => self.commit_repeat(position, &chunk, window)?,
                _ => self.commit_next(position, &chunk, window)?,
            }
            self.tell_progress(window);
            self.take_answers(window)?;
            position += 1;
        }
        // This is the only place that calls `finish`: every position was committed.
        self.check_cancelled()?;
        let finished = self.target.finish(!self.report.damage.is_empty());
        if let Err(error) = finished {
            self.check_cancelled()?;
            self.record_written();
            let verb = match self.report.committed < self.given {
                true => "write",
                false => "finish",
            };
            return Err(target_error(verb, self.report.committed, error));
        }
        self.report.committed = self.given;
        self.tell_progress(window);
        Ok(self.report)
    }

    /// Whether the target holds the chunk of a position. Waits until that is known.
    fn finding(&mut self, position: usize, window: &mut Window<'_>) -> Result<Finding> {
        loop {
            self.check_cancelled()?;
            window.fill()?;
            match self.scan.map(|scan| scan.finding(position)) {
                None => return Ok(Finding::Differs),
                Some(Finding::Unknown) => self.wait(window)?,
                Some(finding) => return Ok(finding),
            }
        }
    }

    /// Waits until a chunk comes or the scan knows more.
    pub(super) fn wait(&mut self, window: &mut Window<'_>) -> Result<()> {
        self.check_cancelled()?;
        let observe = &mut *self.observe;
        let waited = window.wait(GLANCE, &mut |error| observe(Event::Retried(error)));
        self.report.waiting += self.unless_cancelled(waited)?;
        if self.told.elapsed() >= SILENCE_MAX {
            self.tell_progress(window);
        }
        Ok(())
    }

    /// Takes the answers that came meanwhile.
    pub(super) fn take_answers(&mut self, window: &mut Window<'_>) -> Result<()> {
        let observe = &mut *self.observe;
        let taken = window.take_answers(&mut |error| observe(Event::Retried(error)));
        self.unless_cancelled(taken)
    }

    /// Turns any failure after a cancel into the error of the cancel, since the cancel is its
    /// reason.
    fn unless_cancelled<T>(&self, result: Result<T>) -> Result<T> {
        if result.is_err() {
            self.check_cancelled()?;
        }
        result
    }

    pub(super) fn check_cancelled(&self) -> Result<()> {
        check_cancelled(self.cancel, self.report.committed, self.report.len)
    }

    /// Counts as committed what the target has written by now.
    pub(super) fn record_written(&mut self) {
        let written = self.target.written(self.given).min(self.given);
        self.report.committed = written.max(self.report.committed);
    }

    pub(super) fn tell_progress(&mut self, window: &Window<'_>) {
        self.record_written();
        let tally = window.tally();
        let report = &mut self.report;
        (report.fetched, report.surplus) = (tally.fetched, tally.surplus);
        (report.retries, report.races) = (tally.retries, tally.hedges);
        (report.fetching, report.decoding) = (tally.fetching, tally.decoding);
        report.places.clone_from(&tally.places);
        self.told = Instant::now();
        report.elapsed = self.told - self.started;
        (self.observe)(Event::Progress(report));
    }
}

/// Returns an error if somebody cancelled the restore.
pub(super) fn check_cancelled(cancel: &Cancel, committed: u64, len: u64) -> Result<()> {
    if cancel.is_cancelled() {
        let message = format!("cancelled after {committed} of {len} bytes");
        return Err(Error::new(ErrorKind::Cancelled, message));
    }
    Ok(())
}

/// A failure of the target.
pub(super) fn target_error(verb: &str, offset: u64, error: io::Error) -> Error {
    let message = format!("cannot {verb} the target at offset {offset}");
    Error::new(ErrorKind::Target, message)
        .because(error)
        .at_offset(offset)
}
