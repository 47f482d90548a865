//! What must hold of places that are left aside: how often each is asked.

use std::time::{Duration, Instant};

use crate::error::Scope;
use crate::fetch::dispatcher::Dispatcher;
use crate::fetch::failure::Failure;
use crate::fetch::job::{Arrival, Job};

/// Where no other place is well.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// Where another place is well, at the least.
const OPEN_MIN: Duration = Duration::from_secs(10);

/// A place may be left aside after so many failures in a row.
const FAILURES_MIN: u32 = 3;

/// What is known of each place.
pub(super) struct Probes {
    /// `None` for one that is not left aside.
    aside: Vec<Option<Aside>>,
    /// Failures of the place in a row.
    failures: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Aside {
    /// When it failed for the last time while it was left aside, or before.
    failed: Instant,
    /// The chunk that was asked for last, and when. `None` where it turned out not to be asked for.
    probe: Option<(u64, Instant)>,
}

impl Probes {
    pub(super) fn new(places: usize) -> Probes {
        Probes {
            aside: vec![None; places],
            failures: vec![0; places],
        }
    }

    /// A place is asked for a chunk.
    pub(super) fn asked(&mut self, place: usize, job: &Job, dispatcher: &Dispatcher, now: Instant) {
        let count = self.aside.len();
        let Some(aside) = &mut self.aside[place] else {
            return;
        };
        let next = aside.probe.map(|(_, at)| at + PROBE_EVERY);
        assert!(
            next.is_none_or(|at| at <= now),
            "place {place}, {aside:?}: {job:?}"
        );
        let lacking = dispatcher.tasks[&job.ticket].lacking;
        let is_well = |other: &usize| {
            *other != place && dispatcher.breakers.is_closed(*other) && !lacking.contains(*other)
        };
        if (0..count).any(|other| is_well(&other)) {
            let is_rested = aside.failed + OPEN_MIN <= now;
            assert!(
                is_rested,
                "place {place}, {aside:?}, others are well: {job:?}"
            );
        }
        aside.probe = Some((job.id, now));
    }

    /// A job came back that was not asked for.
    pub(super) fn returned_unasked(&mut self, place: usize, job: &Job) {
        if let Some(aside) = &mut self.aside[place] {
            aside.probe.take_if(|(id, _)| *id == job.id);
        }
    }

    pub(super) fn returned(&mut self, place: usize, arrival: &Arrival, now: Instant) {
        match arrival.outcome.as_ref().map_err(Failure::scope) {
            Err(Some(Scope::Place)) => self.failures[place] += 1,
            Err(Some(Scope::Chunk)) => self.failures[place] = 0,
            _ if arrival.fetched.is_some() => self.failures[place] = 0,
            _ => {}
        }
        let Some(aside) = &mut self.aside[place] else {
            return;
        };
        let is_probe = aside.probe.is_some_and(|(id, _)| id == arrival.job.id);
        match &arrival.outcome {
            Err(failure) => match failure.scope() {
                Some(Scope::Place) if is_probe => aside.failed = now,
                Some(Scope::Ours) | None => self.returned_unasked(place, &arrival.job),
                _ => {}
            },
            Ok(_) if arrival.fetched.is_none() => self.returned_unasked(place, &arrival.job),
            Ok(_) => {}
        }
    }

    /// Notes which places are left aside after an answer.
    pub(super) fn compare(&mut self, dispatcher: &Dispatcher, now: Instant) {
        for (place, aside) in self.aside.iter_mut().enumerate() {
            match (dispatcher.breakers.is_closed(place), &aside) {
                (true, _) => *aside = None,
                (false, None) => {
                    let failures = self.failures[place];
                    assert!(
                        failures >= FAILURES_MIN,
                        "place {place} failed {failures} times"
                    );
                    *aside = Some(Aside {
                        failed: now,
                        probe: None,
                    });
                }
                (false, Some(_)) => {}
            }
        }
    }
}
