//! What a restore chooses where nobody said.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use chunk_restore::backend::{
    ArchivePath, Backend, Concurrency, Connection, FetchError, RateLimit, Request, one_by_one,
};
use chunk_restore::format::SnapshotPath;
use chunk_restore::{Cancel, OpenOptions, Restore, StreamTarget};
use testkit::{Image, InMemory, SnapshotBuilder, Workload, within};

const SNAPSHOT: &str = "vm/100/2026-01-02T03:04:05Z";
const DISK: &str = "drive-scsi0.img";

/// A folder on a disk that answers after a while, but to as many at once as ask.
struct SlowDisk {
    store: InMemory,
    latency: Duration,
    /// How many read at once, and the most that ever did.
    readers: AtomicUsize,
    most: Arc<AtomicUsize>,
}

impl Backend for SlowDisk {
    fn read_file(
        &self,
        snapshot: &SnapshotPath,
        file: &str,
        _limit: u64,
    ) -> Result<Vec<u8>, FetchError> {
        let file = self.store.file("", &snapshot.snapshot.to_string(), file);
        Ok(file.ok_or(FetchError::Missing)?.to_vec())
    }

    fn concurrency(&self) -> Concurrency {
        Concurrency::Local
    }

    fn connect<'a>(
        &'a self,
        _archive: &ArchivePath,
        _cancel: &'a Cancel,
        _rate_limit: &'a RateLimit,
    ) -> Result<Box<dyn Connection + 'a>, FetchError> {
        Ok(one_by_one(|request| self.read(request)))
    }
}

impl SlowDisk {
    fn read(&self, request: &mut Request) -> Result<(), FetchError> {
        let now = self.readers.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        thread::sleep(self.latency);
        self.readers.fetch_sub(1, Ordering::SeqCst);
        let blob = self.store.chunk(request.digest().as_bytes());
        let blob = blob.ok_or(FetchError::Missing)?;
        request.buffer().extend_from_slice(&blob);
        Ok(())
    }
}

/// The most that read at once.
fn readers(latency: Duration, chunks: u64, restore: &Restore) -> usize {
    let store = InMemory::new();
    let image = Image::new(Workload::Incompressible, 1, chunks << 12, 1 << 12);
    SnapshotBuilder::new(SNAPSHOT)
        .image(DISK, image)
        .write_to(&store);
    let most = Arc::new(AtomicUsize::new(0));
    let disk = SlowDisk {
        store,
        latency,
        readers: AtomicUsize::new(0),
        most: Arc::clone(&most),
    };
    let datastore = OpenOptions::new().open_backend(disk);
    let snapshot = datastore.snapshot(SNAPSHOT).expect("it is there");
    let archive = snapshot.archive(DISK).expect("it is sound");
    let restore = restore.clone();
    let report = within(Duration::from_secs(60), move || {
        restore.run(&archive, &mut StreamTarget::new(Vec::new()))
    });
    assert_eq!(report.expect("it is whole").chunks, chunks);
    most.load(Ordering::SeqCst)
}

#[test]
fn a_slow_disk_is_read_by_more_threads_than_there_are_cores() {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let readers = readers(Duration::from_millis(20), 500, &Restore::new());
    assert!(readers > cores.min(15), "{readers} on {cores} cores");
    assert!(readers <= cores.max(16), "{readers} on {cores} cores");
}

#[test]
fn who_names_a_number_of_threads_gets_no_more() {
    let readers = readers(Duration::from_millis(20), 100, &Restore::new().threads(1));
    assert_eq!(readers, 1);
}
