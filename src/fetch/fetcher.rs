//! Joins the dispatcher with the lanes of workers, and with the clock. Whoever wants chunks drives it from one thread.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, select, unbounded};

use crate::cancel::Cancel;
use crate::datastore::snapshot::Archive;
use crate::error::{Error, ErrorKind, Result};
use crate::fetch::dispatcher::{Dispatcher, Outcome, Rules, Tally};
use crate::fetch::job::Arrival;
use crate::fetch::lanes::{Lane, LaneSettings};
use crate::fetch::seed::{Seed, Seeds};
use crate::fetch::task::Want;
use crate::fetch::threads::Threads;
use crate::fetch::worker::{self, Shared};
use crate::format::blob::ChunkDecoder;
use crate::memory::{BufferPool, DecodePermits};
use crate::rate_limit::RateLimit;

/// How long the first connections are waited for at the most. A place that takes longer is waited for by those who want
/// something of it.
const OPENING_MAX: Duration = Duration::from_secs(10);

/// How long the system is not asked for another thread after it refused one.
const THREADS_RETRY: Duration = Duration::from_secs(1);

/// How a fetcher works.
#[derive(Debug)]
pub(crate) struct FetchSettings {
    /// One for each of the archive's places, in their order, then those for hedged requests.
    pub(crate) lanes: Vec<LaneSettings>,
    pub(crate) rules: Rules,
    /// Where to look before a chunk is fetched.
    pub(crate) seeds: Vec<Seed>,
    /// For what is fetched, by all workers together.
    pub(crate) rate_limit: RateLimit,
}

/// Fetches the chunks of an archive that somebody wants.
///
/// Dropping it ends its threads.
#[derive(Debug)]
pub(crate) struct Fetcher {
    dispatcher: Dispatcher,
    lanes: Vec<Lane>,
    /// How many workers of each lane were started.
    started: Vec<usize>,
    shared: Arc<Shared>,
    inbox: Receiver<Arrival>,
    arrivals: Sender<Arrival>,
    threads: Threads,
    /// The system refused a thread: no other one is asked for before this time, unless a lane has none.
    no_threads_before: Option<Instant>,
}

impl Fetcher {
    /// Without any thread yet. All threads end when `cancel` is cancelled.
    pub(crate) fn new(
        archive: &Archive,
        settings: FetchSettings,
        permits: &Arc<DecodePermits>,
        cancel: &Cancel,
    ) -> Fetcher {
        let FetchSettings {
            lanes,
            rules,
            seeds,
            rate_limit,
        } = settings;
        let (arrivals, inbox) = unbounded();
        let largest = archive.index().largest_chunk();
        Fetcher {
            dispatcher: Dispatcher::new(archive.sources().len(), &lanes, rules),
            started: vec![0; lanes.len()],
            lanes: lanes.into_iter().map(Lane::new).collect(),
            shared: Arc::new(Shared {
                archive: archive.clone(),
                seeds: Arc::new(Seeds::new(&seeds)),
                stop: cancel.child(),
                pool: BufferPool::new(ChunkDecoder::blob_limit(largest)),
                permits: Arc::clone(permits),
                received_bytes: Arc::default(),
                rate_limit,
            }),
            inbox,
            arrivals,
            threads: Threads::default(),
            no_threads_before: None,
        }
    }

    /// Where chunks are looked for before they are fetched. More images may be added at any time.
    pub(crate) fn seeds(&self) -> &Arc<Seeds> {
        &self.shared.seeds
    }

    /// The buffers that chunks lie in.
    pub(crate) fn pool(&self) -> &Arc<BufferPool> {
        &self.shared.pool
    }

    /// What was done so far.
    pub(crate) fn tally(&self) -> &Tally {
        &self.dispatcher.tally
    }

    /// From now on so many chunks may be in flight at the most.
    pub(crate) fn set_slots(&mut self, slots: usize) {
        self.dispatcher.set_slots(slots);
    }

