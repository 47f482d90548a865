//! Directed simulations: one thing happens, and this is what comes of it.

use std::collections::HashSet;
use std::time::Duration;

use crate::error::Scope;
use crate::fetch::dispatcher::Rules;
use crate::fetch::hedge::HedgeRules;
use crate::fetch::job::Urgency;
use crate::fetch::lanes::{LaneSettings, hedging_lanes};
use crate::fetch::simulation::checks::Ending;
use crate::fetch::simulation::place::{Mood, Place, Stock};
use crate::fetch::simulation::world::{Setup, World};

const PATIENCE: Duration = Duration::from_secs(120);
const SECOND: Duration = Duration::from_secs(1);

/// A world of these places, with lanes of 2 workers and 4 requests in flight, without hedged requests.
pub(super) fn setup(places: Vec<Place>) -> Setup {
    let lanes = (0..places.len()).map(|place| LaneSettings {
        place,
        workers: 2,
        in_flight: 4,
        in_flight_max: 4,
        adapts: false,
        cores: 2,
        keeps_urgent_worker: false,
        is_hedging: false,
    });
    let hedge = HedgeRules {
        is_on: false,
        chunks: 100,
        abandoned_max: 0,
    };
    Setup {
        lanes: lanes.collect(),
        places,
        rules: Rules {
            attempts: 1,
            salvage: false,
            patience: PATIENCE,
            advice: "",
            hedge,
        },
        slots: 64,
        stall_limit: None,
        seeded: HashSet::new(),
    }
}

pub(super) fn with_hedges(mut setup: Setup, abandoned_max: usize) -> Setup {
    setup.lanes.extend(hedging_lanes(setup.places.len()));
    (setup.rules.hedge.is_on, setup.rules.hedge.abandoned_max) = (true, abandoned_max);
    setup
}

fn want_ahead(world: &mut World, chunks: std::ops::Range<usize>) -> Vec<u64> {
    chunks
        .map(|chunk| world.want(chunk, Urgency::Ahead))
        .collect()
}

/// Runs until every want has come that was not forgotten, and ends.
fn all_come(mut world: World, within: Duration) {
    world.run(within);
    for known in world.checks.wants.values() {
        let is_right = matches!(known.ending, Ending::Came | Ending::Forgotten);
        assert!(is_right, "{:?}: {:?}", known.want, known.ending);
    }
    world.end();
}

#[test]
fn a_dead_place_of_two_costs_no_chunk_an_attempt() {
    let places = vec![Place::always(Mood::Gone, 50), Place::well(50)];
    let mut world = World::new(setup(places), 1);
    want_ahead(&mut world, 0..50);
    all_come(world, 20 * SECOND);
}

#[test]
fn the_only_place_is_gone_for_most_of_the_patience_and_everything_comes() {
    let place = Place::at_first(Mood::Gone, 100 * SECOND, 50);
    let mut world = World::new(setup(vec![place]), 2);
    want_ahead(&mut world, 0..50);
    world.run(110 * SECOND);
    assert!(world.elapsed() >= 100 * SECOND);
    all_come(world, PATIENCE);
}

#[test]
fn the_only_place_never_comes_back_and_the_failure_tells_why() {
    let mut world = World::new(setup(vec![Place::always(Mood::Gone, 9)]), 3);
    let tickets = want_ahead(&mut world, 0..9);
    world.run(2 * PATIENCE);
    assert!(world.elapsed() >= PATIENCE);
    for ticket in tickets {
        let Ending::Failed(message, scope) = &world.checks.wants[&ticket].ending else {
            panic!("it came");
        };
        assert_eq!(*scope, Some(Scope::Place));
        assert!(message.contains("gave up waiting"), "{message}");
        assert!(message.contains("the connection is lost"), "{message}");
    }
    world.end();
}

