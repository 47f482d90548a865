//! Streams, random reads and hints at once, with little memory, faults and a cancel.

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::thread;

use chunk_restore::{Cancel, ErrorKind, FileTarget, Reader};
use testkit::{Prng, within};

use crate::support::{Fault, Script};
use crate::{CHUNK, LIMIT, below, bytes_of, read, used_disk, with_room_for};

const CHUNKS: u64 = 120;

/// What a place gets wrong now and then, and a reader gets over.
const FAULTS: [Fault; 4] = [
    Fault::Transient,
    Fault::Corrupt,
    Fault::Disconnect,
    Fault::Truncated,
];

/// Reads a part in a row, and checks the bytes. Ends with the cancel.
fn read_in_a_row(reader: &Reader, expected: &[u8], part: Range<u64>, step: u64) {
    for offset in part.step_by(step as usize) {
        let bytes = match read(reader, offset, step as usize) {
            Ok(bytes) => bytes,
            Err(error) => return assert_eq!(error.kind(), ErrorKind::Cancelled),
        };
        assert!(
            bytes == expected[offset as usize..][..bytes.len()],
            "{offset}"
        );
    }
}

fn crowd(seed: u64) {
    let mut chance = Prng::new(seed);
    let image = used_disk(CHUNKS);
    let expected = &bytes_of(&image);
    let len = expected.len() as u64;
    let mut script = Script::of(image, CHUNK);
    (script.depth, script.seed) = (1 + below(&mut chance, 6) as usize, seed);
    // Each chunk fails once at the most.
    let digests: BTreeSet<_> = script.digests().into_iter().collect();
    for digest in digests {
        if below(&mut chance, 4) == 0 {
            script = script.fault(digest, FAULTS[below(&mut chance, 4) as usize]);
        }
    }
    let cancel = Cancel::new();
    let restore = with_room_for(1 + below(&mut chance, 12)).cancel(&cancel);
    let reader = restore.reader(&script.archive().0).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.raw");
    let fills = below(&mut chance, 2) == 0;
    let fill = fills.then(|| reader.fill(FileTarget::create(&path).unwrap()).unwrap());
    let (parts, cancels) = (1 + below(&mut chance, 6), below(&mut chance, 4) == 0);
    thread::scope(|scope| {
        let reader = &reader;
        for part in 0..parts {
            let part = len * part / parts..len * (part + 1) / parts;
            let step = 1 + below(&mut chance, 5 * CHUNK);
            scope.spawn(move || read_in_a_row(reader, expected, part, step));
        }
        for number in 0..4 {
            let mut chance = Prng::new(seed + number);
            scope.spawn(move || {
                for _ in 0..50 {
                    let offset = below(&mut chance, len);
                    match below(&mut chance, 4) {
                        0 => reader.prefetch(offset..offset + below(&mut chance, 40 * CHUNK)),
                        _ => read_in_a_row(reader, expected, offset..offset + 1, 500),
                    }
                }
            });
        }
        if cancels {
            cancel.cancel();
        }
    });
    if let Some(fill) = fill
        && !cancels
    {
        while fill.outcome().is_none() {
            thread::yield_now();
        }
        fill.end().unwrap();
        assert!(fs::read(path).unwrap() == *expected);
    }
}

#[test]
fn a_crowd_gets_the_right_bytes_and_an_end_with_little_memory() {
    for seed in 0..30 {
        within(LIMIT, move || crowd(seed));
    }
}
