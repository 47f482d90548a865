//! What a limit of the rate lets through: as much as it says, and evenly. Knows nothing of how it is kept.

use std::cell::RefCell;
use std::time::Instant;

use chunk_restore::Event;

use crate::cells::{Cell, Disk, Place, Scale};
use crate::child::Task;
use crate::compare::Compared;
use crate::lab::Lab;
use crate::many::MANY;
use crate::measure::{Figures, Used};
use crate::support::null::Null;

/// Half a minute each is long enough.
const ROUNDS: usize = 3;

/// The flow should be even over such a part of the time that a disk takes.
const WINDOWS: f64 = 6.0;

/// Bytes that come, as a share of those that may. In small chunks: one counts when it is there whole, and of large ones
/// so many come at once that the flow would look uneven.
pub(crate) fn rate(lab: &RefCell<Lab>, scale: Scale) -> Vec<Compared> {
    let disk = Disk::laps(MANY, scale);
    let cell = Cell::new(Place::Pbs, disk, 7, 0).rate(scale.rate);
    let runs: Vec<Figures> = (0..scale.rounds.min(ROUNDS))
        .map(|_| lab.borrow_mut().work("even", cell))
        .collect();
    let share = |run: &Figures| run.fetched / run.seconds / cell.rate as f64;
    let of = |of: &dyn Fn(&Figures) -> f64| runs.iter().map(of).collect();
    vec![
        Compared::plain("fetched, pbs, 7 ms / --rate", "0.97 .. 1.03", of(&share)),
        Compared::plain(
            "the same, the window of 5 s that is off the most",
            "",
            of(&|run| run.uneven),
        ),
    ]
}

/// A restore, and how even its flow is.
pub(crate) fn even(task: &Task) -> Figures {
    let (archive, restore) = (task.remote(), task.restore());
    let mut seen = Vec::new();
    let (used, begun) = (Used::now(), Instant::now());
    let report = restore.run_with(&archive, &mut Null, |event| {
        if let Event::Progress(report) = event {
            seen.push((begun.elapsed().as_secs_f64(), report.fetched as f64));
        }
    });
    let figures = used.figures();
    let report = report.expect("the place is sound");
    let rate = task.number("rate") as f64;
    let window = task.number("len") as f64 / rate / WINDOWS;
    Figures {
        logical: report.committed as f64,
        fetched: report.fetched as f64,
        chunks: report.chunks as f64,
        uneven: uneven(&seen, rate, window),
        ..figures
    }
}

/// How far the window is off that is off the most, wherever it begins; but the first is the start's.
fn uneven(seen: &[(f64, f64)], rate: f64, window: f64) -> f64 {
    let begins = seen.iter().filter(|(begin, _)| *begin >= window);
    let shares = begins.filter_map(|(begin, before)| {
        let at = seen.partition_point(|(end, _)| end - begin < window);
        let (end, after) = seen.get(at)?;
        Some((after - before) / (end - begin) / rate)
    });
    shares
        .map(|share| (share - 1.0).abs())
        .fold(f64::NAN, f64::max)
}
