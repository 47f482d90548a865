//! The road of a chunk: a writer that asks in index order, workers that answer, and one path to stop them all. Knows
//! no kind of place and no kind of target.

mod ahead;
mod arrivals;
mod cache;
mod growth;
mod hang_up;
mod held;
mod pace;
mod places;
pub(crate) mod plan;
mod progress;
mod race;
mod repeats;
mod retry;
mod scan;
pub(crate) mod seed;
mod team;
mod turns;
mod worker;
mod writer;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread;
use std::time::Duration;

use crossbeam_channel::bounded;

use crate::cancel::Cancel;
use crate::datastore::snapshot::Archive;
use crate::error::{Error, Result};
use crate::format::blob::ChunkDecoder;
use crate::format::index::Chunk;
use crate::memory::{BufferPool, DecodePermits, MemoryShare, ReceivedBytes};
use crate::pipeline::ahead::Ahead;
use crate::pipeline::hang_up::HangUp;
use crate::pipeline::held::Arrival;
use crate::pipeline::places::Set;
use crate::pipeline::plan::Plan;
use crate::pipeline::repeats::repeats_within;
use crate::pipeline::scan::Scan;
use crate::pipeline::seed::{Seed, Seeds};
use crate::pipeline::team::{Team, join, start};
use crate::pipeline::turns::Turns;
use crate::pipeline::worker::Worker;
use crate::pipeline::writer::{Writer, check_cancelled, target_error};
use crate::rate_limit::RateLimit;
use crate::report::{Event, Report};
use crate::target::{Existing, ReadAt, Target};

/// How a restore is run, with everything chosen.
#[derive(Debug)]
pub(crate) struct Settings {
    /// First one for each of the archive's places, in their order, then those that race.
    pub(crate) crews: Vec<Crew>,
    /// How many times a chunk that is not right is asked for at each place; at least 1.
    pub(crate) attempts: u32,
    /// How long places may give nothing while something is waited for.
    pub(crate) patience: Duration,
    /// Whether zeros take the place of chunks that can't be had.
    pub(crate) salvage: bool,
    /// Where to look before a chunk is fetched.
    pub(crate) seeds: Vec<Seed>,
    /// Whether a late chunk is asked for a second time.
    pub(crate) race: bool,
    /// How many late answers may be outstanding whose chunks came another way.
    pub(crate) abandoned: usize,
    /// For what is fetched, by all workers together.
    pub(crate) throttle: RateLimit,
    /// Set by the user alone.
    pub(crate) cancel: Cancel,
}

/// The workers that serve one place.
#[derive(Debug)]
pub(crate) struct Crew {
    /// The place's number.
    pub(crate) source: usize,
    /// Threads, which start when they are needed; at least 1.
    pub(crate) workers: usize,
    /// Requests that they may have in flight at once, all together. Workers that this leaves none for wait until it grows.
    pub(crate) in_flight: usize,
    /// How many that may become, where more brings more.
    pub(crate) most: usize,
    /// Whether they do nothing but fetch late chunks once more.
    pub(crate) is_racing: bool,
}

/// A chunk to fetch.
#[derive(Debug)]
struct Job {
    /// Its own, also where a chunk is asked for twice.
    id: u64,
    /// The chunk's number among those that are fetched, in index order.
    turn: usize,
    /// Its place in the index.
    position: usize,
    chunk: Chunk,
    /// Whose workers fetch it, and at which place.
    crew: usize,
    place: usize,
    /// The places that can't give the chunk, as far as is known since they were last gone through.
    lacking: Set,
    /// Those of them that never will: they refuse it.
    refused: Set,
    /// The place that failed last, and is rather not asked next.
    failed: Option<usize>,
    /// What is worth telling of it.
    failure: Option<Error>,
    /// From 1, for whatever reason it is asked for again.
    attempt: u32,
    /// How many times the places were gone through, from 1.
    look: u32,
    /// How often places refused it for now, or could not be reached.
    refusals: u32,
    /// How often this machine lacked something.
    shortages: u32,
    /// How many connections were given up because it did not come over them.
    hang_ups: u32,
    /// The last answer was corrupt: don't ask over the same connection again.
    fresh_connection: bool,
    /// It is asked for a second time, because it is late.
    is_race: bool,
    /// How long the place took.
    took: Option<Duration>,
}

impl Crew {
    /// Jobs that may ever be with the workers at once.
    fn most_queued(&self) -> usize {
        queued(self.most)
    }
}

/// Jobs that may be with the workers at once: as many wait as are in flight, since a worker takes its next one the
/// moment an answer comes, and while it waits for another answer it hears of no new job.
fn queued(in_flight: usize) -> usize {
    2 * in_flight
}

impl Job {
    fn new(turn: usize, position: usize, chunk: Chunk, place: usize) -> Job {
        Job {
            id: 0,
            turn,
            position,
            chunk,
            // The first crews serve a place each.
            crew: place,
            place,
            lacking: Set::default(),
            refused: Set::default(),
            failed: None,
            failure: None,
            attempt: 1,
            look: 1,
            refusals: 0,
            shortages: 0,
            hang_ups: 0,
            fresh_connection: false,
            is_race: false,
            took: None,
        }
    }

