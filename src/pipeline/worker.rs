//! A worker: pulls jobs, fetches, decodes, answers. Knows nothing of order.

use std::iter;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use crate::backend::{Connection, FetchError, Request};
use crate::cancel::Cancel;
use crate::datastore::snapshot::Source;
use crate::format::blob::{ChunkDecoder, Verified};
use crate::format::index::Chunk;
use crate::memory::MemoryBudget;
use crate::memory::{Buffer, BufferPool};
use crate::pipeline::hang_up::HangUp;
use crate::pipeline::held::{Arrival, Held, Spent};
use crate::pipeline::retry::Failure;
use crate::pipeline::seed::Seeds;
use crate::pipeline::turns::Turns;
use crate::pipeline::{Common, Job};
use crate::rate_limit::RateLimit;

/// How long a connection is left alone while there is nothing to fetch. Proxies forget one after half a minute or more.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// How long a worker that is not needed by now sleeps until it looks again. What is in flight grows no faster.
const IDLE: Duration = Duration::from_millis(200);

/// One thread's work, with its own connection.
pub(super) struct Worker<'a> {
    source: &'a Source,
    /// Requests that its crew may have in flight by now, and how many share them.
    in_flight: &'a AtomicUsize,
    workers: usize,
    /// Its own among them.
    number: usize,
    stop: &'a Cancel,
    jobs: Receiver<Job>,
    seeds: &'a Seeds<'a>,
    spares: &'a Arc<BufferPool>,
    budget: &'a MemoryBudget,
    turns: &'a Turns,
    throttle: &'a RateLimit,
    held: Held,
    /// A blob that came and is not decoded yet. Its job is still held.
    received: Option<Received>,
    decoder: ChunkDecoder,
    /// Ends its connection from outside.
    hang_up: &'a HangUp,
}

/// The blob that came for a job.
struct Received {
    id: u64,
    blob: Buffer,
}

/// A worker's connection, once there is one, and what ends it.
struct Line<'l> {
    connection: Option<Box<dyn Connection + 'l>>,
    cancel: &'l Cancel,
}

/// Why a worker has stopped to use a line.
#[derive(PartialEq, Eq)]
enum Ended {
    /// Somebody hung up: another line is to be used.
    HungUp,
    /// There is nothing more to do.
    Done,
}

