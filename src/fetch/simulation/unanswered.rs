//! What happens until the first answer comes.

use std::time::Duration;

use crate::fetch::job::Urgency;
use crate::fetch::simulation::directed::setup;
use crate::fetch::simulation::place::Place;
use crate::fetch::simulation::world::World;

#[test]
fn the_longer_the_first_answer_is_waited_for_the_more_is_in_flight() {
    let before_it = |millis| {
        let place = Place {
            latency: (millis, millis),
            depth: 64,
            ..Place::well(50)
        };
        let mut setup = setup(vec![place]);
        (setup.lanes[0].adapts, setup.lanes[0].in_flight_max) = (true, 64);
        let mut world = World::new(setup, 5);
        for chunk in 0..50 {
            world.want(chunk, Urgency::Ahead);
        }
        while world.checks.open() == 50 {
            world.step();
        }
        // The worker that had the answer has made its next request.
        let in_flight = world.lanes[0].wanted_in_flight();
        world.run(Duration::from_secs(20));
        world.end();
        in_flight
    };
    let in_flight = [1, 15, 50, 500].map(before_it);
    assert_eq!(in_flight, [4, 8, 16, 16]);
}
