//! A Proxmox Backup Server as a place: sign-in, sessions, listings, and what goes wrong.
#![cfg(feature = "pbs")]
#![allow(clippy::unwrap_used, reason = "a test that can't be set up has failed")]

mod access;
mod faults;
mod gone;
mod place;
mod reach;
mod storage;
mod strangers;

use std::sync::Arc;
use std::time::Duration;

use chunk_restore::{Datastore, OpenOptions, Restore, StreamTarget};
use sha2::{Digest, Sha256};
use testkit::{Image, InMemory, PbsServer, SnapshotBuilder, SnapshotInfo, Workload};

const LIMIT: Duration = Duration::from_secs(60);
const SNAPSHOT: &str = "vm/100/2026-01-02T03:04:05Z";
const DISK: &str = "drive-scsi0.img";
const CHUNK: u64 = 4096;

fn trusting(server: &PbsServer) -> OpenOptions {
    OpenOptions::new()
        .fingerprint(server.fingerprint().parse().unwrap())
        .password(PbsServer::SECRET)
}

fn open(server: &PbsServer) -> Datastore {
    trusting(server).open(&server.repository("store1")).unwrap()
}

/// A disk of 40 different chunks.
fn store() -> (Arc<InMemory>, SnapshotInfo) {
    let store = InMemory::new();
    let image = Image::new(Workload::Incompressible, 1, 40 * CHUNK, CHUNK);
    let info = SnapshotBuilder::new(SNAPSHOT)
        .image(DISK, image)
        .blob("qemu-server.conf", b"memory: 2048\n")
        .write_to(&store);
    (Arc::new(store), info)
}

/// Restores the disk, and compares it with what was backed up.
fn restore(
    datastore: &Datastore,
    info: &SnapshotInfo,
) -> chunk_restore::Result<chunk_restore::Report> {
    let archive = datastore.snapshot("vm/100")?.archive(DISK)?;
    let mut target = StreamTarget::new(Vec::new());
    let report = Restore::new().run(&archive, &mut target)?;
    let sha256: [u8; 32] = Sha256::digest(target.into_inner()).into();
    assert_eq!(sha256, info.archive(DISK).sha256);
    Ok(report)
}