    fn go_to(&mut self, place: usize) {
        (self.crew, self.place) = (place, place);
    }
}

/// What the threads of a restore share.
#[derive(Debug)]
struct Common<'a> {
    archive: &'a Archive,
    plan: &'a Plan,
    settings: &'a Settings,
    seeds: Seeds<'a>,
    /// Set with the user's, and when the restore ends.
    stop: Cancel,
    spares: Arc<BufferPool>,
    permits: Arc<DecodePermits>,
    received_bytes: Arc<ReceivedBytes>,
    /// The most jobs that are ever asked for and not yet committed.
    slots: usize,
    turns: Turns,
    /// One for each worker of each crew.
    hang_ups: Vec<Vec<HangUp>>,
    /// Requests that each crew may have in flight by now.
    in_flight: Vec<AtomicUsize>,
}

/// Restores an archive into a target. The calling thread is the writer.
pub(crate) fn run(
    archive: &Archive,
    mut plan: Plan,
    settings: Settings,
    mut share: MemoryShare,
    target: &mut dyn Target,
    observe: &mut dyn FnMut(Event<'_>),
) -> Result<Report> {
    check_cancelled(&settings, 0, plan.len())?;
    (target.begin(plan.len(), plan.zeros())).map_err(|error| target_error("prepare", 0, error))?;
    let (readable, to_scan) = match target.existing() {
        Existing::WriteOnly => {
            keep_repeats_in_memory(&mut plan, &settings, &mut share);
            (None, None)
        }
        Existing::Blank(target) => (Some(target), None),
        Existing::Resume(target) => (Some(Arc::clone(&target)), Some((target, false))),
        Existing::Similar(target) => (Some(Arc::clone(&target)), Some((target, true))),
    };
    let common = Common {
        archive,
        plan: &plan,
        settings: &settings,
        seeds: Seeds::new(&settings.seeds),
        stop: settings.cancel.child(),
        spares: BufferPool::new(ChunkDecoder::blob_limit(archive.index().largest_chunk())),
        permits: Arc::clone(share.permits()),
        received_bytes: Arc::default(),
        slots: share.max_slots(),
        turns: Turns::new(share.max_slots()),
        hang_ups: (settings.crews.iter())
            .map(|crew| (0..crew.workers).map(|_| HangUp::default()).collect())
            .collect(),
        in_flight: settings.crews.iter().map(|_| AtomicUsize::new(0)).collect(),
    };
    let scan =
        to_scan.map(|(target, is_whole)| Scan::new(archive, &plan, target, is_whole, &common.stop));
    let scan = scan.transpose()?;
    run_threads(&common, share, scan.as_ref(), readable, target, observe)
}

/// Where the target can't be read back, a part of the memory holds what is needed again.
fn keep_repeats_in_memory(plan: &mut Plan, settings: &Settings, share: &mut MemoryShare) {
    share.rebalance(0);
    let slots = share.slots();
    // What is in flight, and waits to be, comes first; but of little memory a half is kept.
    let window = queued(settings.crews[0].in_flight).min(slots.div_ceil(2));
    let room = (slots - window).min(plan.repeats().len());
    share.set_aside(room);
    plan.repeat_only(repeats_within(room, plan.repeats()));
}

fn run_threads(
    common: &Common<'_>,
    share: MemoryShare,
    scan: Option<&Scan<'_>>,
    readable: Option<Arc<dyn ReadAt>>,
    target: &mut dyn Target,
    observe: &mut dyn FnMut(Event<'_>),
) -> Result<Report> {
    let crews = &common.settings.crews;
    // They hold every job that can be outstanding, so no send blocks.
    let outstanding: usize = crews.iter().map(Crew::most_queued).sum();
    let (jobs, workers): (Vec<_>, Vec<_>) = crews
        .iter()
        .map(|crew| bounded::<Job>(crew.most_queued()))
        .unzip();
    let (arrivals, inbox) = bounded::<Arrival>(outstanding);
    thread::scope(|scope| {
        // Dropped when the writer returns or unwinds: nothing else ends a fetch that hangs.
        let stop_all = CancelOnDrop(&common.stop);
        let hire = |crew: usize, number: usize| {
            let (jobs, arrivals) = (workers[crew].clone(), arrivals.clone());
            let work = move || Worker::new(common, crew, number, jobs, arrivals).run();
            start(scope, format!("restore-{crew}-{number}"), work)
        };
        let mut team = Team::new(crews.len(), hire);
        let scan_thread = scan.map(|scan| start(scope, "restore-scan".to_owned(), || scan.run()));
        let scan_thread = scan_thread.transpose()?;
        let writer = Writer::new(common, scan, readable, target, observe);
        let ahead = Ahead::new(common, scan, share, jobs, &workers, &mut team);
        let result = writer.run(ahead, inbox);
        drop(stop_all);
        team.join();
        scan_thread.map(join);
        result
    })
}

struct CancelOnDrop<'a>(&'a Cancel);

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