    /// How many requests may be in flight at all places together.
    pub(crate) fn in_flight(&self) -> usize {
        let lanes = (0..self.lanes.len()).filter(|lane| !self.is_hedging(*lane));
        lanes.map(|lane| self.dispatcher.in_flight(lane)).sum()
    }

    fn is_hedging(&self, lane: usize) -> bool {
        self.lanes[lane].shared.settings.is_hedging
    }

    /// Starts the workers that are kept for urgent jobs, and waits until one of them is connected, or none could be: a place
    /// that is out of reach now may be there later.
    ///
    /// # Errors
    /// [`ErrorKind::Resources`] where a worker's thread can't be started.
    pub(crate) fn open_connections(&mut self) -> Result<()> {
        let places: Vec<usize> = (0..self.lanes.len())
            .filter(|lane| !self.is_hedging(*lane))
            .collect();
        let (opened, outcomes) = unbounded();
        for lane in &places {
            self.start_worker(*lane, Some(opened.clone()))?;
        }
        drop(opened);
        // A worker that ends without a word has panicked, or was cancelled.
        for _ in &places {
            match outcomes.recv_timeout(OPENING_MAX) {
                Ok(false) => {}
                Ok(true) | Err(_) => break,
            }
        }
        Ok(())
    }

    /// Asks for a chunk. The ticket must be of no other want that is not settled.
    pub(crate) fn want(&mut self, want: Want) {
        self.dispatcher.want(want);
    }

    /// Somebody waits for a chunk that was wanted ahead.
    pub(crate) fn hurry(&mut self, ticket: u64) {
        self.dispatcher.hurry(ticket);
    }

    /// Takes a want back, unless a worker has begun with it. Says whether it did.
    pub(crate) fn forget_queued(&mut self, ticket: u64) -> bool {
        self.dispatcher.forget_queued(ticket)
    }

    /// What became of a want, in the order in which it happened.
    pub(crate) fn next_outcome(&mut self) -> Option<Outcome> {
        self.dispatcher.outcomes.pop_front()
    }

    /// Gives the workers as many jobs as they may have.
    ///
    /// # Errors
    /// [`ErrorKind::Resources`] where there are jobs for a place, and not one worker for it can be started.
    pub(crate) fn hand_out(&mut self) -> Result<()> {
        let now = Instant::now();
        let received = self.shared.received_bytes.total();
        self.dispatcher.grow_unanswered(received, now);
        for lane in self.dispatcher.lanes_to_sweep() {
            for job in self.lanes[lane].take_back() {
                self.dispatcher.took_back(&job, now);
            }
        }
        while let Some(job) = self.dispatcher.next_job(now) {
            self.lanes[job.lane].send(job);
        }
        for lane in 0..self.lanes.len() {
            let in_flight = self.dispatcher.in_flight(lane);
            let shared = &self.lanes[lane].shared;
            shared.in_flight.store(in_flight, Ordering::Relaxed);
            let may_grow = self.dispatcher.is_unanswered(lane);
            shared.may_grow.store(may_grow, Ordering::Relaxed);
            let queued = self.dispatcher.lanes[lane].queued();
            let workers = shared.settings.workers_for(queued, in_flight);
            self.start_workers(lane, workers, now)?;
        }
        Ok(())
    }

