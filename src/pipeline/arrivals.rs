//! The waiting room: chunks that came before their turn. Knows nothing of who waits for them.

use crate::format::blob::Verified;

/// Verified chunks by their turn, of which at most a window's worth can be outstanding.
#[derive(Debug)]
pub(super) struct Arrivals {
    ring: Vec<Option<Verified>>,
    next: usize,
}

impl Arrivals {
    /// Room for `window` consecutive turns from 0.
    pub(super) fn new(window: usize) -> Arrivals {
        Arrivals {
            ring: (0..window).map(|_| None).collect(),
            next: 0,
        }
    }

    /// The turn that [`take_next`](Arrivals::take_next) will give.
    pub(super) fn next_turn(&self) -> usize {
        self.next
    }

    /// Keeps a chunk for its turn, which must be less than a window's worth ahead.
    pub(super) fn insert(&mut self, turn: usize, chunk: Verified) {
        debug_assert!((self.next..self.next + self.ring.len()).contains(&turn));
        let place = turn % self.ring.len();
        self.ring[place] = Some(chunk);
    }

    /// The chunk whose turn it is, if it has come.
    pub(super) fn take_next(&mut self) -> Option<Verified> {
        let place = self.next % self.ring.len();
        let chunk = self.ring[place].take()?;
        self.next += 1;
        Some(chunk)
    }
}
