//! The number of requests in flight that a restore finds by itself, against the best fixed one.

use std::cell::RefCell;

use crate::bars::{figure, typical};
use crate::cells::{Cell, GIB, IN_FLIGHT, LATENCIES, Place, Scale};
use crate::compare::Compared;
use crate::lab::Lab;
use crate::measure::Figures;

/// Threads on a directory.
const THREADS: [usize; 5] = [1, 2, 4, 8, 16];

/// A disk that is long enough for the defaults to find what suits, in times of the usual one.
const LONG: u64 = 8;

/// Speed at the defaults against the best fixed choice, with one core and with two. The server has all of them.
pub(crate) fn choice(lab: &RefCell<Lab>, scale: Scale) -> Vec<Compared> {
    by_cores(lab, scale, ">= 0.92")
}

/// The same with a disk of 8 GiB.
pub(crate) fn long_choice(lab: &RefCell<Lab>, scale: Scale) -> Vec<Compared> {
    let scale = Scale {
        len: LONG * scale.len,
        ..scale
    };
    by_cores(lab, scale, ">= 0.97")
}

fn by_cores(lab: &RefCell<Lab>, scale: Scale, bar: &'static str) -> Vec<Compared> {
    let mut compared = Vec::new();
    for cores in [1, 2] {
        for latency in LATENCIES {
            let cell = typical(Place::Pbs, latency, 0, scale).cores(cores);
            let name = format!("pbs, {latency} ms");
            compared.push(against_best(lab, scale, &name, cell, &IN_FLIGHT, bar));
        }
        let cell = typical(Place::Directory, 0, 0, scale).cores(cores);
        compared.push(against_best(lab, scale, "directory", cell, &THREADS, bar));
    }
    compared
}

/// One run of each choice finds the best; the pairs then measure that one anew, so that its luck doesn't count.
fn against_best(
    lab: &RefCell<Lab>,
    scale: Scale,
    name: &str,
    cell: Cell,
    choices: &[usize],
    bar: &'static str,
) -> Compared {
    let fixed = |in_flight| figure(lab, Cell { in_flight, ..cell }, Figures::speed);
    let mut best = (0.0, 0);
    for in_flight in choices {
        let speed = fixed(*in_flight)();
        if speed > best.0 {
            best = (speed, *in_flight);
        }
    }
    let (_, best) = best;
    let cores = match cell.cores {
        1 => "1 core".to_owned(),
        cores => format!("{cores} cores"),
    };
    let gib = scale.len as f64 / GIB as f64;
    let name = format!("speed, {gib} GiB, {name}, {cores}, default / best fixed ({best})");
    let default = figure(lab, cell, Figures::speed);
    Compared::ratio(&name, bar, scale.pairs, default, fixed(best))
}
