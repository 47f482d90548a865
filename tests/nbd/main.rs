//! The NBD server, by its public names: scripted clients, bad clients, and the real ones.
#![cfg(all(feature = "nbd", feature = "pbs"))]
#![allow(clippy::unwrap_used, reason = "a test that can't be set up has failed")]

mod bad;
mod certificates;
mod client;
mod crowds;
mod ends;
mod failures;
mod reads;
mod served;
#[path = "../support/mod.rs"]
mod support;
mod tls;
mod tools;

use std::time::Duration;

use testkit::{Image, Workload};

/// How long a test may take.
const LIMIT: Duration = Duration::from_secs(120);

/// The length of a chunk, in bytes.
const CHUNK: u64 = 64 << 10;

/// A disk with data and zeros, whose length is no multiple of anything.
fn disk() -> (Image, Vec<u8>) {
    let image = Image::new(Workload::Typical, 5, 100 * CHUNK + 777, CHUNK);
    let bytes = bytes_of(&image);
    (image, bytes)
}

fn bytes_of(image: &Image) -> Vec<u8> {
    let chunks = (0..image.count()).map(|position| image.chunk(position));
    chunks.collect::<Vec<_>>().concat()
}

/// The parts of a disk as offset, length and whether all of it is zeros, by chunks.
fn extents(bytes: &[u8]) -> Vec<(u64, u64, bool)> {
    let mut extents: Vec<(u64, u64, bool)> = Vec::new();
    for (position, chunk) in bytes.chunks(CHUNK as usize).enumerate() {
        let is_zero = chunk.iter().all(|byte| *byte == 0);
        match extents.last_mut() {
            Some((_, len, was_zero)) if *was_zero == is_zero => *len += chunk.len() as u64,
            _ => extents.push((position as u64 * CHUNK, chunk.len() as u64, is_zero)),
        }
    }
    extents
}
