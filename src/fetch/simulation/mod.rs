//! Simulates the dispatcher on a virtual clock: with workers, with places that die, stall, throttle, lie and come back, and with
//! a consumer that wants chunks in order and others at once, and forgets some.
//!
//! A schedule is made from a seed, so that the one that fails can be played again: `play(seed)`.

mod breakers;
mod chance;
mod checks;
mod directed;
mod lane;
mod place;
mod rules;
mod schedule;
mod trials;
mod unanswered;
mod workers;
mod world;

use std::thread;

/// Names the seed of a schedule that fails.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the schedule of seed {} failed", self.0);
        }
    }
}

fn play(seed: u64) {
    let _named = Named(seed);
    schedule::play(seed);
}

#[test]
fn ten_thousand_random_schedules_keep_every_rule() {
    (0..10_000).for_each(play);
}
