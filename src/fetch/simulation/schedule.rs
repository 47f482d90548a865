//! A random schedule: places, lanes, rules, and a consumer with a will of its own.

use std::collections::VecDeque;
use std::time::Duration;

use crate::fetch::dispatcher::Rules;
use crate::fetch::hedge::HedgeRules;
use crate::fetch::job::Urgency;
use crate::fetch::lanes::{LaneSettings, hedging_lanes};
use crate::fetch::simulation::chance::Chance;
use crate::fetch::simulation::place::{Mood, Place, Stock};
use crate::fetch::simulation::world::{Setup, World};

/// No schedule takes longer, on its own clock.
const LENGTH_MAX: Duration = Duration::from_secs(4 * 3600);

/// Plays the schedule of a seed.
pub(super) fn play(seed: u64) {
    let mut chance = Chance::new(seed);
    let setup = setup(&mut chance);
    let mut consumer = Consumer {
        slots: setup.slots,
        in_order: 0..chance.between(1, 40),
        window: VecDeque::new(),
        urgent: if chance.one_in(2) {
            chance.below(12)
        } else {
            0
        },
        forgets: chance.one_in(3),
        hurries: chance.one_in(3),
        shrinks: chance.one_in(3),
        is_busy: chance.one_in(3),
    };
    let mut world = World::new(setup, seed);
    while !consumer.is_done(&world) {
        consumer.act(&mut world);
        world.step();
        assert!(world.elapsed() < LENGTH_MAX, "it takes too long");
    }
    world.end();
}

const CHUNKS: usize = 40;

fn setup(chance: &mut Chance) -> Setup {
    let patience = Duration::from_secs(chance.between(80, 160) as u64);
    let count = chance.between(1, 3);
    let mut places: Vec<Place> = (0..count).map(|_| place(chance, patience)).collect();
    let stall_limit = chance.one_in(2).then_some(Duration::from_secs(30));
    make_sick(chance, &mut places, stall_limit);
    let mut lanes: Vec<LaneSettings> = (0..count).map(|place| lane(chance, place)).collect();
    let may_hedge = chance.one_in(2);
    if may_hedge {
        lanes.extend(hedging_lanes(count));
    }
    let hedge = HedgeRules {
        is_on: chance.one_in(2),
        chunks: CHUNKS,
        abandoned_max: if may_hedge { chance.between(1, 8) } else { 0 },
    };
    let rules = Rules {
        attempts: chance.between(1, 4) as u32,
        salvage: chance.one_in(2),
        patience,
        advice: "",
        hedge,
    };
    let is_seeded = chance.one_in(4);
    let seeded = (0..CHUNKS).filter(|_| is_seeded && chance.one_in(3));
    Setup {
        seeded: seeded.collect(),
        places,
        lanes,
        rules,
        slots: chance.between(1, 12),
        stall_limit,
    }
}

/// One connection may bring nothing. Where none ends by itself, the dispatcher tries another one once, so no more than one
/// place is silent for ever.
fn make_sick(chance: &mut Chance, places: &mut [Place], stall_limit: Option<Duration>) {
    let sick = chance.below(places.len());
    let is_sick = chance.one_in(4);
    for (number, place) in places.iter_mut().enumerate() {
        if stall_limit.is_none() && place.at_last == Mood::Silent && (is_sick || number != sick) {
            place.at_last = Mood::Well;
        }
    }
    places[sick].sick_worker = is_sick.then(|| chance.below(2));
}

fn place(chance: &mut Chance, patience: Duration) -> Place {
    let least = chance.between(1, 100);
    let mut place = Place {
        latency: (least, least * chance.between(1, 8)),
        depth: chance.between(1, 4),
        ..Place::well(CHUNKS)
    };
    if chance.one_in(2) {
        let part = chance.between(1, 3);
        place.stock = (0..CHUNKS).map(|_| stock(chance, part)).collect();
    }
    let mut end = Duration::ZERO;
    let longest = [2, 10, 40][chance.below(3)];
    for _ in 0..[0, 0, 1, 2, 4][chance.below(5)] {
        let well = end + chance.millis(0, 3000);
        let until = well + Duration::from_millis(chance.between(50, longest * 1000) as u64);
        place.phases.push((well, Mood::Well));
        place.phases.push((until, mood(chance)));
        end = until;
    }
    if chance.one_in(6) {
        place.at_last = mood(chance);
    }
    if chance.one_in(2) {
        // Back soon enough for all.
        place.phases.retain(|(until, _)| *until <= patience / 4);
    }
    place
}

fn mood(chance: &mut Chance) -> Mood {
    match chance.below(8) {
        0 => Mood::Denying,
        1 => Mood::Short,
        2 => Mood::Throttling(None),
        3 => Mood::Throttling(Some(chance.millis(0, 4000))),
        4 | 5 => Mood::Silent,
        _ => Mood::Gone,
    }
}

fn stock(chance: &mut Chance, part: usize) -> Stock {
    match chance.below(8 * part) {
        0 => Stock::Missing,
        1 => Stock::Corrupt,
        2 => Stock::Unreadable,
        3 => Stock::Slip,
        _ => Stock::Good,
    }
}

fn lane(chance: &mut Chance, place: usize) -> LaneSettings {
    let workers = chance.between(1, 4);
    let in_flight = chance.between(1, 6);
    let adapts = chance.one_in(2);
    LaneSettings {
        place,
        workers,
        in_flight,
        in_flight_max: if adapts {
            in_flight + chance.below(6)
        } else {
            in_flight
        },
        adapts,
        cores: 2,
        keeps_urgent_worker: false,
        is_hedging: false,
    }
}

/// Wants some chunks in order, as many at once as it has slots for, and others at random.
struct Consumer {
    slots: usize,
    in_order: std::ops::Range<usize>,
    window: VecDeque<u64>,
    /// How many chunks it will want at once.
    urgent: usize,
    forgets: bool,
    hurries: bool,
    shrinks: bool,
    is_busy: bool,
}

impl Consumer {
    fn is_done(&self, world: &World) -> bool {
        self.in_order.is_empty() && self.urgent == 0 && world.checks.open() == 0
    }

    fn act(&mut self, world: &mut World) {
        while self
            .window
            .front()
            .is_some_and(|ticket| !world.checks.is_open(*ticket))
        {
            self.window.pop_front();
        }
        while self.window.len() < self.slots
            && let Some(chunk) = self.in_order.next()
        {
            self.window.push_back(world.want(chunk, Urgency::Ahead));
        }
        if self.urgent > 0 && (world.chance.one_in(6) || self.in_order.is_empty()) {
            let chunk = world.chance.below(CHUNKS);
            world.want(chunk, Urgency::Now);
            self.urgent -= 1;
        }
        if self.forgets && world.chance.one_in(10) {
            let open: Vec<u64> = world.checks.open_tickets().collect();
            if !open.is_empty() {
                let at = world.chance.below(open.len());
                match world.chance.one_in(2) {
                    true => world.forget(open[at]),
                    false => world.forget_queued(open[at]),
                }
            }
        }
        if self.hurries && world.chance.one_in(4) {
            let open: Vec<u64> = world.checks.open_tickets().collect();
            if !open.is_empty() {
                let at = world.chance.below(open.len());
                world.hurry(open[at]);
            }
        }
        if self.shrinks && world.chance.one_in(15) {
            self.slots = world.chance.between(1, 12);
            world.set_slots(self.slots);
        }
        if self.is_busy && world.chance.one_in(8) {
            let time = world.chance.millis(1, 2000);
            world.be_away(time);
        }
    }
}
