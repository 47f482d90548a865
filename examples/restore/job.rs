//! Restores and verifies archives and small files, and shows progress and reports.

use std::error::Error as _;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use chunk_restore::target::Target;
use chunk_restore::{Digest, Error, ErrorKind, Event, Report, Restore, Seed, StreamTarget};
use serde_json::{Value, json};

use crate::content::Content;
use crate::damage;
use crate::damage_map::DamageMap;
use crate::destination::{Destination, write_whole};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::options::Options;
use crate::output::Output;
use crate::progress::{Progress, numbers};
use crate::size::Size;
use crate::stdout;
use crate::vm::together::Together;

/// What the options say about how chunks are fetched. The patience is that of the library, unless an
/// option names one.
pub(crate) fn settings(options: &Options, interrupt: &Interrupt) -> Restore {
    let mut restore = Restore::new()
        .threads(options.threads)
        .in_flight(options.streams)
        .race(options.race)
        .cancel(interrupt.cancel());
    if let Some(bytes) = options.rate {
        restore = restore.rate(bytes);
    }
    if let Some(bytes) = options.memory {
        restore = restore.memory(bytes);
    }
    if options.patience.is_some() {
        restore = restore.patience(options.patience());
    }
    restore
}

/// Restores one thing after the other, until it is interrupted.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    restore: Restore,
    /// Which bytes of an archive are restored.
    range: Range<u64>,
    salvages: bool,
    interrupt: &'a Interrupt,
    output: &'a Output,
}

