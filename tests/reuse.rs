//! What the target holds already, what occurs again and what seeds have is not fetched; and the right bytes come out.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::collections::HashSet;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chunk_restore::{ErrorKind, Restore, Seed};
use proptest::prelude::*;
use testkit::{Image, InMemory, Prng, SnapshotBuilder, within};

mod support;

use support::disk::{Disk, Says, Shared};
use support::{SNAPSHOT, Script};

const CHUNK: usize = 4096;
const LIMIT: Duration = Duration::from_secs(60);

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
fn only_what_the_target_lacks_is_fetched() {
    let image = different(200);
    let mut old = image.clone();
    let changed = [0, 17, 18, 100, 199];
    for position in changed {
        old[position * CHUNK + 5] ^= 1;
    }
    let script = script(&image);
    let digests = script.digests();
    let (archive, watch) = script.archive();
    let mut disk = Disk::holding(old, Says::Similar);
    let report = Restore::new().run(&archive, &mut disk).unwrap();
    assert!(disk.bytes() == image);
    assert_eq!(disk.finished, Some(false));
    assert_eq!((watch.requests(), report.chunks), (5, 5));
    assert!(
        changed
            .iter()
            .all(|position| watch.requests_for(&digests[*position]) == 1)
    );
    assert_eq!(report.kept as usize, image.len() - 5 * CHUNK);
    assert_eq!(disk.kept as u64, report.kept);
    assert_eq!(report.committed as usize, image.len());
}

/// Chunks are hashed several at once, where the crate for it is built and quicker: the changed ones are first and last
/// of those, and all of them; between zeros, in a hole, and in an unequal chunk at the end.
#[test]
fn changed_chunks_are_found_wherever_they_are_among_others() {
    let mut image = different(64);
    image.truncate(64 * CHUNK - 100);
    image[20 * CHUNK..22 * CHUNK].fill(0);
    image[24 * CHUNK..25 * CHUNK].fill(0);
    let kinds: [&[usize]; 5] = [&[0, 7], &[8, 9, 10, 11], &[19, 23, 26], &[63], &[]];
    for changed in kinds {
        let mut old = image.clone();
        for position in changed {
            old[position * CHUNK + 5] ^= 1;
        }
        let (archive, watch) = script(&image).archive();
        let mut disk = Disk::holding(old, Says::Similar);
        Restore::new().run(&archive, &mut disk).unwrap();
        assert!(disk.bytes() == image);
        assert_eq!(watch.requests(), changed.len());
    }
}

#[test]
fn what_was_cut_off_goes_on_where_it_was() {
    let image = different(100);
    let mut memory = Vec::new();
    let mut requests = 0;
    for room in [30, 31, 75, 100] {
        let (archive, watch) = script(&image).archive();
        let mut disk = Disk::holding(memory, Says::Perhaps);
        disk.room = room * CHUNK;
        let result = Restore::new()
            .threads(2)
            .in_flight(4)
            .memory(16 << 10)
            .run(&archive, &mut disk);
        match room {
            100 => assert_eq!(result.unwrap().kept as usize, 75 * CHUNK),
            _ => assert_eq!(result.unwrap_err().kind(), ErrorKind::Target),
        }
        requests += watch.requests();
        memory = disk.bytes();
    }
    assert!(memory == image);
    // Each run but the last threw a window away, of as many chunks as 16 KiB hold.
    assert!(
        (100..=100 + 3 * 4).contains(&requests),
        "{requests} requests"
    );
}

#[test]
fn a_target_that_holds_something_else_is_read_for_a_while_only() {
    let image = different(2000);
    let (archive, watch) = script(&image).archive();
    let mut disk = Disk::holding(vec![7; image.len()], Says::Perhaps);
    let memory = Arc::clone(&disk.memory);
    Restore::new().run(&archive, &mut disk).unwrap();
    assert!(disk.bytes() == image);
    assert_eq!(watch.requests(), 2000);
    // Each thread of the scan may have begun one more.
    let reads = memory.reads.load(Ordering::SeqCst);
    assert!((64..1000).contains(&reads), "{reads} reads");
}

