//! Which place a chunk is asked for at. Knows places by their number alone; the first is preferred.

use std::time::{Duration, Instant};

/// After so many failures in a row a place is left aside.
const PATIENCE: u32 = 3;

/// For so long at first, and for twice as long after each further failure.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(80);

#[derive(Debug)]
pub(super) struct Places(Vec<Health>);

#[derive(Clone, Copy, Debug)]
enum Health {
    Trusted {
        failures: u32,
    },
    /// Left alone until then.
    Aside {
        until: Instant,
        pause: Duration,
    },
    /// One chunk is asked for there, to see.
    Probed {
        pause: Duration,
    },
}

/// A set of places, of which a datastore has at most 64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Set(u64);

impl Set {
    pub(super) fn insert(&mut self, place: usize) {
        self.0 |= 1 << place;
    }

    pub(super) fn contains(self, place: usize) -> bool {
        self.0 & (1 << place) != 0
    }
}

impl Places {
    pub(super) fn new(count: usize) -> Places {
        Places(vec![Health::Trusted { failures: 0 }; count])
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// Where to ask for a chunk, rather not where it just failed; `None` where all places lack it.
    pub(super) fn choose(&self, lacking: Set, failed: Option<usize>) -> Option<usize> {
        let now = Instant::now();
        let candidates = (0..self.0.len()).filter(|place| !lacking.contains(*place));
        let rank = |place: usize| match self.0[place] {
            Health::Trusted { .. } if Some(place) == failed => 1,
            Health::Trusted { .. } => 0,
            _ if Some(place) == failed => 3,
            // Before the others, so that the preferred place is not forgotten.
            Health::Aside { until, .. } if until <= now => 0,
            Health::Aside { .. } | Health::Probed { .. } => 2,
        };
        candidates.min_by_key(|place| (rank(*place), *place))
    }

    /// A chunk is asked for at a place. At one that was left aside it will show whether that is well again.
    pub(super) fn asked(&mut self, place: usize) {
        if let Health::Aside { pause, .. } = self.0[place] {
            self.0[place] = Health::Probed { pause };
        }
    }

    /// Another place that may have a chunk; the same, over another connection, where there is none.
    pub(super) fn another(&self, place: usize, lacking: Set) -> usize {
        let may_have = |other: &usize| *other != place && !lacking.contains(*other);
        let mut others = (0..self.0.len()).filter(may_have);
        others
            .find(|other| self.is_trusted(*other))
            .unwrap_or(place)
    }

    /// Whether a place was given up for a while, and there is another.
    pub(super) fn is_aside(&self, place: usize) -> bool {
        matches!(self.0[place], Health::Aside { .. })
    }

    /// Whether it gives what it is asked for, as far as is known.
    pub(super) fn is_trusted(&self, place: usize) -> bool {
        matches!(self.0[place], Health::Trusted { .. })
    }

    /// A place answered, if only that it lacks a chunk.
    pub(super) fn answered(&mut self, place: usize) {
        self.0[place] = Health::Trusted { failures: 0 };
    }

    /// A chunk came without the place, before that was asked: so nothing is known of it yet.
    pub(super) fn spared(&mut self, place: usize) {
        if let Health::Probed { pause } = self.0[place] {
            let until = Instant::now();
            self.0[place] = Health::Aside { until, pause };
        }
    }

    pub(super) fn failed(&mut self, place: usize) {
        if self.0.len() == 1 {
            return;
        }
        let aside = |pause| Health::Aside {
            until: Instant::now() + pause,
            pause,
        };
        self.0[place] = match self.0[place] {
            Health::Trusted { failures } if failures + 1 < PATIENCE => Health::Trusted {
                failures: failures + 1,
            },
            Health::Trusted { .. } => aside(FIRST_PAUSE),
            Health::Probed { pause } => aside(LONGEST_PAUSE.min(2 * pause)),
            // What was asked for before.
            aside @ Health::Aside { .. } => aside,
        };
    }
}
