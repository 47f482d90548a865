//! Many of what there are few of elsewhere: connections, and chunks of one disk. Knows nothing of how runs are made.

use std::cell::RefCell;

use crate::bars::figure;
use crate::cells::{Cell, Content, Disk, Place, Scale, TIB};
use crate::compare::Compared;
use crate::lab::Lab;
use crate::measure::Figures;

/// Threads, with a connection and a chunk in flight each.
pub(crate) const MANY: usize = 512;
const FEW: usize = 16;

/// Hundreds of connections where latency is all: whether they bring what they should, and what memory they take.
pub(crate) fn connections(lab: &RefCell<Lab>, scale: Scale) -> Vec<Compared> {
    let mut compared = Vec::new();
    for place in [Place::Https, Place::Pbs] {
        let cell =
            |threads: usize| Cell::new(place, Disk::laps(threads, scale), 50, 0).threads(threads);
        let mut peaks = Vec::new();
        compared.push(Compared::ratio(
            &format!("speed, {place}, 64 KiB, 50 ms, {MANY} connections / {FEW}"),
            "",
            scale.pairs,
            || {
                let run = lab.borrow_mut().run(cell(MANY));
                peaks.push(run.peak_mib());
                run.speed()
            },
            figure(lab, cell(FEW), Figures::speed),
        ));
        let name = format!("peak RSS, MiB, {place}, {MANY} connections");
        compared.push(Compared::plain(&name, "", peaks));
    }
    compared
}

/// What a chunk costs by itself: that of a disk of zeros, of which nothing is fetched and nothing written.
pub(crate) fn huge(lab: &RefCell<Lab>, scale: Scale) -> Vec<Compared> {
    let disk = Disk::new(Content::Zeros, scale.huge);
    let cell = Cell::new(Place::Directory, disk, 0, 0);
    let chunks = (disk.len / disk.chunk) as f64;
    let runs: Vec<Figures> = (0..scale.rounds)
        .map(|_| lab.borrow_mut().run(cell))
        .collect();
    let of = |of: &dyn Fn(&Figures) -> f64| runs.iter().map(of).collect();
    let name = |what| format!("{what}, {} TiB of zeros", disk.len as f64 / TIB as f64);
    vec![
        Compared::plain(
            &name("nanoseconds a chunk"),
            "",
            of(&|run| run.seconds * 1e9 / chunks),
        ),
        Compared::plain(&name("peak RSS, MiB"), "", of(&Figures::peak_mib)),
    ]
}
