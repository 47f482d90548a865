//! The shelf: the chunks that readers wait for, those that were read ahead, and those that were read
//! lately. It decides which chunk is asked for next, and which chunk makes room for it.
//!
//! Every chunk that is asked for or is here takes one slot of the memory. Chunks that somebody waits
//! for get their slots in the order in which they were asked for. A chunk that is here makes room for
//! them, unless somebody copies it at this moment. So every wait ends, however little memory there
//! is, and no two reads can wait for each other's memory.

mod room;
mod steps;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::fetch::Urgency;
use crate::format::index::Chunk;

pub(in crate::read) use steps::Step;

/// A reader hears of a chunk that it waits for through such a channel.
pub(super) type Delivery<T> = Receiver<Result<Arc<T>>>;

/// No more chunks that nobody waits for wait for a slot than this many times as many as may be read ahead.
const WAITING_AHEAD_FACTOR: usize = 4;

/// So many slots are left to chunks that were read, as long as one chunk can be read ahead. Clients that
/// read small pieces out of order still need the last two chunks of each of their streams. If look-ahead
/// took the slots of these, each chunk would be fetched several times where there is little memory.
const READ_SLOTS_MIN: usize = 4;

/// Chunks by their digests. `T` is the data of a chunk.
#[derive(Debug)]
pub(super) struct Shelf<T> {
    /// How many chunks may be asked for and here at once; at least 1.
    slots: usize,
    /// How many are.
    occupied: usize,
    entries: HashMap<Digest, Entry<T>>,
    /// The chunks that were asked for, by their tickets.
    asked: BTreeMap<u64, Digest>,
    /// The chunks that wait for a slot, in their order: those that somebody waits for, and others. A
    /// digest whose entry says otherwise is passed over.
    waiting_now: VecDeque<Digest>,
    waiting_ahead: VecDeque<Digest>,
    hurries: Vec<u64>,
    forgets: Vec<u64>,
    /// The chunks that are here and were read, by their last use; and those that nobody has read.
    used: BTreeMap<i64, Digest>,
    unread: BTreeMap<i64, Digest>,
    /// How many of the asked ones were asked for ahead.
    asked_ahead: usize,
    next_ticket: u64,
    next_use: i64,
    /// How many chunks have come.
    arrivals: u64,
    /// Why nothing can be read any more.
    closed: Option<Error>,
}

#[derive(Debug)]
struct Entry<T> {
    position: usize,
    chunk: Chunk,
    state: State<T>,
    /// Whether the chunk, which was asked for ahead, is as urgent as those that somebody waits for.
    is_hurried: bool,
    waiters: Vec<Sender<Result<Arc<T>>>>,
}

#[derive(Debug)]
enum State<T> {
    /// The chunk waits for a slot.
    Waiting(Urgency),
    Asked {
        ticket: u64,
        urgency: Urgency,
    },
    Here {
        data: Arc<T>,
        last_use: i64,
        /// How many chunks had come before.
        arrived: u64,
    },
}

impl<T> Default for Shelf<T> {
    fn default() -> Shelf<T> {
        Shelf {
            slots: 1,
            occupied: 0,
            entries: HashMap::new(),
            asked: BTreeMap::new(),
            waiting_now: VecDeque::new(),
            waiting_ahead: VecDeque::new(),
            hurries: Vec::new(),
            forgets: Vec::new(),
            used: BTreeMap::new(),
            unread: BTreeMap::new(),
            asked_ahead: 0,
            next_ticket: 0,
            next_use: 0,
            arrivals: 0,
            closed: None,
        }
    }
}

impl<T> Shelf<T> {
    /// From now on so many chunks may be asked for and here at once; at least 1. Chunks beyond that
    /// make room as soon as they can.
    pub(super) fn set_slots(&mut self, slots: usize) {
        self.slots = slots.max(1);
        while self.occupied > self.slots && self.evict() {}
    }

    /// How many chunks are asked for. All others can make room.
    pub(super) fn asked(&self) -> usize {
        self.asked.len()
    }

    /// How many chunks may be read ahead, all together: the others keep chunks that were read.
    pub(super) fn ahead_max(&self) -> usize {
        let most = self.slots.saturating_sub(READ_SLOTS_MIN).max(1);
        (self.slots * 3 / 4).min(most).min(self.slots - 1)
    }

