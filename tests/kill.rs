//! A restore that is killed at any moment goes on when the same command runs again: the right bytes come out, nothing
//! looks complete before it is, and little is fetched twice.
//!
//! The program runs against a server with latency, which is this process. The moments are random, from a seed:
//! `CHUNK_RESTORE_KILLS` says how many there are for all targets together, `CHUNK_RESTORE_SEED` which.
#![cfg(all(feature = "pbs", feature = "https", feature = "files"))]
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod disks;
mod kill_files;

use std::env;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use chunk_restore::format::ChunkDecoder;
use tempfile::TempDir;
use testkit::{
    Image, InMemory, PbsOptions, PbsServer, Prng, SnapshotBuilder, Workload, sha256, within,
};

use crate::disks::Loop;

const CHUNK: u64 = 64 << 10;
const CHUNKS: u64 = 500;
/// Ends within a block.
const LEN: u64 = CHUNKS * CHUNK - 1000;
/// A device has whole blocks.
const DEVICE: usize = (CHUNKS * CHUNK) as usize + 4096;
const DISK: &str = "drive-scsi0.img";

/// So many chunks may be fetched and not yet committed.
const WINDOW: u64 = 24;
const THREADS: u64 = 4;

/// What there is on the server: the disk, and its state of the day before, of which a half is the same.
struct Place {
    server: PbsServer,
    sha256: [u8; 32],
    of_both: Fetched,
    of_half: Fetched,
    before: Vec<u8>,
    sha256_before: [u8; 32],
}

/// What is fetched where nothing stops a restore.
struct Fetched {
    chunks: u64,
    /// Of their blobs.
    bytes: u64,
}

impl Fetched {
    fn of<'a>(store: &InMemory, digests: impl Iterator<Item = &'a [u8; 32]>) -> Fetched {
        let mut digests: Vec<_> = digests.collect();
        digests.sort_unstable();
        digests.dedup();
        let tail = (LEN % CHUNK) as usize;
        let zeros = [sha256(&[0; CHUNK as usize]), sha256(&vec![0; tail])];
        digests.retain(|digest| !zeros.contains(digest));
        let bytes = digests
            .iter()
            .map(|digest| store.chunk(digest).unwrap().len() as u64);
        Fetched {
            chunks: digests.len() as u64,
            bytes: bytes.sum(),
        }
    }
}

/// What is restored into.
enum Kind {
    File,
    /// A file that holds the day before, changed in place.
    Reused,
    Device(Loop),
    /// A file that is filled while the disk is served.
    Filled,
}

impl Place {
    fn new() -> Place {
        let store = Arc::new(InMemory::new());
        // With zeros, and chunks that occur again.
        let image = Image::new(Workload::Typical, 7, LEN, CHUNK);
        let info = SnapshotBuilder::new("vm/100/2026-11-02T00:00:00Z")
            .image(DISK, &image)
            .write_to(&*store);
        let mut before: Vec<u8> = (0..image.count())
            .flat_map(|position| image.chunk(position))
            .collect();
        Prng::new(3).fill(&mut before[image.count() / 2 * CHUNK as usize..]);
        let archive = info.archive(DISK);
        let (first, second) = archive.digests.split_at(archive.digests.len() / 2);
        let of_both = Fetched::of(&store, first.iter().chain(second));
        let of_half = Fetched::of(
            &store,
            second.iter().filter(|digest| !first.contains(digest)),
        );
        Place {
            server: PbsOptions::new()
                .latency(Duration::from_millis(4))
                .start(store),
            sha256: archive.sha256,
            of_both,
            of_half,
            sha256_before: sha256(&before),
            before,
        }
    }

    fn needed(&self, kind: &Kind) -> &Fetched {
        match kind {
            Kind::Reused => &self.of_half,
            _ => &self.of_both,
        }
    }

    fn fetched(&self) -> u64 {
        self.server.counts().chunk_bytes
    }

    fn asked(&self) -> u64 {
        self.server.counts().chunk_requests
    }

