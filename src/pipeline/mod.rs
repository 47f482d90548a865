//! The road of a chunk: a writer that asks in index order, workers that answer, and one path to stop them all. Knows
//! no kind of place and no kind of target.

mod arrivals;
pub(crate) mod plan;
mod retry;
mod worker;
mod writer;

use std::panic;
use std::thread;

use crossbeam_channel::bounded;

use crate::buffer::Buffers;
use crate::cancel::Cancel;
use crate::datastore::snapshot::Archive;
use crate::error::{Error, ErrorKind, Result};
use crate::format::index::Chunk;
use crate::pipeline::plan::Plan;
use crate::pipeline::worker::{Arrival, Worker};
use crate::pipeline::writer::Writer;
use crate::report::{Event, Report};
use crate::target::Target;

/// How a restore is run, with everything chosen.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Worker threads; at least 1.
    pub(crate) workers: usize,
    /// Requests that the workers may have in flight at once, all together; at least as many as there are workers.
    pub(crate) in_flight: usize,
    /// Jobs that may be asked for and not yet committed; at least `in_flight`. Each has its own pair of buffers.
    pub(crate) slots: usize,
    /// How many times a chunk is asked for before it is given up; at least 1.
    pub(crate) attempts: u32,
    /// Set by the user alone.
    pub(crate) cancel: Cancel,
}

/// A chunk to fetch, and the memory to answer in.
#[derive(Debug)]
struct Job {
    /// Its number among those that are fetched, in index order.
    turn: usize,
    /// Its place in the index.
    position: usize,
    chunk: Chunk,
    /// From 1.
    attempt: u32,
    /// The last answer was corrupt: don't ask over the same connection again.
    fresh_connection: bool,
    buffers: Buffers,
}

impl Settings {
    /// Jobs that may be with the workers at once: as many wait as are in flight, since a worker takes its next one the
    /// moment an answer comes, and while it waits for another answer it hears of no new job.
    fn queued(&self) -> usize {
        2 * self.in_flight
    }
}

impl Job {
    fn id(&self) -> u64 {
        self.turn as u64
    }
}

/// Restores an archive into a target. The calling thread is the writer.
pub(crate) fn run(
    archive: &Archive,
    plan: &Plan,
    settings: &Settings,
    target: &mut dyn Target,
    observe: &mut dyn FnMut(Event<'_>),
) -> Result<Report> {
    let stop = settings.cancel.child();
    // Both hold every job that can be outstanding, so no send blocks.
    let (job_sender, job_receiver) = bounded::<Job>(settings.slots);
    let (arrival_sender, arrival_receiver) = bounded::<Arrival>(settings.slots);
    thread::scope(|scope| {
        // Dropped when the writer returns or unwinds: nothing else ends a fetch that hangs.
        let stop_all = CancelOnDrop(&stop);
        let mut threads = Vec::new();
        for number in 0..settings.workers.min(plan.chunks_to_fetch()) {
            let rest = usize::from(number < settings.in_flight % settings.workers);
            let share = settings.in_flight / settings.workers + rest;
            let (jobs, arrivals) = (job_receiver.clone(), arrival_sender.clone());
            let stop = &stop;
            let thread = thread::Builder::new()
                .name(format!("restore-{number}"))
                .spawn_scoped(scope, move || {
                    Worker::new(archive, share, stop, jobs, arrivals).run();
                })
                .map_err(|error| {
                    let message = format!("cannot start worker thread {number}; use fewer threads");
                    Error::new(ErrorKind::Resources, message).because(error)
                })?;
            threads.push(thread);
        }
        drop((job_receiver, arrival_sender));
        let writer = Writer::new(
            archive,
            plan,
            settings,
            target,
            observe,
            job_sender,
            arrival_receiver,
        );
        let result = writer.run();
        drop(stop_all);
        for thread in threads {
            if let Err(payload) = thread.join() {
                panic::resume_unwind(payload);
            }
        }
        result
    })
}

struct CancelOnDrop<'a>(&'a Cancel);

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
