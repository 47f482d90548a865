//! The four lines of a restore: restores a disk from a datastore to a file.
//!
//! `cargo run --release --example embed -- /path/to/datastore vm/100 drive-scsi0.img disk.raw`

use chunk_restore::{Datastore, FileTarget, Restore};

fn main() -> chunk_restore::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [place, snapshot, archive, file] = &arguments[..] else {
        eprintln!("usage: embed DATASTORE SNAPSHOT ARCHIVE FILE");
        std::process::exit(2);
    };
    let datastore = Datastore::open(place)?;
    let snapshot = datastore.snapshot(snapshot)?;
    let archive = snapshot.archive(archive)?;
    let report = Restore::new().run(&archive, &mut FileTarget::create(file)?)?;
    println!("{file}: {report}");
    Ok(())
}
