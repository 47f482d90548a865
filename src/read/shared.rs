//! What the readers of an archive and the thread that fetches for them share.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use crossbeam_channel::Sender;
use parking_lot::Mutex;

use crate::datastore::snapshot::Archive;
use crate::error::{Error, ErrorKind, Result};
use crate::fetch::Urgency;
use crate::fetch::seed::Seeds;
use crate::format::blob::Verified;
use crate::format::index::Chunk;
use crate::format::index::zeros::ZeroDigests;
use crate::read::filled::Filled;
use crate::read::report::ReadReport;
use crate::read::shelf::{Delivery, Shelf};
use crate::read::streams::{Advice, LOOK_AHEAD_MAX, Read, StreamId, Streams};

/// The fill looks for the next chunks to fetch among so many at the most: a disk may be nearly empty.
const FILL_LOOK_AHEAD_MAX: usize = 4096;

/// The fill asks for one part in so many of the chunks that may be read ahead.
const FILL_AHEAD_DIVISOR: usize = 2;

/// A chunk for the fill.
#[derive(Debug)]
pub(super) enum Behind {
    Here(Arc<Verified>),
    Coming(Delivery<Verified>),
}

/// The state of all readers of one archive.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) archive: Archive,
    pub(super) zeros: ZeroDigests,
    /// Where workers look for chunks before they fetch them.
    pub(super) seeds: Arc<Seeds>,
    /// The fill that keeps what is fetched.
    pub(super) fill: Mutex<Option<Arc<Filled>>>,
    pub(super) shelf: Mutex<Shelf<Verified>>,
    streams: Mutex<Streams>,
    bell: Sender<()>,
    /// How many chunks may be read ahead, all together.
    pub(super) ahead_max: AtomicUsize,
    /// Whether somebody waits for memory: whoever has copied a chunk then rings the bell.
    pub(super) is_starved: AtomicBool,
    is_ended: AtomicBool,
    pub(super) counts: Counts,
    /// What was fetched, as the fetcher last told.
    pub(super) report: Mutex<ReadReport>,
}

/// What the readers count themselves.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) reads: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) chunks: AtomicU64,
    pub(super) hits: AtomicU64,
}

impl Shared {
    pub(super) fn new(archive: &Archive, seeds: &Arc<Seeds>, bell: Sender<()>) -> Shared {
        Shared {
            archive: archive.clone(),
            zeros: ZeroDigests::new(archive.index(), archive.key()),
            seeds: Arc::clone(seeds),
            fill: Mutex::default(),
            shelf: Mutex::default(),
            streams: Mutex::default(),
            bell,
            ahead_max: AtomicUsize::new(1),
            is_starved: AtomicBool::new(false),
            is_ended: AtomicBool::new(false),
            counts: Counts::default(),
            report: Mutex::default(),
        }
    }

    /// Wakes the driver. A bell that rings already need not be rung again.
    pub(super) fn ring(&self) {
        let _ = self.bell.try_send(());
    }

    /// The last reader is gone.
    pub(super) fn end(&self) {
        self.is_ended.store(true, Ordering::SeqCst);
        self.ring();
    }

    pub(super) fn is_ended(&self) -> bool {
        self.is_ended.load(Ordering::SeqCst)
    }

    pub(super) fn is_zero(&self, chunk: &Chunk) -> bool {
        self.zeros.contains(&chunk.digest, chunk.len)
    }

    /// From now on nothing is kept for a fill, unless another one has taken its place.
    pub(super) fn end_fill(&self, filled: &Arc<Filled>) {
        self.fill.lock().take_if(|other| Arc::ptr_eq(other, filled));
    }

    /// The chunk at a position, if the archive has it and it is not all zeros.
    fn data_chunk(&self, position: usize) -> Option<Chunk> {
        let chunk = self.archive.index().chunk(position)?;
        (!self.is_zero(&chunk)).then_some(chunk)
    }

    /// The first of these positions whose chunk must be fetched.
    fn next_data(&self, positions: Range<usize>) -> Option<usize> {
        let end = positions.end.min(self.archive.index().count());
        (positions.start..end).find(|position| self.data_chunk(*position).is_some())
    }

    /// Asks for the chunks of a read, as many as may be asked for at once, and for those that the
    /// next reads will need. Returns the stream that the read belongs to.
    pub(super) fn begin(&self, read: &Read) -> StreamId {
        let most = self.ahead_max.load(Ordering::Relaxed);
        let advice = self.record(read, most);
        let mut shelf = self.shelf.lock();
        self.withdraw(&mut shelf, advice.dropped);
        if read.last > read.first || !advice.ahead.is_empty() {
            // The read's own chunks come first.
            let last = read.last.min(read.first + most);
            self.want(&mut shelf, read.first..=last, Urgency::Now);
            self.want(&mut shelf, advice.ahead, Urgency::Ahead);
            drop(shelf);
            // Where the first chunk of the read is here, nobody else does.
            self.ring();
        }
        advice.stream
    }

    /// Does the same for a read that comes soon: whoever reads meanwhile comes first.
    #[cfg(feature = "nbd")]
    pub(super) fn announce(&self, read: &Read) -> StreamId {
        let most = self.ahead_max.load(Ordering::Relaxed);
        let advice = self.record(read, most);
        let mut shelf = self.shelf.lock();
        self.withdraw(&mut shelf, advice.dropped);
        self.want(&mut shelf, self.data_positions(read, most), Urgency::Ahead);
        self.want(&mut shelf, advice.ahead, Urgency::Ahead);
        drop(shelf);
        self.ring();
        advice.stream
    }

