//! Which bytes a reader gives, and what they cost.

use std::sync::Barrier;
use std::thread;

use chunk_restore::Restore;
use testkit::{CryptMode, InMemory, Prng, SnapshotBuilder, TestKey, within};

use crate::support::{DISK, SNAPSHOT, Script};
use crate::{CHUNK, LIMIT, below, bytes_of, full_disk, read, reader_of, used_disk, with_room_for};

#[test]
fn any_bytes_at_any_time_from_many_threads_are_those_of_the_disk() {
    // From no memory to speak of to more than the disk has.
    for memory in [1, 2, 5, 1000] {
        within(LIMIT, move || {
            let image = used_disk(60);
            let expected = &bytes_of(&image);
            let len = expected.len() as u64;
            let mut script = Script::of(image, CHUNK);
            (script.depth, script.seed) = (4, 9);
            let reader = &reader_of(script, &with_room_for(memory));
            thread::scope(|scope| {
                for thread in 0..8 {
                    scope.spawn(move || {
                        let mut chance = Prng::new(thread);
                        for _ in 0..200 {
                            let offset = below(&mut chance, len + CHUNK);
                            let count = match below(&mut chance, 3) {
                                0 => below(&mut chance, 100),
                                1 => below(&mut chance, 3 * CHUNK),
                                _ => below(&mut chance, 30 * CHUNK),
                            };
                            let start = offset.min(len) as usize;
                            let end = (offset + count).min(len) as usize;
                            let bytes = read(reader, offset, count as usize).unwrap();
                            assert!(bytes == expected[start..end], "{offset}, {count}");
                        }
                    });
                }
            });
        });
    }
}

#[test]
fn a_chunk_that_many_threads_want_is_fetched_once() {
    within(LIMIT, || {
        let script = Script::of(full_disk(40), CHUNK);
        let watch = script.watch.clone();
        let reader = &reader_of(script, &Restore::new());
        let start = &Barrier::new(16);
        thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(move || {
                    start.wait();
                    assert_eq!(
                        read(reader, 0, 40 * CHUNK as usize).unwrap().len(),
                        40 * 4096
                    );
                });
            }
        });
        assert_eq!(watch.requests(), 40);
        let report = reader.report();
        assert_eq!((report.reads, report.chunks), (16, 16 * 40));
        assert_eq!(report.bytes, 16 * 40 * CHUNK);
    });
}

#[test]
fn the_chunks_of_an_encrypted_disk_come_decrypted_and_its_zeros_cost_nothing() {
    within(LIMIT, || {
        let key = TestKey::from_seed(7);
        let image = used_disk(40);
        let store = InMemory::new();
        SnapshotBuilder::new(SNAPSHOT)
            .chunk_size(CHUNK)
            .key(&key, CryptMode::Encrypt)
            .image(DISK, image.clone())
            .write_to(&store);
        let script = Script::over(store);
        let watch = script.watch.clone();
        let key =
            chunk_restore::format::KeyFile::parse(key.key_file(testkit::Kdf::None).as_bytes())
                .and_then(|file| file.unlock(None))
                .unwrap();
        let datastore = script.open(chunk_restore::OpenOptions::new().key(key));
        let archive = datastore.snapshot(SNAPSHOT).unwrap().archive(DISK).unwrap();
        let reader = Restore::new().reader(&archive).unwrap();
        assert!(read(&reader, 0, 1 << 20).unwrap() == bytes_of(&image));
        let zeros = zero_chunks(&image);
        assert!(zeros > 5 && watch.requests() + zeros <= image.count());
    });
}

/// How many chunks of the image are zeros.
fn zero_chunks(image: &testkit::Image) -> usize {
    let is_zero = |position: &usize| image.chunk(*position).iter().all(|byte| *byte == 0);
    (0..image.count()).filter(is_zero).count()
}

#[test]
fn extents_tell_where_the_data_is_and_fetch_nothing() {
    within(LIMIT, || {
        let image = used_disk(200);
        let expected = bytes_of(&image);
        let script = Script::of(image, CHUNK);
        let watch = script.watch.clone();
        let reader = reader_of(script, &Restore::new());
        let mut chance = Prng::new(5);
        let ranges = (0..200).map(|_| {
            let start = below(&mut chance, reader.len());
            start..start + 1 + below(&mut chance, 50 * CHUNK)
        });
        for range in ranges.chain([0..u64::MAX, 0..0, reader.len()..u64::MAX]) {
            let mut offset = range.start;
            let mut before = None;
            for extent in reader.extents(range.clone()) {
                assert_eq!(extent.offset, offset, "without gaps");
                assert!(extent.len > 0 && before != Some(extent.is_zero));
                let bytes = &expected[offset as usize..][..extent.len as usize];
                let is_zero = bytes.iter().all(|byte| *byte == 0);
                assert!(is_zero || !extent.is_zero);
                (offset, before) = (offset + extent.len, Some(extent.is_zero));
            }
            assert_eq!(offset, range.end.min(reader.len()).max(range.start));
        }
        assert_eq!(watch.requests(), 0);
    });
}

#[test]
fn a_disk_of_zeros_is_read_without_a_request() {
    within(LIMIT, || {
        let image = testkit::Image::new(testkit::Workload::Zeros, 0, 1 << 30, 4 << 20);
        let script = Script::of(image, 4 << 20);
        let watch = script.watch.clone();
        let reader = reader_of(script, &Restore::new());
        assert_eq!(reader.extents(0..u64::MAX).count(), 1);
        assert!(
            read(&reader, 12345, 9 << 20)
                .unwrap()
                .iter()
                .all(|byte| *byte == 0)
        );
        assert_eq!(watch.requests(), 0);
    });
}

#[test]
fn reads_beyond_the_end_give_nothing_and_reads_across_it_give_what_is_there() {
    within(LIMIT, || {
        let reader = reader_of(Script::of(full_disk(3), CHUNK), &Restore::new());
        let len = reader.len();
        for (offset, count, expected) in [
            (len, 10, 0),
            (len - 1, 10, 1),
            (u64::MAX, 10, 0),
            (u64::MAX - 5, 10, 0),
            (0, 0, 0),
        ] {
            assert_eq!(
                read(&reader, offset, count).unwrap().len(),
                expected,
                "{offset}"
            );
        }
        let empty = reader_of(Script::of(full_disk(0), CHUNK), &Restore::new());
        assert!(empty.is_empty() && empty.extents(0..10).next().is_none());
        assert_eq!(read(&empty, 0, 10).unwrap().len(), 0);
    });
}