#[test]
fn the_first_missing_chunk_is_fetched_before_the_scan_is_through() {
    within(LIMIT, || {
        let image = different(50);
        let mut old = image.clone();
        old[0] ^= 1;
        let (archive, watch) = script(&image).archive();
        // The end of the target can't be read before a chunk was asked for.
        let before_read = move |offset: u64| {
            while offset as usize >= 40 * CHUNK && watch.requests() == 0 {
                std::thread::yield_now();
            }
            Ok(())
        };
        let mut disk = Disk::holding(old, Says::Similar);
        let memory = Arc::get_mut(&mut disk.memory).unwrap();
        memory.before_read = Some(Box::new(before_read));
        let report = Restore::new().run(&archive, &mut disk).unwrap();
        assert!(disk.bytes() == image);
        assert_eq!(report.chunks, 1);
    });
}

#[test]
fn what_cannot_be_read_of_the_target_is_fetched() {
    let image = different(30);
    let (archive, watch) = script(&image).archive();
    let mut disk = Disk::holding(image.clone(), Says::Similar);
    let bad = |offset: u64| match offset as usize / CHUNK {
        7 | 8 => Err(io::Error::other("bad sector")),
        _ => Ok(()),
    };
    Arc::get_mut(&mut disk.memory).unwrap().before_read = Some(Box::new(bad));
    Restore::new().run(&archive, &mut disk).unwrap();
    assert!(disk.bytes() == image);
    assert_eq!(watch.requests(), 2);
}

#[test]
fn a_target_that_panics_while_it_is_read_does_not_hang_the_restore() {
    let result = within(LIMIT, || {
        let image = different(30);
        let (archive, _) = script(&image).archive();
        let mut disk = Disk::holding(image, Says::Similar);
        let panics = |_| panic!("the target's own words");
        Arc::get_mut(&mut disk.memory).unwrap().before_read = Some(Box::new(panics));
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            drop(Restore::new().run(&archive, &mut disk));
        }))
    });
    let payload = result.unwrap_err();
    assert_eq!(
        payload.downcast_ref::<&str>(),
        Some(&"the target's own words")
    );
}

/// Each chunk eight times, in another order each time.
fn eightfold(count: usize) -> Vec<u8> {
    let once = different(count);
    let mut bytes = Vec::new();
    for round in 0..8 {
        for position in 0..count {
            let position = (position * (2 * round + 1) + round) % count;
            bytes.extend_from_slice(&once[position * CHUNK..][..CHUNK]);
        }
    }
    bytes
}

#[test]
fn a_chunk_that_occurs_eight_times_is_fetched_once() {
    let image = eightfold(16);
    for (says, copies) in [
        (Says::Nothing, true),
        (Says::Nothing, false),
        (Says::Similar, true),
        (Says::Perhaps, false),
        (Says::Unreadable, false),
    ] {
        let (archive, watch) = script(&image).archive();
        let mut disk = Disk::holding(vec![7; image.len()], says);
        disk.copies = copies;
        let report = Restore::new().run(&archive, &mut disk).unwrap();
        assert!(disk.bytes() == image);
        assert_eq!(watch.requests(), 16, "{says:?}");
        assert_eq!(report.repeated as usize, 7 * 16 * CHUNK);
        assert_eq!(disk.copied, if copies { 7 * 16 * CHUNK } else { 0 });
    }
    let (archive, watch) = script(&image).archive();
    let report = Restore::new().verify(&archive, |_| {}).unwrap();
    assert_eq!(
        (watch.requests(), report.committed as usize),
        (16, image.len())
    );
}

#[test]
fn a_stream_with_little_memory_fetches_again_what_it_could_not_keep() {
    let image = eightfold(16);
    let (archive, watch) = script(&image).archive();
    let mut disk = Disk::holding(Vec::new(), Says::Unreadable);
    // Eight buffers: one to decompress into, three to keep, four for the window.
    let buffer = chunk_restore::format::ChunkDecoder::blob_limit(CHUNK as u32) as u64;
    Restore::new()
        .memory(8 * buffer)
        .threads(2)
        .run(&archive, &mut disk)
        .unwrap();
    assert!(disk.bytes() == image);
    let requests = watch.requests();
    // Three of sixteen are kept from round to round at the least.
    assert!(
        (17..=16 + 7 * 13).contains(&requests),
        "{requests} requests"
    );
}

#[test]
fn zeros_are_made_anew_in_a_target_that_holds_something() {
    let mut image = different(20);
    image[5 * CHUNK..9 * CHUNK].fill(0);
    for says in [Says::Perhaps, Says::Similar, Says::Nothing] {
        let (archive, _) = script(&image).archive();
        let mut disk = Disk::holding(vec![0xff; image.len()], says);
        let report = Restore::new().run(&archive, &mut disk).unwrap();
        assert!(disk.bytes() == image);
        assert_eq!(report.zeros as usize, 4 * CHUNK);
    }
}

