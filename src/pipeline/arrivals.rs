//! The waiting room: chunks that came before their turn. Knows nothing of who waits for them.

use crate::format::blob::Verified;
use crate::report::Damage;

/// What became of a chunk that was asked for.
#[derive(Debug)]
pub(super) enum Arrived {
    Fetched(Verified),
    /// A seed had it.
    Seeded(Verified),
    /// It can't be had, and the restore goes on without.
    Lost(Damage),
}

/// What came, by its turn, of which at most a window's worth can be outstanding.
#[derive(Debug)]
pub(super) struct Arrivals {
    ring: Vec<Option<Arrived>>,
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

    /// Whether the chunk of a turn has not come yet.
    pub(super) fn awaits(&self, turn: usize) -> bool {
        turn >= self.next && self.ring[turn % self.ring.len()].is_none()
    }

    /// Keeps a chunk for its turn, which must be less than a window's worth ahead.
    pub(super) fn insert(&mut self, turn: usize, arrived: Arrived) {
        debug_assert!((self.next..self.next + self.ring.len()).contains(&turn));
        let place = turn % self.ring.len();
        self.ring[place] = Some(arrived);
    }

    /// The chunk whose turn it is, if it has come.
    pub(super) fn take_next(&mut self) -> Option<Arrived> {
        let place = self.next % self.ring.len();
        let arrived = self.ring[place].take()?;
        self.next += 1;
        Some(arrived)
    }
}
