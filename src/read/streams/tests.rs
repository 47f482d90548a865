//! Tests of streams.

use std::cell::Cell;

use super::*;

const CHUNK: u64 = 1000;
const MOST: usize = 16;

fn read(bytes: Range<u64>) -> Read {
    let (first, last) = (bytes.start / CHUNK, (bytes.end - 1) / CHUNK);
    Read {
        bytes,
        first: first as usize,
        last: last as usize,
    }
}

fn record(streams: &mut Streams, bytes: Range<u64>) -> Vec<usize> {
    let advice = streams.record(&read(bytes), MOST, |mut positions| {
        positions.next().filter(|position| *position < 10_000)
    });
    assert!(advice.dropped.is_empty());
    advice.ahead
}

fn first(mut positions: Range<usize>) -> Option<usize> {
    positions.next()
}

fn ahead(positions: Range<usize>) -> Vec<usize> {
    positions.collect()
}

#[test]
fn from_the_second_read_in_a_row_ever_more_chunks_are_read_ahead() {
    let mut streams = Streams::default();
    assert_eq!(record(&mut streams, 0..1000), ahead(0..0));
    assert_eq!(record(&mut streams, 1000..2000), ahead(2..3));
    assert_eq!(record(&mut streams, 2000..3000), ahead(3..5));
    assert_eq!(record(&mut streams, 3000..4000), ahead(5..8));
    assert_eq!(record(&mut streams, 4000..5000), ahead(8..13));
    assert_eq!(record(&mut streams, 5000..6000), ahead(13..22));
    assert_eq!(record(&mut streams, 6000..7000), ahead(22..23), "the most");
}

#[test]
fn small_reads_within_one_chunk_read_one_chunk_ahead() {
    let mut streams = Streams::default();
    record(&mut streams, 0..10);
    assert_eq!(record(&mut streams, 10..20), ahead(1..2));
    for offset in 2..99 {
        let bytes = offset * 10..(offset + 1) * 10;
        assert_eq!(record(&mut streams, bytes), ahead(0..0));
    }
    assert_eq!(record(&mut streams, 1000..1010), ahead(2..4));
}

#[test]
fn random_reads_read_nothing_ahead_and_leave_a_stream_alone() {
    let mut streams = Streams::default();
    record(&mut streams, 0..1000);
    record(&mut streams, 1000..2000);
    record(&mut streams, 2000..3000);
    for turn in 3..20 {
        for other in 0..4 {
            let elsewhere = 100_000 + (4 * turn + other) * 77_000;
            assert_eq!(record(&mut streams, elsewhere..elsewhere + 10), ahead(0..0));
        }
        let next = record(&mut streams, turn * 1000..turn * 1000 + 1000);
        assert!(!next.is_empty(), "the stream goes on");
    }
}

#[test]
fn who_moves_on_needs_no_more_of_what_was_to_be_read_ahead() {
    let mut streams = Streams::default();
    for turn in 0..6 {
        record(&mut streams, turn * 1000..turn * 1000 + 1000);
    }
    let waiting: Vec<usize> = streams.streams[0].ahead.iter().copied().collect();
    let mut dropped = Vec::new();
    for turn in 0..=LEFT_READS_MIN {
        assert!(dropped.is_empty());
        let start = 500_000 + turn * 1000;
        let advice = streams.record(&read(start..start + 1000), MOST, first);
        dropped = advice.dropped;
    }
    assert_eq!(dropped, waiting);
    // Who comes back goes on at once.
    let advice = streams.record(&read(6000..7000), MOST, first);
    assert_eq!(advice.ahead.first(), Some(&7));
    assert!(advice.ahead.len() > 4);
}

#[test]
fn nobody_leaves_a_stream_while_its_read_waits_for_a_chunk() {
    let mut streams = Streams::default();
    let mut last = Advice::default();
    for turn in 0..6 {
        last = streams.record(&read(turn * 1000..turn * 1000 + 1000), MOST, first);
    }
    let mut others = (0..).map(|turn| 500_000 + turn * 77_000);
    let mut dropped_by_others = |streams: &mut Streams| {
        let others = others.by_ref().take(LEFT_READS_MIN as usize + 1);
        let dropped = others
            .map(|start| streams.record(&read(start..start + 10), MOST, first))
            .map(|advice| advice.dropped.len());
        dropped.sum::<usize>()
    };
    streams.wait(last.stream);
    for _ in 0..10 {
        assert_eq!(dropped_by_others(&mut streams), 0);
    }
    streams.resume(last.stream);
    assert!(dropped_by_others(&mut streams) > 0);
}

