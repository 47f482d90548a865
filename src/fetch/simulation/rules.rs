//! What must hold of each request, and of each failure.

use std::time::{Duration, Instant};

use crate::error::{Error, Scope};
use crate::fetch::dispatcher::Dispatcher;
use crate::fetch::job::{Job, Urgency};
use crate::fetch::simulation::checks::{Checks, Known};

/// No chunk is late sooner.
const LATE_MIN: Duration = Duration::from_millis(50);

impl Checks {
    /// How many times a chunk that fails so is looked for at each place.
    fn looks(&self, is_unreadable: bool) -> u32 {
        let least = if self.rules.salvage { 2 } else { 1 };
        let most = if is_unreadable { 3 } else { 2 };
        self.rules.attempts.clamp(least, most)
    }

    /// A first request, or one after a failure, is made where and when it may be.
    pub(super) fn check_request(&self, job: &Job, place: usize, now: Instant) {
        let known = &self.wants[&job.ticket];
        if let Some((_, stage)) = &known.sent {
            assert!(stage.is_unwanted(), "it is asked for already: {job:?}");
        }
        assert!(
            known.not_before.is_none_or(|at| at <= now),
            "too soon: {job:?}"
        );
        let looks = known.looks(place);
        let most = self.looks(known.unreadable.iter().any(|count| *count > 0));
        assert!(looks < most, "{looks} looks at place {place}: {job:?}");
        for other in (0..self.places.len()).filter(|other| !known.refused.contains(other)) {
            assert!(
                looks <= known.looks(other),
                "place {other} is next: {job:?}"
            );
        }
    }

    /// A hedged request is for a late chunk that somebody waits for, at a place that is well, within its quotas.
    pub(super) fn check_hedge(&self, job: &Job, dispatcher: &Dispatcher, now: Instant) {
        let known = &self.wants[&job.ticket];
        let rules = self.rules.hedge;
        assert!(!known.is_hedged, "it is hedged twice: {job:?}");
        let place = self.lanes[job.lane].place;
        assert!(
            dispatcher.breakers.is_closed(place),
            "place {place} is left aside: {job:?}"
        );
        let is_oldest = self.open_tickets().next() == Some(job.ticket);
        assert!(
            is_oldest || known.want.urgency == Urgency::Now,
            "nobody waits: {job:?}"
        );
        let late = self.may_be_late();
        assert!(late < rules.abandoned_max, "{late} may be late: {job:?}");
        let (_, stage) = known.sent.as_ref().expect("it was asked for");
        let age = stage.age(now).expect("it was requested");
        assert!(age >= LATE_MIN, "after {age:?}: {job:?}");
        let first = dispatcher.tasks[&job.ticket]
            .sent
            .as_ref()
            .expect("it was asked for");
        if dispatcher.breakers.is_closed(first.place) {
            let most = (rules.chunks / 20).max(1).min(2 + self.asked / 20);
            assert!(
                rules.is_on && self.hedges < most,
                "{} hedges: {job:?}",
                self.hedges
            );
            assert!(
                self.surplus <= self.fetched / 20,
                "too much in vain: {job:?}"
            );
        }
    }

    /// A want fails only where nothing else could be done.
    pub(super) fn check_failure(&self, known: &Known, error: &Error, now: Instant) {
        let want = known.want;
        let is_excused = error.scope() == Some(Scope::Ours) || self.patience_was_shared;
        assert!(
            is_excused || !self.is_to_be_had(known),
            "{want:?} is to be had: {error:?}"
        );
        let places = || 0..self.places.len();
        let counts = || places().map(|place| known.looks(place));
        let least = self.looks(false);
        match error.scope() {
            Some(Scope::Chunk) => {
                assert!(
                    known.refused.is_empty(),
                    "a place may have {want:?}: {error:?}"
                );
                let most = self.looks(known.unreadable.iter().any(|count| *count > 0));
                let is_enough = |count: u32| (least..=most).contains(&count);
                assert!(counts().all(is_enough), "{want:?}: {error:?}");
            }
            Some(Scope::Place) if error.to_string().starts_with("gave up waiting") => {
                let silence = now - self.progress;
                assert!(silence >= self.rules.patience, "{silence:?}: {error:?}");
            }
            // Its connections were ended one after the other, after ever longer times.
            Some(Scope::Place) if known.refused.is_empty() => {
                let since = known.asked_at.expect("it was asked for");
                assert!(now - since > self.rules.patience * 3 / 2, "{error:?}");
            }
            Some(Scope::Place) => {
                let refused = known.refused.len();
                assert!(refused > 0, "{want:?}: {error:?}");
                let is_done = |place| known.refused.contains(&place) || known.looks(place) > 0;
                assert!(places().all(is_done), "{want:?}: {error:?}");
            }
            Some(Scope::Ours) => assert_eq!(known.shortages, 4, "{want:?}: {error:?}"),
            scope => panic!("{scope:?}: {error:?}"),
        }
    }
}
