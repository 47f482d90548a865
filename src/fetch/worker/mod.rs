//! A worker: takes jobs, fetches and decodes chunks over a connection of its own, and answers each job.

mod link;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{Select, Sender, TryRecvError};

use crate::backend::Request;
use crate::cancel::Cancel;
use crate::datastore::snapshot::Archive;
use crate::error::FetchError;
use crate::fetch::failure::Failure;
use crate::fetch::held::Held;
use crate::fetch::job::{Arrival, Job, Urgency};
use crate::fetch::lanes::{Jobs, LaneShared};
use crate::fetch::seed::Seeds;
use crate::fetch::worker::link::Link;
use crate::format::blob::{ChunkDecoder, Verified};
use crate::format::index::Chunk;
use crate::memory::{Buffer, BufferPool, DecodePermits, ReceivedBytes};
use crate::rate_limit::RateLimit;

/// How long a connection is left alone while there is nothing to fetch. Proxies forget one after half a minute or more.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// How long the worker that keeps a connection open waits at first before it tries again to make one; then twice as long
/// each time.
const RECONNECT_MIN: Duration = Duration::from_secs(1);

/// How long a worker that may have nothing in flight sleeps until it looks again.
const IDLE: Duration = Duration::from_millis(200);

/// How long a worker waits for an answer until it looks whether it may request more, while nothing has come from the place.
const GLANCE: Duration = Duration::from_millis(2);

/// What all workers share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) archive: Archive,
    pub(super) seeds: Arc<Seeds>,
    /// Ends all workers.
    pub(super) stop: Cancel,
    pub(super) pool: Arc<BufferPool>,
    pub(super) permits: Arc<DecodePermits>,
    /// The bytes of all answers.
    pub(super) received_bytes: Arc<ReceivedBytes>,
    pub(super) rate_limit: RateLimit,
}

/// One thread's work, with its own connection.
pub(super) struct Worker<'a> {
    shared: &'a Shared,
    lane: &'a LaneShared,
    /// Its own number among the lane's workers.
    number: usize,
    /// Whether it takes urgent jobs alone, and keeps a connection open.
    is_urgent: bool,
    /// Hears once what came of the first connection, where somebody waits for that.
    opened: Option<Sender<bool>>,
    reconnect_after: Duration,
    jobs: Jobs,
    /// Counts how long it holds back this worker.
    rate_limit: &'a RateLimit,
    held: Held,
    /// A blob that came and is not decoded yet. Its job is still held.
    received: Option<Received>,
    decoder: ChunkDecoder,
}

/// The blob that came for a job.
struct Received {
    id: u64,
    blob: Buffer,
}

/// Why a worker has stopped to use a link.
#[derive(PartialEq, Eq)]
enum Ended {
    /// The connection was ended from outside: the worker makes another one.
    HungUp,
    /// There is nothing more to do.
    Done,
}

/// Works until the lane is closed or everything stops.
pub(super) fn run(
    shared: &Shared,
    lane: &LaneShared,
    number: usize,
    jobs: Jobs,
    arrivals: Sender<Arrival>,
    opened: Option<Sender<bool>>,
) {
    let rate_limit = shared.rate_limit.for_worker();
    let worker = Worker {
        shared,
        lane,
        number,
        is_urgent: lane.settings.keeps_urgent_worker && number == 0,
        opened,
        reconnect_after: RECONNECT_MIN,
        jobs,
        rate_limit: &rate_limit,
        held: Held::new(arrivals),
        received: None,
        decoder: ChunkDecoder::new(shared.archive.key().cloned()),
    };
    worker.run();
}

impl<'a> Worker<'a> {
    fn run(mut self) {
        loop {
            let cancel = self.shared.stop.child();
            self.lane.hang_ups[self.number].arm(&cancel);
            let link = Link {
                connection: None,
                cancel: &cancel,
            };
            if self.serve(link) == Ended::Done {
                return;
            }
        }
    }

