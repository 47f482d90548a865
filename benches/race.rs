//! Late chunks and places that fail, over TLS from servers in processes of their own: what racing gains, and how soon a
//! restore from two places goes on.
//!
//! `cargo bench --bench race -- late` (one chunk in a hundred takes 2 s when it is first asked for), `recovery` (one of two
//! places dies, or stalls); both without a word.

mod support;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use chunk_restore::{Archive, Datastore, Event, OpenOptions, Report, Restore};
use support::null::Null;
use support::{Spread, is_trial};
use tempfile::TempDir;
use testkit::{Folder, Image, PbsServer, ServerProcess, SnapshotBuilder, Workload, serve_if_asked};

const SNAPSHOT: &str = "vm/100/2026-01-02T03:04:05Z";
const DISK: &str = "disk.img";
const MIB: u64 = 1 << 20;
const LATENCY: &str = "20";
const LATE: &str = "2000";
const IN_FLIGHT: usize = 16;

/// How long a place may be silent; the default is 30 s.
const SILENCE: Duration = Duration::from_secs(3);
/// What the series shows of it.
const PIECE: Duration = Duration::from_millis(100);

/// A datastore on disk, with a disk of typical content in chunks of 4 MiB.
struct Store {
    folder: TempDir,
    /// The names of one chunk in a hundred of those that are fetched.
    late: Vec<String>,
}

impl Store {
    fn new() -> Store {
        let len = if is_trial() { 64 * MIB } else { 1024 * MIB };
        let folder = TempDir::new().expect("there is room for a temporary folder");
        let image = Image::new(Workload::Typical, 1, len, 4 * MIB);
        let info = SnapshotBuilder::new(SNAPSHOT)
            .image(DISK, image)
            .write_to(&Folder::new(folder.path()));
        let mut seen = HashSet::from([testkit::sha256(&vec![0; 4 << 20])]);
        let fetched = info.archive(DISK).digests.iter();
        let fetched: Vec<_> = fetched.filter(|digest| seen.insert(**digest)).collect();
        let first = fetched.len().min(100) / 2;
        let late = fetched.iter().skip(first).step_by(100);
        println!("{} chunks to fetch", fetched.len());
        Store {
            late: late.map(|digest| testkit::hex(*digest)).collect(),
            folder,
        }
    }

    /// A new server, whose late chunks have not been asked for yet.
    fn serve(&self, has_late: bool) -> ServerProcess {
        let folder = self.folder.path().display().to_string();
        let mut arguments = vec!["--folder", &folder, "--latency-ms", LATENCY];
        let late = self.late.iter().filter(|_| has_late);
        let late: Vec<String> = late.map(|chunk| format!("{chunk}={LATE}")).collect();
        arguments.extend(late.iter().flat_map(|late| ["--late", late]));
        ServerProcess::start(&arguments)
    }
}

fn open(server: &ServerProcess) -> Datastore {
    let options = OpenOptions::new()
        .fingerprint(server.fingerprint().parse().expect("it is a fingerprint"))
        .password(PbsServer::SECRET)
        .progress_timeout(SILENCE);
    let datastore = options.open(server.place());
    datastore.expect("the place is a repository")
}

fn disk(datastore: &Datastore) -> Archive {
    let archive = datastore
        .snapshot(SNAPSHOT)
        .and_then(|snapshot| snapshot.archive(DISK));
    archive.expect("the testkit makes sound datastores")
}

