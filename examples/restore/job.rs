//! Restores and verifies what was chosen, with progress and report. Knows nothing of how things were chosen.

use std::ffi::OsString;
use std::fmt::Display;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use chunk_restore::{Cancel, Error, ErrorKind, Report, Restore, Seed, StreamTarget, Target};
use serde_json::{Value, json};

use crate::arguments::Options;
use crate::content::Content;
use crate::damage;
use crate::destination::Destination;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt;
use crate::output::Output;
use crate::progress::{Progress, numbers};
use crate::size::Size;

/// Restores things one after the other, until it is interrupted.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    restore: Restore,
    cancel: Cancel,
    output: &'a Output,
}

impl<'a> Job<'a> {
    /// From here on a signal cancels instead of killing.
    pub(crate) fn new(options: &Options, output: &'a Output) -> Job<'a> {
        let cancel = interrupt::watch(output);
        let mut restore = Restore::new()
            .threads(options.threads)
            .in_flight(options.streams)
            .race(options.race)
            .cancel(&cancel);
        if let Some(bytes) = options.rate {
            restore = restore.rate(bytes);
        }
        if let Some(bytes) = options.memory {
            restore = restore.memory(bytes);
        }
        Job {
            restore,
            cancel,
            output,
        }
    }

    /// Looks for chunks in these images too.
    pub(crate) fn with_seeds(mut self, seeds: Vec<Seed>) -> Job<'a> {
        self.restore = seeds.into_iter().fold(self.restore, Restore::seed);
        self
    }

    pub(crate) fn only(mut self, range: Range<u64>) -> Job<'a> {
        self.restore = self.restore.range(range);
        self
    }

    /// Goes on after damage, with zeros.
    pub(crate) fn salvaging(mut self, yes: bool) -> Job<'a> {
        self.restore = self.restore.salvage(yes);
        self
    }

    /// Restores into a file or device, and lists in a file what was lost.
    pub(crate) fn to_destination(
        &self,
        content: &Content,
        mut to: Destination,
        damage_map: Option<&Path>,
    ) -> Result<Exit, Failure> {
        let path = to.path().to_owned();
        let report = match self.restore(content, to.target(), path.display()) {
            Ok(report) => report,
            Err(failure) => {
                return Err(match to.into_partial() {
                    Some(partial) => failure.leaves(&partial),
                    None => failure,
                });
            }
        };
        if to.untouched(report.len) > 0 {
            let untouched = Size::of(to.untouched(report.len));
            let text = format!(
                "{}: the last {untouched} of it are as they were",
                path.display()
            );
            self.output.remark(
                text,
                &json!({ "event": "untouched", "bytes": to.untouched(report.len) }),
            );
        }
        let named_damaged = beside(&path, ".damaged");
        let map = match damage_map {
            Some(map) => map.to_owned(),
            None => beside(&named_damaged, ".json"),
        };
        let left = if to.is_device() {
            &path
        } else {
            &named_damaged
        };
        self.tell_damage(content, &report, &left.display().to_string(), Some(&map))
    }

    pub(crate) fn to_stdout(
        &self,
        content: &Content,
        damage_map: Option<&Path>,
    ) -> Result<Exit, Failure> {
        let mut target = StreamTarget::stdout()
            .map_err(|error| Failure::target("cannot write to standard output", &error))?;
        let report = self.restore(content, &mut target, "standard output")?;
        self.tell_damage(content, &report, "standard output", damage_map)
    }

    /// Fetches and checks everything, also after damage.
    pub(crate) fn verify(&self, content: &Content) -> Result<(), Failure> {
        let name = content.name();
        self.stop_if_cancelled()?;
        match content {
            Content::Archive(archive) => {
                let mut progress = Progress::new(name, archive.index().len(), self.output);
                let verified = (self.restore.clone())
                    .salvage(true)
                    .verify(archive, |event| progress.observe(&event));
                drop(progress);
                let report = verified.map_err(|error| self.failed(name, error))?;
                if !report.damage.is_empty() {
                    return Err(Failure::damaged(name, &report.damage));
                }
                let json = event("verified", name, numbers(&report));
                self.output
                    .report(format!("{name} verified: {report}"), &json)
            }
            // It was checked when it was read.
            Content::Small { bytes, .. } => {
                let json = event("verified", name, numbers(&whole(bytes)));
                let size = Size::of(bytes.len() as u64);
                self.output
                    .report(format!("{name} verified: {size}"), &json)
            }
        }
    }

    fn restore(
        &self,
        content: &Content,
        target: &mut dyn Target,
        place: impl Display,
    ) -> Result<Report, Failure> {
        let name = content.name();
        self.stop_if_cancelled()?;
        let (text, report) = match content {
            Content::Archive(archive) => {
                let len = self.restore.plan(archive).len();
                let mut progress = Progress::new(name, len, self.output);
                let restored =
                    (self.restore).run_with(archive, target, |event| progress.observe(&event));
                drop(progress);
                let report = restored.map_err(|error| self.failed(name, error))?;
                (format!("{place}: {report}"), report)
            }
            Content::Small { bytes, .. } => {
                let written = target
                    .begin(bytes.len() as u64, 0)
                    .and_then(|()| target.write(bytes))
                    .and_then(|()| target.finish(false));
                written
                    .map_err(|error| Failure::target(format!("cannot write {place}"), &error))?;
                let size = Size::of(bytes.len() as u64);
                (format!("{place}: {size}"), whole(bytes))
            }
        };
        let mut json = event("restored", name, numbers(&report));
        json["target"] = place.to_string().into();
        self.output.report(text, &json)?;
        Ok(report)
    }

    /// Says what was lost and where it is listed. Of an archive that was restored whole, an older list goes away.
    fn tell_damage(
        &self,
        content: &Content,
        report: &Report,
        target: &str,
        map: Option<&Path>,
    ) -> Result<Exit, Failure> {
        let Content::Archive(archive) = content else {
            return Ok(Exit::Done);
        };
        if report.damage.is_empty() {
            if let Some(map) = map {
                let _ = fs::remove_file(map);
            }
            return Ok(Exit::Done);
        }
        let mut text = format!("{target} is damaged: {}", damage::summary(&report.damage));
        if let Some(map) = map {
            damage::write_map(map, archive, target, &report.damage).map_err(|error| {
                Failure::target(
                    format!("cannot write the list of damage {}", map.display()),
                    &error,
                )
            })?;
            text += &format!("\n  listed in {}", map.display());
        }
        let json = json!({
            "event": "damaged",
            "archive": content.name(),
            "target": target,
            "chunks": report.damage.len(),
            "map": map.map(|map| map.to_string_lossy()),
        });
        self.output.warn(text, &json);
        Ok(Exit::Damaged)
    }

    fn stop_if_cancelled(&self) -> Result<(), Failure> {
        if self.cancel.is_cancelled() {
            Err(Failure::interrupted())
        } else {
            Ok(())
        }
    }

    fn failed(&self, name: &str, error: Error) -> Failure {
        // Ctrl-C on a terminal also ends whoever reads the other end of a pipe, perhaps sooner.
        if self.cancel.is_cancelled() && error.kind() == ErrorKind::Target {
            return Failure::interrupted();
        }
        Failure::from(error).about(name)
    }
}

/// The path with something added to its name.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn event(event: &str, name: &str, mut numbers: Value) -> Value {
    numbers["event"] = event.into();
    numbers["archive"] = name.into();
    numbers
}

/// The report on a small file, which is there at once.
fn whole(bytes: &[u8]) -> Report {
    let mut report = Report::default();
    report.len = bytes.len() as u64;
    report.committed = report.len;
    report
}
