//! Hedged requests: when a chunk that somebody waits for is late, and whether it may be asked for a second time.

use std::collections::HashSet;
use std::time::Duration;

use crate::fetch::latency::LatencyWindow;

/// One chunk in so many may be asked for twice; and of the bytes that came, one in so many may be for nothing before no more
/// chunk is.
const HEDGED_ONE_IN: usize = 20;

/// So many of them from the start, when few chunks were asked for. Of a restore of few chunks, one may.
const HEDGED_AT_FIRST: usize = 2;

/// A chunk is late that takes a quarter longer than nine in ten others, and so long at the least.
const LATE_FACTOR: (u32, u32) = (5, 4);
const LATE_MIN: Duration = Duration::from_millis(50);

/// A place that was left aside is given so long with the chunk that it is tried with, and with those that it was asked for
/// before, where no latency is known.
const IN_DOUBT_MAX: Duration = Duration::from_secs(1);

/// What bounds hedged requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HedgeRules {
    /// Whether a chunk that is merely late is asked for twice. One that a sick place was asked for may be in any case.
    pub(crate) is_on: bool,
    /// How many chunks will be wanted in all.
    pub(crate) chunks: usize,
    /// How many late answers may be outstanding whose chunks came another way. Each holds a buffer. With 0 no chunk is ever
    /// asked for twice.
    pub(crate) abandoned_max: usize,
}

/// The bookkeeping of hedged requests.
#[derive(Debug)]
pub(super) struct Hedging {
    rules: HedgeRules,
    /// How many chunks were asked for twice.
    hedged: usize,
    /// The bytes that came, and how many of them came too late.
    fetched: usize,
    surplus: usize,
    /// The hedged requests that are unanswered. The answer to one of them, or to the first request, will be late.
    outstanding: HashSet<u64>,
    /// The jobs whose chunks came by their hedges while they are still unanswered.
    abandoned: HashSet<u64>,
}

impl Hedging {
    pub(super) fn new(rules: HedgeRules) -> Hedging {
        Hedging {
            rules,
            hedged: 0,
            fetched: 0,
            surplus: 0,
            outstanding: HashSet::new(),
            abandoned: HashSet::new(),
        }
    }

    /// The age at which a chunk is to be asked for a second time, when so many were asked for in all; `None` where no chunk
    /// may be. A chunk is in doubt whose place has been left aside since it was asked.
    pub(super) fn late_after(
        &self,
        latency: &LatencyWindow,
        is_in_doubt: bool,
        asked: usize,
    ) -> Option<Duration> {
        if self.abandoned.len() + self.outstanding.len() >= self.rules.abandoned_max {
            return None;
        }
        let most = (self.rules.chunks / HEDGED_ONE_IN).max(1);
        let is_allowed = self.rules.is_on
            && self.hedged < most.min(HEDGED_AT_FIRST + asked / HEDGED_ONE_IN)
            && self.surplus <= self.fetched / HEDGED_ONE_IN;
        if !is_in_doubt && !is_allowed {
            return None;
        }
        match latency.usual().filter(|_| latency.is_known()) {
            Some(usual) => Some((usual * LATE_FACTOR.0 / LATE_FACTOR.1).max(LATE_MIN)),
            None => is_in_doubt.then_some(IN_DOUBT_MAX),
        }
    }

    /// A chunk is asked for a second time, with this job.
    pub(super) fn record_hedge(&mut self, id: u64) {
        self.hedged += 1;
        self.outstanding.insert(id);
    }

    /// So many bytes came, of which a chunk was made or not.
    pub(super) fn record_fetched(&mut self, bytes: usize, was_wanted: bool) {
        self.fetched += bytes;
        if !was_wanted {
            self.surplus += bytes;
        }
    }

    /// The chunk of a job came by its hedge.
    pub(super) fn abandon(&mut self, id: u64) {
        self.abandoned.insert(id);
    }

    /// A job came back.
    pub(super) fn record_return(&mut self, id: u64) {
        self.outstanding.remove(&id);
        self.abandoned.remove(&id);
    }

    /// Whether no late answer is outstanding.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.abandoned.is_empty() && self.outstanding.is_empty()
    }
}
