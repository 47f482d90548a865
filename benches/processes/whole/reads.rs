//! Random reads: what a reader brings in a row, at random, both at once, and from memory.

use std::cell::RefCell;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use chunk_restore::{FileTarget, Reader};
use testkit::Prng;

use crate::bars::{figure, typical};
use crate::cells::{Cell, KIB, LATENCIES, MIB, Place, Scale};
use crate::child::Task;
use crate::compare::Compared;
use crate::lab::Lab;
use crate::measure::{Figures, Used};

/// The length of a linear reader's reads, in bytes: those of QEMU's block-stream job.
const LINEAR_LEN: u64 = 4 * MIB;

/// A disk that is long enough for its start not to count, in times of the usual one.
const LONG: u64 = 4;

/// The length of a random reader's reads, in bytes, and how many such readers there are.
const RANDOM_LEN: u64 = 64 * KIB;
const RANDOM_READERS: usize = 4;

/// How many reads each random reader makes when nobody else reads.
const RANDOM_READS: usize = 50;

/// The length of reads from memory, in bytes, and how many each thread makes.
const CACHED_LEN: u64 = 4 * KIB;
const CACHED_READS: usize = 20_000;

/// Reads against restores, and against each other.
pub(crate) fn compared(lab: &RefCell<Lab>, scale: Scale) -> Vec<Compared> {
    let cell = |latency| typical(Place::Pbs, latency, 0, scale);
    let speed = |work: &'static str, cell| move || lab.borrow_mut().work(work, cell).speed();
    let p50 = |work: &'static str, cell| move || lab.borrow_mut().work(work, cell).p50;
    let mut compared = Vec::new();
    for (latency, bar) in LATENCIES.into_iter().zip(["", "", ">= 0.85"]) {
        let long = Scale {
            len: LONG * scale.len,
            ..scale
        };
        let cell = |latency| typical(Place::Pbs, latency, 0, long);
        compared.push(Compared::ratio(
            &format!("speed, pbs, {latency} ms, reads in a row / restore"),
            bar,
            scale.pairs,
            speed("row", cell(latency)),
            figure(lab, cell(latency), Figures::speed),
        ));
    }
    compared.push(Compared::ratio(
        "speed, pbs, 50 ms, reads in a row / without read-ahead",
        ">= 8",
        scale.pairs,
        speed("row", cell(50)),
        speed("backwards", cell(50)),
    ));
    compared.push(Compared::ratio(
        "speed, pbs, 50 ms, a linear reader beside 4 random ones / alone",
        ">= 0.6",
        scale.pairs,
        speed("mixed", cell(50)),
        speed("row", cell(50)),
    ));
    compared.push(Compared::ratio(
        "median time of a random read, pbs, 50 ms, beside a linear reader / alone",
        "<= 1.5",
        scale.pairs,
        p50("mixed", cell(50)),
        p50("random", cell(50)),
    ));
    compared.push(Compared::ratio(
        "median time of a random read, pbs, 50 ms, while a file is filled / without",
        "<= 1.5",
        scale.pairs,
        p50("filled", cell(50)),
        p50("random", cell(50)),
    ));
    let first: Vec<f64> = (0..scale.pairs)
        .map(|_| lab.borrow_mut().work("first", cell(50)).p50 / 0.05)
        .collect();
    let name = "first read of a disk, pbs, 50 ms, in times of the latency";
    compared.push(Compared::plain(name, "<= 1.5", first));
    for threads in [1, 4, 16] {
        let cell = Cell { threads, ..cell(0) };
        let runs: Vec<Figures> = (0..scale.rounds)
            .map(|_| lab.borrow_mut().work("cached", cell))
            .collect();
        for (name, of) in [
            ("median", (|run| run.p50) as fn(&Figures) -> f64),
            ("99th percentile", |run| run.p99),
        ] {
            let name =
                format!("microseconds of a 4 KiB read from memory, {threads} threads, {name}");
            let values = runs.iter().map(|run| of(run) * 1e6).collect();
            compared.push(Compared::plain(&name, "", values));
        }
    }
    compared
}

fn reader(task: &Task) -> Reader {
    let reader = task.restore().reader(&task.remote());
    reader.expect("threads can be started")
}

/// Reads the disk from its start to its end, or from its end to its start, so that no read follows
/// another.
pub(crate) fn row(task: &Task, is_backwards: bool) -> Figures {
    let used = Used::now();
    let reader = reader(task);
    read_all(&reader, is_backwards);
    Figures {
        logical: reader.len() as f64,
        ..used.figures()
    }
}

fn read_all(reader: &Reader, is_backwards: bool) {
    let mut buffer = vec![0; LINEAR_LEN as usize];
    let count = reader.len().div_ceil(LINEAR_LEN);
    for number in 0..count {
        let number = if is_backwards {
            count - 1 - number
        } else {
            number
        };
        let read = reader.read_at(&mut buffer, number * LINEAR_LEN);
        read.expect("the place is sound");
    }
}

