//! Random reads: any bytes at any time from any number of threads, without an order.
#![allow(clippy::unwrap_used, reason = "a test that can't be set up has failed")]

mod ahead;
mod bytes;
mod crowd;
mod cursor;
mod failures;
mod fill;
#[cfg(feature = "pbs")]
mod session;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use chunk_restore::{Reader, Restore};
use testkit::{Image, Prng, Workload};

use support::Script;

const CHUNK: u64 = 4096;

/// Far more than any of these takes.
const LIMIT: Duration = Duration::from_secs(60);

/// A used disk of so many chunks and a half.
fn used_disk(chunks: u64) -> Image {
    Image::new(Workload::Typical, 3, chunks * CHUNK + CHUNK / 2, CHUNK)
}

/// A disk of different chunks, none of which is zeros.
fn full_disk(chunks: u64) -> Image {
    Image::new(Workload::Incompressible, 4, chunks * CHUNK, CHUNK)
}

/// All bytes of an image.
fn bytes_of(image: &Image) -> Vec<u8> {
    (0..image.count())
        .flat_map(|position| image.chunk(position))
        .collect()
}

/// Memory for so many chunks beside those that are decoded.
fn with_room_for(chunks: u64) -> Restore {
    Restore::new().memory((chunks + 1) * CHUNK)
}

fn reader_of(script: Script, restore: &Restore) -> Reader {
    restore.reader(&script.archive().0).unwrap()
}

fn read(reader: &Reader, offset: u64, len: usize) -> chunk_restore::Result<Vec<u8>> {
    let mut buffer = vec![0xa5; len];
    let count = reader.read_at(&mut buffer, offset)?;
    buffer.truncate(count);
    Ok(buffer)
}

/// A number below a limit.
fn below(chance: &mut Prng, limit: u64) -> u64 {
    chance.next_u64() % limit
}