    /// The data of a chunk, if it is here.
    pub(super) fn take(&mut self, digest: &Digest) -> Option<Arc<T>> {
        let entry = self.entries.get_mut(digest)?;
        let State::Here { data, last_use, .. } = &mut entry.state else {
            return None;
        };
        let data = Arc::clone(data);
        self.used.remove(last_use);
        self.unread.remove(last_use);
        self.next_use += 1;
        *last_use = self.next_use;
        self.used.insert(self.next_use, *digest);
        Some(data)
    }

    /// The data of a chunk, if it is here. It does not count as read.
    pub(super) fn peek(&self, digest: &Digest) -> Option<Arc<T>> {
        match &self.entries.get(digest)?.state {
            State::Here { data, .. } => Some(Arc::clone(data)),
            _ => None,
        }
    }

    /// Asks for a chunk, unless it is here or asked for.
    pub(super) fn want(&mut self, position: usize, chunk: Chunk, urgency: Urgency) {
        if self.closed.is_some() {
            return;
        }
        let Some(entry) = self.entries.get_mut(&chunk.digest) else {
            if urgency == Urgency::Now || self.may_wait_ahead() {
                self.insert(position, chunk, urgency);
            }
            return;
        };
        match &mut entry.state {
            State::Asked { ticket, .. } if urgency == Urgency::Ahead => {
                let ticket = *ticket;
                self.forgets.retain(|forget| *forget != ticket);
            }
            // Nobody needed the chunk any more, and now somebody does.
            State::Here { last_use, .. } if urgency == Urgency::Ahead && *last_use < 0 => {
                self.used.remove(last_use);
                self.next_use += 1;
                *last_use = self.next_use;
                self.unread.insert(*last_use, chunk.digest);
            }
            _ if urgency == Urgency::Ahead => {}
            State::Waiting(urgency @ Urgency::Ahead) => {
                *urgency = Urgency::Now;
                self.waiting_now.push_back(chunk.digest);
            }
            State::Asked {
                ticket,
                urgency: urgency @ Urgency::Ahead,
            } => {
                *urgency = Urgency::Now;
                self.asked_ahead -= 1;
                self.hurries.push(*ticket);
            }
            _ => {}
        }
    }

    /// Asks for a chunk that somebody will wait for next. It is fetched as soon as those that somebody
    /// waits for, but has only a slot of those for chunks that are read ahead, and may be withdrawn.
    pub(super) fn hurry(&mut self, position: usize, chunk: Chunk) {
        self.want(position, chunk, Urgency::Ahead);
        let Some(entry) = self.entries.get_mut(&chunk.digest) else {
            return;
        };
        if let State::Asked {
            ticket,
            urgency: Urgency::Ahead,
        } = entry.state
            && !entry.is_hurried
        {
            self.hurries.push(ticket);
        }
        entry.is_hurried = true;
    }

    /// Whether one more chunk may wait for a slot that nobody waits for: hints are free for those who
    /// give them.
    fn may_wait_ahead(&mut self) -> bool {
        let most = WAITING_AHEAD_FACTOR * self.ahead_max();
        if self.waiting_ahead.len() >= most {
            let entries = &self.entries;
            self.waiting_ahead.retain(|digest| {
                let state = entries.get(digest).map(|entry| &entry.state);
                matches!(state, Some(State::Waiting(Urgency::Ahead)))
            });
        }
        self.waiting_ahead.len() < most
    }

    fn insert(&mut self, position: usize, chunk: Chunk, urgency: Urgency) {
        self.entries.insert(
            chunk.digest,
            Entry {
                position,
                chunk,
                state: State::Waiting(urgency),
                is_hurried: false,
                waiters: Vec::new(),
            },
        );
        match urgency {
            Urgency::Now => self.waiting_now.push_back(chunk.digest),
            Urgency::Ahead => self.waiting_ahead.push_back(chunk.digest),
        }
    }