#[test]
fn a_range_is_restored_to_the_byte() {
    let mut image = different(20);
    image[5 * CHUNK..9 * CHUNK].fill(0);
    let (bytes, len) = (image.clone(), image.len() as u64);
    let store = InMemory::new();
    // The same as an archive with chunks of any length.
    let cuts = [1, 5000, 5001, 30_000, 60_001, len];
    SnapshotBuilder::new(SNAPSHOT)
        .archive("root.pxar", &bytes, &cuts)
        .write_to(&store);
    let datastore = Script::over(store).open(chunk_restore::OpenOptions::new());
    let dynamic = datastore
        .snapshot(SNAPSHOT)
        .unwrap()
        .archive("root.pxar")
        .unwrap();
    let (fixed, _) = script(&image).archive();
    for range in [
        0..len,
        0..0,
        0..1,
        4095..4097,
        20_000..40_001,
        len - 1..len,
        5000..5001,
        len - 1..len + 9,
        len..len + 1,
    ] {
        for archive in [&fixed, &dynamic] {
            let mut disk = Disk::holding(Vec::new(), Says::Nothing);
            let restore = Restore::new().range(range.clone());
            let plan = restore.plan(archive);
            let report = restore.run(archive, &mut disk).unwrap();
            let wanted = &image[range.start as usize..range.end.min(len) as usize];
            assert!(disk.bytes() == wanted, "{range:?}");
            assert_eq!(
                (report.len, report.committed),
                (plan.len(), wanted.len() as u64)
            );
            assert_eq!(report.chunks as usize, plan.chunks_to_fetch());
        }
    }
}

fn says() -> impl Strategy<Value = Says> {
    prop_oneof![
        Just(Says::Unreadable),
        Just(Says::Nothing),
        Just(Says::Perhaps),
        Just(Says::Similar)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever the target held, whatever repeats and whatever is wanted of it: the right bytes, and no chunk is fetched twice
    /// where the target can be read back.
    #[test]
    fn any_mix_of_kept_repeated_seeded_and_fetched_chunks_gives_the_right_bytes(
        chunks in prop::collection::vec(0_u8..8, 1..60),
        old in prop::collection::vec(0_u8..8, 0..60),
        seed in prop::collection::vec(0_u8..8, 0..60),
        tail in 1_usize..=CHUNK,
        edges in any::<[u16; 2]>(),
        says in says(),
        copies in any::<bool>(),
        buffers in 1_u64..40,
        threads in 1_usize..4,
        depth in 1_usize..4,
        order in any::<u64>(),
    ) {
        let fill = |kinds: &[u8]| -> Vec<u8> { kinds.iter().flat_map(|kind| [*kind; CHUNK]).collect() };
        let mut image = fill(&chunks);
        image.truncate(image.len() - CHUNK + tail);
        let range: Range<u64> = match edges.map(|edge| u64::from(edge) * 4) {
            [start, end] if start < end => start..end,
            _ => 0..u64::MAX,
        };
        let wanted = image.get(range.start as usize..).unwrap_or_default();
        let wanted = &wanted[..wanted.len().min((range.end - range.start) as usize)];
        let mut script = script(&image);
        (script.depth, script.seed) = (depth, order);
        let (archive, watch) = script.archive();
        let mut disk = Disk::holding(fill(&old), says);
        disk.copies = copies;
        let seed = Disk::holding(fill(&seed), Says::Nothing).memory;
        let buffer = chunk_restore::format::ChunkDecoder::blob_limit(CHUNK as u32) as u64;
        let report = Restore::new().memory(buffers * buffer).threads(threads).range(range)
            .seed(Seed::new(Shared(seed))).run(&archive, &mut disk).unwrap();
        prop_assert!(disk.bytes() == wanted);
        prop_assert_eq!(disk.finished, Some(false));
        prop_assert_eq!(report.committed, wanted.len() as u64);
        if says != Says::Unreadable {
            // Both ends of a range are fetched for themselves.
            let distinct: HashSet<&u8> = chunks.iter().collect();
            prop_assert!(watch.requests() <= distinct.len() + 2);
        }
    }
}
