//! What a restore chooses by itself, against the best that could have been chosen for it. Knows nothing of how it
//! chooses.

use std::cell::RefCell;

use crate::bars::{figure, typical};
use crate::cells::{Cell, IN_FLIGHT, LATENCIES, Place, Scale};
use crate::compare::Compared;
use crate::lab::Lab;
use crate::measure::Figures;

/// Threads on a directory.
const THREADS: [usize; 5] = [1, 2, 4, 8, 16];

/// Speed at the defaults against the best fixed choice, with one core and with two. The server has all of them.
pub(crate) fn choice(lab: &RefCell<Lab>, scale: Scale) -> Vec<Compared> {
    let mut compared = Vec::new();
    for cores in [1, 2] {
        for latency in LATENCIES {
            let cell = typical(Place::Pbs, latency, 0, scale).cores(cores);
            let name = format!("pbs, {latency} ms");
            compared.push(against_best(lab, scale, &name, cell, &IN_FLIGHT));
        }
        let cell = typical(Place::Directory, 0, 0, scale).cores(cores);
        compared.push(against_best(lab, scale, "directory", cell, &THREADS));
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
    let name = format!("speed, {name}, {cores}, default / best fixed ({best})");
    let default = figure(lab, cell, Figures::speed);
    Compared::ratio(&name, ">= 0.80", scale.pairs, default, fixed(best))
}
