//! `Restore`: how an archive is restored, and doing it. Knows nothing of how the pipeline works.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::backend::Concurrency;
use crate::cancel::Cancel;
use crate::datastore::snapshot::Archive;
use crate::error::Result;
use crate::memory::{MemoryBudget, MemoryShare};
use crate::pipeline::plan::Plan;
use crate::pipeline::seed::Seed;
use crate::pipeline::{self, Crew, Settings};
use crate::rate_limit::RateLimit;
use crate::report::{Event, Report};
use crate::target::{Existing, ReadAt, Target};

const DEFAULT_MEMORY: u64 = 256 << 20;
const DEFAULT_ATTEMPTS: u32 = 3;
const DEFAULT_PATIENCE: Duration = Duration::from_secs(120);

/// Threads for a place that gives one chunk at a time to each connection.
const MOST_THREADS: usize = 32;

/// Threads for a folder, of which only so many work as bring something.
const MOST_LOCAL: usize = 16;

/// Late chunks that are asked for a second time at once, at each place.
const RACING: usize = 2;

/// Late answers that may be outstanding although their chunks came another way. Each holds a buffer.
const ABANDONED: usize = 8;

/// How to restore: options that all have good defaults, and [`run`](Restore::run).
///
/// A `Restore` can run any number of times, from several threads at once. Runs of it and of its clones that go on at the same
/// time share its memory and its rate, in equal parts; each has room for one chunk in any case, within the memory or beyond,
/// so that none can hold up another.
///
/// # About threads
///
/// The thread that calls `run` becomes the writer: it asks for chunks in the order of the index, and commits them in that
/// order; it is also the only one to touch the target and the observer. Worker threads fetch, decrypt, decompress
/// and verify. They end before `run` returns, whatever it returns, and a panic on any of them is raised again on
/// the caller's thread.
#[derive(Clone, Debug)]
pub struct Restore {
    threads: usize,
    in_flight: usize,
    budget: Arc<MemoryBudget>,
    attempts: u32,
    patience: Duration,
    throttle: RateLimit,
    range: Range<u64>,
    salvage: bool,
    race: bool,
    seeds: Vec<Seed>,
    cancel: Cancel,
}

impl Default for Restore {
    fn default() -> Restore {
        Restore {
            threads: 0,
            in_flight: 0,
            budget: MemoryBudget::new(DEFAULT_MEMORY),
            attempts: DEFAULT_ATTEMPTS,
            patience: DEFAULT_PATIENCE,
            throttle: RateLimit::default(),
            range: 0..u64::MAX,
            salvage: false,
            race: false,
            seeds: Vec::new(),
            cancel: Cancel::new(),
        }
    }
}

impl Restore {
    /// The defaults: threads by the number of cores, 256 MiB of memory, 120 seconds of patience.
    #[must_use]
    pub fn new() -> Restore {
        Restore::default()
    }

    /// How many worker threads fetch and decode; 0, the default, takes one for each core, but at least 4 and at most 16, or
    /// 32 where each connection can fetch only one chunk at a time over a network. In a folder one for each core begins, and
    /// up to 16 join in for as long as that makes it a tenth faster, as where there is a disk to wait for.
    #[must_use]
    pub fn threads(self, threads: usize) -> Restore {
        Restore { threads, ..self }
    }

    /// How many requests may be unanswered at once; 0, the default, takes twice the number of threads, and 16 at the least,
    /// where chunks come over a network, else one for each core. On a Proxmox Backup Server and in a folder it is a start: a
    /// third more is tried for as long as that makes it a tenth faster. The memory caps it.
    #[must_use]
    pub fn in_flight(self, chunks: usize) -> Restore {
        Restore {
            in_flight: chunks,
            ..self
        }
    }

    /// How many bytes chunks may take in memory, encoded and decoded together, each counted with the length of the archive's
    /// longest; 256 MiB by default. It is room for one chunk at the least, encoded and decoded. All runs of this restore
    /// and of its clones share it; one that it is said to again has memory of its own. The index comes on top, with 33
    /// to 41 bytes for each chunk.
    #[must_use]
    pub fn memory(self, bytes: u64) -> Restore {
        Restore {
            budget: MemoryBudget::new(bytes),
            ..self
        }
    }