#[test]
fn a_place_that_throttles_is_asked_for_half_and_when_it_says() {
    let mood = Mood::Throttling(Some(3 * SECOND));
    let place = Place::at_first(mood, 50 * Duration::from_millis(1), 40);
    let mut world = World::new(setup(vec![place]), 4);
    want_ahead(&mut world, 0..40);
    assert_eq!(world.dispatcher.in_flight(0), 4);
    while world.dispatcher.in_flight(0) == 4 {
        world.step();
    }
    assert_eq!(world.dispatcher.in_flight(0), 2);
    all_come(world, 10 * SECOND);
}

#[test]
fn a_chunk_is_asked_for_again_when_its_pause_ends_and_no_later() {
    let pause = Duration::from_millis(300);
    let place = Place::at_first(Mood::Throttling(Some(pause)), Duration::from_millis(50), 1);
    let mut world = World::new(setup(vec![place]), 18);
    world.want(0, Urgency::Ahead);
    world.run(SECOND);
    assert!(world.elapsed() < 2 * pause, "{:?}", world.elapsed());
    all_come(world, SECOND);
}

#[test]
fn a_place_that_throttles_all_the_time_does_not_make_the_consumer_spin() {
    let mut world = World::new(setup(vec![Place::always(Mood::Throttling(None), 40)]), 5);
    want_ahead(&mut world, 0..40);
    world.run(3 * PATIENCE);
    world.end();
}

#[test]
fn a_connection_that_brings_nothing_is_ended_and_its_chunks_come_over_another() {
    let mut place = Place::well(60);
    place.sick_worker = Some(1);
    let mut world = World::new(setup(vec![place]), 6);
    want_ahead(&mut world, 0..60);
    world.run(PATIENCE / 2);
    assert_eq!(world.checks.hang_ups, 1);
    all_come(world, PATIENCE);
}

#[test]
fn a_connection_that_holds_only_what_was_forgotten_is_ended_too() {
    let mut place = Place::well(60);
    (place.sick_worker, place.depth) = (Some(0), 1);
    let mut setup = setup(vec![place]);
    (setup.lanes[0].workers, setup.lanes[0].in_flight) = (1, 1);
    let mut world = World::new(setup, 7);
    let first = world.want(0, Urgency::Now);
    world.step();
    world.forget(first);
    want_ahead(&mut world, 1..60);
    all_come(world, PATIENCE);
}

#[test]
fn silence_after_the_first_chunks_is_answered_with_another_connection() {
    let mut places = vec![Place::always(Mood::Silent, 30), Place::well(30)];
    places[0].phases = vec![(15 * Duration::from_millis(1), Mood::Well)];
    let mut setup = setup(places);
    setup.lanes[0].workers = 4;
    let mut world = World::new(setup, 8);
    want_ahead(&mut world, 0..30);
    all_come(world, 4 * PATIENCE);
}

#[test]
fn patience_runs_while_the_oldest_want_waits_behind_urgent_ones() {
    let mut setup = setup(vec![Place::always(Mood::Silent, 30)]);
    (setup.lanes[0].workers, setup.lanes[0].in_flight) = (1, 1);
    let mut world = World::new(setup, 9);
    world.want(0, Urgency::Ahead);
    (1..20).for_each(|chunk| _ = world.want(chunk, Urgency::Now));
    world.run(3 * PATIENCE);
    world.end();
}

#[test]
fn a_want_that_somebody_waits_for_overtakes_those_that_no_worker_has_begun_with() {
    let mut setup = setup(vec![Place::well(60)]);
    (setup.lanes[0].workers, setup.lanes[0].in_flight) = (1, 1);
    let mut world = World::new(setup, 19);
    let tickets = want_ahead(&mut world, 0..60);
    world.step();
    let last = tickets[59];
    world.hurry(last);
    while world.checks.is_open(last) {
        world.step();
    }
    let came = tickets
        .iter()
        .filter(|ticket| !world.checks.is_open(**ticket));
    assert!(came.count() <= 4, "those that a worker had begun with");
    all_come(world, 20 * SECOND);
}

