//! Makes a datastore of about 1 GiB in a temporary folder and restores it twice: from the folder,
//! and from a server in another process that takes 20 ms for each chunk, as a distant server does.
//! Needs no datastore.
//!
//! `cargo run --release --example demo`, or with the size in MiB:
//! `cargo run --release --example demo -- 64`

use std::error::Error;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Instant;

use chunk_restore::{Datastore, FileTarget, OpenOptions, Report, Restore};
use sha2::{Digest, Sha256};
use testkit::{Folder, Image, ServerProcess, SnapshotBuilder, Workload};

const MIB: u64 = 1 << 20;
const SNAPSHOT: &str = "vm/100/2026-11-23T00:00:00Z";
const DISK: &str = "drive-scsi0.img";

fn main() -> Result<(), Box<dyn Error>> {
    // The server is this program, run once more.
    testkit::serve_if_asked();
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
    let path = store.path().display().to_string();
    let server = ServerProcess::start(&["--folder", &path, "--latency-ms", "20"]);

    // The following lines are all that a program needs to restore.
    let from_folder = OpenOptions::new().open(&path)?;
    let from_server = OpenOptions::new()
        .fingerprint(server.fingerprint().parse()?)
        .password(server.secret())
        .open(server.place())?;
    let serial = Restore::new().threads(1).in_flight(1);
    let default = Restore::new();

    println!("from                              seconds   MiB/s   fetched     zeros   SHA-256");
    let disk = folder.path().join("disk.raw");
    for (name, datastore, restore) in [
        ("the folder, one thread", &from_folder, &serial),
        ("the folder, by default", &from_folder, &default),
        ("the server, 1 chunk in flight", &from_server, &serial),
        ("the server, by default", &from_server, &default),
    ] {
        let report = run(datastore, restore, &disk)?;
        let is_equal = hash(&disk)? == sha256;
        print_row(name, &report, is_equal);
        std::fs::remove_file(&disk)?;
        if !is_equal {
            return Err("a restored disk is not what was backed up".into());
        }
    }
    Ok(())
}

fn run(datastore: &Datastore, restore: &Restore, disk: &Path) -> chunk_restore::Result<Report> {
    let archive = datastore.snapshot("vm/100")?.archive(DISK)?;
    restore.run(&archive, &mut FileTarget::create(disk)?)
}

fn print_row(name: &str, report: &Report, is_equal: bool) {
    println!(
        "{name:<31} {:>9.2} {:>7.0} {:>5} MiB {:>5} MiB   {}",
        report.elapsed.as_secs_f64(),
        report.speed() / MIB as f64,
        report.fetched / MIB,
        report.zeros / MIB,
        if is_equal { "equal" } else { "DIFFERENT" },
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
