//! What is fetched before somebody waits for it, and what is kept.

use std::thread;

use chunk_restore::Restore;
use testkit::within;

use crate::support::Script;
use crate::{CHUNK, LIMIT, full_disk, read, reader_of, with_room_for};

#[test]
fn reads_in_a_row_are_read_ahead_and_single_reads_are_not() {
    within(LIMIT, || {
        let script = Script::of(full_disk(400), CHUNK);
        let watch = script.watch.clone();
        let reader = reader_of(script, &Restore::new());
        let chunk = CHUNK as usize;
        for position in [300, 20, 100, 250, 7, 180] {
            read(&reader, position * CHUNK, chunk).unwrap();
        }
        assert_eq!(watch.requests(), 6);
        for position in 40..46 {
            read(&reader, position * CHUNK, chunk).unwrap();
        }
        // One, two and four more, and so on: nobody asks for them.
        while watch.requests() < 6 + 6 + 4 {
            thread::yield_now();
        }
        let digests = Script::of(full_disk(400), CHUNK).digests();
        assert_eq!(watch.requests_for(&digests[46]), 1);
        // Reads that find them wait for no request of their own.
        read(&reader, 46 * CHUNK, chunk).unwrap();
        assert_eq!(watch.requests_for(&digests[46]), 1);
    });
}

#[test]
fn a_hint_fetches_no_more_than_may_be_read_ahead() {
    within(LIMIT, || {
        let script = Script::of(full_disk(400), CHUNK);
        let watch = script.watch.clone();
        let reader = reader_of(script, &with_room_for(12).in_flight(2));
        reader.prefetch(5..5);
        reader.prefetch(u64::MAX..u64::MAX);
        reader.prefetch(0..u64::MAX);
        // Twice as many as may be in flight.
        while watch.requests() < 4 {
            thread::yield_now();
        }
        // Those that come after it are none of the hint.
        read(&reader, 300 * CHUNK, 10).unwrap();
        drop(reader);
        assert_eq!(watch.requests(), 5);
    });
}

#[test]
fn chunks_that_are_only_kept_make_room_for_another_reader_of_the_same_memory() {
    within(LIMIT, || {
        let restore = with_room_for(20);
        let first = reader_of(Script::of(full_disk(20), CHUNK), &restore);
        let second = reader_of(Script::of(full_disk(20), CHUNK), &restore);
        for position in 0..20 {
            read(&first, position * CHUNK, 10).unwrap();
        }
        // The second reader begins with one slot, and gets its half as soon as the first one looks.
        loop {
            let before = second.report().hits;
            for position in [0, 5, 10, 15, 3, 8] {
                read(&second, position * CHUNK, 10).unwrap();
            }
            if second.report().hits == before + 6 {
                break;
            }
        }
    });
}

#[test]
fn chunks_that_were_read_stay_while_there_is_room() {
    within(LIMIT, || {
        let script = Script::of(full_disk(20), CHUNK);
        let watch = script.watch.clone();
        let reader = reader_of(script, &Restore::new());
        for _ in 0..50 {
            for position in 0..20 {
                read(&reader, position * CHUNK, 100).unwrap();
            }
        }
        assert_eq!(watch.requests(), 20);
        assert!(reader.report().hits >= 49 * 20);
    });
}
