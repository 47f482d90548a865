//! Restoring from a folder: threads and targets, and how well two threads do against a bare loop.

mod support;

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use chunk_restore::target::Target;
use chunk_restore::{Archive, FileTarget, OpenOptions, Restore};
use criterion::{Criterion, Throughput};
use sha2::{Digest, Sha256};
use support::null::Null;
use tempfile::TempDir;
use testkit::{Folder, Image, SnapshotBuilder, Workload};
use zstd::bulk::Decompressor;

const CHUNK: u64 = 4 << 20;
const SNAPSHOT: &str = "vm/100/2026-01-02T03:04:05Z";
const DISK: &str = "drive-scsi0.img";

/// A datastore on disk, which is in the page cache once it was read.
struct Place {
    folder: TempDir,
    archive: Archive,
    /// The chunk files in index order.
    chunks: Vec<PathBuf>,
}

impl Place {
    fn new(workload: Workload, len: u64) -> Place {
        let folder = TempDir::new().expect("there is room for a temporary folder");
        let store = Folder::new(folder.path());
        let image = Image::new(workload, 1, len, CHUNK);
        let info = SnapshotBuilder::new(SNAPSHOT)
            .image(DISK, image)
            .write_to(&store);
        let chunks = info
            .archive(DISK)
            .digests
            .iter()
            .map(|digest| store.chunk_path(digest))
            .collect();
        let datastore = OpenOptions::new().open(&format!("dir:{}", folder.path().display()));
        let archive = datastore.and_then(|datastore| datastore.snapshot(SNAPSHOT)?.archive(DISK));
        Place {
            archive: archive.expect("the testkit makes sound datastores"),
            folder,
            chunks,
        }
    }

    fn restore(&self, threads: usize, target: &mut dyn Target) {
        let restore = Restore::new().threads(threads);
        restore
            .run(&self.archive, target)
            .expect("the datastore is sound");
    }

    /// Read, unzip and hash, and nothing else: no order, no target, no check.
    fn bare_loop(&self, threads: usize) {
        let next = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    let mut decompressor = Decompressor::new().expect("zstd starts");
                    let (mut blob, mut data) = (aligned(), vec![0; CHUNK as usize]);
                    while let Some(path) = self.chunks.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let len = read(path, &mut blob);
                        let frame = &blob.0[blob.1..][12..len];
                        let len = decompressor.decompress_to_buffer(frame, &mut data[..]);
                        std::hint::black_box(Sha256::digest(
                            &data[..len.expect("the frame is sound")],
                        ));
                    }
                });
            }
        });
    }
}

/// Room for a blob that starts on a page: else the kernel's copy is slow, and the loop not bare.
fn aligned() -> (Vec<u8>, usize) {
    let memory = vec![0; CHUNK as usize + (1 << 16)];
    let start = memory.as_ptr().align_offset(4096);
    (memory, start)
}

fn read(path: &Path, (memory, start): &mut (Vec<u8>, usize)) -> usize {
    let mut file = File::open(path).expect("the chunk is there");
    let len = file.metadata().expect("the chunk is there").len() as usize;
    file.read_exact(&mut memory[*start..][..len])
        .expect("the chunk is whole");
    len
}

fn bench(criterion: &mut Criterion, place: &Place) {
    let mut group = criterion.benchmark_group("restore from a folder");
    group
        .throughput(Throughput::Bytes(place.archive.index().len()))
        .sample_size(10);
    for threads in [1, 2, 4, 8] {
        group.bench_function(format!("{threads} threads, null target"), |bencher| {
            bencher.iter(|| place.restore(threads, &mut Null));
        });
        let path = place.folder.path().join("disk.raw");
        group.bench_function(format!("{threads} threads, file"), |bencher| {
            bencher.iter(|| {
                let mut target = FileTarget::replace(&path).expect("the folder can be written");
                place.restore(threads, &mut target);
            });
        });
        fs::remove_file(&path).ok();
    }
    group.finish();
}

fn main() {
    let len = if support::is_trial() {
        32 << 20
    } else {
        512 << 20
    };
    let mut criterion = Criterion::default().configure_from_args();
    bench(&mut criterion, &Place::new(Workload::Typical, len));
    criterion.final_summary();

    // Only compressible chunks, so that the bare loop needs no cases.
    let place = Place::new(Workload::Zstd, len);
    for threads in [1, 2] {
        support::ratio(
            &format!("restore / bare loop, {threads} threads"),
            || place.restore(threads, &mut Null),
            || place.bare_loop(threads),
        );
    }
    support::ratio(
        "restore, 1 thread / 2 threads",
        || place.restore(1, &mut Null),
        || place.restore(2, &mut Null),
    );
    support::ratio(
        "bare loop, 1 thread / 2 threads",
        || place.bare_loop(1),
        || place.bare_loop(2),
    );
}
