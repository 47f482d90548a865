//! What the fetcher is asked for, in which order.

use super::{Entry, Shelf, State};
use crate::digest::Digest;
use crate::fetch::{Urgency, Want};

/// What the shelf asks of the fetcher.
#[derive(Debug)]
pub(in crate::read) enum Step {
    /// Fetch a chunk.
    Want(Want),
    /// Somebody waits for a chunk that was asked for ahead, or will wait for it next.
    Hurry(u64),
    /// Nobody needs this chunk soon: take the want back if no worker has begun with it.
    Forget(u64),
}

impl<T> Shelf<T> {
    /// What the fetcher is to do next; `None` where there is nothing to do, or no memory for it.
    pub(in crate::read) fn next_step(&mut self) -> Option<Step> {
        if let Some(ticket) = self.hurries.pop() {
            return Some(Step::Hurry(ticket));
        }
        while let Some(ticket) = self.forgets.pop() {
            if self.may_be_forgotten(ticket) {
                return Some(Step::Forget(ticket));
            }
        }
        self.next_want(Urgency::Now)
            .or_else(|| self.next_want(Urgency::Ahead))
            .map(Step::Want)
    }

    /// Whether somebody waits for a chunk for which there is no slot.
    pub(in crate::read) fn is_starved(&self) -> bool {
        !self.waiting_now.is_empty()
    }

    /// Whether a chunk was asked for ahead, and nobody waits for it.
    fn may_be_forgotten(&self, ticket: u64) -> bool {
        let entry = self.asked.get(&ticket).and_then(|of| self.entries.get(of));
        entry.is_some_and(|entry| entry.waiters.is_empty()) && self.is_ahead(ticket)
    }

    pub(super) fn is_ahead(&self, ticket: u64) -> bool {
        let entry = self.asked.get(&ticket).and_then(|of| self.entries.get(of));
        let state = entry.map(|entry| &entry.state);
        matches!(
            state,
            Some(State::Asked {
                urgency: Urgency::Ahead,
                ..
            })
        )
    }

    fn next_want(&mut self, urgency: Urgency) -> Option<Want> {
        loop {
            let waiting = match urgency {
                Urgency::Now => &mut self.waiting_now,
                // Whoever waits comes first.
                Urgency::Ahead if !self.waiting_now.is_empty() => return None,
                Urgency::Ahead => &mut self.waiting_ahead,
            };
            let digest = *waiting.front()?;
            let entry = self.entries.get(&digest);
            let is_waiting = |entry: &Entry<T>| match entry.state {
                State::Waiting(of) => of == urgency,
                _ => false,
            };
            if !entry.is_some_and(is_waiting) {
                waiting.pop_front();
                continue;
            }
            let is_waited_for = entry.is_some_and(|entry| !entry.waiters.is_empty());
            if !self.has_slot(urgency, is_waited_for) {
                return None;
            }
            match urgency {
                Urgency::Now => self.waiting_now.pop_front(),
                Urgency::Ahead => self.waiting_ahead.pop_front(),
            };
            return self.ask(&digest, urgency);
        }
    }

    fn ask(&mut self, digest: &Digest, urgency: Urgency) -> Option<Want> {
        let entry = self.entries.get_mut(digest)?;
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        entry.state = State::Asked { ticket, urgency };
        self.asked.insert(ticket, *digest);
        self.asked_ahead += usize::from(urgency == Urgency::Ahead);
        self.occupied += 1;
        Some(Want {
            ticket,
            position: entry.position,
            chunk: entry.chunk,
            urgency: match entry.is_hurried {
                true => Urgency::Now,
                false => urgency,
            },
        })
    }
}
