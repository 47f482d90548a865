//! What a seed has is not fetched; and whatever a seed says, the right bytes come out.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use chunk_restore::{Restore, Seed};
use testkit::{Image, Prng};

mod support;

use support::Script;
use support::disk::{Disk, Says, Shared};

const CHUNK: usize = 4096;

/// A disk whose chunks are all different.
fn different(count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count * CHUNK];
    Prng::new(7).fill(&mut bytes);
    bytes
}

fn script(bytes: &[u8]) -> Script {
    Script::of(
        Image::from_bytes(bytes.to_vec(), CHUNK as u64),
        CHUNK as u64,
    )
}

#[test]
fn a_seed_is_used_where_it_is_right_and_nowhere_else() {
    let image = different(60);
    let mut seed = image[..40 * CHUNK + 100].to_vec();
    seed[3 * CHUNK] ^= 1;
    let (archive, watch) = script(&image).archive();
    let mut disk = Disk::holding(Vec::new(), Says::Nothing);
    let seed = Disk::holding(seed.clone(), Says::Nothing).memory;
    let report = Restore::new()
        .seed(Seed::new(Shared(seed)))
        .run(&archive, &mut disk)
        .unwrap();
    assert!(disk.bytes() == image);
    // The last 20, of which a part of one is there, and the changed one.
    assert_eq!(watch.requests(), 21);
    assert_eq!(report.seeded as usize, 39 * CHUNK);
}

#[test]
fn with_a_base_chunks_are_found_wherever_the_seed_has_them_and_nothing_else_is_read() {
    let old = different(50);
    // The whole disk moved by three chunks, and three are new.
    let mut image = vec![9; 3 * CHUNK];
    image[CHUNK..].fill(8);
    image[2 * CHUNK..].fill(7);
    image.extend_from_slice(&old[..47 * CHUNK]);
    let (base, _) = script(&old).archive();
    let (archive, watch) = script(&image).archive();
    let seed = Disk::holding(old, Says::Nothing).memory;
    let mut disk = Disk::holding(Vec::new(), Says::Nothing);
    let restore = Restore::new().seed(Seed::of(Shared(Arc::clone(&seed)), &base));
    let report = restore.run(&archive, &mut disk).unwrap();
    assert!(disk.bytes() == image);
    assert_eq!((watch.requests(), report.seeded as usize), (3, 47 * CHUNK));
    assert_eq!(seed.reads.load(Ordering::SeqCst), 47);
}

#[test]
fn a_seed_that_changes_while_it_is_read_does_no_harm() {
    let image = different(200);
    let (archive, _) = script(&image).archive();
    let mut seed = Disk::holding(image.clone(), Says::Nothing);
    // Every read finds another seed than the one before it.
    let reads = std::sync::atomic::AtomicUsize::new(0);
    let lie = move |_| match reads.fetch_add(1, Ordering::SeqCst) % 3 {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    };
    Arc::get_mut(&mut seed.memory).unwrap().before_read = Some(Box::new(lie));
    let memory = Arc::clone(&seed.memory);
    let is_done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (stop, changing) = (Arc::clone(&is_done), Arc::clone(&memory));
    let changer = std::thread::spawn(move || {
        let mut at = 0;
        while !stop.load(Ordering::SeqCst) {
            at = (at + 4099) % (200 * CHUNK);
            changing.bytes()[at] ^= 1;
        }
    });
    let mut disk = Disk::holding(Vec::new(), Says::Nothing);
    let result = Restore::new()
        .seed(Seed::new(Shared(memory)))
        .run(&archive, &mut disk);
    is_done.store(true, Ordering::SeqCst);
    changer.join().unwrap();
    result.unwrap();
    assert!(disk.bytes() == image);
}
