//! What must hold of places that are left aside: how often each is asked.

use std::time::{Duration, Instant};

use crate::error::Scope;
use crate::fetch::dispatcher::Dispatcher;
use crate::fetch::job::{Arrival, Job};

/// Where no other place is well.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// Where another place is well, at the least.
const OPEN_MIN: Duration = Duration::from_secs(10);

/// What is known of the places that are left aside; `None` for one that is not.
pub(super) struct Probes(Vec<Option<Aside>>);

#[derive(Clone, Copy, Debug)]
struct Aside {
    /// When it failed for the last time while it was left aside, or before.
    failed: Instant,
    /// The chunk that was asked for last, and when. `None` where it turned out not to be asked for.
    probe: Option<(u64, Instant)>,
}

impl Probes {
    pub(super) fn new(places: usize) -> Probes {
        Probes(vec![None; places])
    }

    /// A place is asked for a chunk.
    pub(super) fn asked(&mut self, place: usize, job: &Job, dispatcher: &Dispatcher, now: Instant) {
        let count = self.0.len();
        let Some(aside) = &mut self.0[place] else {
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
        if let Some(aside) = &mut self.0[place] {
            aside.probe.take_if(|(id, _)| *id == job.id);
        }
    }

    pub(super) fn returned(&mut self, place: usize, arrival: &Arrival, now: Instant) {
        let Some(aside) = &mut self.0[place] else {
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
        for (place, aside) in self.0.iter_mut().enumerate() {
            match (dispatcher.breakers.is_closed(place), &aside) {
                (true, _) => *aside = None,
                (false, None) => {
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
