//! Restores that fetch less than all: what the target holds, what occurs again, and zeros.
//!
//! Every ratio is of runs that were made in turns. The files are in the folder that `TMPDIR` names, or else on the disk
//! that holds `target`, and in the page cache.
//!
//! `cargo bench --bench reuse -- delta` (a target that holds nearly all), `served` (the same from a PBS), `copies` (each
//! chunk eight times), `repeats` (a few chunks in turn, where the file system shares blocks), `zeros` (of them alone, and
//! among data); all of them without a word.
//!
//! A file system that shares blocks, or another that doesn't, can be had in a file, as root:
//!
//! ```sh
//! truncate -s 8G /tmp/disk.img && mkfs.xfs -m reflink=1 /tmp/disk.img      # or mkfs.btrfs, or mkfs.ext4
//! mkdir -p /mnt/disk && mount -o loop /tmp/disk.img /mnt/disk
//! TMPDIR=/mnt/disk cargo bench --bench reuse -- copies repeats
//! ```

mod copies;
mod delta;
#[allow(clippy::unwrap_used, reason = "a device that can't be made is the end")]
#[path = "../../tests/disks/mod.rs"]
mod disks;
mod repeats;
#[path = "../support/mod.rs"]
mod support;
mod zeros;

use std::collections::HashMap;
use std::env;
use std::fs::{self, File};
use std::path::PathBuf;
use std::time::Instant;

use chunk_restore::target::Target;
use chunk_restore::{Archive, FileTarget, OpenOptions, Report, Restore};
use support::usage::{begin_peak, cpu_seconds, peak};
use support::{is_asked, is_trial};
use tempfile::TempDir;
use testkit::{
    BlobKind, CryptMode, FixedIndex, Folder, Image, Manifest, ManifestFile, PbsServer,
    ServerProcess, Store, Workload, encode, serve_if_asked, sha256,
};

const CHUNK: u64 = 4 << 20;
const SNAPSHOT: &str = "vm/100/2026-01-02T03:04:05Z";
const DISK: &str = "drive-scsi0.img";
const MIB: f64 = (1 << 20) as f64;
/// Pairs of runs behind each ratio.
const PAIRS: usize = 9;

/// A datastore on disk that holds one image, and room beside it.
struct Place {
    folder: TempDir,
}

impl Place {
    /// An image of as many chunks as there are numbers; those of the same number are the same.
    fn new(numbers: &[u64], make: impl Fn(u64) -> Vec<u8>) -> Place {
        let folder = TempDir::new_in(room()).expect("there is a disk");
        let store = Folder::new(folder.path().join("datastore"));
        let mut made = HashMap::new();
        let digests = numbers.iter().map(|number| {
            *made.entry(*number).or_insert_with(|| {
                let data = make(*number);
                let digest = sha256(&data);
                store.put_chunk(&digest, &encode(BlobKind::Plain, &data, None));
                digest
            })
        });
        let len = numbers.len() as u64 * CHUNK;
        let index = FixedIndex::new(len, CHUNK, digests.collect());
        let file = ManifestFile {
            name: format!("{DISK}.fidx"),
            crypt_mode: CryptMode::None,
            size: len,
            csum: index.csum(),
        };
        store.put_file("", SNAPSHOT, &file.name, &index.bytes());
        let manifest = Manifest::new(SNAPSHOT).file(file).blob();
        store.put_file("", SNAPSHOT, "index.json.blob", &manifest);
        let place = Place { folder };
        place.settle();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The image, from the folder itself.
    fn archive(&self) -> Archive {
        let place = self.path("datastore").display().to_string();
        open(&OpenOptions::new(), &format!("dir:{place}"))
    }

    /// A PBS whose chunks come so late.
    fn serve(&self, milliseconds: &str) -> ServerProcess {
        let folder = self.path("datastore").display().to_string();
        ServerProcess::start(&["--folder", &folder, "--latency-ms", milliseconds])
    }

    /// Restores into a new file.
    fn restore(&self, archive: &Archive, name: &str) -> Run {
        let path = self.path(name);
        fs::remove_file(&path).ok();
        let mut target = FileTarget::create(&path).expect("the folder can be written");
        Run::of(archive, &mut target)
    }

    /// Waits until everything is on the disk, so that it does not slow down what comes next.
    fn settle(&self) {
        let folder = File::open(self.folder.path()).expect("the folder is there");
        rustix::fs::syncfs(folder).expect("the disk can be written");
    }
}

/// Where the files are: `/tmp`, which is taken where nothing is said, may be memory.
fn room() -> PathBuf {
    let chosen = env::var_os("TMPDIR").map(PathBuf::from);
    chosen.unwrap_or_else(|| env!("CARGO_TARGET_TMPDIR").into())
}

fn open(options: &OpenOptions, place: &str) -> Archive {
    let datastore = options.clone().open(place);
    let archive = datastore.and_then(|datastore| datastore.snapshot(SNAPSHOT)?.archive(DISK));
    archive.expect("the datastore is sound")
}

fn open_served(server: &ServerProcess) -> Archive {
    let fingerprint = server.fingerprint().parse().expect("it is a fingerprint");
    let options = OpenOptions::new()
        .fingerprint(fingerprint)
        .password(PbsServer::SECRET);
    open(&options, server.place())
}

/// The chunk of a number: random, and like no other.
fn random(number: u64) -> Vec<u8> {
    Image::new(Workload::Incompressible, 1, 1 << 50, CHUNK).chunk(number as usize)
}

/// What one restore took.
struct Run {
    report: Report,
    seconds: f64,
    cpu: f64,
    /// Bytes that the process took at the most.
    memory: u64,
}

impl Run {
    fn of(archive: &Archive, target: &mut dyn Target) -> Run {
        Run::with(&Restore::new(), archive, target)
    }

    fn with(restore: &Restore, archive: &Archive, target: &mut dyn Target) -> Run {
        let (cpu, start) = (cpu_seconds(), Instant::now());
        begin_peak();
        let report = restore.run(archive, target);
        Run {
            report: report.expect("the datastore and the disk are sound"),
            seconds: start.elapsed().as_secs_f64(),
            cpu: cpu_seconds() - cpu,
            memory: peak(),
        }
    }

    fn time_and_cpu(&self) -> [f64; 2] {
        [self.seconds, self.cpu]
    }

    fn print(&self, name: &str) {
        println!(
            "{name}: {}; {:.2} s with the sync, {:.2} CPU s, {:.0} MiB of memory at the most",
            self.report,
            self.seconds,
            self.cpu,
            self.memory as f64 / MIB
        );
    }
}

fn main() {
    serve_if_asked();
    for (name, part) in [
        ("delta", delta::delta as fn()),
        ("served", delta::served),
        ("copies", copies::copies),
        ("repeats", repeats::repeats),
        ("zeros", zeros::zeros),
    ] {
        if is_asked(name) {
            part();
        }
    }
}
