//! Which chunk may be asked for, and which chunk makes room for it.

use std::sync::Arc;

use super::{Shelf, State};
use crate::digest::Digest;
use crate::fetch::Urgency;

/// A chunk that was read ahead will hardly be read any more once so many times as many chunks have come
/// as may be read ahead.
const STALE_AFTER: u64 = 4;

/// Which chunks are here.
#[derive(Clone, Copy)]
enum Kept {
    /// Those that were read.
    Used,
    /// Those that were read ahead, and that nobody has read.
    Unread,
}

impl<T> Shelf<T> {
    /// Whether one more chunk may be asked for. Another chunk may have to make room for it.
    pub(super) fn has_slot(&mut self, urgency: Urgency, is_waited_for: bool) -> bool {
        match urgency {
            Urgency::Now => self.occupied < self.slots || self.evict(),
            // With room for one chunk alone, all have to wait for one another.
            Urgency::Ahead if self.slots == 1 && is_waited_for => {
                self.occupied == 0 || self.evict()
            }
            // Streams must not push one another's chunks out before these are read.
            Urgency::Ahead if self.asked_ahead + self.unread.len() >= self.ahead_max() => {
                (is_waited_for || self.is_unread_stale()) && self.evict_from(Kept::Unread)
            }
            // One slot is left to those who wait.
            Urgency::Ahead => self.occupied + 1 < self.slots || self.evict_from(Kept::Used),
        }
    }

    /// Whether the chunk that was read ahead longest ago will hardly be read any more.
    fn is_unread_stale(&self) -> bool {
        let oldest = self.unread.values().next();
        let oldest = oldest.and_then(|digest| self.entries.get(digest));
        let arrived = oldest.map(|entry| match entry.state {
            State::Here { arrived, .. } => arrived,
            _ => self.arrivals,
        });
        let later = arrived.map_or(0, |arrived| self.arrivals - arrived);
        later > STALE_AFTER * self.ahead_max() as u64
    }

    /// Drops the chunk that was used longest ago; where there is none, one that was read ahead and that
    /// nobody has read. Says whether it did.
    pub(super) fn evict(&mut self) -> bool {
        self.evict_from(Kept::Used) || self.evict_from(Kept::Unread)
    }

    /// Drops the oldest of these chunks that nobody copies at this moment. Says whether it did.
    fn evict_from(&mut self, kept: Kept) -> bool {
        let entries = &self.entries;
        let is_idle = |digest: &Digest| match entries.get(digest).map(|entry| &entry.state) {
            Some(State::Here { data, .. }) => Arc::strong_count(data) == 1,
            _ => false,
        };
        let chunks = match kept {
            Kept::Used => &mut self.used,
            Kept::Unread => &mut self.unread,
        };
        let found = chunks.iter().find(|(_, digest)| is_idle(digest));
        let Some((last_use, digest)) = found.map(|(last_use, digest)| (*last_use, *digest)) else {
            return false;
        };
        chunks.remove(&last_use);
        self.entries.remove(&digest);
        self.occupied -= 1;
        true
    }
}