    /// How many times a chunk is asked for, at each place, that is missing, corrupt or unreadable there; 3 by default, and 1 at
    /// the least. A chunk that is missing or corrupt is asked for no more than twice, and with
    /// [`salvage`](Restore::salvage) not less.
    ///
    /// What fails because of the place, and not because of the chunk, is no attempt: how long that may go on is
    /// [`patience`](Restore::patience).
    #[must_use]
    pub fn attempts(self, attempts: u32) -> Restore {
        Restore { attempts, ..self }
    }

    /// How long the places may give nothing while the restore waits for them, before it fails; 120 seconds by default. Nothing
    /// means: no chunk has come to its end, and fewer than 8 KiB a second of all of them have come.
    ///
    /// A place that can't be reached is tried each second meanwhile, one that refuses after pauses that grow to 16 seconds, or
    /// as long as it asks for. Time in which the target is written, or in which [`rate`](Restore::rate) holds the restore back,
    /// does not count.
    ///
    /// Connections are given up sooner: one over which a chunk takes ten times as long as nine in ten others did, and a quarter
    /// of this time at the least, is made anew; and where no chunk came over any connection in a half of it, one of them is.
    #[must_use]
    pub fn patience(self, limit: Duration) -> Restore {
        Restore {
            patience: limit,
            ..self
        }
    }

    /// Fetches no more than so many bytes a second, all connections together, and those of all runs at the same time; 0, the
    /// default, sets no limit.
    #[must_use]
    pub fn rate(self, bytes_per_second: u64) -> Restore {
        Restore {
            throttle: RateLimit::new(bytes_per_second),
            ..self
        }
    }

    /// Restores only these bytes of the archive, as far as it has them: the first of them becomes the target's first.
    #[must_use]
    pub fn range(self, range: Range<u64>) -> Restore {
        Restore { range, ..self }
    }

    /// Goes on where a chunk is missing, corrupt or unreadable after all attempts: zeros take its place, and
    /// [`Report::damage`] lists it. A chunk that could not be fetched for another reason fails the restore all the same.
    #[must_use]
    pub fn salvage(self, yes: bool) -> Restore {
        Restore {
            salvage: yes,
            ..self
        }
    }

    /// Asks for a chunk that others wait for once more when it is late: when it takes a quarter longer than nine in ten do, and
    /// 50 milliseconds at the least. The next place is asked, or the same over another connection, and the first answer
    /// counts. At most one chunk in 20 is asked for twice, but one at the least; not counting what a place that is left
    /// aside was asked for before.
    #[must_use]
    pub fn race(self, yes: bool) -> Restore {
        Restore { race: yes, ..self }
    }

    /// Looks for chunks in another image before it fetches them. May be called several times; seeds are tried in turn.
    #[must_use]
    pub fn seed(mut self, seed: Seed) -> Restore {
        self.seeds.push(seed);
        self
    }

    /// Stops when this is cancelled, with an error of kind [`Cancelled`](crate::ErrorKind::Cancelled).
    #[must_use]
    pub fn cancel(self, cancel: &Cancel) -> Restore {
        Restore {
            cancel: cancel.clone(),
            ..self
        }
    }

    /// What a restore of this archive would do. Fetches nothing.
    #[must_use]
    pub fn plan(&self, archive: &Archive) -> Plan {
        Plan::new(archive.index(), archive.key(), self.range.clone())
    }

    /// Restores an archive into a target: `Ok` means that the target holds every byte, verified and durable.
    ///
    /// # Errors
    /// The first failure: of the kinds [`Missing`](crate::ErrorKind::Missing), [`Corrupt`](crate::ErrorKind::Corrupt),
    /// [`Unreadable`](crate::ErrorKind::Unreadable), [`Unavailable`](crate::ErrorKind::Unavailable),
    /// [`Denied`](crate::ErrorKind::Denied) for a chunk, with its digest, position and offset;
    /// [`Target`](crate::ErrorKind::Target) for the target, with the offset;
    /// [`Cancelled`](crate::ErrorKind::Cancelled); [`Resources`](crate::ErrorKind::Resources) where a thread could not
    /// be started.
    ///
    /// # Panics
    /// Only with a panic of the target or the backend.
    pub fn run(&self, archive: &Archive, target: &mut dyn Target) -> Result<Report> {
        self.run_with(archive, target, |_| {})
    }