#[test]
fn streams_whose_reads_wait_share_the_chunks_that_become_urgent() {
    let mut streams = Streams::default();
    let hurried = |streams: &mut Streams, stream: u64, turns: Range<u64>| {
        let mut id = 0;
        for turn in turns {
            let start = stream * 1_000_000 + turn * 1000;
            id = streams
                .record(&read(start..start + 1000), MOST, first)
                .stream;
        }
        let hurried = streams.wait(id);
        streams.resume(id);
        hurried
    };
    assert_eq!(
        hurried(&mut streams, 0, 0..1),
        [0; 0],
        "it is no stream yet"
    );
    assert_eq!(
        hurried(&mut streams, 0, 1..9),
        ahead(9..9 + HURRIED_AHEAD_MAX)
    );
    hurried(&mut streams, 1, 0..9);
    assert_eq!(
        hurried(&mut streams, 0, 9..10),
        ahead(10..10 + HURRIED_AHEAD_MAX / 2)
    );
}

#[test]
fn a_read_among_the_chunks_that_are_read_ahead_leaves_their_stream_where_it_is() {
    let mut streams = Streams::default();
    for turn in 0..9 {
        record(&mut streams, turn * 1000..turn * 1000 + 1000);
    }
    assert_eq!(record(&mut streams, 20_000..20_010), ahead(0..0));
    assert_eq!(record(&mut streams, 9000..10_000), ahead(25..26));
}

#[test]
fn long_reads_out_of_order_are_one_stream() {
    let mut streams = Streams::default();
    for number in [0, 1, 4, 2, 3, 6, 5, 8, 7] {
        record(&mut streams, number * 8000..(number + 1) * 8000);
    }
    assert_eq!(streams.streams.len(), 1);
}

#[test]
fn reads_out_of_order_are_one_stream() {
    let mut streams = Streams::default();
    record(&mut streams, 0..250);
    record(&mut streams, 250..500);
    let order = [3, 2, 5, 4, 7, 6, 9, 8, 12, 11, 10, 13];
    for number in order {
        record(&mut streams, number * 250..number * 250 + 250);
    }
    assert_eq!(streams.streams.len(), 1);
}

#[test]
fn streams_that_are_read_in_turn_are_not_left() {
    let mut streams = Streams::default();
    for turn in 0..20 {
        for stream in 0..8 {
            let start = stream * 1_000_000 + turn * 1000;
            // Nothing is dropped, which `record` checks.
            record(&mut streams, start..start + 1000);
        }
    }
}

#[test]
fn streams_share_what_is_read_ahead() {
    let mut streams = Streams::default();
    for turn in 0..20 {
        for stream in 0..4 {
            let start = stream * 1_000_000 + turn * 1000;
            record(&mut streams, start..start + 1000);
        }
    }
    assert!(streams.streams.iter().all(|stream| stream.window == 4));
}

#[test]
fn chunks_that_need_not_be_fetched_do_not_count() {
    let mut streams = Streams::default();
    let every_tenth = |positions: Range<usize>| Some(positions.start.next_multiple_of(10));
    streams.record(&read(0..1000), MOST, every_tenth);
    let advice = streams.record(&read(1000..2000), MOST, every_tenth);
    assert_eq!(advice.ahead, [10]);
    let advice = streams.record(&read(2000..3000), MOST, every_tenth);
    assert_eq!(advice.ahead, [20]);
}

#[test]
fn what_lies_in_a_large_hole_is_looked_at_once() {
    const DATA: usize = 2 * LOOK_AHEAD_MAX;
    let looked_at = Cell::new(0);
    let next_data = |mut positions: Range<usize>| {
        positions.find(|position| {
            looked_at.set(looked_at.get() + 1);
            *position == DATA
        })
    };
    let mut streams = Streams::default();
    for offset in 0..200 {
        let advice = streams.record(&read(offset * 10..offset * 10 + 10), MOST, next_data);
        assert!(advice.ahead.is_empty());
    }
    // The second chunk is reached: only one position more is looked at.
    assert_eq!(looked_at.get(), LOOK_AHEAD_MAX + 1);
    // The data behind the hole is found as soon as it is near enough.
    let mut ahead = Vec::new();
    for number in 2..DATA as u64 {
        let advice = streams.record(&read(number * 1000..(number + 1) * 1000), MOST, next_data);
        ahead.extend(advice.ahead.into_iter().map(|found| (number, found)));
    }
    assert_eq!(ahead, [((DATA - LOOK_AHEAD_MAX) as u64, DATA)]);
}

#[test]
fn the_same_chunk_again_and_again_is_no_stream() {
    let mut streams = Streams::default();
    record(&mut streams, 500..600);
    for _ in 0..100 {
        assert_eq!(record(&mut streams, 500..600), ahead(0..0));
    }
    assert_eq!(streams.streams.len(), 1);
}