    /// The command, which is always the same for a target.
    fn start(&self, target: &Path, kind: &Kind) -> Child {
        let memory = (WINDOW + THREADS) * ChunkDecoder::blob_limit(CHUNK as u32) as u64;
        let mut command = Command::new(program());
        match kind {
            Kind::Filled => {
                let folder = target.parent().unwrap();
                command
                    .args(["serve", "vm/100", DISK, "--fill"])
                    .arg(folder);
                // A socket that a killed server has left is replaced.
                command.arg("--socket").arg(folder.with_extension("sock"))
            }
            _ => command.args(["image", "vm/100", DISK]).arg(target),
        };
        command
            .args(["--quiet", "--threads", &THREADS.to_string()])
            .args(["--memory", &memory.to_string()]);
        if matches!(kind, Kind::Reused) {
            command.arg("--reuse");
        }
        command
            .env_clear()
            .env("PBS_REPOSITORY", self.server.repository("store1"))
            .env("PBS_FINGERPRINT", self.server.fingerprint())
            .env("PBS_PASSWORD", PbsServer::SECRET)
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        command.spawn().unwrap()
    }
}

/// `cargo test` builds the examples, and puts them next to the folder that this test lies in.
fn program() -> PathBuf {
    let test = env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    let program = profile.join("examples/restore");
    assert!(
        program.is_file(),
        "there is no {}: cargo build --example restore",
        program.display()
    );
    program
}

fn number(variable: &str, default: u64) -> u64 {
    env::var(variable).map_or(default, |value| value.parse().expect(variable))
}

struct Chance(Prng);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes) % limit
    }

    /// When to kill a restore: after so many more chunks were asked for, and then some time, which is nothing or about what
    /// a chunk takes, or what comes before the first one and after the last one.
    fn moment(&mut self, left: u64) -> (u64, Duration) {
        let requests = match self.below(8) {
            0 => 0,
            1 => left,
            _ => self.below(left + 1),
        };
        let most = if requests == 0 || requests == left {
            60_000
        } else {
            6_000
        };
        (requests, Duration::from_micros(self.below(most)))
    }
}

/// Kills it at a moment; `false` if it had ended by then.
fn kill(
    mut child: Child,
    server: &PbsServer,
    asked: u64,
    jitter: Duration,
    is_over: impl Fn() -> bool,
) -> bool {
    while server.counts().chunk_requests < asked
        && child.try_wait().unwrap().is_none()
        && !is_over()
    {
        // The server's counter rings no bell.
        thread::sleep(Duration::from_micros(200));
    }
    thread::sleep(jitter);
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert!(
        status.success() || status.code().is_none(),
        "{}",
        said(child)
    );
    !status.success()
}

fn said(mut child: Child) -> String {
    let mut text = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    text
}

fn sha256_of(path: &Path) -> [u8; 32] {
    let mut bytes = Vec::new();
    File::open(path)
        .unwrap()
        .take(LEN)
        .read_to_end(&mut bytes)
        .unwrap();
    sha256(&bytes)
}