impl<'a> Worker<'a> {
    pub(super) fn new(
        common: &'a Common<'a>,
        crew: usize,
        number: usize,
        jobs: Receiver<Job>,
        arrivals: Sender<Arrival>,
    ) -> Worker<'a> {
        Worker {
            source: &common.archive.sources()[common.settings.crews[crew].source],
            in_flight: &common.in_flight[crew],
            workers: common.settings.crews[crew].workers,
            number,
            stop: &common.stop,
            jobs,
            seeds: &common.seeds,
            spares: &common.spares,
            budget: &common.budget,
            turns: &common.turns,
            throttle: &common.settings.throttle,
            held: Held {
                jobs: Vec::new(),
                spent: Spent::default(),
                arrivals,
            },
            received: None,
            decoder: ChunkDecoder::new(common.archive.key().cloned()),
            hang_up: &common.hang_ups[crew][number],
        }
    }

    /// Works until the queue is closed or the restore stops.
    pub(super) fn run(mut self) {
        loop {
            let cancel = self.stop.child();
            self.hang_up.arm(&cancel);
            let line = Line {
                connection: None,
                cancel: &cancel,
            };
            if self.serve(line) == Ended::Done {
                return;
            }
        }
    }

    /// Works with one line, and with one connection after the other over it.
    fn serve<'l>(&mut self, mut line: Line<'l>) -> Ended
    where
        'a: 'l,
    {
        // The next is requested before the last is decoded, so the line never waits for the CPU.
        while self.ask(&mut line) {
            self.decode();
            self.receive(&mut line);
        }
        self.decode();
        if self.is_hung_up(&line) {
            Ended::HungUp
        } else {
            Ended::Done
        }
    }

    fn is_hung_up(&self, line: &Line<'_>) -> bool {
        line.cancel.is_cancelled() && !self.stop.is_cancelled()
    }

    /// Requests as much as may be in flight, and waits for a job where there is none. Says whether to go on.
    fn ask<'l>(&mut self, line: &mut Line<'l>) -> bool
    where
        'a: 'l,
    {
        while !line.cancel.is_cancelled() {
            let job = if self.held.jobs.is_empty() {
                let Some(job) = self.wait_for_job(line) else {
                    return false;
                };
                job
            } else if self.has_room(line) {
                let Ok(job) = self.jobs.try_recv() else {
                    return true;
                };
                job
            } else {
                return true;
            };
            self.request(job, line);
        }
        self.lose_connection(line, FetchError::Cancelled);
        false
    }

    /// Keeps the connection alive meanwhile; one that died is made anew when it is needed.
    fn wait_for_job(&mut self, line: &mut Line<'_>) -> Option<Job> {
        loop {
            while self.share() == 0 {
                if self.stop.wait(IDLE) {
                    return None;
                }
            }
            match self.jobs.recv_timeout(KEEP_ALIVE) {
                Ok(job) => return Some(job),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {
                    line.connection.take_if(|open| open.keep_alive().is_err());
                }
            }
        }
    }

    fn has_room(&self, line: &Line<'_>) -> bool {
        let received = self.received.as_ref().map(|answer| answer.id);
        let in_flight = || self.held.jobs.iter().filter(|job| Some(job.id) != received);
        let depth = line.connection.as_ref().map_or(1, |open| open.depth());
        // What came another way meanwhile is only read to its end.
        let awaited = in_flight().filter(|job| !self.turns.has_come(job.turn));
        in_flight().count() < depth && awaited.count() < self.share()
    }

    /// The most requests that it may have in flight.
    fn share(&self) -> usize {
        let in_flight = self.in_flight.load(Ordering::Relaxed);
        in_flight / self.workers + usize::from(self.number < in_flight % self.workers)
    }

    fn request<'l>(&mut self, job: Job, line: &mut Line<'l>)
    where
        'a: 'l,
    {
        if self.turns.has_come(job.turn) {
            let id = job.id;
            self.held.jobs.push(job);
            return self.held.fail(id, Failure::Needless);
        }
        let mut blob = self.spares.buffer();
        if job.attempt == 1 && !job.is_race {
            match self.seeded(&job.chunk, blob) {
                Ok(chunk) => {
                    let id = job.id;
                    self.held.jobs.push(job);
                    return self.held.answer(id, None, Ok(chunk));
                }
                Err(buffer) => blob = buffer,
            }
        }
        self.decoder.watch(&mut blob);
        blob.count_received();
        let connection = line.connection.as_ref();
        if job.fresh_connection || connection.is_some_and(|open| open.depth() == 0) {
            self.retire_connection(line);
        }
        let limit = ChunkDecoder::blob_limit(job.chunk.len);
        let request = Request::new(job.id, job.chunk.digest, limit, blob);
        // A connection that must be made first is a part of what it takes.
        let begun = Instant::now();
        if !job.is_race {
            self.turns.requested(job.turn, self.number);
        }
        self.held.jobs.push(job);
        let requested = (self.connected(line)).and_then(|open| open.request(request));
        self.held.spent.fetching += begun.elapsed();
        if let Err(error) = requested {
            self.lose_connection(line, error);
        }
    }

    /// The chunk, where a seed has it; else the buffer, empty.
    fn seeded(&mut self, chunk: &Chunk, mut buffer: Buffer) -> Result<Verified, Buffer> {
        let begun = Instant::now();
        for (image, offset) in self.seeds.places(chunk) {
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

    fn connected<'l, 'c>(
        &self,
        line: &'c mut Line<'l>,
    ) -> Result<&'c mut Box<dyn Connection + 'l>, FetchError>
    where
        'a: 'l,
    {
        match &mut line.connection {
            Some(connection) => Ok(connection),
            none => {
                let source = self.source;
                Ok(none.insert(source.backend().connect(
                    source.path(),
                    line.cancel,
                    self.throttle,
                )?))
            }
        }
    }

    /// Ends the connection when all that was requested over it has come.
    fn retire_connection(&mut self, line: &mut Line<'_>) {
        self.decode();
        while line.connection.is_some() && !self.held.jobs.is_empty() {
            self.receive(line);
            self.decode();
        }
        line.connection = None;
    }

    fn receive(&mut self, line: &mut Line<'_>) {
        let Some(connection) = (line.connection.as_mut()).filter(|_| !self.held.jobs.is_empty())
        else {
            return;
        };
        let begun = Instant::now();
        let received = connection.receive();
        self.held.spent.fetching += begun.elapsed();
        let answer = match received {
            Ok(answer) => answer,
            Err(error) => return self.lose_connection(line, error),
        };
        let id = answer.id();
        if !self.held.has(id) {
            let error = FetchError::Fatal("an answer came that was not asked for".into());
            return self.lose_connection(line, error);
        }
        match answer.into_blob() {
            Err(error) if line.cancel.is_cancelled() => self.lose_connection(line, error),
            Err(error) => self.held.fail(id, Failure::Fetch(error)),
            Ok(mut blob) => {
                blob.set_whole();
                self.held.came(id, self.turns);
                self.received = Some(Received { id, blob });
            }
        }
    }

    fn decode(&mut self) {
        let Some(Received { id, blob }) = self.received.take() else {
            return;
        };
        let Some(job) = self.held.jobs.iter().find(|job| job.id == id) else {
            return;
        };
        let chunk = job.chunk;
        let fetched = blob.len();
        if self.turns.has_come(job.turn) {
            return self.held.answer(id, Some(fetched), Err(Failure::Overtaken));
        }
        let turn = self.budget.decode();
        let begun = Instant::now();
        self.decoder.lend(self.spares.buffer());
        let decoded = self.decoder.decode(&chunk, blob);
        // What the blob was in goes back at once.
        self.decoder.lend(Buffer::new());
        self.held.spent.decoding += begun.elapsed();
        drop(turn);
        match decoded {
            Ok(verified) => self.held.answer(id, Some(fetched), Ok(verified)),
            Err(rejected) => self.held.fail(id, Failure::Corrupt(rejected.error)),
        }
    }

    /// Answers for all that was in flight: one job with the error itself, the others with its consequence.
    fn lose_connection(&mut self, line: &mut Line<'_>, error: FetchError) {
        line.connection = None;
        let undecoded = self.received.as_ref().map(|answer| answer.id);
        let lost = |job: &&mut Job| Some(job.id) != undecoded;
        let error = match error {
            // Whatever it says of being ended.
            _ if self.is_hung_up(line) => {
                (self.held.jobs.iter_mut().filter(lost)).for_each(|job| job.hang_ups += 1);
                let message = "the connection was given up: it was far slower than others";
                FetchError::unreachable(message)
            }
            error => error,
        };
        let lost: Vec<u64> = (self.held.jobs.iter_mut().filter(lost).map(|job| job.id)).collect();
        let is_cancelled = matches!(error, FetchError::Cancelled);
        let consequence = || match is_cancelled {
            true => FetchError::Cancelled,
            false => FetchError::unreachable("the connection failed with another request"),
        };
        let errors = iter::once(error).chain(iter::repeat_with(consequence));
        for (id, error) in lost.into_iter().zip(errors) {
            self.held.fail(id, Failure::Connection(error));
        }
    }
}
