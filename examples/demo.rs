//! Makes a datastore of about 1 GiB in a temporary folder and restores it, with one thread and with all. Needs nothing.
//!
//! `cargo run --release --example demo`, or with the size in MiB: `cargo run --release --example demo -- 64`

use std::error::Error;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Instant;

use chunk_restore::{FileTarget, Options, Report, Restore};
use sha2::{Digest, Sha256};
use testkit::{Folder, Image, SnapshotBuilder, Workload};

const MIB: u64 = 1 << 20;
const SNAPSHOT: &str = "vm/100/2026-11-23T00:00:00Z";
const DISK: &str = "drive-scsi0.img";

fn main() -> Result<(), Box<dyn Error>> {
    let size = match std::env::args().nth(1) {
        None => 1024,
        Some(argument) => argument
            .parse::<u64>()
            .map_err(|_| "the argument is a number of MiB")?,
    };
    let folder = tempfile::tempdir()?;
    println!(
        "making a datastore with a disk of {size} MiB in {} ..",
        folder.path().display()
    );
    let made = Instant::now();
    let store = Folder::new(folder.path().join("datastore"));
    let image = Image::new(Workload::Typical, 1, size * MIB, 4 * MIB);
    let snapshot = SnapshotBuilder::new(SNAPSHOT)
        .image(DISK, image)
        .write_to(&store);
    let sha256 = testkit::hex(&snapshot.archive(DISK).sha256);
    println!(
        "made in {:.1} s; SHA-256 of the disk: {sha256}\n",
        made.elapsed().as_secs_f64()
    );

    // What follows is all that a program needs that restores.
    let datastore = Options::new().open(&store.path().display().to_string())?;
    let archive = datastore.snapshot("vm/100")?.archive(DISK)?;
    let all = std::thread::available_parallelism()?.get();
    println!("threads   seconds   MiB/s   fetched   zeros   SHA-256");
    for threads in [1, all] {
        let path = folder.path().join(format!("disk-{threads}.raw"));
        let report = Restore::new()
            .threads(threads)
            .run(&archive, &mut FileTarget::create(&path)?)?;
        let verdict = if hash(&path)? == sha256 {
            "equal"
        } else {
            "DIFFERENT"
        };
        print_row(threads, &report, verdict);
        std::fs::remove_file(path)?;
        if verdict != "equal" {
            return Err("a restored disk is not what was backed up".into());
        }
    }
    Ok(())
}

fn print_row(threads: usize, report: &Report, verdict: &str) {
    println!(
        "{threads:>7} {:>9.2} {:>7.0} {:>5} MiB {:>3} MiB   {verdict}",
        report.elapsed.as_secs_f64(),
        report.speed() / MIB as f64,
        report.fetched / MIB,
        report.zeros / MIB,
    );
}

fn hash(path: &Path) -> io::Result<String> {
    let (mut file, mut hasher) = (File::open(path)?, Sha256::new());
    let mut buffer = vec![0; MIB as usize];
    loop {
        let len = file.read(&mut buffer)?;
        if len == 0 {
            return Ok(testkit::hex(&hasher.finalize()));
        }
        hasher.update(&buffer[..len]);
    }
}
