//! A place that is left aside is tried with a chunk: and again, where that chunk is not asked for there after all.

use std::time::{Duration, Instant};

use crate::error::FetchError;
use crate::fetch::failure::Failure;
use crate::fetch::job::{Arrival, Job, Spent, Urgency};
use crate::fetch::simulation::directed::setup;
use crate::fetch::simulation::place::Place;
use crate::fetch::simulation::world::World;
use crate::format::blob::Verified;

fn arrival(job: Job, outcome: Result<Verified, Failure>) -> Arrival {
    Arrival {
        job,
        fetched: None,
        took: None,
        was_hung_up: false,
        spent: Spent::default(),
        outcome,
    }
}

fn next(world: &mut World, now: Instant) -> Job {
    world
        .dispatcher
        .next_job(now)
        .expect("something is to be asked for")
}

/// A world whose first of two places is left aside and to be tried again, the job that it is tried with, and the time.
fn tried() -> (World, Job, Instant) {
    let mut world = World::new(setup(vec![Place::well(20), Place::well(20)]), 1);
    (0..4).for_each(|chunk| _ = world.want(chunk, Urgency::Ahead));
    let begun = world.now;
    let jobs: Vec<Job> = (0..3).map(|_| next(&mut world, begun)).collect();
    for job in jobs {
        let lost = Failure::Connection(FetchError::unreachable("the connection is lost"));
        let lost = arrival(job, Err(lost));
        world.dispatcher.answered(lost, 0, begun, &mut |_| {});
    }
    assert!(!world.dispatcher.breakers.is_closed(0));
    (0..3).for_each(|_| assert_eq!(next(&mut world, begun).lane, 1));
    let later = begun + Duration::from_secs(10);
    let trial = next(&mut world, later);
    assert_eq!(trial.lane, 0);
    (4..9).for_each(|chunk| _ = world.want(chunk, Urgency::Ahead));
    assert_eq!(next(&mut world, later).lane, 1);
    (world, trial, later)
}

#[test]
fn a_place_is_tried_again_where_the_trial_was_forgotten_and_taken_back() {
    let (mut world, trial, now) = tried();
    world.dispatcher.forget(trial.ticket);
    assert_eq!(world.dispatcher.lanes_to_sweep(), [0]);
    world.dispatcher.took_back(&trial, now);
    assert_eq!(next(&mut world, now).lane, 0);
}

#[test]
fn a_place_is_tried_again_where_a_worker_found_the_trial_forgotten() {
    let (mut world, trial, now) = tried();
    world.dispatcher.forget(trial.ticket);
    let needless = arrival(trial, Err(Failure::Needless));
    world.dispatcher.answered(needless, 0, now, &mut |_| {});
    assert_eq!(next(&mut world, now).lane, 0);
}

#[test]
fn a_place_is_tried_again_where_a_seed_had_the_chunk_of_the_trial() {
    let (mut world, trial, now) = tried();
    let chunk = world.verified(trial.chunk.offset as usize);
    let seeded = arrival(trial, Ok(chunk));
    world.dispatcher.answered(seeded, 0, now, &mut |_| {});
    assert_eq!(next(&mut world, now).lane, 0);
}

#[test]
fn a_place_is_tried_with_one_chunk_only() {
    let (mut world, _trial, now) = tried();
    (0..3).for_each(|_| assert_eq!(next(&mut world, now).lane, 1));
}