#[test]
fn each_want_has_the_whole_patience_also_after_a_long_silence() {
    let mut world = World::new(setup(vec![Place::always(Mood::Gone, 9)]), 20);
    world.want(0, Urgency::Now);
    world.run(2 * PATIENCE);
    let after = world.elapsed();
    let second = world.want(1, Urgency::Now);
    while world.checks.is_open(second) {
        world.step();
    }
    assert!(world.elapsed() - after >= PATIENCE);
    world.end();
}

#[test]
fn a_chunk_that_is_never_answered_is_given_up_although_others_come_all_the_while() {
    let mut place = Place::well(1000);
    place.stock[3] = Stock::Silent;
    let mut world = World::new(setup(vec![place]), 21);
    let silent = world.want(3, Urgency::Now);
    for chunk in (4..1000).cycle() {
        if !world.checks.is_open(silent) {
            break;
        }
        let other = world.want(chunk, Urgency::Now);
        while world.checks.is_open(other) {
            world.step();
        }
        world.be_away(SECOND);
        assert!(world.elapsed() < 10 * PATIENCE, "it is waited for for ever");
    }
    let ending = &world.checks.wants[&silent].ending;
    assert!(
        matches!(ending, Ending::Failed(_, Some(Scope::Place))),
        "{ending:?}"
    );
    world.end();
}

#[test]
fn a_place_that_lies_about_every_third_chunk_costs_none_of_them() {
    let mut places = vec![Place::well(60), Place::well(60)];
    for chunk in (0..60).step_by(3) {
        places[0].stock[chunk] = [Stock::Corrupt, Stock::Missing][chunk % 2];
    }
    let mut world = World::new(setup(places), 10);
    want_ahead(&mut world, 0..60);
    all_come(world, 5 * SECOND);
}

#[test]
fn damage_at_every_place_fails_the_chunk_alone_after_two_looks_where_it_would_be_zeros() {
    let mut places = vec![Place::well(30), Place::well(30)];
    places
        .iter_mut()
        .for_each(|place| place.stock[7] = Stock::Corrupt);
    let mut setup = setup(places);
    setup.rules.salvage = true;
    let mut world = World::new(setup, 11);
    want_ahead(&mut world, 0..30);
    world.run(5 * SECOND);
    for known in world.checks.wants.values() {
        let is_lost = matches!(known.ending, Ending::Failed(_, Some(Scope::Chunk)));
        assert_eq!(is_lost, known.want.position == 7, "{:?}", known.want);
    }
    assert_eq!(world.checks.wants[&7].damaged, [2, 2]);
    world.end();
}

#[test]
fn what_waits_for_the_workers_of_a_place_that_is_left_aside_is_asked_for_elsewhere_at_once() {
    let mut places = vec![Place::always(Mood::Gone, 30), Place::well(30)];
    (places[0].depth, places[0].latency) = (1, (1000, 1000));
    let mut world = World::new(setup(places), 12);
    want_ahead(&mut world, 0..30);
    // Each of two workers asks for one chunk a second, so the third failure is in the second round.
    while world.dispatcher.breakers.is_closed(0) {
        world.step();
    }
    world.step();
    // The third and the fourth are with the workers.
    let asked = [0, 1, 2, 5, 6, 7].map(|ticket| world.checks.wants[&ticket].asked);
    assert_eq!(asked, [2; 6]);
    all_come(world, 10 * SECOND);
}

#[test]
fn a_chunk_that_failed_at_two_places_goes_to_the_third_and_not_back_to_the_first() {
    let mut places = vec![Place::always(Mood::Silent, 9), Place::always(Mood::Gone, 9)];
    places.push(Place::well(9));
    let mut world = World::new(setup(places), 13);
    want_ahead(&mut world, 0..9);
    all_come(world, PATIENCE);
}

