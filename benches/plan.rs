//! Planning a restore, by the size of the index.

mod support;

use std::sync::Arc;

use chunk_restore::{
    ArchivePath, Backend, Cancel, Connection, Datastore, FetchError, Index, Restore, SnapshotPath,
};
use criterion::{Criterion, Throughput};

const CHUNK: u64 = 4 << 20;
const SNAPSHOT: &str = "vm/100/2026-01-02T03:04:05Z";

/// A snapshot whose one image has an index and no chunks.
struct OnlyAnIndex {
    manifest: Vec<u8>,
    index: Arc<Vec<u8>>,
}

impl OnlyAnIndex {
    /// Of `len` bytes, every other chunk of zeros.
    fn new(len: u64) -> OnlyAnIndex {
        let count = len / CHUNK;
        let zero = testkit::sha256(&vec![0; CHUNK as usize]);
        let digests: Vec<[u8; 32]> = (0..count)
            .map(|position| match position % 2 {
                0 => zero,
                _ => testkit::sha256(&position.to_le_bytes()),
            })
            .collect();
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
        _throttle: &'a chunk_restore::Throttle,
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
        let backend = OnlyAnIndex::new(tebibytes << 40);
        let index = Arc::clone(&backend.index);
        let snapshot = Datastore::new(backend)
            .snapshot(SNAPSHOT)
            .expect("the manifest is sound");
        let archive = snapshot
            .archive("drive-scsi0.img")
            .expect("the index is sound");
        group.throughput(Throughput::Elements(archive.index().count() as u64));
        group.bench_function(format!("index of {tebibytes} TiB: parse"), |bencher| {
            bencher.iter(|| Index::parse(index.to_vec()));
        });
        group.bench_function(format!("index of {tebibytes} TiB: plan"), |bencher| {
            bencher.iter(|| Restore::new().plan(&archive));
        });
    }
    group.finish();
    criterion.final_summary();
}
