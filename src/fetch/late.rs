//! Asks a second time for a chunk that is late, while somebody waits for it.

use std::time::{Duration, Instant};

use crate::fetch::dispatcher::{Dispatcher, LaneState};
use crate::fetch::job::Urgency;
use crate::fetch::lanes::LaneSettings;

impl Dispatcher {
    /// Asks a second time for each late chunk that somebody waits for, and says in how long the next of them will be late.
    pub(super) fn hedge(&mut self, now: Instant) -> Option<Duration> {
        let waited_for: Vec<u64> = self.waited_for().collect();
        let mut next = None;
        for ticket in waited_for {
            let Some((limit, age)) = self.lateness(ticket, now) else {
                continue;
            };
            if age >= limit {
                self.hedge_one(ticket, now);
            } else {
                let left = limit - age;
                next = Some(next.map_or(left, |next: Duration| next.min(left)));
            }
        }
        next
    }

    /// The oldest want, and all that are urgent.
    fn waited_for(&self) -> impl Iterator<Item = u64> {
        let oldest = self.tasks.keys().next().copied();
        let oldest = oldest.filter(|ticket| !self.urgent.contains(ticket));
        oldest.into_iter().chain(self.urgent.iter().copied())
    }

    /// The age from which on a chunk is late, and its age.
    fn lateness(&self, ticket: u64, now: Instant) -> Option<(Duration, Duration)> {
        let task = self.tasks.get(&ticket).filter(|task| !task.is_hedged)?;
        let sent = task.sent.as_ref()?;
        // A chunk that a sick place was asked for will fail sooner or later, and be asked for again all the same.
        let is_in_doubt = !self.breakers.is_closed(sent.place);
        let limit = (self.hedging).late_after(&self.latency, is_in_doubt, self.asked)?;
        Some((limit, sent.stage.age(now)?))
    }

    /// Asks a second time, unless no lane for that is free.
    fn hedge_one(&mut self, ticket: u64, now: Instant) {
        let Some(task) = self.tasks.get(&ticket) else {
            return;
        };
        let Some(sent) = &task.sent else {
            return;
        };
        let place = self.breakers.another(sent.place, task.lacking);
        // A second request to a place that is left aside would wait as the first does.
        if !self.breakers.is_closed(place) {
            return;
        }
        let is_free = |lane: &LaneState| {
            let LaneSettings {
                place: of,
                workers,
                is_hedging,
                ..
            } = lane.settings;
            is_hedging && of == place && lane.queued() < workers
        };
        let Some(lane) = self.lanes.iter().position(is_free) else {
            return;
        };
        if let Some(job) = self.job(ticket, lane, place, Urgency::Now, true, now) {
            self.hedging.record_hedge(job.id);
            self.tally.hedges += 1;
            self.ready.push_back(job);
        }
    }
}
