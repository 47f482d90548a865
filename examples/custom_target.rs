//! A target of your own: hashes an archive instead of storing it.
//!
//! `cargo run --release --example custom_target -- /path/to/datastore vm/100 drive-scsi0.img`

use std::io;

use chunk_restore::target::Target;
use chunk_restore::{Datastore, Restore};
use sha2::{Digest, Sha256};

#[derive(Default)]
struct Checksum(Sha256);

impl Target for Checksum {
    // This is called in order, without gaps, and only with verified bytes. Zeros come here too,
    // since the default `write_zeros` calls this.
    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        self.0.update(data);
        Ok(())
    }

    fn finish(&mut self, _damaged: bool) -> io::Result<()> {
        Ok(())
    }
}

fn main() -> chunk_restore::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [place, snapshot, archive] = &arguments[..] else {
        eprintln!("usage: custom_target DATASTORE SNAPSHOT ARCHIVE");
        std::process::exit(2);
    };
    let archive = Datastore::open(place)?
        .snapshot(snapshot)?
        .archive(archive)?;
    let mut checksum = Checksum::default();
    Restore::new().run(&archive, &mut checksum)?;
    for byte in checksum.0.finalize() {
        print!("{byte:02x}");
    }
    println!("  {}", archive.path().archive_name());
    Ok(())
}
