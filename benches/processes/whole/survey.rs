//! Measures cells round by round, each beside its floor and the same with one chunk in flight. Knows nothing of how the
//! figures are shown.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::cells::{Cell, Content, Disk, Place, Scale};
use crate::floors::PARTS;
use crate::lab::Lab;
use crate::measure::Figures;
use crate::support::Spread;

/// What was seen of a cell.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) cell: Cell,
    runs: Vec<Figures>,
    /// Client CPU as a ratio to the floor of the same round; of zeros there is none.
    pub(crate) to_floor: Option<Spread>,
    /// Speed as a ratio to that of one in flight in the same round.
    pub(crate) to_serial: Option<Spread>,
}

impl Row {
    /// A figure's spread; `None` where nothing was fetched that it could be a share of.
    pub(crate) fn spread(&self, of: fn(&Figures) -> f64) -> Option<Spread> {
        spread(self.runs.iter().map(of).collect())
    }
}

/// A part of the floor: its name, and CPU-seconds for each GiB of the disk.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) content: Content,
    pub(crate) name: &'static str,
    pub(crate) cost: Spread,
}

/// Measures every cell in every round.
pub(crate) fn rows(lab: &RefCell<Lab>, cells: &[Cell], scale: Scale) -> Vec<Row> {
    let mut seen: Vec<Vec<(Figures, f64, f64)>> = vec![Vec::new(); cells.len()];
    for round in 0..scale.rounds {
        eprintln!("round {} of {}", round + 1, scale.rounds);
        let mut made = Round::default();
        let mut order: Vec<usize> = (0..cells.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for at in order {
            let cell = cells[at];
            let mut lab = lab.borrow_mut();
            let run = made.run(&mut lab, cell);
            let serial = made.run(&mut lab, cell.serial());
            let floor = made.floor(&mut lab, cell);
            seen[at].push((run, run.cpu / floor, run.speed() / serial.speed()));
        }
    }
    cells
        .iter()
        .zip(seen)
        .map(|(cell, seen)| Row {
            cell: *cell,
            to_floor: spread(seen.iter().map(|(_, to_floor, _)| *to_floor).collect()),
            to_serial: spread(seen.iter().map(|(_, _, to_serial)| *to_serial).collect()),
            runs: seen.into_iter().map(|(run, ..)| run).collect(),
        })
        .collect()
}

/// The parts of the floor under each content, one after the other in every round.
pub(crate) fn parts(lab: &RefCell<Lab>, scale: Scale) -> Vec<Part> {
    let mut parts = Vec::new();
    for content in [
        Content::Typical,
        Content::Zstd,
        Content::Incompressible,
        Content::Encrypted,
    ] {
        let disk = Disk::new(content, scale.len);
        let names = PARTS.into_iter().chain(["tls-floor", "files-floor"]);
        for name in names.filter(|name| *name != "AES-GCM" || content == Content::Encrypted) {
            let costs = (0..scale.rounds)
                .map(|_| lab.borrow_mut().part(name, disk).cost())
                .collect();
            parts.push(Part {
                content,
                name,
                cost: Spread::of(costs),
            });
        }
    }
    parts
}

/// What was measured in one round.
#[derive(Default)]
struct Round {
    runs: HashMap<Cell, Figures>,
    floors: HashMap<(bool, Disk), f64>,
}

impl Round {
    fn run(&mut self, lab: &mut Lab, cell: Cell) -> Figures {
        *self.runs.entry(cell).or_insert_with(|| lab.run(cell))
    }

    fn floor(&mut self, lab: &mut Lab, cell: Cell) -> f64 {
        if cell.disk.content == Content::Zeros {
            return f64::NAN;
        }
        let is_local = cell.place == Place::Directory;
        let floor = self.floors.entry((is_local, cell.disk));
        *floor.or_insert_with(|| lab.floor(cell).cpu)
    }
}

fn spread(values: Vec<f64>) -> Option<Spread> {
    values
        .iter()
        .all(|value| value.is_finite())
        .then(|| Spread::of(values))
}