    /// The same, with an observer, which is called on the calling thread after each commit and at least once a
    /// second.
    ///
    /// # Errors
    /// As [`run`](Restore::run).
    ///
    /// # Panics
    /// Only with a panic of the target, the backend or the observer.
    pub fn run_with(
        &self,
        archive: &Archive,
        target: &mut dyn Target,
        mut observer: impl FnMut(Event<'_>),
    ) -> Result<Report> {
        let plan = self.plan(archive);
        let (settings, share) = self.choose(archive);
        pipeline::run(archive, plan, settings, share, target, &mut observer)
    }

    /// Does everything but the writing: fetches, decrypts and checks every chunk.
    ///
    /// # Errors
    /// As [`run`](Restore::run).
    ///
    /// # Panics
    /// As [`run_with`](Restore::run_with).
    pub fn verify(&self, archive: &Archive, observer: impl FnMut(Event<'_>)) -> Result<Report> {
        self.run_with(archive, &mut Nowhere, observer)
    }

    fn choose(&self, archive: &Archive) -> (Settings, MemoryShare) {
        let largest = archive.index().largest_chunk();
        // An index never has more chunks to offer; and rings of so many slots are made at once.
        let useful = 3 * archive.index().count().max(MOST_THREADS);
        // A chunk takes one buffer from its request to its commit.
        let mut share = (self.budget).join(u64::from(largest), useful);
        let sources = archive.sources().iter().enumerate();
        let most = (share.max_slots() / 2 / sources.len()).max(1);
        let mut crews: Vec<Crew> = sources
            .map(|(source, place)| self.crew(source, place.backend().concurrency(), most))
            .collect();
        for crew in &mut crews {
            crew.in_flight = crew.in_flight.min(share.max_slots());
            crew.most = crew.most.clamp(crew.in_flight, share.max_slots());
        }
        let mut abandoned = 0;
        let reserved = RACING * crews.len() + ABANDONED;
        if (self.race || crews.len() > 1) && share.slots() > 2 * reserved {
            share.set_aside(reserved);
            abandoned = ABANDONED;
            crews.extend((0..crews.len()).map(|source| Crew {
                source,
                workers: RACING,
                in_flight: RACING,
                most: RACING,
                is_racing: true,
            }));
        }
        let settings = Settings {
            crews,
            attempts: self.attempts.max(1),
            patience: self.patience,
            salvage: self.salvage,
            seeds: self.seeds.clone(),
            race: self.race,
            abandoned,
            throttle: self.throttle.clone(),
            cancel: self.cancel.clone(),
        };
        (settings, share)
    }

    /// The workers for a place.
    fn crew(&self, source: usize, access: Concurrency, most: usize) -> Crew {
        let or = |set: usize, chosen: usize| if set == 0 { chosen } else { set };
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let workers = match access {
            // One chunk for each connection: threads that wait cost little.
            Concurrency::OneByOne => MOST_THREADS,
            Concurrency::Local => MOST_LOCAL,
            Concurrency::Multiplexed => cores.clamp(4, 16),
        };
        let workers = or(self.threads, workers).min(most);
        let ahead = match access {
            // What the page cache holds is there at once, and more threads than cores would only spread the work over
            // more memory. Where there is a disk to wait for, more of them bring more.
            Concurrency::Local => or(self.threads, cores).min(workers),
            _ => 16.max(2 * workers),
        };
        let in_flight = or(self.in_flight, ahead);
        let grows = self.in_flight == 0
            && source == 0
            && match access {
                Concurrency::Local => self.threads == 0,
                // Over a connection for each chunk it is threads that it takes.
                Concurrency::OneByOne => false,
                Concurrency::Multiplexed => true,
            };
        let most = match access {
            _ if !grows => in_flight,
            Concurrency::Local => workers,
            _ => usize::MAX,
        };
        Crew {
            source,
            workers: workers.min(most),
            in_flight,
            most,
            is_racing: false,
        }
    }
}

/// Takes everything, keeps nothing, and is content with each chunk once.
struct Nowhere;

impl Target for Nowhere {
    fn existing(&self) -> Existing {
        Existing::Blank(Arc::new(Nowhere))
    }

    fn write(&mut self, _data: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn write_zeros(&mut self, _len: u64) -> io::Result<()> {
        Ok(())
    }

    fn copy(&mut self, _from: u64, _len: u64) -> io::Result<bool> {
        Ok(true)
    }

    fn finish(&mut self, _damaged: bool) -> io::Result<()> {
        Ok(())
    }
}

impl ReadAt for Nowhere {
    fn read_exact_at(&self, _buffer: &mut [u8], _offset: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