/// Kills restores into one target until one is done, and says how many there were.
fn restore(place: &Place, kind: &Kind, chance: &mut Chance, most: u64) -> u64 {
    let folder = TempDir::new().unwrap();
    let target = match kind {
        Kind::Device(device) => {
            fs::write(device.path(), vec![0xff; DEVICE]).unwrap();
            device.path().to_owned()
        }
        Kind::Filled => folder.path().join(DISK),
        _ => folder.path().join("disk.raw"),
    };
    if matches!(kind, Kind::Reused) {
        fs::write(&target, &place.before).unwrap();
    }
    let (fetched_before, asked_before) = (place.fetched(), place.asked());
    let needed = place.needed(kind);
    let mut kills = 0;
    // Of one target more than a few kills show nothing new.
    while kills < most.min(5) {
        let asked = place.asked();
        let (requests, jitter) =
            chance.moment((asked_before + needed.chunks).saturating_sub(asked));
        let is_over = || matches!(kind, Kind::Filled) && target.exists();
        let child = place.start(&target, kind);
        if !kill(child, &place.server, asked + requests, jitter, is_over) {
            break;
        }
        kills += 1;
        looks_right(place, kind, &target);
        if is_there(kind, &target) {
            break;
        }
    }
    if !is_there(kind, &target) {
        let mut last = place.start(&target, kind);
        if matches!(kind, Kind::Filled) {
            while !target.exists() && last.try_wait().unwrap().is_none() {
                // A name that appears rings no bell.
                thread::sleep(Duration::from_millis(1));
            }
            let id = rustix::process::Pid::from_child(&last);
            rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        }
        let last = last.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&last.stderr);
        assert!(last.status.success(), "{said}");
    }
    assert_eq!(sha256_of(&target), place.sha256);
    match kind {
        Kind::Device(_) => {
            let all = fs::read(&target).unwrap();
            assert!(all[LEN as usize..].iter().all(|byte| *byte == 0xff));
        }
        _ => {
            let names = fs::read_dir(folder.path()).unwrap();
            assert_eq!(names.count(), 1, "something is left beside the file");
        }
    }
    let fetched = place.fetched() - fetched_before;
    // Random chunks are the largest: they are stored as they are, with a header.
    let limit = needed.bytes + 2 * WINDOW * (CHUNK + 12) * kills;
    assert!(
        fetched <= limit,
        "{fetched} bytes were fetched in {kills} kills, and {limit} are allowed"
    );
    kills
}

/// Whether there is nothing to go on with: only what follows the last name of a new file was killed.
fn is_there(kind: &Kind, target: &Path) -> bool {
    matches!(kind, Kind::File | Kind::Filled) && target.exists()
}

/// What has its final name after a kill is whole: as it is to be, or as it was.
fn looks_right(place: &Place, kind: &Kind, target: &Path) {
    if matches!(kind, Kind::Device(_)) || !target.exists() {
        return;
    }
    let found = sha256_of(target);
    let was = matches!(kind, Kind::Reused) && found == place.sha256_before;
    assert!(
        was || found == place.sha256,
        "a file that is not whole has its name"
    );
}

fn kill_often(kind: &Kind, number_of_kind: u64) {
    let kills = number("CHUNK_RESTORE_KILLS", 20).div_ceil(4);
    let seed = number("CHUNK_RESTORE_SEED", 1);
    let place = Place::new();
    let mut chance = Chance(Prng::new(seed ^ (number_of_kind << 32)));
    let (mut done, mut restores) = (0, 0);
    while done < kills {
        done += restore(&place, kind, &mut chance, kills - done);
        restores += 1;
        assert!(
            restores < 20 + 10 * kills,
            "restores end before they are killed"
        );
    }
    println!(
        "{done} kills over {restores} restores, {:.2} times what is needed was fetched",
        place.fetched() as f64 / (place.needed(kind).bytes * restores) as f64
    );
}

fn limit() -> Duration {
    Duration::from_secs(120 + 5 * number("CHUNK_RESTORE_KILLS", 20))
}

#[test]
fn a_file_survives_kills() {
    within(limit(), || kill_often(&Kind::File, 1));
}

#[test]
fn a_file_that_is_changed_in_place_survives_kills() {
    within(limit(), || kill_often(&Kind::Reused, 2));
}

#[test]
fn a_file_that_is_filled_survives_kills() {
    within(limit(), || kill_often(&Kind::Filled, 4));
}

#[test]
fn files_of_an_archive_survive_kills() {
    within(limit(), || kill_files::kill_often(false, 5));
}

#[test]
fn files_of_a_split_archive_survive_kills() {
    within(limit(), || kill_files::kill_often(true, 6));
}

#[test]
fn a_device_survives_kills() {
    let Some(device) = Loop::thin(DEVICE) else {
        return;
    };
    within(limit(), || kill_often(&Kind::Device(device), 3));
}
