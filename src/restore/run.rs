//! One run of a restore: connects window, scan and writer, and ends all threads whatever happens.

use std::sync::Arc;

use crate::cancel::Cancel;
use crate::datastore::snapshot::Archive;
use crate::error::Result;
use crate::fetch::{FetchSettings, Fetcher, Threads};
use crate::memory::MemoryShare;
use crate::report::{Event, Report};
use crate::restore::hash_many::ManyHasher;
use crate::restore::plan::Plan;
use crate::restore::repeats::repeats_within;
use crate::restore::scan::Scan;
use crate::restore::window::Window;
use crate::restore::writer::{Loans, Writer, check_cancelled, target_error};
use crate::target::{Existing, Target};

/// How many chunks may be asked for ahead in any case, where a part of the memory keeps chunks that
/// are needed again.
const WINDOW_MIN: usize = 32;

/// How many chunks a target may have at a time that it has not written yet.
const LENT_MAX: usize = 4;

/// A target gets at most one part in so many of a run's memory.
const LENT_DIVISOR: usize = 4;

/// Restores an archive into a target. The calling thread is the writer.
pub(super) fn run(
    archive: &Archive,
    mut plan: Plan,
    settings: FetchSettings,
    mut share: MemoryShare,
    cancel: &Cancel,
    target: &mut dyn Target,
    observe: &mut dyn FnMut(Event<'_>),
) -> Result<Report> {
    check_cancelled(cancel, 0, plan.len())?;
    (target.begin(plan.len(), plan.zeros())).map_err(|error| target_error("prepare", 0, error))?;
    let (readable, to_scan) = match target.existing() {
        Existing::WriteOnly => {
            keep_repeats_in_memory(&mut plan, settings.lanes[0].in_flight, &mut share);
            (None, None)
        }
        Existing::Blank(target) => (Some(target), None),
        Existing::Resume(target) => (Some(Arc::clone(&target)), Some((target, false))),
        Existing::Similar(target) => (Some(Arc::clone(&target)), Some((target, true))),
    };
    let loans = match readable {
        Some(_) => lend(&mut share),
        // Chunks may be needed again, so they are kept.
        None => Loans::default(),
    };
    let plan = Arc::new(plan);
    let mut scanning = Threads::default();
    // This is dropped before the threads are joined, also when the writer panics: nothing else ends
    // the scan of a disk that hangs.
    let stop = StopOnDrop(cancel.child());
    let scan = match to_scan {
        Some((target, is_whole)) => {
            let many = ManyHasher::new(archive.index(), &mut share);
            let scan = Scan::new(archive, &plan, target, is_whole, &stop.0)?;
            let scan = Arc::new(scan.hashing_many(many));
            let scanner = Arc::clone(&scan);
            scanning.start("restore-scan".to_owned(), move || scanner.run())?;
            Some(scan)
        }
        None => None,
    };
    let salvage = settings.rules.salvage;
    let fetcher = Fetcher::new(archive, settings, share.permits(), &stop.0);
    let mut window = Window::new(archive, &plan, scan.as_deref(), fetcher, share, salvage);
    let writer = Writer::new(
        archive,
        &plan,
        scan.as_deref(),
        cancel,
        readable,
        target,
        observe,
    )
    .lending(loans);
    let result = writer.run(&mut window);
    drop(stop);
    window.join();
    scanning.join();
    result
}

/// Keeps chunks that are needed again in a part of the memory, where the target can't be read back.
fn keep_repeats_in_memory(plan: &mut Plan, in_flight: usize, share: &mut MemoryShare) {
    share.rebalance(0);
    let slots = share.slots();
    // The chunks that are in flight or wait for their request come first, but with little memory a
    // half of it is for repeats.
    let window = (2 * in_flight).max(WINDOW_MIN).min(slots.div_ceil(2));
    let room = (slots - window).min(plan.repeats().len());
    share.set_aside(room);
    plan.repeat_only(repeats_within(room, plan.repeats()));
}

/// Sets memory aside for the chunks that a target is lent.
fn lend(share: &mut MemoryShare) -> Loans {
    share.rebalance(0);
    let lent = LENT_MAX.min(share.slots() / LENT_DIVISOR);
    share.set_aside(lent);
    Loans::new(lent)
}

struct StopOnDrop(Cancel);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
