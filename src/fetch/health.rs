//! Which place a chunk is asked for at: a circuit breaker for each place. Places are numbers here; the first is preferred.
//! The time is an argument.

use std::time::{Duration, Instant};

/// After so many failures in a row a place's circuit breaker opens: the place is left aside.
const FAILURES_TO_OPEN: u32 = 3;

/// Where another place is well, a place is left aside for so long at first, and for twice as long after each further failure.
const OPEN_MIN: Duration = Duration::from_secs(10);
const OPEN_MAX: Duration = Duration::from_secs(80);

/// Where no other place is well, a place that is left aside is asked for one chunk this often, to see whether it is back.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// The circuit breakers of all places of an archive.
#[derive(Debug)]
pub(super) struct CircuitBreakers(Vec<CircuitBreaker>);

#[derive(Clone, Copy, Debug)]
enum CircuitBreaker {
    Closed {
        failures: u32,
    },
    Open {
        /// Left alone until then, where others are well.
        until: Instant,
        pause: Duration,
        /// Left alone until then where no other is.
        next_probe: Instant,
        /// Half open: the job with which a chunk was asked for there, to see, and which was not answered yet.
        probe: Option<u64>,
    },
}

/// Where to ask for a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// There.
    Ask(usize),
    /// Nowhere before this time.
    Wait(Instant),
    /// All places lack it.
    Nowhere,
}

/// A set of places, of which a datastore has at most 64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PlaceSet(u64);

impl PlaceSet {
    pub(super) fn insert(&mut self, place: usize) {
        self.0 |= 1 << place;
    }

    /// The places that are in either set.
    pub(super) fn union(self, other: PlaceSet) -> PlaceSet {
        PlaceSet(self.0 | other.0)
    }

    pub(super) fn contains(self, place: usize) -> bool {
        self.0 & (1 << place) != 0
    }
}

