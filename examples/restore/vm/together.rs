//! The progress of several archives that are restored at the same time, as one line.

use chunk_restore::{Event, Report};
use parking_lot::Mutex;

use crate::output::Output;
use crate::progress::Progress;

/// How far all disks of a guest are. Threads that restore a disk each tell it.
#[derive(Debug)]
pub(crate) struct Together<'a> {
    state: Mutex<State<'a>>,
    /// How many bytes of each archive are to be fetched, as far as that is known.
    to_fetch: Vec<u64>,
}

#[derive(Debug)]
struct State<'a> {
    progress: Progress<'a>,
    /// What was done of each archive, without its damage.
    parts: Vec<Report>,
}

impl<'a> Together<'a> {
    /// For archives of these lengths, each with how much of it is to be fetched. All together are
    /// called `name`.
    pub(crate) fn new(name: &'a str, lens: &[(u64, u64)], output: &'a Output) -> Together<'a> {
        let part = |(len, _): &(u64, u64)| {
            let mut report = Report::default();
            report.len = *len;
            report
        };
        let progress = Progress::new(name, lens.iter().map(|(len, _)| len).sum(), output);
        let parts = lens.iter().map(part).collect();
        Together {
            state: Mutex::new(State { progress, parts }),
            to_fetch: lens.iter().map(|(_, to_fetch)| *to_fetch).collect(),
        }
    }

    /// The part that one of the archives has of what all have to fetch, and what that is.
    pub(crate) fn part(&self, number: usize) -> (u64, u64) {
        (self.to_fetch[number], self.to_fetch.iter().sum())
    }

    /// Hears of one of the archives.
    pub(crate) fn observe(&self, number: usize, name: &str, event: &Event<'_>) {
        let state = &mut *self.state.lock();
        if let Event::Progress(report) = event {
            state.parts[number] = numbers_of(report);
            state.progress.observe(&Event::Progress(&sum(&state.parts)));
        } else {
            state.progress.observe_of(name, event);
        }
    }

    /// Runs something that prints, without the progress bar in its way.
    pub(crate) fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        self.state.lock().progress.suspend(print)
    }
}

/// The numbers that add up.
fn numbers_of(report: &Report) -> Report {
    let mut numbers = Report::default();
    add(&mut numbers, report);
    numbers
}

fn sum(parts: &[Report]) -> Report {
    let mut sum = Report::default();
    for part in parts {
        add(&mut sum, part);
    }
    sum
}

fn add(sum: &mut Report, part: &Report) {
    sum.len += part.len;
    sum.committed += part.committed;
    sum.zeros += part.zeros;
    sum.kept += part.kept;
    sum.repeated += part.repeated;
    sum.seeded += part.seeded;
    sum.chunks += part.chunks;
    sum.fetched += part.fetched;
    sum.surplus += part.surplus;
    sum.retries += part.retries;
    sum.races += part.races;
    // They began at the same time.
    sum.elapsed = sum.elapsed.max(part.elapsed);
}