#[test]
fn an_urgent_want_goes_before_a_thousand_read_ahead_ones() {
    let mut world = World::new(setup(vec![Place::well(1100)]), 14);
    want_ahead(&mut world, 0..1000);
    (0..50).for_each(|_| world.step());
    let requested = world.checks.requests.len();
    let urgent: Vec<u64> = (1000..1004)
        .map(|chunk| world.want(chunk, Urgency::Now))
        .collect();
    while urgent.iter().any(|ticket| world.checks.is_open(*ticket)) {
        world.step();
    }
    let next = world.checks.requests[requested..]
        .iter()
        .map(|request| request.0);
    assert_eq!(next.take(4).collect::<Vec<u64>>(), urgent);
    all_come(world, 60 * SECOND);
}

#[test]
fn no_more_late_answers_are_outstanding_than_may_be_however_many_wants_are_urgent() {
    let mut places = vec![Place::well(40), Place::well(40)];
    places[0].phases = vec![(300 * Duration::from_millis(1), Mood::Well)];
    places[0].at_last = Mood::Silent;
    places[1].latency = (100, 200);
    let mut world = World::new(with_hedges(setup(places), 2), 15);
    (0..30).for_each(|chunk| _ = world.want(chunk, Urgency::Now));
    while world.elapsed() < SECOND / 2 {
        world.step();
    }
    (30..40).for_each(|chunk| _ = world.want(chunk, Urgency::Now));
    world.run(10 * PATIENCE);
    assert!(world.checks.hedges > 0);
    world.end();
}

#[test]
fn a_late_chunk_comes_by_a_second_request() {
    let mut places = vec![Place::well(40), Place::well(40)];
    places[0].at_last = Mood::Silent;
    places[0].phases = vec![(60 * Duration::from_millis(1), Mood::Well)];
    let mut world = World::new(with_hedges(setup(places), 8), 16);
    want_ahead(&mut world, 0..40);
    while world.checks.hedges == 0 {
        world.step();
    }
    // Three in four of the time it took until now were the wait until it was late.
    assert!(world.elapsed() < SECOND, "{:?}", world.elapsed());
    world.run(10 * PATIENCE);
    world.end();
}

#[test]
fn a_connection_that_brings_nothing_does_not_outlive_the_patience_where_chunks_took_long_before() {
    let mut place = Place::at_first(Mood::Silent, 40 * SECOND, 6);
    place.sick_worker = Some(0);
    let mut world = World::new(setup(vec![place]), 17);
    want_ahead(&mut world, 0..6);
    world.run(2 * PATIENCE);
    assert_eq!(world.checks.hang_ups, 1);
    all_come(world, 2 * PATIENCE);
}

#[test]
fn a_chunk_that_came_corrupt_is_asked_for_over_another_connection() {
    let mut place = Place::well(5);
    place.stock[3] = Stock::Slip;
    let mut setup = setup(vec![place]);
    (setup.lanes[0].workers, setup.rules.attempts) = (1, 2);
    let mut world = World::new(setup, 19);
    want_ahead(&mut world, 0..5);
    world.run(SECOND);
    assert_eq!(world.lanes[0].workers[0].connections, 2);
    all_come(world, SECOND);
}

#[test]
fn a_connection_is_given_twice_as_long_after_one_was_ended_for_the_same_chunk() {
    let mut place = Place::at_first(Mood::Well, SECOND, 20);
    place.at_last = Mood::Silent;
    let mut world = World::new(setup(vec![place]), 20);
    want_ahead(&mut world, 0..19);
    while world.elapsed() < 2 * SECOND {
        world.step();
    }
    world.want(19, Urgency::Ahead);
    world.run(2 * PATIENCE);
    // After a quarter of the patience, and after a half of it, since all is silent.
    assert_eq!(world.checks.hang_ups, 2);
    world.end();
}
