//! A target that holds nearly all: how fast it is read, and what that saves.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use chunk_restore::backend::Buffer;
use chunk_restore::{Archive, Event, FileTarget, Restore};
use sha2::{Digest, Sha256};

use crate::support::usage::cpu_seconds;
use crate::support::{ratios_of, seconds};
use crate::{CHUNK, MIB, PAIRS, Place, Run, is_trial, open_served, random};

/// One chunk in so many has changed.
const EVERY: u64 = 50;

pub(crate) fn delta() {
    let (place, old) = prepare();
    let archive = place.archive();
    scan(&archive, &old);
    whole(&place, &archive, "a folder");
}

pub(crate) fn served() {
    let (place, _) = prepare();
    let server = place.serve("50");
    whole(&place, &open_served(&server), "a PBS at 50 ms");
}

/// A datastore, and its image restored.
fn prepare() -> (Place, PathBuf) {
    let count = if is_trial() { 60 } else { 1024 };
    println!(
        "{count} chunks of 4 MiB, all different and random; of every {EVERY}th one byte has changed"
    );
    let numbers: Vec<u64> = (0..count).collect();
    let place = Place::new(&numbers, random);
    place
        .restore(&place.archive(), "old.raw")
        .print("full, from a folder");
    let old = place.path("old.raw");
    (place, old)
}

/// How fast a file is read that holds everything, or nearly.
fn scan(archive: &Archive, old: &Path) {
    let file = open(old);
    let bare = || {
        warm(&file);
        let cpu = cpu_seconds();
        let taken = seconds(&mut || bare_hashes(&file));
        [taken, cpu_seconds() - cpu]
    };
    let [taken, _] = bare();
    println!(
        "bare SHA-256 on all cores: {:.0} MiB/s",
        archive.index().len() as f64 / MIB / taken
    );
    let unchanged = || {
        warm(&file);
        let run = reuse(archive, old);
        assert_eq!(run.report.chunks, 0);
        run
    };
    unchanged().print("nothing changed");
    let names = [
        "bare SHA-256 / nothing changed, time",
        "bare SHA-256 / nothing changed, CPU",
    ];
    ratios_of(names, PAIRS, bare, || unchanged().time_and_cpu());
    let until_sync = || {
        age(&file);
        let mut target = FileTarget::reuse(old).expect("the file is there");
        let (start, mut committed) = (Instant::now(), 0.0);
        let observe = |event: Event<'_>| match event {
            Event::Progress(report) if report.committed == report.len && committed == 0.0 => {
                committed = start.elapsed().as_secs_f64();
            }
            _ => {}
        };
        let run = Restore::new().run_with(archive, &mut target, observe);
        run.expect("the datastore and the disk are sound");
        committed
    };
    let name = "bare SHA-256 / 2 % changed, without the sync, time";
    ratios_of([name], PAIRS, || [bare()[0]], || [until_sync()]);
}

/// What is won over a full restore.
fn whole(place: &Place, archive: &Archive, from: &str) {
    let old = place.path("old.raw");
    let file = open(&old);
    let delta = || {
        age(&file);
        let run = reuse(archive, &old);
        let changed = (archive.index().count() as u64).div_ceil(EVERY);
        assert_eq!(run.report.chunks, changed, "what changed, and nothing else");
        run
    };
    let full = || {
        place.settle();
        let run = place.restore(archive, "full.raw");
        fs::remove_file(place.path("full.raw")).expect("it was restored");
        run
    };
    delta().print(&format!("delta, from {from}"));
    full().print(&format!("full, from {from}"));
    let name = format!("full / delta, from {from}");
    let (full, delta) = (|| [full().seconds], || [delta().seconds]);
    ratios_of([&name], PAIRS, full, delta);
}

fn open(path: &Path) -> File {
    let opened = File::options().read(true).write(true).open(path);
    opened.expect("it was restored")
}

fn reuse(archive: &Archive, old: &Path) -> Run {
    Run::of(
        archive,
        &mut FileTarget::reuse(old).expect("the file is there"),
    )
}

/// Changes a byte of every so many chunks, and has the file on the disk and in the page cache.
fn age(file: &File) {
    let len = file.metadata().expect("it is open").len();
    for chunk in (0..len / CHUNK).step_by(EVERY as usize) {
        let at = chunk * CHUNK + CHUNK / 2;
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).expect("it is whole");
        file.write_all_at(&[!byte[0]], at)
            .expect("it can be written");
    }
    file.sync_all().expect("it can be written");
    warm(file);
}

/// Has the file in the page cache.
fn warm(file: &File) {
    each_chunk(file, &AtomicU64::new(0), |_| {});
}

/// As many threads as there are cores, each of which reads chunks and hashes them, and nothing else.
fn bare_hashes(file: &File) {
    let next = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                each_chunk(file, &next, |chunk| {
                    std::hint::black_box(Sha256::digest(chunk));
                });
            });
        }
    });
}

fn each_chunk(file: &File, next: &AtomicU64, look: impl Fn(&[u8])) {
    let len = file.metadata().expect("it is open").len();
    // It starts on a page: else the kernel's copy is slow, and the loop not bare.
    let mut buffer = Buffer::new();
    loop {
        let offset = next.fetch_add(CHUNK, Ordering::Relaxed);
        if offset >= len {
            return;
        }
        let chunk = buffer.space(CHUNK.min(len - offset) as usize);
        file.read_exact_at(chunk, offset).expect("it is whole");
        look(chunk);
    }
}