/// Speed where some chunks are late, without racing and with it, against the same without late ones.
fn late(store: &Store) {
    let run = |has_late: bool, race: bool| {
        let server = store.serve(has_late);
        let archive = disk(&open(&server));
        let restore = Restore::new().in_flight(IN_FLIGHT).race(race);
        let report = restore.run(&archive, &mut Null);
        report.expect("the server is sound")
    };
    let (mut without, mut with, mut idle, mut control) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut extra = Vec::new();
    println!("{} of them late by {LATE} ms", store.late.len());
    let runs = [
        ("no late chunks", false, false),
        ("late chunks", true, false),
        ("late chunks, racing", true, true),
        ("no late chunks, racing", false, true),
        ("no late chunks, again", false, false),
    ];
    for pair in 0..if is_trial() { 1 } else { 9 } {
        // In another order each time, so that none always comes first.
        let mut reports = runs.map(|_| Report::default());
        for turn in 0..runs.len() {
            let number = (pair + turn) % runs.len();
            let (_, has_late, race) = runs[number];
            reports[number] = run(has_late, race);
        }
        if pair == 0 {
            for ((name, ..), report) in runs.iter().zip(&reports) {
                println!("{name}: {report}, {} races", report.races);
            }
        }
        let [sound, slow, raced, raced_for_nothing, again] = &reports;
        without.push(slow.speed() / sound.speed());
        with.push(raced.speed() / sound.speed());
        idle.push(raced_for_nothing.speed() / sound.speed());
        control.push(again.speed() / sound.speed());
        extra.extend([percent(raced), percent(raced_for_nothing)]);
    }
    for (name, ratios) in [
        ("late chunks / none", without),
        ("late chunks, racing / none", with),
        ("no late chunks, racing / not", idle),
        ("no late chunks / none (control)", control),
    ] {
        println!("ratio {name}: {}", Spread::of(ratios));
    }
    let most = extra.iter().copied().fold(0.0, f64::max);
    println!(
        "extra traffic, per cent: {}, {most:.2} at the most",
        Spread::of(extra)
    );
}

/// How much of what came was of no use.
fn percent(report: &Report) -> f64 {
    100.0 * report.surplus as f64 / (report.fetched - report.surplus) as f64
}

/// Speed around the moment when the first of two places dies, or stalls.
fn recovery(store: &Store) {
    for (name, fail) in [
        ("dies", ServerProcess::kill as fn(&mut ServerProcess)),
        ("stalls", ServerProcess::freeze),
    ] {
        for race in [false, true] {
            let (mut first, second) = (store.serve(false), store.serve(false));
            let places = [open(&first), open(&second)];
            let archive = disk(&Datastore::any_of(places).expect("there are two"));
            let restore = Restore::new().in_flight(IN_FLIGHT).race(race);
            let mut failed = None;
            let mut seen = Vec::new();
            let report = restore.run_with(&archive, &mut Null, |event| {
                let Event::Progress(report) = event else {
                    return;
                };
                // Zeros cost nothing, and would hide a pause.
                seen.push((Instant::now(), report.committed - report.zeros));
                if failed.is_none() && report.committed >= report.len / 2 {
                    fail(&mut first);
                    failed = Some(Instant::now());
                }
            });
            let report = report.expect("the second place is sound");
            let racing = if race { ", racing" } else { "" };
            println!(
                "the first place {name} half-way{racing}: {report}, {} races",
                report.races
            );
            print_series(&seen, failed.expect("it has failed"));
        }
    }
}

/// MiB/s by pieces of time, from a second before the event.
fn print_series(seen: &[(Instant, u64)], event: Instant) {
    const BEFORE: u32 = 10;
    let start = event - BEFORE * PIECE;
    let committed_by = |time: Instant| {
        let last = seen.iter().take_while(|(at, _)| *at <= time).last();
        last.map_or(0, |(_, committed)| *committed)
    };
    let end = seen.last().map_or(start, |(at, _)| *at);
    let pieces = (end - start).as_millis() / PIECE.as_millis();
    let speeds = (0..pieces as u32).map(|piece| {
        let begun = start + piece * PIECE;
        let bytes = committed_by(begun + PIECE) - committed_by(begun);
        let speed = bytes as f64 / MIB as f64 / PIECE.as_secs_f64();
        let mark = if piece == BEFORE { "| " } else { "" };
        format!("{mark}{speed:.0}")
    });
    let speeds: Vec<String> = speeds.collect();
    println!(
        "MiB/s by {} ms, | is when: {}",
        PIECE.as_millis(),
        speeds.join(" ")
    );
}

fn main() {
    serve_if_asked();
    let asked: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    let store = Store::new();
    for (name, part) in [("late", late as fn(&Store)), ("recovery", recovery)] {
        if asked.is_empty() || asked.iter().any(|word| word == name) {
            part(&store);
        }
    }
}
