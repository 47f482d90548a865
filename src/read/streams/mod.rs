//! Streams of reads: which reads follow one another, and how many chunks are read ahead of them.

use std::collections::VecDeque;
use std::ops::Range;

/// How many streams are told apart. Of more, the one that was not read for longest is forgotten.
const STREAMS_MAX: usize = 32;

/// Reads of a stream come out of their order by so many reads at the most, where several of them
/// are made at the same time.
const JITTER_READS_MAX: usize = 4;

/// Whoever read a stream has moved on when so many reads came that were not of the stream. Then its
/// chunks are no longer needed.
const LEFT_READS_MIN: u64 = 5;

/// While a read of a stream waits, so many chunks that were read ahead are as urgent as its own, for all
/// streams together.
const HURRIED_AHEAD_MAX: usize = 16;

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
    /// The number of its first read, by which it is known.
    id: StreamId,
    /// How many of its reads wait for a chunk.
    waiting: usize,
}

/// Tells streams apart for as long as a reader lives.
pub(super) type StreamId = u64;

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
    /// The stream that the read belongs to.
    pub(super) stream: StreamId,
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
        let mut dropped = self.leave();
        let Some(mut stream) = self.find(read).and_then(|found| self.streams.remove(found)) else {
            dropped.extend(self.make_room());
            self.streams.push_front(Stream {
                end: read.bytes.end,
                position: read.last,
                window: 0,
                ahead: VecDeque::new(),
                bare: 0..0,
                last_read: self.reads,
                id: self.reads,
                waiting: 0,
            });
            return Advice {
                stream: self.reads,
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
            stream: stream.id,
            ahead: stream.ask(next_data),
            dropped,
        }
    }

    /// A read of a stream waits for a chunk. Nobody leaves a stream while its reads wait, however many
    /// reads others make meanwhile.
    ///
    /// Returns the positions of the chunks that the next reads of the stream will wait for. Where the
    /// cores or the line are busy, a stream that had only the chunk it waits for fetched before those of
    /// random reads would have one part in as many as there are readers.
    pub(super) fn wait(&mut self, id: StreamId) -> Vec<usize> {
        let most = HURRIED_AHEAD_MAX / self.active().max(1);
        let Some(stream) = self.by_id(id) else {
            return Vec::new();
        };
        stream.waiting += 1;
        stream.ahead.iter().copied().take(most).collect()
    }

    /// A read that waited has its chunk, or hears why it gets none.
    pub(super) fn resume(&mut self, id: StreamId) {
        let reads = self.reads;
        if let Some(stream) = self.by_id(id) {
            stream.waiting -= 1;
            stream.last_read = reads;
        }
    }

    /// A stream, unless it was forgotten.
    fn by_id(&mut self, id: StreamId) -> Option<&mut Stream> {
        self.streams.iter_mut().find(|stream| stream.id == id)
    }

    /// Drops what was to be read ahead of streams that nobody reads any more. A stream that goes on
    /// all the same asks for it anew.
    fn leave(&mut self) -> Vec<usize> {
        let reads = self.reads;
        // Streams that are read in turn lie as many reads apart.
        let most = LEFT_READS_MIN.max(2 * self.active() as u64);
        let left = self.streams.iter_mut();
        let left = left.filter(|stream| stream.waiting == 0 && reads - stream.last_read > most);
        left.flat_map(|stream| stream.ahead.drain(..)).collect()
    }

    /// Makes room for one more stream. Returns what was to be read ahead of the one that is forgotten:
    /// the one that was not read for longest, unless it is read ahead and was read lately. Random reads
    /// are a new stream each, and would soon push out all others.
    fn make_room(&mut self) -> VecDeque<usize> {
        if self.streams.len() < STREAMS_MAX {
            return VecDeque::new();
        }
        let is_needed = |stream: &Stream| stream.waiting > 0 || self.is_active(stream);
        let last = self.streams.len() - 1;
        let found = self.streams.iter().rposition(|stream| !is_needed(stream));
        let forgotten = self.streams.remove(found.unwrap_or(last));
        forgotten.map_or_else(VecDeque::new, |stream| stream.ahead)
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
        let streams = self.streams.iter();
        streams.filter(|stream| self.is_active(stream)).count()
    }

    fn is_active(&self, stream: &Stream) -> bool {
        stream.window > 0 && self.reads - stream.last_read < IDLE_READS_MIN
    }
}

impl Stream {
    /// Whether a read may be one of the stream's that comes out of its order. A read of somebody else
    /// among the chunks that are read ahead is none: it would take the stream with it.
    fn is_near(&self, read: &Read) -> bool {
        if self.window == 0 {
            return read.first == self.position && read.last == self.position;
        }
        let jitter = JITTER_READS_MAX.saturating_mul(read.last - read.first + 1);
        self.position.abs_diff(read.first) <= jitter
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
mod tests;
