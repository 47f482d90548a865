//! Restores an archive into a target: [`Restore`] holds the options, and the other files are the
//! parts of a run.

mod cache;
mod commit;
mod hash_many;
pub(crate) mod plan;
mod repeats;
pub(crate) mod retry_hook;
mod run;
pub(crate) mod scan;
mod verify;
mod window;
mod writer;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::cancel::Cancel;
use crate::datastore::snapshot::Archive;
use crate::error::{Error, Result};
use crate::fetch::seed::Seed;
use crate::fetch::{FetchSettings, HedgeRules, Part, Rules, Staff, hedging_lanes, lanes_of};
use crate::memory::{MemoryBudget, MemoryShare};
use crate::rate_limit::RateLimit;
use crate::report::{Event, Report};
use crate::restore::plan::Plan;
use crate::restore::retry_hook::RetryHook;
use crate::target::Target;

const MEMORY_DEFAULT: u64 = 256 << 20;
const ATTEMPTS_DEFAULT: u32 = 3;
const PATIENCE_DEFAULT: Duration = Duration::from_secs(120);

/// A guest gives its disk about as long to answer.
const READ_PATIENCE_DEFAULT: Duration = Duration::from_secs(60);

/// How many buffers hedged requests may take at each place, and how many late answers may be
/// outstanding in total whose chunks came another way.
const HEDGE_BUFFERS: usize = 2;
const ABANDONED_MAX: usize = 8;

/// The memory share of a run is at least for this many chunks, also where the archive has fewer.
const SLOTS_USEFUL_MIN: usize = 96;

/// How to restore: options that all have good defaults, and [`run`](Restore::run).
///
/// A `Restore` can run any number of times, from several threads at once. Runs of it and of its
/// clones that happen at the same time share its memory and its rate in equal parts. Each run has
/// room for one chunk in any case, even beyond the memory limit, so that no run can hold up
/// another.
///
/// # About threads
///
/// The thread that calls `run` becomes the writer. It asks for chunks in the order of the index,
/// and commits them in that order. No other thread touches the target or calls the observer. (A
/// target may finish its writes on threads of its own: those of a [`FileTarget`](crate::FileTarget)
/// and a [`DeviceTarget`](crate::DeviceTarget) end when the target is finished or dropped.) Worker
/// threads fetch, decrypt, decompress and verify chunks. They end before `run` returns, whatever it
/// returns, and a panic on any of them is raised again on the caller's thread.
#[derive(Clone, Debug)]
pub struct Restore {
    threads: usize,
    in_flight: usize,
    part: Part,
    budget: Arc<MemoryBudget>,
    attempts: u32,
    patience: Option<Duration>,
    rate_limit: RateLimit,
    range: Range<u64>,
    salvage: bool,
    race: bool,
    seeds: Vec<Seed>,
    cancel: Cancel,
    retry_hook: RetryHook,
}

impl Default for Restore {
    fn default() -> Restore {
        Restore {
            threads: 0,
            in_flight: 0,
            part: Part::ALL,
            budget: MemoryBudget::new(MEMORY_DEFAULT),
            attempts: ATTEMPTS_DEFAULT,
            patience: None,
            rate_limit: RateLimit::default(),
            range: 0..u64::MAX,
            salvage: false,
            race: false,
            seeds: Vec::new(),
            cancel: Cancel::new(),
            retry_hook: RetryHook::default(),
        }
    }
}

impl Restore {
    /// Default options: threads by the number of cores, 256 MiB of memory, 120 seconds of patience.
    #[must_use]
    pub fn new() -> Restore {
        Restore::default()
    }

    /// How many worker threads fetch and decode at each place. With 0, the default, a place gets
    /// one thread for each core, but at least 4 and at most 16. There are two exceptions: up to 32
    /// threads where each connection over a network gives one chunk at a time, and up to 16 in a
    /// folder. Threads start when there is something for them to do.
    #[must_use]
    pub fn threads(self, threads: usize) -> Restore {
        Restore { threads, ..self }
    }

    /// How many requests may be unanswered at once at each place. With 0, the default, a restore
    /// starts with 4 over a network, and with one for each core in a folder. It then adapts the
    /// number to how long chunks take: the number grows while chunks do not wait for one another,
    /// and shrinks where they mostly wait. The memory limits the number. Where each connection
    /// gives one chunk at a time, the number of threads limits it too.
    #[must_use]
    pub fn in_flight(self, chunks: usize) -> Restore {
        Restore {
            in_flight: chunks,
            ..self
        }
    }

    /// Takes only a part of the worker threads, and so of the connections, and of the requests in
    /// flight that there would be otherwise: `part` of `whole`, rounded up. Runs that go on at the
    /// same time, such as those of a guest's disks, together have hardly more connections than one
    /// run alone if each takes the part that its archive has of all their bytes. Such runs also end
    /// at about the same time.
    #[must_use]
    pub fn part(self, part: u64, whole: u64) -> Restore {
        Restore {
            part: Part { part, whole },
            ..self
        }
    }

