//! Streams of reads: which reads follow one another, and how many chunks are read ahead of them.

use std::collections::VecDeque;
use std::ops::Range;

/// How many streams are told apart. Of more, the one that was not read for longest is forgotten.
const STREAMS_MAX: usize = 32;

/// Reads of a stream come out of their order by so many chunks at the most, where several of them
/// are made at the same time.
const JITTER_CHUNKS_MAX: usize = 4;

/// Whoever read a stream has moved on when so many reads came that were not of the stream. Then its
/// chunks are no longer needed.
const LEFT_READS_MIN: u64 = 5;

/// The next chunk to read ahead is looked for among so many at the most: a disk may be nearly empty.
pub(super) const LOOK_AHEAD_MAX: usize = 4096;

/// A stream that was not read while so many reads came has no part of the chunks that are read ahead.
const IDLE_READS_MIN: u64 = 64;

/// The streams that were read lately, the last one first.
#[derive(Debug, Default)]
pub(super) struct Streams {
    streams: VecDeque<Stream>,
    /// How many reads there were.
    reads: u64,
}

#[derive(Debug)]
struct Stream {
    /// The offset in bytes at which its last read ended.
    end: u64,
    /// The position of the last chunk that it read.
    position: usize,
    /// How many chunks are read ahead: none before the second read in a row.
    window: usize,
    /// The positions of the chunks that were asked for ahead, and not yet read.
    ahead: VecDeque<usize>,
    /// Positions whose chunks need not be fetched, as the last search found that came to nothing. They
    /// are kept because each read before a large hole would search there again.
    bare: Range<usize>,
    /// The number of its last read.
    last_read: u64,
}

/// A read: which bytes, and which chunks these lie in.
#[derive(Clone, Debug)]
pub(super) struct Read {
    pub(super) bytes: Range<u64>,
    pub(super) first: usize,
    pub(super) last: usize,
}

/// What is to be done beside a read. All chunks are named by their positions.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Advice {
    /// Read these chunks ahead, in this order.
    pub(super) ahead: Vec<usize>,
    /// These chunks were to be read ahead, and are no longer needed.
    pub(super) dropped: Vec<usize>,
}

impl Streams {
    /// Records a read. No more than `most` chunks are read ahead of all streams together.
    /// `next_data` gives the first of some positions whose chunk must be fetched.
    pub(super) fn record(
        &mut self,
        read: &Read,
        most: usize,
        next_data: impl Fn(Range<usize>) -> Option<usize>,
    ) -> Advice {
        self.reads += 1;
        let dropped = self.leave();
        let Some(mut stream) = self.find(read).and_then(|found| self.streams.remove(found)) else {
            self.streams.truncate(STREAMS_MAX - 1);
            self.streams.push_front(Stream {
                end: read.bytes.end,
                position: read.last,
                window: 0,
                ahead: VecDeque::new(),
                bare: 0..0,
                last_read: self.reads,
            });
            return Advice {
                ahead: Vec::new(),
                dropped,
            };
        };
        let is_sequential = stream.window > 0 || read.bytes.start == stream.end;
        stream.last_read = self.reads;
        self.streams.push_front(stream);
        let share = most / self.active().max(1);
        let stream = &mut self.streams[0];
        if is_sequential {
            stream.grow(read.last > stream.position, share.max(1).min(most));
        }
        stream.end = match stream.window {
            0 => read.bytes.end,
            _ => stream.end.max(read.bytes.end),
        };
        stream.position = stream.position.max(read.last);
        Advice {
            ahead: stream.ask(next_data),
            dropped,
        }
    }

    /// Drops what was to be read ahead of streams that nobody reads any more. A stream that goes on
    /// all the same asks for it anew.
    fn leave(&mut self) -> Vec<usize> {
        let reads = self.reads;
        // Streams that are read in turn lie as many reads apart.
        let most = LEFT_READS_MIN.max(2 * self.active() as u64);
        let left = self.streams.iter_mut();
        let left = left.filter(|stream| reads - stream.last_read > most);
        left.flat_map(|stream| stream.ahead.drain(..)).collect()
    }

    /// The stream that a read continues: the one that ended where the read begins, or else one that
    /// is read about there.
    fn find(&self, read: &Read) -> Option<usize> {
        let streams = || self.streams.iter();
        streams()
            .position(|stream| stream.end == read.bytes.start)
            .or_else(|| streams().position(|stream| stream.is_near(read)))
    }

    /// How many streams are read ahead and were read lately.
    fn active(&self) -> usize {
        let is_active =
            |stream: &&Stream| stream.window > 0 && self.reads - stream.last_read < IDLE_READS_MIN;
        self.streams.iter().filter(is_active).count()
    }
}

impl Stream {
    fn is_near(&self, read: &Read) -> bool {
        if self.window == 0 {
            return read.first == self.position && read.last == self.position;
        }
        let ahead = self.ahead.back().copied().unwrap_or_default();
        let farthest = ahead.max(self.position + JITTER_CHUNKS_MAX);
        (self.position.saturating_sub(JITTER_CHUNKS_MAX)..=farthest).contains(&read.first)
    }

    /// From the second read on one chunk is read ahead, and with each further chunk twice as many.
    fn grow(&mut self, has_advanced: bool, most: usize) {
        self.window = match self.window {
            0 => 1,
            window if has_advanced => 2 * window,
            window => window,
        };
        self.window = self.window.min(most);
    }

    /// The positions to ask for now.
    fn ask(&mut self, next_data: impl Fn(Range<usize>) -> Option<usize>) -> Vec<usize> {
        while (self.ahead.front()).is_some_and(|position| *position <= self.position) {
            self.ahead.pop_front();
        }
        let mut asked = Vec::new();
        while self.ahead.len() < self.window {
            let from = self.ahead.back().map_or(self.position, |last| *last) + 1;
            let end = from.saturating_add(LOOK_AHEAD_MAX);
            let unknown = match self.bare.contains(&from) {
                true => self.bare.end,
                false => from,
            };
            let Some(next) = next_data(unknown..end) else {
                self.bare = from..end;
                break;
            };
            self.ahead.push_back(next);
            asked.push(next);
        }
        asked
    }
}

#[cfg(test)]
mod tests {
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
            assert_eq!(advice, Advice::default());
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
}
