//! What the restore should reach, and whether it does. Knows nothing of how runs are made.

use std::cell::RefCell;

use crate::cells::{Cell, Content, Disk, MIB, Place, Scale, Sink};
use crate::choice;
use crate::compare::Compared;
use crate::file;
use crate::flow;
use crate::lab::Lab;
use crate::many;
use crate::measure::Figures;
use crate::reads;
use crate::together;

/// The bars by name.
pub(crate) const BARS: [(&str, Bar); 16] = [
    ("cpu", cpu),
    ("latency", latency),
    ("small", small),
    ("calls", calls),
    ("rss", rss),
    ("memory", memory),
    ("sparse", sparse),
    ("file", file::compared),
    ("order", order),
    ("choice", choice::choice),
    ("long-choice", choice::long_choice),
    ("rate", flow::rate),
    ("connections", many::connections),
    ("huge", many::huge),
    ("together", together::compared),
    ("reads", reads::compared),
];

pub(crate) type Bar = fn(&RefCell<Lab>, Scale) -> Vec<Compared>;

pub(crate) fn typical(place: Place, latency: u64, in_flight: usize, scale: Scale) -> Cell {
    Cell::new(
        place,
        Disk::new(Content::Typical, scale.len),
        latency,
        in_flight,
    )
}

/// Runs a cell and looks at one figure.
pub(crate) fn figure(
    lab: &RefCell<Lab>,
    cell: Cell,
    of: fn(&Figures) -> f64,
) -> impl FnMut() -> f64 {
    move || of(&lab.borrow_mut().run(cell))
}

/// Client CPU against the floor. With 50 ms of latency, or with a core for the client alone: else the server fights for the
/// same cores, and its share is taken for the client's.
fn cpu(lab: &RefCell<Lab>, scale: Scale) -> Vec<Compared> {
    let pbs = typical(Place::Pbs, 50, 16, scale);
    let default = |latency| typical(Place::Pbs, latency, 0, scale);
    let encrypted = |latency| {
        let disk = Disk::new(Content::Encrypted, scale.len);
        Cell::new(Place::Pbs, disk, latency, 0)
    };
    let directory = typical(Place::Directory, 0, 0, scale);
    let two = Cell {
        in_flight: 2,
        ..directory
    };
    [
        ("pbs, 50 ms", "<= 1.25", default(50)),
        ("pbs, 50 ms, 16 in flight", "<= 1.25", pbs),
        ("pbs, 50 ms, 1 in flight", "", pbs.serial()),
        ("pbs, 0 ms, a core each", "<= 1.12", default(0).pinned()),
        ("pbs, 7 ms, a core each", "<= 1.12", default(7).pinned()),
        ("pbs, encrypted, 50 ms", "<= 1.15", encrypted(50)),
        (
            "pbs, encrypted, 7 ms, a core each",
            "<= 1.20",
            encrypted(7).pinned(),
        ),
        ("directory", "<= 1.10", directory),
        ("directory, 2 threads", "", two),
        ("directory, 1 thread", "", directory.serial()),
    ]
    .into_iter()
    .map(|(name, bar, cell)| {
        let name = format!("client CPU, {name} / floor");
        let floor = || lab.borrow_mut().floor(cell).cpu;
        let client = figure(lab, cell, |run| run.cpu);
        Compared::ratio(&name, bar, scale.pairs, client, floor)
    })
    .collect()
}

/// Speed with 16 in flight against the lesser of two limits: 16 times serial, and what comes through without delay.
fn latency(lab: &RefCell<Lab>, scale: Scale) -> Vec<Compared> {
    let speed = |latency, in_flight| {
        let cell = typical(Place::Pbs, latency, in_flight, scale);
        lab.borrow_mut().run(cell).speed()
    };
    [
        (
            7,
            "pbs, 4 MiB, 7 ms, 16 in flight / min(16 x serial, no delay)",
        ),
        (
            50,
            "pbs, 4 MiB, 50 ms, 16 in flight / min(16 x serial, no delay)",
        ),
    ]
    .into_iter()
    .map(|(ms, name)| {
        // Both limits of a pair are measured twice: the control is of them.
        let limit = || (16.0 * speed(ms, 1)).min(speed(0, 16));
        Compared::ratio(name, ">= 0.92", scale.pairs, || speed(ms, 16), limit)
    })
    .collect()
}

/// Speed against one in flight where latency is all: each has as many chunks for each that is in flight.
fn small(lab: &RefCell<Lab>, scale: Scale) -> Vec<Compared> {
    let cell =
        |in_flight: usize| Cell::new(Place::Pbs, Disk::laps(in_flight, scale), 50, in_flight);
    let speed = |in_flight| figure(lab, cell(in_flight), Figures::speed);
    let name = "pbs, 64 KiB, 50 ms, 16 in flight / 1";
    vec![Compared::ratio(
        name,
        ">= 15.5",
        scale.pairs,
        speed(16),
        speed(1),
    )]
}

