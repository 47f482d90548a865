//! The table of the first measurements, made again: one in flight against 16, at two latencies. Knows nothing of the
//! other cells.

use std::cell::RefCell;

use crate::cells::{Cell, Content, Disk, MIB, Place, Scale};
use crate::lab::Lab;
use crate::measure::Figures;
use crate::support::Spread;

/// The speed of one in flight in the first measurements, in MiB/s.
const SERIAL: f64 = 75.0;

/// What it was then, beside what it is now.
pub(crate) const THEN: &str = "then: 75 to 528 MiB/s, CPU + 8 %, page faults x 3.4, 3.5 cores";

/// A line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) latency: u64,
    pub(crate) serial: Spread,
    pub(crate) parallel: Spread,
    pub(crate) speed_ratio: Spread,
    pub(crate) cpu_ratio: Spread,
    pub(crate) fault_ratio: Spread,
    /// Cores that were busy with 16 in flight.
    pub(crate) cores: Spread,
}

/// At the latency that makes one in flight as slow as it was then, and at that of a server with NVMe.
pub(crate) fn lines(lab: &RefCell<Lab>, scale: Scale) -> Vec<Line> {
    // Every chunk is fetched, since zeros would make any speed.
    let disk = Disk::new(Content::Zstd, scale.len);
    let cell = |latency, in_flight| Cell::new(Place::Pbs, disk, latency, in_flight);
    let near = lab.borrow_mut().run(cell(0, 1));
    let wanted = disk.chunk as f64 / MIB as f64 / SERIAL;
    let left = wanted - near.seconds / near.chunks;
    let far = (left.max(0.0) * 1000.0).round() as u64;
    [far, 7]
        .into_iter()
        .map(|latency| line(lab, scale, cell(latency, 16)))
        .collect()
}

fn line(lab: &RefCell<Lab>, scale: Scale, cell: Cell) -> Line {
    let runs: Vec<(Figures, Figures)> = (0..scale.pairs)
        .map(|pair| {
            let mut lab = lab.borrow_mut();
            if pair % 2 == 0 {
                let serial = lab.run(cell.serial());
                (serial, lab.run(cell))
            } else {
                let parallel = lab.run(cell);
                (lab.run(cell.serial()), parallel)
            }
        })
        .collect();
    let spread = |of: fn(&Figures, &Figures) -> f64| {
        Spread::of(runs.iter().map(|(one, many)| of(one, many)).collect())
    };
    Line {
        latency: cell.latency,
        serial: spread(|one, _| one.speed()),
        parallel: spread(|_, many| many.speed()),
        speed_ratio: spread(|one, many| many.speed() / one.speed()),
        cpu_ratio: spread(|one, many| many.cpu / one.cpu),
        fault_ratio: spread(|one, many| many.faults / one.faults),
        cores: spread(|_, many| many.cores()),
    }
}
