//! Shows from time to time how far something is: a line that changes on a terminal, lines in a log,
//! events for programs.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use parking_lot::Mutex;
use serde_json::Value;

use crate::output::{Output, counted};
use crate::shown::shown;

/// The time between two lines of a log, and before the first line.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// The time between two events.
const EVENT_INTERVAL: Duration = Duration::from_secs(1);

/// The time between two changes of the line on a terminal.
const BAR_INTERVAL: Duration = Duration::from_millis(100);

/// The line on the terminal that changes now, for the messages of other threads.
static BAR: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Says something without a mess on the terminal, whether a line changes there or not.
pub(crate) fn beside_bar(say: impl FnOnce()) {
    let bar = BAR.lock().clone();
    match bar {
        Some(bar) => bar.suspend(say),
        None => say(),
    }
}

/// Shows how far the work on one archive is.
#[derive(Debug)]
pub(crate) struct Ticker<'a> {
    name: &'a str,
    output: &'a Output,
    /// The line that changes, if the output is a terminal.
    bar: Option<ProgressBar>,
    /// When the next line or event is due.
    due: Duration,
}

impl<'a> Ticker<'a> {
    pub(crate) fn new(name: &'a str, output: &'a Output) -> Ticker<'a> {
        let is_for_people = !output.is_json() && !output.is_quiet();
        let has_bar = is_for_people && io::stderr().is_terminal();
        let mut ticker = Ticker {
            name,
            output,
            bar: has_bar
                .then(|| bar(name))
                .inspect(|bar| *BAR.lock() = Some(bar.clone())),
            due: Duration::ZERO,
        };
        if !output.is_json() {
            ticker.due = ticker.interval();
        }
        ticker
    }

    fn interval(&self) -> Duration {
        match (&self.bar, self.output.is_json()) {
            (Some(_), _) => BAR_INTERVAL,
            (None, true) => EVENT_INTERVAL,
            (None, false) => LINE_INTERVAL,
        }
    }

    /// Shows `text`, or the event, if so much time has passed that it is due.
    pub(crate) fn tick(
        &mut self,
        elapsed: Duration,
        text: impl FnOnce() -> String,
        json: impl FnOnce() -> Value,
    ) {
        if elapsed < self.due {
            return;
        }
        self.due = elapsed + self.interval();
        match &self.bar {
            Some(bar) => counted(|| bar.set_message(text())),
            None => {
                let text = format!("{}: {}", self.name, text());
                self.output.remark(text, &json());
            }
        }
    }

    /// Takes the line that changes away.
    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.bar {
            BAR.lock().take();
            counted(|| bar.finish_and_clear());
        }
    }
}

impl Drop for Ticker<'_> {
    fn drop(&mut self) {
        self.clear();
    }
}

fn bar(name: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix}: {wide_msg}")
        .expect("the template is a constant, and well formed");
    ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
        .with_style(style)
        .with_prefix(shown(name))
}