    /// Has so many workers of a lane at the least, as far as this machine has threads for them.
    ///
    /// # Errors
    /// [`ErrorKind::Resources`] where the lane has no worker, and none can be started.
    fn start_workers(&mut self, lane: usize, workers: usize, now: Instant) -> Result<()> {
        while self.started[lane] < workers {
            // The workers that there are do the work, if more slowly. Without hedged requests, all goes on.
            let is_spare = self.started[lane] > 0 || self.is_hedging(lane);
            let is_urgent_alone =
                self.started[lane] == 1 && self.lanes[lane].shared.settings.keeps_urgent_worker;
            if is_spare && self.no_threads_before.is_some_and(|time| now < time) {
                self.lanes[lane].set_short(is_urgent_alone);
                return Ok(());
            }
            match self.start_worker(lane, None) {
                Ok(()) if is_urgent_alone => self.lanes[lane].set_short(false),
                Ok(()) => {}
                Err(_) if is_spare => {
                    self.lanes[lane].set_short(is_urgent_alone);
                    self.no_threads_before = now.checked_add(THREADS_RETRY);
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Starts one more worker of a lane. `opened` hears what comes of its first connection.
    fn start_worker(&mut self, lane: usize, opened: Option<Sender<bool>>) -> Result<()> {
        let number = self.started[lane];
        let shared = Arc::clone(&self.shared);
        let (of_lane, jobs) = (
            Arc::clone(&self.lanes[lane].shared),
            self.lanes[lane].jobs(),
        );
        let arrivals = self.arrivals.clone();
        let work = move || worker::run(&shared, &of_lane, number, jobs, arrivals, opened);
        self.threads
            .start(format!("restore-{lane}-{number}"), work)?;
        self.started[lane] += 1;
        Ok(())
    }

    /// Takes the answers that are there. `retried` is told why a chunk is asked for again.
    pub(crate) fn take_answers(&mut self, retried: &mut dyn FnMut(&Error)) {
        while let Ok(arrival) = self.inbox.try_recv() {
            self.answered(arrival, retried);
        }
    }

    fn answered(&mut self, arrival: Arrival, retried: &mut dyn FnMut(&Error)) {
        let received = self.shared.received_bytes.total();
        (self.dispatcher).answered(arrival, received, Instant::now(), retried);
    }

    /// Waits until an answer comes, something is to be done, or the bell rings; for `limit` at the most. Says how long.
    ///
    /// # Errors
    /// [`ErrorKind::Resources`] where a thread can't be started, or one has ended before its work was done.
    pub(crate) fn wait(
        &mut self,
        bell: &Receiver<()>,
        limit: Duration,
        retried: &mut dyn FnMut(&Error),
    ) -> Result<Duration> {
        let until_late = self.dispatcher.hedge(Instant::now()).unwrap_or(limit);
        self.hand_out()?;
        let begun = Instant::now();
        let limit = self.dispatcher.next_due(limit.min(until_late), begun);
        let mut arrival = None;
        select! {
            recv(self.inbox) -> received => arrival = received.ok(),
            recv(bell) -> _ => {}
            default(limit) => if self.threads.has_one_ended() {
                return Err(Error::new(ErrorKind::Resources, "a worker has ended"));
            }
        }
        let waited = begun.elapsed();
        match arrival {
            Some(arrival) => {
                self.answered(arrival, retried);
                if self.inbox.is_empty() {
                    self.dispatcher.look_for_slow_connections(Instant::now());
                }
            }
            None => self.record_wait(waited),
        }
        self.hang_up();
        Ok(waited)
    }

    /// Nothing came for so long.
    fn record_wait(&mut self, waited: Duration) {
        // While the rate limit holds somebody back, no place is waited for.
        if self.shared.rate_limit.is_holding() {
            return;
        }
        let received = self.shared.received_bytes.total();
        self.dispatcher
            .record_wait(waited, received, Instant::now());
    }

    /// Ends the connections that are of no use.
    fn hang_up(&mut self) {
        for (lane, worker) in self.dispatcher.hang_ups.drain(..) {
            self.lanes[lane].shared.hang_ups[worker].pull();
        }
    }

    /// Ends all threads, and waits for them.
    ///
    /// # Panics
    /// With the panic of a worker, if one panicked.
    pub(crate) fn join(&mut self) {
        self.shared.stop.cancel();
        // Workers that wait for a job hear of the end of their channels.
        self.lanes.clear();
        self.threads.join();
    }
}

impl Drop for Fetcher {
    fn drop(&mut self) {
        // Nothing else ends a fetch that hangs; the threads themselves are joined when they are dropped.
        self.shared.stop.cancel();
    }
}
