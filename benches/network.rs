//! Restoring from a PBS over TLS, which runs in a process of its own: latency by chunks in flight, and what it costs.
//!
//! Every figure is a ratio of two runs that were made in turns; the plain numbers beside it are of the first pair.
//!
//! `cargo bench --bench network -- small` (chunks of 64 KiB), `large` (of 4 MiB), `cpu` (cost, and the floor); all
//! three without a word.

#[path = "support/floor.rs"]
mod floor;
mod support;

use std::collections::HashSet;
use std::fs;
use std::time::Instant;

use chunk_restore::{Archive, OpenOptions, Report, Restore};
use floor::Floor;
use support::null::Null;
use support::usage::cpu_seconds;
use support::{Spread, is_asked, is_trial};
use tempfile::TempDir;
use testkit::{Folder, Image, PbsServer, ServerProcess, SnapshotBuilder, Workload, serve_if_asked};

const SNAPSHOT: &str = "vm/100/2026-01-02T03:04:05Z";
const MIB: u64 = 1 << 20;

/// A datastore on disk, with servers for it.
struct Place {
    folder: TempDir,
    /// The chunk files of each disk, once each.
    disks: Vec<(String, Vec<String>)>,
}

impl Place {
    fn new(disks: &[(&str, Workload, u64, u64)]) -> Place {
        let folder = TempDir::new().expect("there is room for a temporary folder");
        let store = Folder::new(folder.path());
        let mut snapshot = SnapshotBuilder::new(SNAPSHOT);
        for (seed, (name, workload, len, chunk)) in disks.iter().enumerate() {
            let image = Image::new(*workload, seed as u64 + 1, *len, *chunk);
            snapshot = snapshot.image(name, image);
        }
        let info = snapshot.write_to(&store);
        let disks = disks.iter().map(|(name, _, _, chunk)| {
            let zero = testkit::sha256(&vec![0; *chunk as usize]);
            let digests = info.archive(name).digests.iter();
            let chunks = digests.filter(|digest| **digest != zero).map(|digest| {
                let name = testkit::hex(digest);
                format!("/.chunks/{}/{name}", &name[..4])
            });
            ((*name).to_owned(), chunks.collect())
        });
        Place {
            disks: disks.collect(),
            folder,
        }
    }

    fn serve(&self, latency: u64, more: &[&str]) -> ServerProcess {
        let (folder, latency) = (
            self.folder.path().display().to_string(),
            latency.to_string(),
        );
        let arguments = [&["--folder", &folder, "--latency-ms", &latency], more].concat();
        ServerProcess::start(&arguments)
    }

    fn chunks(&self, disk: &str) -> &[String] {
        let found = self.disks.iter().find(|(name, _)| name == disk);
        &found.expect("the disk was made").1
    }
}

fn open(server: &ServerProcess, disk: &str) -> Archive {
    let options = OpenOptions::new()
        .fingerprint(server.fingerprint().parse().expect("it is a fingerprint"))
        .password(PbsServer::SECRET);
    let datastore = options
        .open(server.place())
        .expect("the place is a repository");
    let archive = datastore
        .snapshot(SNAPSHOT)
        .and_then(|snapshot| snapshot.archive(disk));
    archive.expect("the testkit makes sound datastores")
}

/// What one restore took.
struct Run {
    report: Report,
    seconds: f64,
    cpu: f64,
    faults: f64,
}

impl Run {
    /// Chunks in flight; 0 takes the default.
    fn of(archive: &Archive, in_flight: usize) -> Run {
        let (cpu, faults, start) = (cpu_seconds(), page_faults(), Instant::now());
        let restore = Restore::new().in_flight(in_flight);
        let report = restore
            .run(archive, &mut Null)
            .expect("the server is sound");
        Run {
            report,
            seconds: start.elapsed().as_secs_f64(),
            cpu: cpu_seconds() - cpu,
            faults: page_faults() - faults,
        }
    }

    fn speed(&self) -> f64 {
        self.report.committed as f64 / self.seconds
    }

    fn cpu_per_byte(&self) -> f64 {
        self.cpu / self.report.committed as f64
    }

    fn print(&self, name: &str) {
        let Report {
            fetching,
            decoding,
            writing,
            waiting,
            ..
        } = self.report;
        println!(
            "{name}: {:.0} MiB/s, {:.2} CPU s/GiB, {:.1} page faults a chunk; workers waited {:.2} s for the network and decoded \
             {:.2} s, the writer waited {:.2} s and wrote {:.2} s of {:.2} s",
            self.speed() / MIB as f64,
            self.cpu_per_byte() * 1024.0 * MIB as f64,
            self.faults / self.report.chunks as f64,
            fetching.as_secs_f64(),
            decoding.as_secs_f64(),
            waiting.as_secs_f64(),
            writing.as_secs_f64(),
            self.seconds,
        );
    }
}

/// Minor page faults of this process so far.
fn page_faults() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let minor = after_name.split_whitespace().nth(7);
    minor
        .and_then(|faults| faults.parse().ok())
        .unwrap_or(f64::NAN)
}

fn pairs() -> usize {
    if is_trial() { 1 } else { 9 }
}

fn show(name: &str, ratios: Vec<f64>) {
    println!("ratio {name}: {}", Spread::of(ratios));
}