    /// How many bytes of memory chunks may take, encoded and decoded together; 256 MiB by default.
    /// Each chunk counts with the length of the archive's longest chunk. There is always room for
    /// one chunk, encoded and decoded. All runs of this restore and of its clones share the memory;
    /// a clone on which `memory` is called again has its own. The index takes 33 to 41 more bytes
    /// for each chunk. With the feature `hash-many`, at most a half of a run's memory is for chunks
    /// that are read from the target to hash several at once.
    #[must_use]
    pub fn memory(self, bytes: u64) -> Restore {
        Restore {
            budget: MemoryBudget::new(bytes),
            ..self
        }
    }

    /// How many times, at each place, a restore asks for a chunk that is missing, corrupt or
    /// unreadable there; 3 by default, and 1 at the least. A chunk that is missing or corrupt is
    /// asked for at most twice. With [`salvage`](Restore::salvage) every such chunk is asked for at
    /// least twice, also where this number is 1.
    ///
    /// A failure that is due to the place, and not to the chunk, does not count as an attempt:
    /// [`patience`](Restore::patience) limits how long a restore goes on after such failures.
    #[must_use]
    pub fn attempts(self, attempts: u32) -> Restore {
        Restore { attempts, ..self }
    }

    /// How long a restore waits while the places give nothing, before it fails; 120 seconds by
    /// default. The places give nothing when no chunk arrives completely, and all chunks together
    /// arrive at less than 8 KiB a second.
    ///
    /// Meanwhile the restore tries each second to reach a place that can't be reached. It tries a
    /// place that refuses after pauses that grow to 16 seconds, or that are as long as the place
    /// asks for. Time in which the target is written to, or in which [`rate`](Restore::rate) holds
    /// the restore back, does not count.
    ///
    /// Single connections are given up sooner. A connection is made anew when a chunk takes ten
    /// times as long over it as nine in ten others did, and at least a quarter of this time. When
    /// no chunk came over any connection in half of this time, one of the connections is made anew.
    /// A chunk that does not come over three connections, while others do, is given up.
    #[must_use]
    pub fn patience(self, limit: Duration) -> Restore {
        Restore {
            patience: Some(limit),
            ..self
        }
    }

    /// Fetches no more than this many bytes a second, over all connections and all runs at the same
    /// time together; 0, the default, sets no limit.
    #[must_use]
    pub fn rate(self, bytes_per_second: u64) -> Restore {
        Restore {
            rate_limit: RateLimit::new(bytes_per_second),
            ..self
        }
    }

    /// Restores only these bytes of the archive, as far as the archive has them. The first byte of
    /// the range becomes the first byte of the target.
    #[must_use]
    pub fn range(self, range: Range<u64>) -> Restore {
        Restore { range, ..self }
    }

    /// Goes on where a chunk is missing, corrupt or unreadable after all attempts: zeros take its
    /// place, and [`Report::damage`] lists it. A chunk that could not be fetched for another reason
    /// still fails the restore.
    #[must_use]
    pub fn salvage(self, yes: bool) -> Restore {
        Restore {
            salvage: yes,
            ..self
        }
    }

    /// Asks a second time for a late chunk that others wait for. A chunk is late when it takes a
    /// quarter longer than nine in ten chunks do, and at least 50 milliseconds. The request goes to
    /// the next place, or to the same place over another connection, and the first answer counts.
    /// At most one chunk in 20 is asked for twice, but at least one; this limit does not hold for
    /// chunks that a place was asked for before it was left aside.
    #[must_use]
    pub fn race(self, yes: bool) -> Restore {
        Restore { race: yes, ..self }
    }

    /// Looks for chunks in another image before it fetches them. May be called several times; seeds
    /// are tried in the order of the calls.
    #[must_use]
    pub fn seed(mut self, seed: Seed) -> Restore {
        self.seeds.push(seed);
        self
    }

    /// Stops the restore when `cancel` is cancelled, with an error of kind
    /// [`Cancelled`](crate::ErrorKind::Cancelled).
    #[must_use]
    pub fn cancel(self, cancel: &Cancel) -> Restore {
        Restore {
            cancel: cancel.clone(),
            ..self
        }
    }

    /// Calls a closure each time a reader ([`reader`](Restore::reader), `files::Files`) asks for a
    /// chunk again, with the reason: while a place can't be reached, about once a second for each
    /// chunk. The closure is called on the reader's own thread, and reads wait for it. It has no
    /// effect on [`run_with`](Restore::run_with), which has [`Event::Retried`].
    #[must_use]
    pub fn on_reader_retry(self, hook: impl Fn(&Error) + Send + Sync + 'static) -> Restore {
        Restore {
            retry_hook: RetryHook::new(hook),
            ..self
        }
    }

