//! A place of your own: a datastore in memory, which counts the bytes that are read from it. Needs
//! no arguments and no datastore.
//!
//! `cargo run --release --example custom_backend`

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chunk_restore::backend::{ArchivePath, Backend, Connection, FetchError, RateLimit, one_by_one};
use chunk_restore::format::SnapshotPath;
use chunk_restore::{Cancel, Datastore, Restore, StreamTarget};
use testkit::{Image, InMemory, SnapshotBuilder, Workload};

const SNAPSHOT: &str = "vm/100/2026-11-23T00:00:00Z";
const DISK: &str = "drive-scsi0.img";
const MIB: u64 = 1 << 20;

/// The datastore, as the testkit makes it.
struct Place {
    stored: InMemory,
    blobs: Arc<AtomicU64>,
    bytes: Arc<AtomicU64>,
}

impl Backend for Place {
    // Manifests and indexes are read whole. A file that is too long must not be read into memory.
    fn read_file(
        &self,
        snapshot: &SnapshotPath,
        file: &str,
        limit: u64,
    ) -> Result<Vec<u8>, FetchError> {
        let namespace = snapshot.namespace.to_string();
        let stored = (self.stored).file(&namespace, &snapshot.snapshot.to_string(), file);
        match stored {
            None => Err(FetchError::Missing),
            Some(bytes) if bytes.len() as u64 > limit => Err(FetchError::TooLong),
            Some(bytes) => Ok(bytes.to_vec()),
        }
    }

    // Each worker thread opens a connection of its own. `FetchError::of_file` sorts errors of
    // files, and `FetchError::of_connection` sorts errors of sockets.
    fn connect<'a>(
        &'a self,
        _archive: &ArchivePath,
        cancel: &'a Cancel,
        rate_limit: &'a RateLimit,
    ) -> Result<Box<dyn Connection + 'a>, FetchError> {
        Ok(one_by_one(move |request| {
            let blob = self.stored.chunk(request.digest().as_bytes());
            let blob = blob.ok_or(FetchError::Missing)?;
            if blob.len() > request.limit() {
                return Err(FetchError::TooLong);
            }
            let mut rest = &blob[..];
            while !rest.is_empty() {
                let (now, later) = rest.split_at(rate_limit.may_read(rest.len(), cancel)?);
                request.buffer().extend_from_slice(now);
                rest = later;
            }
            self.blobs.fetch_add(1, Ordering::Relaxed);
            self.bytes.fetch_add(blob.len() as u64, Ordering::Relaxed);
            Ok(())
        }))
    }
}

fn main() -> chunk_restore::Result<()> {
    let stored = InMemory::new();
    let image = Image::new(Workload::Typical, 1, 64 * MIB, 4 * MIB);
    (SnapshotBuilder::new(SNAPSHOT).image(DISK, image)).write_to(&stored);

    let (blobs, bytes) = (Arc::default(), Arc::default());
    let place = Place {
        stored,
        blobs: Arc::clone(&blobs),
        bytes: Arc::clone(&bytes),
    };
    let archive = Datastore::new(place).snapshot(SNAPSHOT)?.archive(DISK)?;
    let report = Restore::new().run(&archive, &mut StreamTarget::new(io::sink()))?;
    println!("{report}");
    println!(
        "the place gave {} blobs of {} bytes in all",
        blobs.load(Ordering::Relaxed),
        bytes.load(Ordering::Relaxed)
    );
    Ok(())
}