    /// A read that was announced is made now: its chunks are as urgent as the first of them.
    #[cfg(feature = "nbd")]
    pub(super) fn begin_announced(&self, read: &Read) {
        if read.last > read.first {
            let most = self.ahead_max.load(Ordering::Relaxed);
            self.hurry(self.data_positions(read, most));
        }
    }

    /// Has chunks fetched that somebody will wait for next.
    fn hurry(&self, positions: Vec<usize>) {
        if !positions.is_empty() {
            let mut shelf = self.shelf.lock();
            for position in positions {
                if let Some(chunk) = self.data_chunk(position) {
                    shelf.hurry(position, chunk);
                }
            }
        }
    }

    /// Nobody will make a read that was announced.
    #[cfg(feature = "nbd")]
    pub(super) fn take_back(&self, read: &Read) {
        let mut shelf = self.shelf.lock();
        self.withdraw(&mut shelf, read.first..=read.last);
        drop(shelf);
        self.ring();
    }

    fn record(&self, read: &Read, most: usize) -> Advice {
        let mut streams = self.streams.lock();
        streams.record(read, most, |positions| self.next_data(positions))
    }

    fn withdraw(&self, shelf: &mut Shelf<Verified>, positions: impl IntoIterator<Item = usize>) {
        let index = self.archive.index();
        for chunk in (positions.into_iter()).filter_map(|position| index.chunk(position)) {
            shelf.withdraw(&chunk.digest);
        }
    }

    /// The positions of a read whose chunks must be fetched: `most` of them.
    fn data_positions(&self, read: &Read, most: usize) -> Vec<usize> {
        let last = read.last.min(read.first.saturating_add(LOOK_AHEAD_MAX));
        let positions = (read.first..=last).filter(|at| self.data_chunk(*at).is_some());
        positions.take(most).collect()
    }

    /// Asks for chunks that will be needed.
    pub(super) fn prefetch(&self, read: &Read) {
        let most = self.ahead_max.load(Ordering::Relaxed);
        let positions = self.data_positions(read, most);
        let mut shelf = self.shelf.lock();
        self.want(&mut shelf, positions, Urgency::Ahead);
        drop(shelf);
        self.ring();
    }

    /// Asks for a chunk that a read which is under way needs soon.
    pub(super) fn want_now(&self, position: Option<usize>) {
        if position.is_some() {
            self.want(&mut self.shelf.lock(), position, Urgency::Now);
            self.ring();
        }
    }

    fn want(
        &self,
        shelf: &mut Shelf<Verified>,
        positions: impl IntoIterator<Item = usize>,
        urgency: Urgency,
    ) {
        for position in positions {
            if let Some(chunk) = self.data_chunk(position) {
                shelf.want(position, chunk, urgency);
            }
        }
    }

    /// The data of a chunk, which is fetched if it is not here, for a read of a stream. The chunk at
    /// the position `also` will be waited for soon.
    ///
    /// # Errors
    /// Why the chunk can't be had.
    pub(super) fn chunk(
        &self,
        position: usize,
        chunk: &Chunk,
        also: Option<usize>,
        stream: StreamId,
    ) -> Result<Arc<Verified>> {
        self.counts.chunks.fetch_add(1, Ordering::Relaxed);
        let mut shelf = self.shelf.lock();
        let here = shelf.take(&chunk.digest);
        let delivery = match &here {
            Some(_) => None,
            None => Some(shelf.wait_for(position, *chunk, Urgency::Now)?),
        };
        self.want(&mut shelf, also, Urgency::Now);
        drop(shelf);
        if let Some(data) = here {
            self.counts.hits.fetch_add(1, Ordering::Relaxed);
            return Ok(data);
        }
        let hurried = self.streams.lock().wait(stream);
        self.hurry(hurried);
        self.ring();
        let delivered = delivery.and_then(|delivery| delivery.recv().ok());
        self.streams.lock().resume(stream);
        let ended = || Error::new(ErrorKind::Cancelled, "the reader has ended");
        delivered.unwrap_or_else(|| Err(ended()))
    }

    /// A chunk for the fill, and chunks after it that the fill lacks: all of them come behind chunks
    /// that somebody waits for.
    ///
    /// # Errors
    /// Why nothing can be read any more.
    pub(super) fn fetch_behind(
        &self,
        position: usize,
        chunk: &Chunk,
        is_lacking: impl Fn(usize) -> bool,
    ) -> Result<Behind> {
        let ahead_max = self.ahead_max.load(Ordering::Relaxed);
        let count = self.archive.index().count();
        let next = (position + 1..count.min(position + FILL_LOOK_AHEAD_MAX))
            .filter(|at| is_lacking(*at) && self.data_chunk(*at).is_some());
        let next: Vec<usize> = next.take(ahead_max / FILL_AHEAD_DIVISOR).collect();
        let mut shelf = self.shelf.lock();
        let found = match shelf.peek(&chunk.digest) {
            Some(data) => Behind::Here(data),
            None => Behind::Coming(shelf.wait_for(position, *chunk, Urgency::Ahead)?),
        };
        self.want(&mut shelf, next, Urgency::Ahead);
        drop(shelf);
        self.ring();
        Ok(found)
    }

    /// A reader has copied what it needs of a chunk.
    pub(super) fn release(&self, data: Arc<Verified>) {
        drop(data);
        if self.is_starved.load(Ordering::SeqCst) {
            self.ring();
        }
    }
}
