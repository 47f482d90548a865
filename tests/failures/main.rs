//! What goes wrong, and what is said of it: a typed error that names the thing, and nothing under the final name.
#![allow(clippy::unwrap_used, reason = "a test that can't be set up has failed")]

#[path = "../disks/mod.rs"]
mod disks;
#[path = "../support/mod.rs"]
mod support;

mod attempts;
mod chunks;
mod files;

use std::error::Error as _;
use std::fs;

use chunk_restore::{Datastore, Error, ErrorKind, FileTarget, OpenOptions, Restore, Result};
use support::{DISK, SNAPSHOT};
use tempfile::TempDir;
use testkit::{Folder, Image, SnapshotBuilder, Workload};

const CHUNK: u64 = 4096;

fn image() -> Image {
    Image::new(Workload::Incompressible, 9, 8 * CHUNK, CHUNK)
}

/// A datastore on disk with one plain disk of 8 chunks; its digests.
fn folder() -> (TempDir, Folder, Vec<[u8; 32]>) {
    let folder = TempDir::new().unwrap();
    let store = Folder::new(folder.path());
    let info = SnapshotBuilder::new(SNAPSHOT)
        .chunk_size(CHUNK)
        .image(DISK, image())
        .blob("qemu-server.conf", b"memory: 2048\n")
        .write_to(&store);
    let digests = info.archive(DISK).digests.clone();
    (folder, store, digests)
}

fn open(folder: &TempDir) -> Datastore {
    OpenOptions::new()
        .open(&format!("dir:{}", folder.path().display()))
        .unwrap()
}

/// Restores the disk to a file; the file's final name must not appear where that fails.
fn restore(folder: &TempDir) -> Result<Vec<u8>> {
    let archive = open(folder).snapshot(SNAPSHOT)?.archive(DISK)?;
    let out = TempDir::new().unwrap();
    let path = out.path().join("disk.raw");
    let result = Restore::new().run(&archive, &mut FileTarget::create(&path)?);
    assert_eq!(
        path.exists(),
        result.is_ok(),
        "only a complete file has its name"
    );
    result.map(|_| fs::read(&path).unwrap())
}

fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

fn assert_chunk(error: &Error, kind: ErrorKind, position: usize, digest: &[u8; 32], words: &str) {
    assert_eq!(error.kind(), kind, "{error:?}");
    assert_eq!(error.position(), Some(position));
    assert_eq!(error.offset(), Some(position as u64 * CHUNK));
    assert_eq!(error.digest().unwrap().as_bytes(), digest);
    let text = chain(error);
    assert!(text.contains(&testkit::hex(digest)), "{text}");
    assert!(text.contains(&format!("position {position}")), "{text}");
    assert!(text.contains(words), "{text}");
}