    /// Works with one connection after the other, until one is ended from outside.
    fn serve<'l>(&mut self, mut link: Link<'l>) -> Ended
    where
        'a: 'l,
    {
        if self.is_urgent {
            let is_open = self.connect(&mut link).is_ok();
            if let Some(opened) = self.opened.take() {
                // Whoever opened the reader may have given up to wait.
                let _ = opened.send(is_open);
            }
        }
        // The next is requested before the last is decoded, so the line never waits for the CPU.
        while self.ask(&mut link) {
            self.decode();
            self.receive(&mut link);
        }
        self.decode();
        if self.is_hung_up(&link) {
            Ended::HungUp
        } else {
            Ended::Done
        }
    }

    /// Requests as much as may be in flight, and waits for a job where there is none. Says whether to go on.
    fn ask<'l>(&mut self, link: &mut Link<'l>) -> bool
    where
        'a: 'l,
    {
        while !link.cancel.is_cancelled() {
            let job = if self.held.is_empty() {
                let Some(job) = self.wait_for_job(link) else {
                    return false;
                };
                job
            } else if self.has_room(link) {
                let Ok(job) = self.next_job() else {
                    return true;
                };
                job
            } else {
                return true;
            };
            self.request(job, link);
        }
        self.lose_connection(link, FetchError::Cancelled);
        false
    }

    /// The next job: those that somebody waits for come first.
    fn next_job(&self) -> Result<Job, TryRecvError> {
        match self.jobs.now.try_recv() {
            Err(_) if !self.is_urgent => self.jobs.ahead.try_recv(),
            job => job,
        }
    }

    /// Keeps the connection alive meanwhile; one that died is made anew when it is needed.
    fn wait_for_job<'l>(&mut self, link: &mut Link<'l>) -> Option<Job>
    where
        'a: 'l,
    {
        loop {
            while self.share() == 0 {
                if self.shared.stop.wait(IDLE) {
                    return None;
                }
            }
            match self.next_job() {
                Ok(job) => return Some(job),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => {}
            }
            if self.is_hung_up(link) {
                // Another connection is made.
                return None;
            }
            let mut ready = Select::new();
            ready.recv(&self.jobs.now);
            if !self.is_urgent {
                ready.recv(&self.jobs.ahead);
            }
            let pause = match &link.connection {
                None if self.is_urgent => self.reconnect_after,
                _ => KEEP_ALIVE,
            };
            if ready.ready_timeout(pause).is_err() {
                self.keep_connection(link);
            }
        }
    }

    fn has_room(&self, link: &Link<'_>) -> bool {
        let received = self.received.as_ref().map(|answer| answer.id);
        let in_flight = || self.held.jobs().filter(|job| Some(job.id) != received);
        let depth = link.connection.as_ref().map_or(1, |open| open.depth());
        // An answer that nobody wants any more is only read to its end.
        let wanted = in_flight().filter(|job| !job.stage.is_unwanted());
        in_flight().count() < depth && wanted.count() < self.share()
    }

    /// The most requests that this worker may have in flight.
    fn share(&self) -> usize {
        let in_flight = self.lane.in_flight.load(Ordering::Relaxed);
        self.lane.settings.share_of(self.number, in_flight)
    }

    fn request<'l>(&mut self, job: Job, link: &mut Link<'l>)
    where
        'a: 'l,
    {
        if job.stage.is_unwanted() {
            return self.answer_at_once(job, Err(Failure::Needless));
        }
        let mut blob = self.shared.pool.buffer();
        if job.may_be_seeded {
            match self.seeded(&job.chunk, blob) {
                Ok(chunk) => return self.answer_at_once(job, Ok(chunk)),
                Err(buffer) => blob = buffer,
            }
        }
        self.decoder.align_payload(&mut blob);
        self.decoder.hash_while_received(&mut blob);
        blob.count_received(&self.shared.received_bytes);
        let connection = link.connection.as_ref();
        if job.fresh_connection || connection.is_some_and(|open| open.depth() == 0) {
            self.retire_connection(link);
        }
        let limit = ChunkDecoder::blob_limit(job.chunk.len);
        let request = Request::new(job.id, job.chunk.digest, limit, blob);
        // A connection that must be made first is a part of what it takes.
        let begun = Instant::now();
        if !job.stage.begin(self.number, self.rate_limit.held(), begun) {
            return self.answer_at_once(job, Err(Failure::Needless));
        }
        let (id, is_connected) = (job.id, link.connection.is_some());
        self.held.push(job);
        let requested = match self.connect(link) {
            Ok(connection) => {
                if !is_connected {
                    self.held.record_connection(id);
                }
                connection.request(request)
            }
            Err(error) => Err(error),
        };
        self.held.spent.fetching += begun.elapsed();
        match requested {
            Ok(()) => self.held.record_sent(id),
            Err(error) => self.lose_connection(link, error),
        }
    }

    /// Answers a job without a request.
    fn answer_at_once(&mut self, job: Job, outcome: Result<Verified, Failure>) {
        let id = job.id;
        self.held.push(job);
        self.held.answer(id, None, outcome);
    }

    /// The chunk, where a seed has it; else the buffer, empty.
    fn seeded(&mut self, chunk: &Chunk, mut buffer: Buffer) -> Result<Verified, Buffer> {
        let begun = Instant::now();
        for (image, offset) in self.shared.seeds.candidates(chunk) {
            // What can't be read is not there.
            let read = image.read_exact_at(buffer.space(chunk.len as usize), offset);
            if read.is_err() {
                continue;
            }
            let recognised = self.decoder.recognise(chunk, buffer);
            self.held.spent.decoding += begun.elapsed();
            match recognised {
                Ok(chunk) => return Ok(chunk),
                Err(other) => buffer = other,
            }
        }
        buffer.clear();
        Err(buffer)
    }

    fn receive(&mut self, link: &mut Link<'_>) {
        let Some(connection) = (link.connection.as_mut()).filter(|_| !self.held.is_empty()) else {
            return;
        };
        let begun = Instant::now();
        let received = match self.lane.may_grow.load(Ordering::Relaxed) {
            true => connection.receive_within(GLANCE),
            false => connection.receive().map(Some),
        };
        self.held.spent.fetching += begun.elapsed();
        let answer = match received {
            Ok(Some(answer)) => answer,
            Ok(None) => return,
            Err(error) => return self.lose_connection(link, error),
        };
        let id = answer.id();
        if self.held.job(id).is_none() {
            let error = FetchError::Fatal("an answer came that was not asked for".into());
            return self.lose_connection(link, error);
        }
        match answer.into_blob() {
            Err(error) if link.cancel.is_cancelled() => self.lose_connection(link, error),
            Err(error) => self.held.fail(id, Failure::Fetch(error)),
            Ok(mut blob) => {
                let coming = blob.confirm_received();
                self.held.record_answer(id, coming);
                self.received = Some(Received { id, blob });
            }
        }
    }

    fn decode(&mut self) {
        let Some(Received { id, blob }) = self.received.take() else {
            return;
        };
        let Some(job) = self.held.job(id) else {
            return;
        };
        let chunk = job.chunk;
        let fetched = blob.len();
        if job.stage.is_unwanted() {
            return self.held.answer(id, Some(fetched), Err(Failure::Overtaken));
        }
        let is_ahead = job.urgency == Urgency::Ahead && !job.stage.is_hurried();
        let leaves_one = is_ahead && self.lane.settings.keeps_urgent_worker;
        let permit = match leaves_one {
            true => self.shared.permits.acquire_ahead(),
            false => self.shared.permits.acquire(),
        };
        let begun = Instant::now();
        let mut scratch = self.shared.pool.buffer();
        let decoded = self.decoder.decode(&chunk, blob, &mut scratch);
        // The memory that the chunk's data is not in goes back before the next chunk is decoded.
        drop(scratch);
        self.held.spent.decoding += begun.elapsed();
        drop(permit);
        match decoded {
            Ok(verified) => self.held.answer(id, Some(fetched), Ok(verified)),
            Err(rejected) => self.held.fail(id, Failure::Corrupt(rejected.error)),
        }
    }
}
