//! Restores from S3 buckets: right bytes or a typed error, whatever the server says.
#![allow(clippy::unwrap_used, reason = "a test that can't be set up has failed")]

mod chunks;
mod golden;
mod listing;
mod rclone;
mod refusals;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chunk_restore::format::KeyFile;
use chunk_restore::{Datastore, Error, OpenOptions, Restore, Result, StreamTarget};
use testkit::{Folder, Image, InMemory, S3Server, SnapshotBuilder, Workload};

const LIMIT: Duration = Duration::from_secs(120);
const SNAPSHOT: &str = "vm/100/2026-01-02T03:04:05Z";
const DISK: &str = "drive-scsi0.img";
const CHUNK: u64 = 4096;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn golden_source() -> Arc<Folder> {
    Arc::new(Folder::new(golden().join("datastore")))
}

/// Trusts the server, and signs as it wants it.
fn options(server: &S3Server) -> OpenOptions {
    let options = OpenOptions::new()
        .s3_endpoint(server.endpoint())
        .s3_credentials(S3Server::ACCESS_KEY, S3Server::SECRET_KEY, None)
        .attempts(1);
    match server.fingerprint() {
        "" => options,
        fingerprint => options.fingerprint(fingerprint.parse().unwrap()),
    }
}

fn open(server: &S3Server) -> Datastore {
    options(server).open(S3Server::PLACE).unwrap()
}

/// With all the golden keys.
fn with_keys(options: OpenOptions) -> OpenOptions {
    let names = ["plain.key", "scrypt.key", "pbkdf2.key"];
    names
        .iter()
        .fold(options.allow_unsigned(true), |options, name| {
            let file = KeyFile::read(golden().join("keys").join(name)).unwrap();
            options.key(file.unlock(Some(b"test-passphrase")).unwrap())
        })
}

/// A disk of so many chunks, and its digest.
fn disk(chunks: u64) -> (Arc<InMemory>, [u8; 32], Vec<[u8; 32]>) {
    let store = InMemory::new();
    let image = Image::new(Workload::Incompressible, 7, chunks * CHUNK, CHUNK);
    let info = SnapshotBuilder::new(SNAPSHOT)
        .chunk_size(CHUNK)
        .image(DISK, image)
        .write_to(&store);
    let archive = info.archive(DISK);
    (Arc::new(store), archive.sha256, archive.digests.clone())
}

/// The bytes of the disk, and how often a chunk was asked for again.
fn restore(datastore: &Datastore, restore: &Restore) -> Result<(Vec<u8>, u64)> {
    let archive = datastore.snapshot(SNAPSHOT)?.archive(DISK)?;
    let mut target = StreamTarget::new(Vec::new());
    let report = restore.run(&archive, &mut target)?;
    Ok((target.into_inner(), report.retries))
}

/// The whole chain, as a program would print it.
fn chain(error: &Error) -> String {
    format!("{error:?}")
}