    /// What a restore of this archive would do. This fetches nothing.
    #[must_use]
    pub fn plan(&self, archive: &Archive) -> Plan {
        Plan::new(archive.index(), archive.key(), self.range.clone())
    }

    /// Restores an archive into a target: `Ok` means that the target holds every byte, verified and
    /// durable.
    ///
    /// # Errors
    /// The first failure. It is of kind [`Missing`](crate::ErrorKind::Missing),
    /// [`Corrupt`](crate::ErrorKind::Corrupt), [`Unreadable`](crate::ErrorKind::Unreadable),
    /// [`Unavailable`](crate::ErrorKind::Unavailable) or [`Denied`](crate::ErrorKind::Denied) for a
    /// chunk, with the chunk's digest, position and offset; [`Target`](crate::ErrorKind::Target)
    /// for the target, with the offset; [`Cancelled`](crate::ErrorKind::Cancelled); or
    /// [`Resources`](crate::ErrorKind::Resources) where a thread could not be started.
    ///
    /// # Panics
    /// Only where the target or the backend panics.
    pub fn run(&self, archive: &Archive, target: &mut dyn Target) -> Result<Report> {
        self.run_with(archive, target, |_| {})
    }

    /// Does the same as [`run`](Restore::run), and calls an observer on the calling thread after
    /// each commit and at least once a second.
    ///
    /// # Errors
    /// As [`run`](Restore::run).
    ///
    /// # Panics
    /// Only where the target, the backend or the observer panics.
    pub fn run_with(
        &self,
        archive: &Archive,
        target: &mut dyn Target,
        mut observer: impl FnMut(Event<'_>),
    ) -> Result<Report> {
        self.run_plan(archive, self.plan(archive), target, &mut observer)
    }

    fn run_plan(
        &self,
        archive: &Archive,
        plan: Plan,
        target: &mut dyn Target,
        observer: &mut dyn FnMut(Event<'_>),
    ) -> Result<Report> {
        let rules = Rules {
            attempts: self.attempts.max(1),
            salvage: self.salvage,
            patience: self.patience.unwrap_or(PATIENCE_DEFAULT),
            advice: "the same command goes on from here",
            hedge: self.hedge_rules(plan.chunks_to_fetch()),
        };
        let (settings, share) = self.choose(archive, rules);
        run::run(
            archive,
            plan,
            settings,
            share,
            &self.cancel,
            target,
            observer,
        )
    }

    /// Hears why a reader asks for a chunk again.
    pub(crate) fn retry_hook(&self) -> RetryHook {
        self.retry_hook.clone()
    }

    /// What a reader of the archive takes of this restore: how it fetches, its memory, and what ends
    /// it.
    pub(crate) fn for_reader(&self, archive: &Archive) -> (FetchSettings, MemoryShare, Cancel) {
        let rules = Rules {
            attempts: self.attempts.max(1),
            salvage: false,
            patience: self.patience.unwrap_or(READ_PATIENCE_DEFAULT),
            advice: "the same bytes can be read once the place answers again",
            // A reader may fetch a chunk again and again.
            hedge: self.hedge_rules(usize::MAX),
        };
        let (mut settings, share) = self.choose(archive, rules);
        for lane in settings.lanes.iter_mut().filter(|lane| !lane.is_hedging) {
            *lane = lane.with_urgent_worker();
        }
        (settings, share, self.cancel.clone())
    }

    fn hedge_rules(&self, chunks: usize) -> HedgeRules {
        HedgeRules {
            is_on: self.race,
            chunks,
            abandoned_max: ABANDONED_MAX,
        }
    }

    fn choose(&self, archive: &Archive, mut rules: Rules) -> (FetchSettings, MemoryShare) {
        let largest = archive.index().largest_chunk();
        let useful = (3 * archive.index().count()).max(SLOTS_USEFUL_MIN);
        // A chunk takes one buffer from when it is asked for until it is committed.
        let mut share = (self.budget).join(u64::from(largest), useful);
        let staff = Staff {
            threads: self.threads,
            in_flight: self.in_flight,
            part: self.part,
        };
        let mut lanes = lanes_of(archive, staff, share.max_slots());
        let places = lanes.len();
        let reserved = HEDGE_BUFFERS * places + ABANDONED_MAX;
        if (self.race || places > 1) && share.slots() > 2 * reserved {
            share.set_aside(reserved);
            lanes.extend(hedging_lanes(places));
        } else {
            rules.hedge.abandoned_max = 0;
        }
        let settings = FetchSettings {
            lanes,
            rules,
            seeds: self.seeds.clone(),
            rate_limit: self.rate_limit.clone(),
        };
        (settings, share)
    }
}