/// Page faults and context switches.
fn calls(lab: &RefCell<Lab>, scale: Scale) -> Vec<Compared> {
    let pbs = typical(Place::Pbs, 7, 16, scale);
    let directory = typical(Place::Directory, 0, 0, scale);
    let file = directory.into(Sink::File);
    let runs = |cell: Cell| -> Vec<Figures> {
        (0..scale.pairs)
            .map(|_| lab.borrow_mut().run(cell))
            .collect()
    };
    let (pbs, directory, file) = (runs(pbs), runs(directory), runs(file));
    let of = |runs: &[Figures], of: fn(&Figures) -> f64| runs.iter().map(of).collect::<Vec<f64>>();
    let late = |run: &Figures| run.late_faults;
    vec![
        Compared::plain("page faults a chunk after half, pbs", "< 1", of(&pbs, late)),
        Compared::plain(
            "page faults a chunk after half, directory",
            "< 1",
            of(&directory, late),
        ),
        Compared::plain(
            "context switches a chunk, directory",
            "<= 4",
            of(&directory, Figures::switches_per_chunk),
        ),
        Compared::plain(
            "context switches a chunk, directory to file",
            "",
            of(&file, Figures::switches_per_chunk),
        ),
        Compared::plain(
            "context switches a chunk, pbs",
            "",
            of(&pbs, Figures::switches_per_chunk),
        ),
    ]
}

/// The most memory at the defaults: random chunks fill their buffers.
fn rss(lab: &RefCell<Lab>, scale: Scale) -> Vec<Compared> {
    let disk = Disk::new(Content::Incompressible, scale.len);
    let local = Cell::new(Place::Directory, disk, 0, 0);
    let places = [
        ("pbs", "<= 72", Cell::new(Place::Pbs, disk, 7, 0)),
        ("https", "< 320", Cell::new(Place::Https, disk, 7, 0)),
        ("s3", "< 320", Cell::new(Place::S3, disk, 7, 0)),
        ("directory to file", "< 320", local.into(Sink::File)),
    ];
    let peaks = |cell| {
        let mut peak = figure(lab, cell, Figures::peak_mib);
        (0..scale.rounds).map(|_| peak()).collect()
    };
    places
        .into_iter()
        .map(|(name, bar, cell)| {
            Compared::plain(&format!("peak RSS, MiB, {name}"), bar, peaks(cell))
        })
        .collect()
}

/// Little memory: how little, and how fast still.
fn memory(lab: &RefCell<Lab>, scale: Scale) -> Vec<Compared> {
    let cell = typical(Place::Pbs, 7, 0, scale);
    let little = cell.memory(32 * MIB);
    let mut peaks = Vec::new();
    let speed = Compared::ratio(
        "speed, pbs, 7 ms, --memory 32MiB / default",
        ">= 0.85",
        scale.pairs,
        || {
            let run = lab.borrow_mut().run(little);
            peaks.push(run.peak_mib());
            run.speed()
        },
        figure(lab, cell, Figures::speed),
    );
    let peak = Compared::plain("peak RSS, MiB, --memory 32MiB", "< 80", peaks);
    vec![speed, peak]
}

/// Zeros to a sparse file.
fn sparse(lab: &RefCell<Lab>, scale: Scale) -> Vec<Compared> {
    let disk = Disk::new(Content::Zeros, scale.sparse);
    let cell = Cell::new(Place::Directory, disk, 0, 0).into(Sink::File);
    let mut speed = figure(lab, cell, Figures::speed);
    let speeds = (0..scale.pairs).map(|_| speed() / 1024.0).collect();
    let name = "zeros to a sparse file, GiB/s";
    vec![Compared::plain(name, ">= 20", speeds)]
}

/// What order costs: the same chunks taken as they come.
fn order(lab: &RefCell<Lab>, scale: Scale) -> Vec<Compared> {
    let mut compared = Vec::new();
    for (ms, more, races, memory, bar) in [
        (7, 0, false, 0, "<= 1.05"),
        (50, 0, false, 0, "<= 1.05"),
        (7, 100, false, 0, "<= 1.15"),
        (50, 100, false, 0, "<= 1.15"),
        (7, 100, true, 0, "<= 1.05"),
        (50, 100, true, 0, "<= 1.05"),
        // What a restore has by default.
        (50, 100, false, 256, "<= 1.05"),
        (50, 100, true, 256, "<= 1.05"),
    ] {
        let cell = typical(Place::Directory, ms, 16, scale).memory(memory * MIB);
        let late = match more {
            0 => String::new(),
            more => format!(", one in 50 {more} ms late"),
        };
        let race = if races { ", --race" } else { "" };
        let memory = if memory > 0 { ", default memory" } else { "" };
        let name = format!("speed, unordered / ordered, {ms} ms{late}{race}{memory}");
        compared.push(Compared::ratio(
            &name,
            bar,
            scale.pairs,
            || {
                lab.borrow_mut()
                    .late("unordered", cell, more, false)
                    .speed()
            },
            || lab.borrow_mut().late("ordered", cell, more, races).speed(),
        ));
    }
    compared
}