    /// Waits for a chunk that is not here.
    ///
    /// # Errors
    /// Why nothing can be read any more.
    pub(super) fn wait_for(
        &mut self,
        position: usize,
        chunk: Chunk,
        urgency: Urgency,
    ) -> Result<Delivery<T>> {
        if let Some(error) = &self.closed {
            return Err(error.clone());
        }
        if self.entries.contains_key(&chunk.digest) {
            self.want(position, chunk, urgency);
        } else {
            self.insert(position, chunk, urgency);
        }
        let (sender, receiver) = bounded(1);
        if let Some(entry) = self.entries.get_mut(&chunk.digest) {
            entry.waiters.push(sender);
            if matches!(entry.state, State::Waiting(Urgency::Ahead)) {
                // A chunk that nobody waits for may find no slot, and must not keep this one from
                // getting one.
                self.waiting_ahead.push_front(chunk.digest);
            }
        }
        Ok(receiver)
    }

    /// A chunk that was asked for ahead is not needed soon: the want is taken back, unless somebody
    /// waits for the chunk or a worker has begun with it.
    pub(super) fn withdraw(&mut self, digest: &Digest) {
        let Some(entry) = self.entries.get(digest) else {
            return;
        };
        match entry.state {
            _ if !entry.waiters.is_empty() => {}
            State::Waiting(Urgency::Ahead) => _ = self.entries.remove(digest),
            State::Asked {
                ticket,
                urgency: Urgency::Ahead,
            } => self.forgets.push(ticket),
            State::Here { .. } => self.let_go(digest),
            _ => {}
        }
    }

    /// Nobody needs a chunk that was read ahead any more: it is the first to make room, and others may
    /// be read ahead in its place.
    pub(super) fn let_go(&mut self, digest: &Digest) {
        let Some(entry) = self.entries.get_mut(digest) else {
            return;
        };
        if let State::Here { last_use, .. } = &mut entry.state
            && self.unread.remove(last_use).is_some()
        {
            self.next_use += 1;
            *last_use = -self.next_use;
            self.used.insert(*last_use, *digest);
        }
    }

    /// Takes an asked chunk out of the books.
    fn settle(&mut self, ticket: u64) -> Option<Digest> {
        self.asked_ahead -= usize::from(self.is_ahead(ticket));
        self.asked.remove(&ticket)
    }

    /// A chunk has come. Returns its position and its data.
    pub(super) fn came(&mut self, ticket: u64, data: T) -> Option<(usize, Arc<T>)> {
        let is_ahead = self.is_ahead(ticket);
        let digest = self.settle(ticket)?;
        let entry = self.entries.get_mut(&digest)?;
        let data = Arc::new(data);
        self.next_use += 1;
        let (of, last_use) = match (entry.waiters.is_empty(), is_ahead) {
            (true, _) => (&mut self.unread, self.next_use),
            (false, false) => (&mut self.used, self.next_use),
            // Only the fill waits for what was asked for ahead, and needs it no more.
            (false, true) => (&mut self.used, -self.next_use),
        };
        of.insert(last_use, digest);
        for waiter in entry.waiters.drain(..) {
            // Whoever waits gets the chunk itself, so that it can't make room before it was copied.
            let _ = waiter.send(Ok(Arc::clone(&data)));
        }
        entry.state = State::Here {
            data: Arc::clone(&data),
            last_use,
            arrived: self.arrivals,
        };
        self.arrivals += 1;
        Some((entry.position, data))
    }

    /// A chunk can't be had: those who wait for it hear why, and nobody else does.
    pub(super) fn failed(&mut self, ticket: u64, error: &Error) {
        let entry = self
            .settle(ticket)
            .and_then(|digest| self.entries.remove(&digest));
        if let Some(entry) = entry {
            self.occupied -= 1;
            for waiter in entry.waiters {
                let _ = waiter.send(Err(error.clone()));
            }
        }
    }

    /// A want was taken back, as [`Step::Forget`] asked.
    pub(super) fn forgotten(&mut self, ticket: u64) {
        let digest = self.settle(ticket);
        if digest.is_some_and(|digest| self.entries.remove(&digest).is_some()) {
            self.occupied -= 1;
        }
    }

    /// Nothing can be read any more: all who wait hear why.
    pub(super) fn close(&mut self, error: &Error) {
        if self.closed.is_some() {
            return;
        }
        for entry in self.entries.drain().map(|(_, entry)| entry) {
            for waiter in entry.waiters {
                let _ = waiter.send(Err(error.clone()));
            }
        }
        *self = Shelf {
            closed: Some(error.clone()),
            ..Shelf::default()
        };
    }
}

#[cfg(test)]
mod tests;
