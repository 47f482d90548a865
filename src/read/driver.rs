//! The reader's own thread: it drives the fetcher, and puts the chunks that come on the shelf.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::Receiver;

use crate::cancel::Cancel;
use crate::error::{Error, ErrorKind, Result};
use crate::fetch::{Fetcher, Outcome};
use crate::memory::MemoryShare;
use crate::read::shared::Shared;
use crate::read::shelf::Step;
use crate::restore::retry_hook::RetryHook;

/// How long the driver may sleep before it looks again whether it was cancelled, and how much memory
/// it has.
const GLANCE: Duration = Duration::from_millis(200);

/// Drives a fetcher for the readers of an archive.
pub(super) struct Driver {
    shared: Arc<Shared>,
    fetcher: Fetcher,
    share: MemoryShare,
    /// Rings when somebody waits for a chunk, when memory has become free, and at the end.
    bell: Receiver<()>,
    cancel: Cancel,
    retry_hook: RetryHook,
    /// The slots that the fetcher and the shelf know of.
    slots: usize,
}

impl Driver {
    pub(super) fn new(
        shared: Arc<Shared>,
        fetcher: Fetcher,
        share: MemoryShare,
        bell: Receiver<()>,
        cancel: Cancel,
        retry_hook: RetryHook,
    ) -> Driver {
        let mut driver = Driver {
            shared,
            fetcher,
            share,
            bell,
            cancel,
            retry_hook,
            slots: 0,
        };
        // Hints that come before the driver's first turn count too.
        driver.apply_memory();
        driver
    }

    /// Works until the last reader is dropped, or nothing can be read any more.
    ///
    /// # Panics
    /// With the panic of a worker, if one panicked.
    pub(super) fn run(mut self) {
        let close = CloseOnDrop(Arc::clone(&self.shared));
        let error = loop {
            if let Err(error) = self.turn() {
                break error;
            }
            if self.shared.is_ended() {
                break Error::new(ErrorKind::Cancelled, "the reader was dropped");
            }
        };
        self.shared.shelf.lock().close(&error);
        drop(close);
        self.fetcher.join();
    }

    /// Asks for what is wanted, waits until something comes, and hands it out.
    ///
    /// # Errors
    /// Why nothing can be read any more.
    fn turn(&mut self) -> Result<()> {
        if self.cancel.is_cancelled() {
            return Err(Error::new(ErrorKind::Cancelled, "reading was cancelled"));
        }
        self.apply_memory();
        self.take_steps();
        let mut retried = |error: &Error| self.retry_hook.call(error);
        self.fetcher.wait(&self.bell, GLANCE, &mut retried)?;
        self.fetcher.take_answers(&mut retried);
        let taken = self.take_outcomes();
        self.tell();
        taken
    }

    fn apply_memory(&mut self) {
        let mut shelf = self.shared.shelf.lock();
        // Chunks that are only kept make room for other runs.
        self.share.rebalance(shelf.asked());
        let slots = self.share.slots();
        shelf.set_slots(slots);
        if slots != self.slots {
            self.slots = slots;
            self.fetcher.pool().set_limit(self.share.buffers());
            self.fetcher.set_slots(slots);
        }
        // As many again as are in flight wait for a worker, as in a restore.
        let ahead = (2 * self.fetcher.in_flight()).min(shelf.ahead_max());
        self.shared.ahead_max.store(ahead, Ordering::Relaxed);
    }

    fn take_steps(&mut self) {
        let mut shelf = self.shared.shelf.lock();
        // Before the shelf looks which chunks nobody copies, so that nobody who has copied one stays
        // silent.
        self.shared
            .is_starved
            .store(shelf.is_starved(), Ordering::SeqCst);
        while let Some(step) = shelf.next_step() {
            match step {
                Step::Want(want) => self.fetcher.want(want),
                Step::Hurry(ticket) => self.fetcher.hurry(ticket),
                Step::Forget(ticket) => {
                    if self.fetcher.forget_queued(ticket) {
                        shelf.forgotten(ticket);
                    }
                }
            }
        }
        self.shared
            .is_starved
            .store(shelf.is_starved(), Ordering::SeqCst);
    }

    fn take_outcomes(&mut self) -> Result<()> {
        let fill = self.shared.fill.lock().clone();
        let mut shelf = self.shared.shelf.lock();
        while let Some(outcome) = self.fetcher.next_outcome() {
            match outcome {
                Outcome::Came { ticket, chunk, .. } => {
                    let came = shelf.came(ticket, chunk);
                    if let (Some(fill), Some((position, data))) = (&fill, came) {
                        fill.arrived(position, &data, self.slots);
                    }
                }
                Outcome::Failed { ticket, error } => shelf.failed(ticket, &error),
                Outcome::Broken(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn tell(&self) {
        let tally = self.fetcher.tally();
        let mut report = self.shared.report.lock();
        report.fetched = tally.fetched;
        report.retries = tally.retries;
        report.places.clone_from(&tally.places);
    }
}

/// Tells all who wait when the driver ends, whatever ends it.
struct CloseOnDrop(Arc<Shared>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        let error = Error::new(ErrorKind::Resources, "the reader's thread has ended");
        self.0.shelf.lock().close(&error);
    }
}
