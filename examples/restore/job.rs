//! Restores and verifies what was chosen, with progress and report. Knows nothing of how things were chosen.

use std::fmt::Display;
use std::path::PathBuf;

use chunk_restore::{
    Cancel, Error, ErrorKind, FileTarget, Report, Restore, Result, StreamTarget, Target,
};
use serde_json::Value;

use crate::arguments::Options;
use crate::content::Content;
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

/// A file that something is to be restored into.
#[derive(Debug)]
pub(crate) struct Destination {
    path: PathBuf,
    target: FileTarget,
}

impl Destination {
    /// Refuses a file that exists, unless it was asked to be replaced.
    pub(crate) fn open(path: PathBuf, options: &Options) -> Result<Destination> {
        let target = match options.overwrite && path.symlink_metadata().is_ok() {
            true => FileTarget::replace(&path)?,
            false => FileTarget::create(&path)?,
        };
        Ok(Destination { path, target })
    }
}

impl<'a> Job<'a> {
    /// From here on a signal cancels instead of killing.
    pub(crate) fn new(options: &Options, output: &'a Output) -> Job<'a> {
        let cancel = interrupt::watch(output);
        let mut restore = Restore::new()
            .threads(options.threads)
            .in_flight(options.streams)
            .cancel(&cancel);
        if let Some(bytes) = options.memory {
            restore = restore.memory(bytes);
        }
        Job {
            restore,
            cancel,
            output,
        }
    }

    pub(crate) fn to_file(&self, content: &Content, to: Destination) -> Result<(), Failure> {
        let Destination { path, mut target } = to;
        let partial = target.partial_path().to_owned();
        let restored = self.restore(content, &mut target, path.display());
        // It takes an empty file away.
        drop(target);
        restored.map_err(|failure| match partial.exists() {
            true => failure.leaves(&partial),
            false => failure,
        })
    }

    pub(crate) fn to_stdout(&self, content: &Content) -> Result<(), Failure> {
        let mut target = StreamTarget::stdout()
            .map_err(|error| Failure::target("cannot write to standard output", &error))?;
        self.restore(content, &mut target, "standard output")
    }

    pub(crate) fn verify(&self, content: &Content) -> Result<(), Failure> {
        let name = content.name();
        self.stop_if_cancelled()?;
        match content {
            Content::Archive(archive) => {
                let mut progress = Progress::new(name, archive.index().len(), self.output);
                let verified = self
                    .restore
                    .verify(archive, |event| progress.observe(&event));
                drop(progress);
                let report = verified.map_err(|error| self.failed(name, error))?;
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
    ) -> Result<(), Failure> {
        let name = content.name();
        self.stop_if_cancelled()?;
        let (text, report) = match content {
            Content::Archive(archive) => {
                let mut progress = Progress::new(name, archive.index().len(), self.output);
                let restored =
                    (self.restore).run_with(archive, target, |event| progress.observe(&event));
                drop(progress);
                let report = restored.map_err(|error| self.failed(name, error))?;
                (format!("{place}: {report}"), report)
            }
            Content::Small { bytes, .. } => {
                let written = target
                    .begin(bytes.len() as u64)
                    .and_then(|()| target.write(bytes))
                    .and_then(|()| target.finish());
                written
                    .map_err(|error| Failure::target(format!("cannot write {place}"), &error))?;
                let size = Size::of(bytes.len() as u64);
                (format!("{place}: {size}"), whole(bytes))
            }
        };
        let mut json = event("restored", name, numbers(&report));
        json["target"] = place.to_string().into();
        self.output.report(text, &json)
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