/// A linear reader beside random ones, which read until it has finished.
pub(crate) fn mixed(task: &Task) -> Figures {
    let reader = &reader(task);
    let is_over = &AtomicBool::new(false);
    let used = Used::now();
    thread::scope(|scope| {
        let random: Vec<_> = (0..RANDOM_READERS)
            .map(|seed| {
                scope.spawn(move || random_reads(reader, seed, || is_over.load(Ordering::Relaxed)))
            })
            .collect();
        read_all(reader, false);
        let figures = used.figures();
        is_over.store(true, Ordering::Relaxed);
        let times = random.into_iter();
        let times = times.flat_map(|random| random.join().expect("the place is sound"));
        Figures {
            logical: reader.len() as f64,
            ..with_times(figures, times.collect())
        }
    })
}

/// Random readers alone.
pub(crate) fn random(task: &Task) -> Figures {
    random_readers(&reader(task))
}

/// Random readers while a file is filled behind them.
pub(crate) fn filled(task: &Task) -> Figures {
    let reader = reader(task);
    let target = FileTarget::create(task.text("output")).expect("the folder is there");
    let fill = reader.fill(target).expect("there is room");
    let figures = random_readers(&reader);
    drop((fill, reader));
    // It is not whole, so that it has its name only by chance.
    let partial = format!("{}.partial", task.text("output"));
    drop(fs::remove_file(partial));
    figures
}

fn random_readers(reader: &Reader) -> Figures {
    let used = Used::now();
    let times = thread::scope(|scope| {
        let random: Vec<_> = (0..RANDOM_READERS)
            .map(|seed| {
                scope.spawn(move || {
                    let mut left = RANDOM_READS;
                    random_reads(reader, seed, || {
                        left -= 1;
                        left == 0
                    })
                })
            })
            .collect();
        let times = random.into_iter();
        let times = times.flat_map(|random| random.join().expect("the place is sound"));
        times.collect()
    });
    with_times(used.figures(), times)
}

/// Reads at random places until it is over, and says how long each read took that had to fetch something.
fn random_reads(reader: &Reader, seed: usize, mut is_over: impl FnMut() -> bool) -> Vec<Duration> {
    let mut chance = Prng::new(seed as u64 + 1);
    let mut buffer = vec![0; RANDOM_LEN as usize];
    let mut times = Vec::new();
    loop {
        let places = (reader.len() / RANDOM_LEN).max(1);
        let offset = chance.next_u64() % places * RANDOM_LEN;
        let is_zero = (reader.extents(offset..offset + RANDOM_LEN)).all(|extent| extent.is_zero);
        if is_zero {
            continue;
        }
        let begun = Instant::now();
        let read = reader.read_at(&mut buffer, offset);
        read.expect("the place is sound");
        times.push(begun.elapsed());
        if is_over() {
            return times;
        }
    }
}

/// The first read of a disk, when its reader is open.
pub(crate) fn first(task: &Task) -> Figures {
    let reader = reader(task);
    let data = reader.extents(0..u64::MAX).find(|extent| !extent.is_zero);
    let offset = data.map_or(0, |extent| extent.offset);
    let used = Used::now();
    let begun = Instant::now();
    let read = reader.read_at(&mut [0; 512], offset);
    read.expect("the place is sound");
    with_times(used.figures(), vec![begun.elapsed()])
}

/// Reads of a chunk that is in memory.
pub(crate) fn cached(task: &Task) -> Figures {
    let reader = &reader(task);
    let used = Used::now();
    let data = reader.extents(0..u64::MAX).find(|extent| !extent.is_zero);
    let offset = data.map_or(0, |extent| extent.offset);
    let threads = task.number("threads").max(1);
    let times = thread::scope(|scope| {
        let readers: Vec<_> = (0..threads)
            .map(|thread| {
                scope.spawn(move || {
                    let mut buffer = vec![0; CACHED_LEN as usize];
                    let mut times = Vec::with_capacity(CACHED_READS);
                    for number in 0..CACHED_READS as u64 {
                        let place = (thread + number * 7) % (LINEAR_LEN / CACHED_LEN);
                        let begun = Instant::now();
                        let read = reader.read_at(&mut buffer, offset + place * CACHED_LEN);
                        read.expect("the place is sound");
                        times.push(begun.elapsed());
                    }
                    times
                })
            })
            .collect();
        let times = readers.into_iter();
        let times = times.flat_map(|reader| reader.join().expect("the place is sound"));
        times.collect()
    });
    with_times(used.figures(), times)
}

fn with_times(figures: Figures, mut times: Vec<Duration>) -> Figures {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)].as_secs_f64();
    Figures {
        p50: at(50),
        p99: at(99),
        ..figures
    }
}