impl CircuitBreakers {
    pub(super) fn new(count: usize) -> CircuitBreakers {
        CircuitBreakers(vec![CircuitBreaker::Closed { failures: 0 }; count])
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// Where to ask for a chunk, rather not where it just failed.
    pub(super) fn choose(&self, lacking: PlaceSet, failed: PlaceSet, now: Instant) -> Choice {
        let candidates = || (0..self.0.len()).filter(|place| !lacking.contains(*place));
        let rank = |place: usize| match self.0[place] {
            CircuitBreaker::Closed { .. } if failed.contains(place) => Some(1),
            CircuitBreaker::Closed { .. } => Some(0),
            CircuitBreaker::Open { .. } if failed.contains(place) => None,
            // Before the others, so that the preferred place is not forgotten.
            CircuitBreaker::Open { until, probe, .. } => {
                (probe.is_none() && until <= now).then_some(0)
            }
        };
        let ready = candidates().filter_map(|place| Some((rank(place)?, place)));
        if let Some((_, place)) = ready.min() {
            return Choice::Ask(place);
        }
        let probe = |place: usize| match self.0[place] {
            CircuitBreaker::Closed { .. } => now,
            CircuitBreaker::Open { next_probe, .. } => next_probe,
        };
        let next = candidates().map(|place| (probe(place).max(now), failed.contains(place), place));
        match next.min() {
            None => Choice::Nowhere,
            Some((at, _, place)) if at <= now => Choice::Ask(place),
            Some((at, ..)) => Choice::Wait(at),
        }
    }

    /// Whether all places are in a set.
    pub(super) fn are_all_in(&self, set: PlaceSet) -> bool {
        (0..self.0.len()).all(|place| set.contains(place))
    }

    /// Whether a chunk that a place refused for now, and others before it, may be asked for at another at once.
    pub(super) fn has_another(
        &self,
        place: usize,
        lacking: PlaceSet,
        failed: PlaceSet,
        now: Instant,
    ) -> bool {
        match self.choose(lacking, failed, now) {
            Choice::Ask(other) => other != place,
            Choice::Wait(_) | Choice::Nowhere => false,
        }
    }

    /// A chunk is asked for at a place with this job. At one that was left aside it will show whether that is well again.
    pub(super) fn record_request(&mut self, place: usize, job: u64, now: Instant) {
        if let CircuitBreaker::Open {
            next_probe, probe, ..
        } = &mut self.0[place]
        {
            (*next_probe, *probe) = (now + PROBE_EVERY, Some(job));
        }
    }

    /// Another place that is well and may have a chunk; the same, over another connection, where there is none.
    pub(super) fn another(&self, place: usize, lacking: PlaceSet) -> usize {
        let may_have = |other: &usize| *other != place && !lacking.contains(*other);
        let mut others = (0..self.0.len()).filter(may_have);
        others.find(|other| self.is_closed(*other)).unwrap_or(place)
    }

    /// Whether a place gives what it is asked for, as far as is known.
    pub(super) fn is_closed(&self, place: usize) -> bool {
        matches!(self.0[place], CircuitBreaker::Closed { .. })
    }

    /// A place answered, if only that it lacks a chunk.
    pub(super) fn record_answer(&mut self, place: usize) {
        self.0[place] = CircuitBreaker::Closed { failures: 0 };
    }

    /// A job came back before the place was asked, as where a seed had the chunk: so nothing is known of the place yet.
    pub(super) fn unprobed(&mut self, place: usize, job: u64, now: Instant) {
        if let CircuitBreaker::Open {
            next_probe, probe, ..
        } = &mut self.0[place]
            && *probe == Some(job)
        {
            (*next_probe, *probe) = (now, None);
        }
    }

    /// A place failed this job. What is the only place is left aside only where it can't be reached: to one that refuses, each chunk
    /// keeps its own distance.
    pub(super) fn record_failure(
        &mut self,
        place: usize,
        job: u64,
        is_unreachable: bool,
        now: Instant,
    ) {
        if self.0.len() == 1 && !is_unreachable {
            return;
        }
        self.0[place] = match self.0[place] {
            CircuitBreaker::Closed { failures } if failures + 1 < FAILURES_TO_OPEN => {
                CircuitBreaker::Closed {
                    failures: failures + 1,
                }
            }
            CircuitBreaker::Closed { .. } => CircuitBreaker::Open {
                until: now + OPEN_MIN,
                pause: OPEN_MIN,
                next_probe: now,
                probe: None,
            },
            CircuitBreaker::Open {
                pause,
                next_probe,
                probe: Some(probe),
                ..
            } if probe == job => {
                let pause = OPEN_MAX.min(2 * pause);
                CircuitBreaker::Open {
                    until: now + pause,
                    pause,
                    next_probe,
                    probe: None,
                }
            }
            // It had been asked for before.
            open => open,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn set(places: &[usize]) -> PlaceSet {
        let mut set = PlaceSet::default();
        places.iter().for_each(|place| set.insert(*place));
        set
    }

    fn opened(count: usize, place: usize, now: Instant) -> CircuitBreakers {
        let mut places = CircuitBreakers::new(count);
        (0..FAILURES_TO_OPEN).for_each(|_| places.record_failure(place, 0, true, now));
        assert!(!places.is_closed(place));
        places
    }

    #[test]
    fn the_only_place_is_probed_at_once_and_then_each_second_until_it_answers() {
        let begun = Instant::now();
        let mut places = opened(1, 0, begun);
        let choose =
            |places: &CircuitBreakers, now| places.choose(PlaceSet::default(), set(&[0]), now);
        for probes in 0..200 {
            let now = begun + probes * SECOND;
            assert_eq!(choose(&places, now), Choice::Ask(0));
            places.record_request(0, 7, now);
            assert_eq!(choose(&places, now), Choice::Wait(now + SECOND));
            places.record_failure(0, 7, true, now + SECOND / 2);
            assert_eq!(
                choose(&places, now + SECOND / 2),
                Choice::Wait(now + SECOND)
            );
        }
        places.record_answer(0);
        assert_eq!(choose(&places, begun), Choice::Ask(0));
        assert!(places.is_closed(0));
    }

    #[test]
    fn a_probe_that_hangs_does_not_hold_up_the_next() {
        let begun = Instant::now();
        let mut places = opened(1, 0, begun);
        for probes in 0..10 {
            let now = begun + probes * SECOND;
            assert_eq!(
                places.choose(PlaceSet::default(), PlaceSet::default(), now),
                Choice::Ask(0)
            );
            places.record_request(0, 7, now);
        }
    }

    #[test]
    fn the_only_place_is_never_left_aside_for_refusing() {
        let now = Instant::now();
        let mut places = CircuitBreakers::new(1);
        (0..100).for_each(|_| places.record_failure(0, 0, false, now));
        assert!(places.is_closed(0));
    }

    #[test]
    fn of_several_places_one_that_fails_is_left_aside_and_tried_again_with_one_chunk() {
        let now = Instant::now();
        let mut places = opened(2, 0, now);
        let choose = |places: &CircuitBreakers, now| {
            places.choose(PlaceSet::default(), PlaceSet::default(), now)
        };
        assert_eq!(choose(&places, now + 9 * SECOND), Choice::Ask(1));
        let later = now + 10 * SECOND;
        assert_eq!(choose(&places, later), Choice::Ask(0));
        places.record_request(0, 7, later);
        assert_eq!(choose(&places, later), Choice::Ask(1));
        places.record_failure(0, 7, true, later);
        assert_eq!(choose(&places, later + 19 * SECOND), Choice::Ask(1));
        assert_eq!(choose(&places, later + 20 * SECOND), Choice::Ask(0));
        places.record_request(0, 8, later + 20 * SECOND);
        places.unprobed(0, 8, later + 20 * SECOND);
        assert_eq!(choose(&places, later + 20 * SECOND), Choice::Ask(0));
    }

    #[test]
    fn where_all_are_left_aside_each_is_probed_in_turn() {
        let now = Instant::now();
        let mut places = opened(2, 0, now);
        (0..FAILURES_TO_OPEN).for_each(|_| places.record_failure(1, 0, true, now));
        let mut choices = Vec::new();
        for _ in 0..2 {
            let Choice::Ask(place) = places.choose(PlaceSet::default(), PlaceSet::default(), now)
            else {
                panic!("one of them is to be probed");
            };
            places.record_request(place, 7, now);
            choices.push(place);
        }
        assert_eq!(choices, [0, 1]);
        assert_eq!(
            places.choose(PlaceSet::default(), PlaceSet::default(), now),
            Choice::Wait(now + SECOND)
        );
    }

    #[test]
    fn a_chunk_that_all_places_lack_is_asked_for_nowhere() {
        let places = CircuitBreakers::new(2);
        let mut lacking = PlaceSet::default();
        (0..2).for_each(|place| lacking.insert(place));
        assert!(places.are_all_in(lacking));
        assert_eq!(
            places.choose(lacking, PlaceSet::default(), Instant::now()),
            Choice::Nowhere
        );
    }

    #[test]
    fn only_the_chunk_that_a_place_is_tried_with_says_whether_the_place_is_well() {
        let now = Instant::now();
        let mut places = opened(2, 0, now);
        let choose = |places: &CircuitBreakers, now| {
            places.choose(PlaceSet::default(), PlaceSet::default(), now)
        };
        let later = now + 10 * SECOND;
        places.record_request(0, 7, later);
        // These were on their way when the place was left aside.
        places.record_failure(0, 5, true, later);
        places.unprobed(0, 6, later);
        assert_eq!(choose(&places, later + 79 * SECOND), Choice::Ask(1));
        places.record_failure(0, 7, true, later);
        assert_eq!(choose(&places, later + 19 * SECOND), Choice::Ask(1));
        assert_eq!(choose(&places, later + 20 * SECOND), Choice::Ask(0));
    }

    #[test]
    fn a_chunk_that_failed_at_two_places_is_asked_for_at_the_third() {
        let places = CircuitBreakers::new(3);
        let now = Instant::now();
        let choose = |failed| places.choose(PlaceSet::default(), failed, now);
        assert_eq!(choose(set(&[0])), Choice::Ask(1));
        assert_eq!(choose(set(&[0, 1])), Choice::Ask(2));
    }
}