impl<'a> Job<'a> {
    pub(crate) fn new(options: &Options, interrupt: &'a Interrupt, output: &'a Output) -> Job<'a> {
        Job {
            restore: settings(options, interrupt).patience(options.patience()),
            range: 0..u64::MAX,
            salvages: false,
            interrupt,
            output,
        }
    }

    /// Also looks for chunks in these images.
    pub(crate) fn with_seeds(mut self, seeds: Vec<Seed>) -> Job<'a> {
        self.restore = seeds.into_iter().fold(self.restore, Restore::seed);
        self
    }

    pub(crate) fn only(mut self, range: Range<u64>) -> Job<'a> {
        self.restore = self.restore.range(range.clone());
        self.range = range;
        self
    }

    /// Continues after damage, with zeros in place of lost chunks.
    pub(crate) fn salvaging(mut self, yes: bool) -> Job<'a> {
        self.restore = self.restore.salvage(yes);
        self.salvages = yes;
        self
    }

    /// How many bytes are restored, and how many of them are chunks of zeros.
    pub(crate) fn planned(&self, content: &Content) -> (u64, u64) {
        match content {
            Content::Archive { archive, .. } => {
                let plan = self.restore.plan(archive);
                (plan.len(), plan.zeros())
            }
            Content::Small { bytes, .. } => (bytes.len() as u64, 0),
        }
    }

    /// Restores into a file or device, and writes a list of the damage.
    pub(crate) fn to_destination(
        &self,
        content: &Content,
        to: Destination,
    ) -> Result<Exit, Failure> {
        self.beside_others(content, to, None)
    }

    /// Does the same as one of several archives that are restored at the same time: as the one with
    /// this number, if there is a number.
    pub(crate) fn beside_others(
        &self,
        content: &Content,
        mut to: Destination,
        together: Option<(&Together<'_>, usize)>,
    ) -> Result<Exit, Failure> {
        let path = to.path().display().to_string();
        if to.is_unlocked() {
            let text = format!(
                "{path} can't be locked on its file system: no other restore may write to it meanwhile"
            );
            self.output
                .warn(text, &json!({ "event": "unlocked", "target": path }));
        }
        let mut begun = false;
        let restored = self.restore(content, to.target(), &path, &mut begun, together);
        let report = match restored {
            Ok(report) => report,
            Err(failure) => {
                return Err(match to.into_rest(begun) {
                    Some(rest) => failure.leaves(&rest),
                    None => failure,
                });
            }
        };
        let place = match report.damage.is_empty() {
            true => path,
            false => to.damaged().display().to_string(),
        };
        if report.damage.is_empty() {
            to.forget_damage();
        }
        let untouched = to.untouched(report.len);
        let tell = || {
            let exit = self.tell(content, &place, &report, Some(to.map()))?;
            if untouched > 0 {
                let text = format!("{place}: the last {} are as they were", Size::of(untouched));
                self.output
                    .remark(text, &json!({ "event": "untouched", "bytes": untouched }));
            }
            Ok(exit)
        };
        match together {
            Some((together, _)) => together.suspend(tell),
            None => tell(),
        }
    }

    pub(crate) fn to_stdout(
        &self,
        content: &Content,
        map: Option<PathBuf>,
    ) -> Result<Exit, Failure> {
        let place = "standard output";
        let map = map.map(|map| DamageMap::new(map, Path::new(place)));
        map.as_ref().map_or(Ok(()), |map| map.check(&[]))?;
        let mut target = StreamTarget::new(stdout::writer(self.interrupt)?);
        let report = self.restore(content, &mut target, place, &mut false, None)?;
        if let Some(map) = map.as_ref().filter(|_| report.damage.is_empty()) {
            map.remove();
        }
        self.tell(content, place, &report, map.as_ref())
    }

    /// Fetches and checks the chunks that are chosen, and continues after damage, which is in the
    /// report. `observe` hears what happens.
    pub(crate) fn verify(
        &self,
        content: &Content,
        choose: impl FnMut(&Digest) -> bool,
        mut observe: impl FnMut(&Event<'_>),
    ) -> Result<Report, Failure> {
        let name = content.name();
        let _running = self.interrupt.run()?;
        match content {
            Content::Archive { archive, .. } => {
                let mut progress = Progress::new(name, archive.index().len(), self.output);
                let restore = self.restore.clone().salvage(true);
                let verified = restore.verify_chosen(archive, choose, |event| {
                    observe(&event);
                    progress.observe(&event);
                });
                drop(progress);
                let report = verified.map_err(|error| self.failed(name, error))?;
                if !report.damage.is_empty() {
                    return Ok(report);
                }
                let json = event("verified", name, numbers(&report));
                let verified = match report.skipped {
                    0 => "verified",
                    _ => "verified in part",
                };
                (self.output).report(format!("{name} {verified}: {report}"), &json);
                Ok(report)
            }
            // A small file was checked when it was read.
            Content::Small { bytes, .. } => {
                let report = whole(bytes);
                let json = event("verified", name, numbers(&report));
                let size = Size::of(report.len);
                (self.output).report(format!("{name} verified: {size}"), &json);
                Ok(report)
            }
        }
    }

    /// Restores; a failure says whether the target had `begun` to take bytes.
    fn restore(
        &self,
        content: &Content,
        target: &mut dyn Target,
        place: &str,
        begun: &mut bool,
        together: Option<(&Together<'_>, usize)>,
    ) -> Result<Report, Failure> {
        let _running = self.interrupt.run()?;
        match content {
            Content::Archive { archive, .. } => {
                let name = content.name();
                let own = || Progress::new(name, self.planned(content).0, self.output);
                let mut progress = together.is_none().then(own);
                let mut restore = self.restore.clone();
                if let Some((together, number)) = together {
                    let (part, whole) = together.part(number);
                    restore = restore.part(part, whole);
                }
                let restored = restore.run_with(archive, target, |event| {
                    *begun = true;
                    match (&mut progress, together) {
                        (Some(progress), _) => progress.observe(&event),
                        (_, Some((together, number))) => together.observe(number, name, &event),
                        (None, None) => {}
                    }
                });
                drop(progress);
                restored.map_err(|error| match error.kind() {
                    ErrorKind::Target => self.cannot_write(place, *begun, error),
                    _ => self.failed(content.name(), error),
                })
            }
            Content::Small { bytes, .. } => {
                write_whole(target, bytes)
                    .map_err(|error| Failure::target(format!("cannot write {place}"), &error))?;
                Ok(whole(bytes))
            }
        }
    }

    fn tell_restored(&self, content: &Content, place: &str, report: &Report) {
        let mut json = event("restored", content.name(), numbers(report));
        json["target"] = place.into();
        let text = match content {
            Content::Archive { .. } => format!("{place}: {report}"),
            Content::Small { .. } => format!("{place}: {}", Size::of(report.len)),
        };
        self.output.report(text, &json);
    }

    /// Writes the list of damage before any message, since messages may fail to be written.
    fn tell(
        &self,
        content: &Content,
        place: &str,
        report: &Report,
        map: Option<&DamageMap>,
    ) -> Result<Exit, Failure> {
        let listed = match content {
            Content::Archive { archive, .. } if !report.damage.is_empty() => {
                let range = self.range.start..self.range.start + report.len;
                let name = content.name();
                map.map_or(Ok(()), |map| {
                    map.write(name, archive, &range, &report.damage)
                })
            }
            _ => Ok(()),
        };
        let mut exit = Exit::Done;
        self.tell_restored(content, place, report);
        if !report.damage.is_empty() {
            let written = map.filter(|_| listed.is_ok());
            self.tell_damage(content, report, place, written);
            exit = Exit::Damaged;
        }
        match (listed, map) {
            (Err(error), Some(map)) => {
                let map = map.path().display();
                let message = format!("cannot write the list of damage {map}");
                Err(Failure::target(message, &error))
            }
            _ => Ok(exit),
        }
    }

    /// Says which chunks were lost, and which file lists them.
    fn tell_damage(
        &self,
        content: &Content,
        report: &Report,
        target: &str,
        map: Option<&DamageMap>,
    ) {
        let mut text = format!("{target} is damaged: {}", damage::summary(&report.damage));
        if let Some(map) = map {
            text += &format!("\n  listed in {}", map.path().display());
        }
        let json = json!({
            "event": "damaged",
            "archive": content.name(),
            "target": target,
            "chunks": report.damage.len(),
            "map": map.map(|map| map.path().to_string_lossy()),
        });
        self.output.warn(text, &json);
    }

    /// The failure for an error of the target.
    fn cannot_write(&self, place: &str, begun: bool, error: Error) -> Failure {
        // Ctrl-C on a terminal also ends the program that reads from a pipe, perhaps before this
        // one.
        if self.interrupt.cancel().is_cancelled() {
            return Failure::interrupted();
        }
        let cause = error.source().and_then(|cause| cause.downcast_ref());
        match cause.map(|cause: &io::Error| (cause.kind(), cause.get_ref())) {
            Some((io::ErrorKind::AlreadyExists, Some(_))) => Failure::differs(Path::new(place)),
            Some((io::ErrorKind::InvalidInput, Some(_))) if !begun => (Failure::from(error))
                .about(place)
                .advises("--overwrite instead of --reuse replaces it once all is there"),
            Some((io::ErrorKind::StorageFull, _)) if begun => {
                (Failure::from(error).about(place)).advises("make room first")
            }
            _ => Failure::from(error).about(place),
        }
    }

    /// The failure for an error of the place that the data comes from.
    fn failed(&self, name: &str, error: Error) -> Failure {
        let failure = Failure::from(error).about(name);
        if failure.exit() == Exit::Integrity && !self.salvages {
            return failure
                .advises("--salvage puts zeros in place of what is damaged, and lists it");
        }
        failure
    }
}

fn event(event: &str, name: &str, mut numbers: Value) -> Value {
    numbers["event"] = event.into();
    numbers["archive"] = name.into();
    numbers
}

/// The report about a small file, which was read before.
fn whole(bytes: &[u8]) -> Report {
    let mut report = Report::default();
    report.len = bytes.len() as u64;
    report.committed = report.len;
    report
}
