//! What a restore to a file costs beside one to nowhere, and what it does to the page cache. Knows nothing of how runs are
//! made.

use std::cell::RefCell;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use chunk_restore::FileTarget;
use chunk_restore::backend::Buffer;
use rustix::fs::OFlags;

use crate::bars::{figure, typical};
use crate::cells::{Cell, MIB, Place, Scale, Sink};
use crate::child::{Task, measure};
use crate::compare::Compared;
use crate::lab::Lab;
use crate::measure::Figures;

/// How often the dirty pages are looked at.
const GLANCE: Duration = Duration::from_millis(10);

/// Bytes of a write of the disk alone.
const WRITE: usize = 4 << 20;

/// To a file against to nowhere; and dirty pages, the page cache and page faults.
pub(crate) fn compared(lab: &RefCell<Lab>, scale: Scale) -> Vec<Compared> {
    let nowhere = typical(Place::Pbs, 0, 0, scale);
    let file = nowhere.into(Sink::File);
    let mut compared = Vec::new();
    for (name, bar, of) in [
        (
            "wall, pbs, to a file / to nowhere",
            "<= 1.15",
            (|run| run.seconds) as fn(&Figures) -> f64,
        ),
        (
            "client CPU, pbs, to a file / to nowhere",
            "<= 1.25",
            |run| run.cpu,
        ),
    ] {
        let (to_file, to_nowhere) = (figure(lab, file, of), figure(lab, nowhere, of));
        compared.push(Compared::ratio(name, bar, scale.pairs, to_file, to_nowhere));
    }
    let alone = |name: &str, bar, cell: Cell, work: &str, of: fn(&Figures) -> f64| {
        let runs = (0..scale.rounds).map(|_| of(&lab.borrow_mut().work(work, cell)));
        Compared::plain(name, bar, runs.collect())
    };
    let long = Cell {
        disk: typical(
            Place::Pbs,
            0,
            0,
            Scale {
                len: 4 * scale.len,
                ..scale
            },
        )
        .disk,
        ..file
    };
    // The first run also brings the datastore into the page cache.
    lab.borrow_mut().work("file", long);
    compared.extend([
        alone(
            "page faults, pbs, to a file",
            "<= 20000",
            file,
            "restore",
            |run| run.faults,
        ),
        alone(
            "dirty pages at most, MiB, to a file",
            "< 16",
            long,
            "file",
            |run| run.dirty,
        ),
        alone(
            "page cache taken, MiB, to a file of four times the length",
            "< 64",
            long,
            "file",
            |run| run.cached,
        ),
        alone(
            "MiB/s, the disk alone, direct writes",
            "",
            file,
            "disk",
            Figures::speed,
        ),
    ]);
    compared
}

/// A child's task: restores to a file, and looks at the page cache of the machine meanwhile.
pub(crate) fn filed(task: &Task) -> Figures {
    let archive = task.remote();
    let target = FileTarget::create(task.text("output")).expect("the folder is there");
    let (dirty, cached) = (in_memory("Dirty:"), in_memory("Cached:"));
    let has_ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut most = dirty;
            while !has_ended.load(Ordering::Relaxed) {
                most = most.max(in_memory("Dirty:"));
                thread::sleep(GLANCE);
            }
            most - dirty
        });
        let mut target = target.check_space(false);
        let mut figures = measure(&task.restore(), &archive, &mut target);
        has_ended.store(true, Ordering::Relaxed);
        figures.dirty = watch.join().expect("it only reads");
        figures.cached = in_memory("Cached:") - cached;
        figures
    })
}

/// A child's task: writes as many bytes as the disk has, with nothing else to do.
pub(crate) fn disk(task: &Task) -> Figures {
    let len = task.number("len");
    let mut buffer = Buffer::new();
    buffer.space(WRITE).fill(1);
    let mut options = File::options();
    options.write(true).create_new(true);
    let path = task.text("output");
    // Not every file system takes direct writes.
    let direct = options
        .clone()
        .custom_flags(OFlags::DIRECT.bits() as i32)
        .open(path);
    let file = direct
        .or_else(|_| options.open(path))
        .expect("the folder is there");
    let begun = Instant::now();
    file.set_len(len).expect("there is room");
    for offset in (0..len).step_by(WRITE) {
        file.write_all_at(&buffer, offset).expect("there is room");
    }
    file.sync_all().expect("the disk is sound");
    Figures {
        seconds: begun.elapsed().as_secs_f64(),
        logical: len as f64,
        ..Figures::default()
    }
}

/// A line of `/proc/meminfo`, in MiB.
fn in_memory(name: &str) -> f64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.map_or(f64::NAN, |kib| kib * 1024.0 / MIB as f64)
}
