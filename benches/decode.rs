//! Decoding each kind of blob, next to zstd and SHA-256 alone on the same data.

mod support;

use std::hint::black_box;

use chunk_restore::backend::Buffer;
use chunk_restore::format::{Chunk, ChunkDecoder};
use chunk_restore::{Digest, Key};
use criterion::{Criterion, Throughput};
use sha2::{Digest as _, Sha256};
use testkit::{BlobKind, Image, TestKey, Workload, chunk_digest, encode};
use zstd::bulk::Decompressor;

const LEN: usize = 4 << 20;

/// One chunk, decoded again and again in the same memory, as a worker does.
struct Subject {
    blob: Vec<u8>,
    chunk: Chunk,
    decoder: ChunkDecoder,
    buffer: Buffer,
    scratch: Buffer,
}

impl Subject {
    fn new(kind: BlobKind, data: &[u8]) -> Subject {
        let key = TestKey::from_seed(1);
        let is_encrypted = matches!(kind, BlobKind::Encrypted | BlobKind::ZstdEncrypted);
        let key = is_encrypted.then_some(&key);
        Subject {
            blob: encode(kind, data, key),
            chunk: Chunk {
                digest: Digest::from(chunk_digest(data, key)),
                offset: 0,
                len: LEN as u32,
            },
            decoder: ChunkDecoder::new(key.map(|key| Key::from_bytes(*key.enc_key()))),
            buffer: Buffer::new(),
            scratch: Buffer::new(),
        }
    }

    /// A copy stands for the fetch.
    fn fetch_and_decode(&mut self) {
        let mut blob = std::mem::take(&mut self.buffer);
        blob.clear();
        blob.extend_from_slice(&self.blob);
        let verified = self
            .decoder
            .decode(&self.chunk, blob, &mut self.scratch)
            .expect("the blob is sound");
        black_box(verified.data());
        self.buffer = verified.into_buffer();
    }
}

fn data(workload: Workload) -> Vec<u8> {
    let mut data = vec![0; LEN];
    Image::new(workload, 1, LEN as u64, LEN as u64).fill(0, &mut data);
    data
}

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    group
        .throughput(Throughput::Bytes(LEN as u64))
        .sample_size(20);
    let compressible = data(Workload::Zstd);
    for (name, kind) in [
        ("plain", BlobKind::Plain),
        ("zstd", BlobKind::Zstd),
        ("encrypted", BlobKind::Encrypted),
        ("zstd, encrypted", BlobKind::ZstdEncrypted),
    ] {
        let mut subject = Subject::new(kind, &compressible);
        group.bench_function(name, |bencher| {
            bencher.iter(|| subject.fetch_and_decode());
        });
    }
    let frame = zstd::bulk::compress(&compressible, 1).expect("memory compresses");
    let (mut decompressor, mut out) = (Decompressor::new().expect("zstd starts"), vec![0; LEN]);
    group.bench_function("floor: zstd alone", |bencher| {
        bencher.iter(|| {
            decompressor
                .decompress_to_buffer(&frame, &mut out[..])
                .expect("the frame is sound")
        });
    });
    group.bench_function("floor: SHA-256 alone", |bencher| {
        bencher.iter(|| black_box(Sha256::digest(&compressible)));
    });
    group.finish();
}

/// The bar: decoding costs at most 1.15 times its parts.
fn ratios() {
    const ROUNDS: usize = 8;
    let compressible = data(Workload::Zstd);
    let frame = zstd::bulk::compress(&compressible, 1).expect("memory compresses");
    let (mut decompressor, mut out) = (Decompressor::new().expect("zstd starts"), vec![0; LEN]);
    let mut subject = Subject::new(BlobKind::Zstd, &compressible);
    let mut fetched = Vec::new();
    support::ratio(
        "decode zstd / (zstd + SHA-256)",
        || (0..ROUNDS).for_each(|_| subject.fetch_and_decode()),
        || {
            for _ in 0..ROUNDS {
                fetched.clear();
                fetched.extend_from_slice(&frame);
                decompressor
                    .decompress_to_buffer(&fetched, &mut out[..])
                    .expect("the frame is sound");
                black_box(Sha256::digest(&out));
            }
        },
    );
    let random = data(Workload::Incompressible);
    let mut subject = Subject::new(BlobKind::Plain, &random);
    support::ratio(
        "decode plain / SHA-256",
        || (0..ROUNDS).for_each(|_| subject.fetch_and_decode()),
        || {
            for _ in 0..ROUNDS {
                fetched.clear();
                fetched.extend_from_slice(&random);
                black_box(Sha256::digest(&fetched));
            }
        },
    );
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    decode(&mut criterion);
    criterion.final_summary();
    ratios();
}
