//! Shows how far a restore is: a bar on a terminal, lines in a log, events for programs.

use std::fmt;
use std::io::{self, IsTerminal};
use std::time::Duration;

use chunk_restore::{Damage, Event, Report};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use crate::damage;
use crate::failure::Failure;
use crate::output::{Output, counted};
use crate::shown::{shown, shown_lines};
use crate::size::Size;

/// The time between two lines of a log, and before the first line.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// The time between two events of the same sort.
const EVENT_INTERVAL: Duration = Duration::from_secs(1);

/// Shows how far the restore of one archive is.
#[derive(Debug)]
pub(crate) struct Progress<'a> {
    name: &'a str,
    output: &'a Output,
    /// The bar, if the output is a terminal.
    bar: Option<ProgressBar>,
    /// When the next line or event is due.
    due: Duration,
    /// The time of the last report.
    now: Duration,
    /// Before this time no more retries are shown to people, since a lost connection causes many at
    /// once.
    silent_until: Duration,
    /// How many chunks were lost.
    lost: usize,
}

impl<'a> Progress<'a> {
    pub(crate) fn new(name: &'a str, len: u64, output: &'a Output) -> Progress<'a> {
        let is_for_people = !output.is_json() && !output.is_quiet();
        let has_bar = is_for_people && io::stderr().is_terminal();
        Progress {
            name,
            output,
            bar: has_bar.then(|| bar(name, len)),
            due: if output.is_json() {
                Duration::ZERO
            } else {
                LINE_INTERVAL
            },
            now: Duration::ZERO,
            silent_until: Duration::ZERO,
            lost: 0,
        }
    }

    pub(crate) fn observe(&mut self, event: &Event<'_>) {
        self.observe_of(self.name, event);
    }

    /// Hears of the archive `name`, where several archives have one progress.
    pub(crate) fn observe_of(&mut self, name: &str, event: &Event<'_>) {
        match event {
            Event::Progress(report) => self.progress(report),
            Event::Retried(error) => {
                self.retried(name, &Failure::from_library(error).about(name));
            }
            Event::Lost(damage) => self.lost(name, damage),
            _ => {}
        }
    }

    /// Runs something that prints, without the bar in its way.
    pub(crate) fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    fn progress(&mut self, report: &Report) {
        self.now = report.elapsed;
        if let Some(bar) = &self.bar {
            counted(|| {
                bar.set_message(Status(report).to_string());
                bar.set_length(report.len);
                bar.set_position(report.committed);
            });
            return;
        }
        if report.elapsed < self.due {
            return;
        }
        let interval = if self.output.is_json() {
            EVENT_INTERVAL
        } else {
            LINE_INTERVAL
        };
        self.due = report.elapsed + interval;
        let mut json = numbers(report);
        json["event"] = "progress".into();
        json["archive"] = self.name.into();
        json["lost"] = self.lost.into();
        self.output
            .remark(format!("{}: {}", self.name, Status(report)), &json);
    }

    fn retried(&mut self, name: &str, failure: &Failure) {
        if self.output.is_json() {
            let mut json = failure.facts();
            json["event"] = "retried".into();
            json["archive"] = name.into();
            self.output.remark("", &json);
            return;
        }
        if self.now < self.silent_until {
            return;
        }
        self.silent_until = self.now + EVENT_INTERVAL;
        match &self.bar {
            Some(bar) => counted(|| bar.println(failure.text("retrying"))),
            None => self.output.remark(failure.text("retrying"), &Value::Null),
        }
    }
}

impl Progress<'_> {
    fn lost(&mut self, name: &str, damage: &Damage) {
        self.lost += 1;
        let mut json = damage::json(damage);
        json["event"] = "lost".into();
        json["archive"] = name.into();
        let text = format!("{name}: {}", damage::text(damage));
        match &self.bar {
            Some(bar) => counted(|| bar.println(shown_lines(text))),
            None => self.output.remark(text, &json),
        }
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            counted(|| bar.finish_and_clear());
        }
    }
}

fn bar(name: &str, len: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} [{wide_bar}] {msg}")
        .expect("the template is a constant, and well formed")
        .progress_chars("=> ");
    ProgressBar::with_draw_target(Some(len), ProgressDrawTarget::stderr())
        .with_style(style)
        .with_prefix(shown(name))
}

/// The numbers of a report, as JSON for programs.
pub(crate) fn numbers(report: &Report) -> Value {
    let places = report.places.iter().map(|place| {
        json!({ "chunks": place.chunks, "fetched": place.fetched, "failures": place.failures })
    });
    json!({
        "len": report.len,
        "committed": report.committed,
        "zeros": report.zeros,
        "kept": report.kept,
        "repeated": report.repeated,
        "seeded": report.seeded,
        "skipped": report.skipped,
        "chunks": report.chunks,
        "fetched": report.fetched,
        "surplus": report.surplus,
        "places": places.collect::<Vec<_>>(),
        "retries": report.retries,
        "races": report.races,
        "lost": report.damage.len(),
        "seconds": report.elapsed.as_secs_f64(),
    })
}

/// `12.5 GiB of 32.0 GiB (39 %), 612 MiB/s, 33 s left`.
struct Status<'a>(&'a Report);

impl fmt::Display for Status<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { len, committed, .. } = *self.0;
        let percent = u128::from(committed) * 100 / u128::from(len.max(1));
        let speed = self.0.speed();
        let (done, all) = (Size::of(committed), Size::of(len));
        write!(f, "{done} of {all} ({percent} %), {}/s", Size(speed))?;
        if speed > 0.0 {
            let left = len.saturating_sub(committed) as f64 / speed;
            write!(f, ", {} left", Time(left))?;
        }
        Ok(())
    }
}

/// A time in seconds, shown in a suitable unit.
struct Time(f64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            seconds if seconds < 99.5 => write!(f, "{seconds:.0} s"),
            seconds if seconds < 99.5 * 60.0 => write!(f, "{:.0} min", seconds / 60.0),
            seconds => write!(f, "{:.1} h", seconds / 3600.0),
        }
    }
}
