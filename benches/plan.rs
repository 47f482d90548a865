//! Planning a restore, by the size of the index and by what is in it: time, and memory.

mod support;

use std::sync::Arc;

use chunk_restore::backend::{ArchivePath, Backend, Connection, FetchError};
use chunk_restore::format::{Index, SnapshotPath};
use chunk_restore::{Cancel, Datastore, Restore};
use criterion::{Criterion, Throughput};
use support::usage::{begin_peak, peak};
use testkit::Prng;

const CHUNK: u64 = 4 << 20;
const SNAPSHOT: &str = "vm/100/2026-01-02T03:04:05Z";

/// A snapshot whose one image has an index and no chunks.
struct OnlyAnIndex {
    manifest: Vec<u8>,
    index: Arc<Vec<u8>>,
}

impl OnlyAnIndex {
    /// Of `len` bytes. Of a hundred chunks so many are zeros, and so many the same as one before them.
    fn new(len: u64, zeros: u64, repeats: u64) -> OnlyAnIndex {
        let zero = testkit::sha256(&vec![0; CHUNK as usize]);
        let mut dice = Prng::new(1);
        let mut digests: Vec<[u8; 32]> = Vec::new();
        for position in 0..len / CHUNK {
            let (percent, any) = (dice.next_u64() % 100, dice.next_u64());
            digests.push(match percent {
                _ if percent < zeros => zero,
                _ if percent < zeros + repeats && position > 0 => {
                    digests[(any % position) as usize]
                }
                _ => testkit::sha256(&position.to_le_bytes()),
            });
        }
        let index = testkit::FixedIndex::new(len, CHUNK, digests);
        let file = testkit::ManifestFile {
            name: "drive-scsi0.img.fidx".to_owned(),
            crypt_mode: testkit::CryptMode::None,
            size: len,
            csum: index.csum(),
        };
        OnlyAnIndex {
            manifest: testkit::Manifest::new(SNAPSHOT).file(file).blob(),
            index: Arc::new(index.bytes()),
        }
    }
}

impl Backend for OnlyAnIndex {
    fn read_file(
        &self,
        _snapshot: &SnapshotPath,
        file: &str,
        _limit: u64,
    ) -> Result<Vec<u8>, FetchError> {
        match file {
            "index.json.blob" => Ok(self.manifest.clone()),
            _ => Ok(self.index.to_vec()),
        }
    }

    fn connect<'a>(
        &'a self,
        _archive: &ArchivePath,
        _cancel: &'a Cancel,
        _rate_limit: &'a chunk_restore::backend::RateLimit,
    ) -> Result<Box<dyn Connection + 'a>, FetchError> {
        Err(FetchError::Unsupported)
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("plan");
    group.sample_size(10);
    let sizes: &[u64] = if support::is_trial() { &[1] } else { &[1, 16] };
    for tebibytes in sizes {
        for (name, zeros, repeats) in [
            ("half zeros", 50, 0),
            ("no repeats", 0, 0),
            ("10 % repeats", 0, 10),
            ("50 % repeats", 0, 50),
        ] {
            let backend = OnlyAnIndex::new(tebibytes << 40, zeros, repeats);
            let index = Arc::clone(&backend.index);
            let snapshot = Datastore::new(backend)
                .snapshot(SNAPSHOT)
                .expect("the manifest is sound");
            let archive = snapshot
                .archive("drive-scsi0.img")
                .expect("the index is sound");
            let count = archive.index().count();
            let before = begin_peak();
            let plan = Restore::new().plan(&archive);
            println!(
                "index of {tebibytes} TiB, {name}: {} of {count} chunks to fetch, {:.1} bytes of memory each",
                plan.chunks_to_fetch(),
                peak().saturating_sub(before) as f64 / count as f64
            );
            drop(plan);
            group.throughput(Throughput::Elements(count as u64));
            if zeros > 0 {
                group.bench_function(format!("index of {tebibytes} TiB: parse"), |bencher| {
                    bencher.iter(|| Index::parse(index.to_vec()));
                });
            }
            group.bench_function(
                format!("index of {tebibytes} TiB, {name}: plan"),
                |bencher| {
                    bencher.iter(|| Restore::new().plan(&archive));
                },
            );
        }
    }
    group.finish();
    criterion.final_summary();
}