/// Speed against one chunk in flight, where latency is all: each pair restores a small disk one by one, and a large one
/// with many in flight.
fn small_chunks() {
    const CHUNK: u64 = 64 << 10;
    /// As many chunks for each that is in flight.
    const ROUNDS: u64 = 30;
    let settings: &[u64] = if is_trial() {
        &[16]
    } else {
        &[2, 4, 8, 16, 32, 64]
    };
    let names: Vec<String> = settings
        .iter()
        .map(|in_flight| format!("for-{in_flight}.img"))
        .collect();
    let mut disks = vec![(
        "serial.img",
        Workload::Incompressible,
        ROUNDS * CHUNK,
        CHUNK,
    )];
    for (name, in_flight) in names.iter().zip(settings) {
        disks.push((
            name,
            Workload::Incompressible,
            ROUNDS * in_flight * CHUNK,
            CHUNK,
        ));
    }
    let place = Place::new(&disks);
    let server = place.serve(50, &[]);
    let serial = open(&server, "serial.img");
    let mut control = Vec::new();
    for (name, in_flight) in names.iter().zip(settings) {
        let archive = open(&server, name);
        let ratios = (0..pairs()).map(|_| {
            let one = Run::of(&serial, 1).speed();
            control.push(Run::of(&serial, 1).speed() / one);
            Run::of(&archive, *in_flight as usize).speed() / one
        });
        show(
            &format!("64 KiB, 50 ms, {in_flight} in flight / 1"),
            ratios.collect(),
        );
    }
    show("64 KiB, 50 ms, 1 in flight / 1 (control)", control);
}

/// Speed with 16 in flight against the better of two limits: 16 times serial, and what comes through without latency.
fn large_chunks() {
    let len = if is_trial() { 64 * MIB } else { 1024 * MIB };
    let place = Place::new(&[("disk.img", Workload::Typical, len, 4 * MIB)]);
    let (near, far) = (place.serve(0, &[]), place.serve(50, &[]));
    let (near, far) = (open(&near, "disk.img"), open(&far, "disk.img"));
    let (mut to_limit, mut to_serial, mut cost, mut control) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for pair in 0..pairs() {
        let serial = Run::of(&far, 1);
        let limit = Run::of(&near, 16);
        let parallel = Run::of(&far, 16);
        let again = Run::of(&far, 16);
        if pair == 0 {
            serial.print("4 MiB, 50 ms, 1 in flight");
            limit.print("4 MiB, no latency, 16 in flight");
            parallel.print("4 MiB, 50 ms, 16 in flight");
        }
        to_limit.push(parallel.speed() / (16.0 * serial.speed()).min(limit.speed()));
        to_serial.push(parallel.speed() / serial.speed());
        cost.push(parallel.cpu_per_byte() / serial.cpu_per_byte());
        control.push(again.speed() / parallel.speed());
    }
    show(
        "4 MiB, 50 ms, 16 in flight / min(16 x serial, no latency)",
        to_limit,
    );
    show("4 MiB, 50 ms, 16 in flight / 1", to_serial);
    show("client CPU, typical, 50 ms, 16 in flight / 1", cost);
    show("4 MiB, 50 ms, 16 in flight / itself (control)", control);
    for in_flight in [2, 4, 8, 32, 64]
        .into_iter()
        .take(if is_trial() { 1 } else { 5 })
    {
        Run::of(&far, in_flight).print(&format!("4 MiB, 50 ms, {in_flight} in flight"));
    }
}

/// Client CPU for the same bytes, each chunk 50 ms late: with 16 in flight against 1, and against the floor.
fn cpu() {
    let len = if is_trial() { 64 * MIB } else { 1024 * MIB };
    let place = Place::new(&[
        ("typical.img", Workload::Typical, len, 4 * MIB),
        ("random.img", Workload::Incompressible, len, 4 * MIB),
    ]);
    // Without latency the server would fight for the same cores, and its share be taken for the client's cost.
    let server = place.serve(50, &[]);
    let web = place.serve(0, &["--https"]);
    for disk in ["typical.img", "random.img"] {
        let archive = open(&server, disk);
        let chunks = place.chunks(disk);
        let distinct: HashSet<_> = chunks.iter().collect();
        println!(
            "{disk}: {} chunks to fetch, {} of them distinct",
            chunks.len(),
            distinct.len()
        );
        let mut floor = Floor::connect(web.address(), 4 << 20, None);
        let mut at_floor = || {
            let start = cpu_seconds();
            let fetched: usize = chunks.iter().map(|path| floor.fetch(path)).sum();
            std::hint::black_box(fetched);
            cpu_seconds() - start
        };
        at_floor();
        let (mut to_floor, mut to_serial, mut control) = (Vec::new(), Vec::new(), Vec::new());
        for pair in 0..pairs() {
            let floor = at_floor();
            let parallel = Run::of(&archive, 16);
            let serial = Run::of(&archive, 1);
            if pair == 0 {
                println!("{disk}, floor: {:.2} CPU s", floor);
                serial.print(&format!("{disk}, 1 in flight"));
                parallel.print(&format!("{disk}, 16 in flight"));
            }
            to_floor.push(parallel.cpu / floor);
            to_serial.push(parallel.cpu / serial.cpu);
            control.push(at_floor() / floor);
        }
        show(
            &format!("client CPU, {disk}, 16 in flight / floor"),
            to_floor,
        );
        show(&format!("client CPU, {disk}, 16 in flight / 1"), to_serial);
        show(
            &format!("client CPU, {disk}, floor / floor (control)"),
            control,
        );
    }
}

fn main() {
    serve_if_asked();
    for (name, part) in [
        ("small", small_chunks as fn()),
        ("large", large_chunks),
        ("cpu", cpu),
    ] {
        if is_asked(name) {
            part();
        }
    }
}
