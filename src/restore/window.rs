//! The window: the chunks that are asked for and not yet committed, in the order of the index.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, never};

use crate::datastore::snapshot::Archive;
use crate::error::{Error, Result};
use crate::fetch::{Fetcher, Outcome, Tally, Urgency, Want};
use crate::format::blob::Verified;
use crate::memory::{BufferPool, MemoryShare};
use crate::report::Damage;
use crate::restore::plan::{Plan, Step};
use crate::restore::scan::{Finding, Scan};

/// A chunk in the window.
#[derive(Debug)]
enum Slot {
    /// The chunk was asked for, and has not come yet.
    Asked {
        position: usize,
    },
    Settled(Settled),
}

/// What became of a chunk that was asked for.
#[derive(Debug)]
pub(super) enum Settled {
    Fetched(Verified),
    /// A seed had the chunk.
    Seeded(Verified),
    /// The chunk can't be fetched, and the restore goes on without it.
    Lost(Damage),
}

/// Asks for chunks ahead of the writer, as many as there is memory for, and keeps chunks that come
/// before their turn.
pub(super) struct Window<'a> {
    archive: &'a Archive,
    plan: &'a Plan,
    scan: Option<&'a Scan>,
    fetcher: Fetcher,
    share: MemoryShare,
    /// Whether zeros take the place of chunks that can't be fetched.
    salvage: bool,
    /// The next position in the index that may have to be fetched.
    position: usize,
    /// The sequence number of the first slot. Each slot's number is the ticket of its `Want`.
    first: u64,
    slots: VecDeque<Slot>,
    /// The most slots that the memory allows at the moment.
    slots_max: usize,
    never: Receiver<()>,
}

impl<'a> Window<'a> {
    pub(super) fn new(
        archive: &'a Archive,
        plan: &'a Plan,
        scan: Option<&'a Scan>,
        fetcher: Fetcher,
        share: MemoryShare,
        salvage: bool,
    ) -> Window<'a> {
        Window {
            archive,
            plan,
            scan,
            fetcher,
            share,
            salvage,
            position: plan.positions().start,
            first: 0,
            slots: VecDeque::new(),
            slots_max: 0,
            never: never(),
        }
    }

    pub(super) fn pool(&self) -> &Arc<BufferPool> {
        self.fetcher.pool()
    }

    /// Counts of what was fetched so far.
    pub(super) fn tally(&self) -> &Tally {
        self.fetcher.tally()
    }

    /// Asks for as many chunks as there is memory for.
    ///
    /// # Errors
    /// A thread can't be started.
    pub(super) fn fill(&mut self) -> Result<()> {
        self.share.rebalance(self.slots.len());
        let slots = self.share.slots();
        if slots != self.slots_max {
            self.slots_max = slots;
            self.pool().set_limit(self.share.buffers());
            self.fetcher.set_slots(slots);
        }
        while self.slots.len() < self.slots_max
            && let Some(position) = self.next_position()
            && let Some(chunk) = self.archive.index().chunk(position)
        {
            let ticket = self.first + self.slots.len() as u64;
            self.fetcher.want(Want {
                ticket,
                position,
                chunk,
                urgency: Urgency::Ahead,
            });
            self.slots.push_back(Slot::Asked { position });
            self.position = position + 1;
        }
        self.fetcher.hand_out()
    }

    /// The next chunk that must be fetched; `None` where there is none, or where the scan has not
    /// found out yet whether the target holds the chunk.
    fn next_position(&mut self) -> Option<usize> {
        loop {
            let step = self.plan.step(self.position)?;
            let finding = self.scan.map(|scan| scan.finding(self.position));
            match (step, finding) {
                (Step::Fetch, Some(Finding::Unknown)) => return None,
                (Step::Fetch, Some(Finding::Differs) | None) => return Some(self.position),
                _ => self.position += 1,
            }
        }
    }

    /// The next chunk in order, if it has come.
    pub(super) fn take_next(&mut self) -> Option<Settled> {
        match self.slots.pop_front()? {
            Slot::Settled(settled) => {
                self.first += 1;
                Some(settled)
            }
            asked @ Slot::Asked { .. } => {
                self.slots.push_front(asked);
                None
            }
        }
    }

    /// Takes the answers that came meanwhile.
    ///
    /// # Errors
    /// Why a chunk can't be fetched.
    pub(super) fn take_answers(&mut self, retried: &mut dyn FnMut(&Error)) -> Result<()> {
        self.fetcher.take_answers(retried);
        self.take_outcomes()
    }

    /// Waits until a chunk comes or the scan knows more, but at most for `limit`. Returns how long
    /// the fetcher waited.
    ///
    /// # Errors
    /// As [`fill`](Window::fill) and [`take_answers`](Window::take_answers).
    pub(super) fn wait(
        &mut self,
        limit: Duration,
        retried: &mut dyn FnMut(&Error),
    ) -> Result<Duration> {
        self.fill()?;
        let bell = self.scan.map_or(&self.never, Scan::bell);
        let waited = self.fetcher.wait(bell, limit, retried)?;
        self.take_outcomes()?;
        Ok(waited)
    }

    fn take_outcomes(&mut self) -> Result<()> {
        while let Some(outcome) = self.fetcher.next_outcome() {
            match outcome {
                Outcome::Came {
                    ticket,
                    chunk,
                    is_seeded: true,
                } => {
                    self.settle(ticket, Settled::Seeded(chunk));
                }
                Outcome::Came { ticket, chunk, .. } => self.settle(ticket, Settled::Fetched(chunk)),
                Outcome::Failed { ticket, error } => {
                    let damage = self.damage(ticket, &error).ok_or(error)?;
                    self.settle(ticket, Settled::Lost(damage));
                }
                Outcome::Broken(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn settle(&mut self, ticket: u64, settled: Settled) {
        if let Some(slot) = self.slot(ticket) {
            *slot = Slot::Settled(settled);
        }
    }

    fn slot(&mut self, ticket: u64) -> Option<&mut Slot> {
        let at = ticket.checked_sub(self.first)?;
        self.slots.get_mut(usize::try_from(at).ok()?)
    }

    /// The damage to report for a failure, if the restore may go on without the chunk.
    fn damage(&mut self, ticket: u64, error: &Error) -> Option<Damage> {
        let Some(Slot::Asked { position }) = self.slot(ticket) else {
            return None;
        };
        let position = *position;
        let chunk = self.archive.index().chunk(position)?;
        Damage::of(&chunk, position, error).filter(|_| self.salvage)
    }

    /// Ends all threads, and waits for them.
    ///
    /// # Panics
    /// With the panic of a worker thread, if one panicked.
    pub(super) fn join(&mut self) {
        self.fetcher.join();
    }
}
