//! Zeros, which take no time and no room.

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::support::Spread;
use crate::{CHUNK, MIB, PAIRS, Place, is_trial, random};

const BLOCK: usize = 4096;

pub(crate) fn zeros() {
    only_zeros();
    among_data();
}

/// How fast a file becomes a hole.
fn only_zeros() {
    let count = if is_trial() { 64 } else { 16 << 10 };
    println!("zeros: {count} chunks of 4 MiB, all zeros");
    let place = Place::new(&vec![0; count], |_| vec![0; CHUNK as usize]);
    let archive = place.archive();
    place.restore(&archive, "disk.raw").print("file");
    let gibibytes = archive.index().len() as f64 / MIB / 1024.0;
    let speeds = (0..2 * PAIRS).map(|_| gibibytes / place.restore(&archive, "disk.raw").seconds);
    println!("GiB of zeros a second: {}", Spread::of(speeds.collect()));
}

/// How much room a restored file takes, next to its data.
fn among_data() {
    let count = if is_trial() { 16 } else { 256 };
    println!(
        "sparse: {count} chunks of 4 MiB: a quarter zeros, a quarter full, the others in parts: every 16th block of \
         4 KiB of a chunk, or its second half"
    );
    let numbers: Vec<u64> = (0..count).collect();
    let place = Place::new(&numbers, sparse);
    let run = place.restore(&place.archive(), "disk.raw");
    run.print("file");
    let is_data = |block: &&[u8]| block.iter().any(|byte| *byte != 0);
    let data = |number: &u64| sparse(*number).chunks(BLOCK).filter(is_data).count();
    let data = numbers.iter().map(data).sum::<usize>();
    let found = fs::metadata(place.path("disk.raw")).expect("it was restored");
    println!(
        "{} blocks of 4 KiB in the archive, {data} of them not zeros; {} on the disk ({:.4} of the data)",
        found.len() / BLOCK as u64,
        found.blocks() * 512 / BLOCK as u64,
        found.blocks() as f64 * 512.0 / (data * BLOCK) as f64
    );
}

fn sparse(number: u64) -> Vec<u8> {
    let mut chunk = random(number);
    for (at, block) in chunk.chunks_mut(BLOCK).enumerate() {
        let is_data = match number % 4 {
            0 => false,
            1 => true,
            2 => at % 16 == 0,
            _ => at >= CHUNK as usize / BLOCK / 2,
        };
        if !is_data {
            block.fill(0);
        }
    }
    chunk
}
