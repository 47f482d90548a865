//! The ramp beside places and workers of many kinds, against the best fixed number of requests.

use super::*;

/// A restore as the ramp sees it: workers that share what is in flight, each of which requests the next chunk, decodes
/// the last, and then takes the next answer; and a place that works at so many chunks at once.
#[derive(Clone, Copy)]
struct Model {
    /// Seconds on the way, there and back.
    network: f64,
    /// Seconds of the place for a chunk, and for how many it works at once.
    place: f64,
    at_once: usize,
    /// Seconds of a core for a chunk, and the cores.
    decode: f64,
    cores: usize,
    workers: usize,
    /// By what share times differ by chance.
    noise: f64,
    /// Whether the place works at all that it is asked for at the same time, and not at one after the other. Then all that is
    /// in flight must be with the place, and little on the way.
    is_sharing: bool,
}

struct Chance(u64);

impl Chance {
    fn next(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) as f64 / f64::from(1_u32 << 31)
    }

    fn about(&mut self, time: f64, noise: f64) -> f64 {
        time * (1.0 - noise + 2.0 * noise * self.next())
    }
}

/// All bytes come together.
fn at_once(whole: Duration) -> Took {
    Took {
        whole,
        coming: Duration::ZERO,
    }
}

/// The state of a model.
struct Run {
    chance: Chance,
    /// For each worker the requests that are not answered: when each was made, and when its answer comes.
    requests: Vec<Vec<(f64, f64)>>,
    worker_free: Vec<f64>,
    place_free: Vec<f64>,
    core_free: Vec<f64>,
}

fn first_free(free: &mut [f64]) -> &mut f64 {
    let first = free.iter_mut().min_by(|a, b| a.total_cmp(b));
    first.expect("there is one")
}

impl Run {
    fn request(&mut self, model: Model, worker: usize, now: f64) {
        let time = self.chance.about(model.place, model.noise);
        let outstanding: usize = self.requests.iter().map(Vec::len).sum();
        let comes = if model.is_sharing {
            let share = (outstanding as f64 / model.at_once as f64).max(1.0);
            now + model.network + time * share
        } else {
            let place = first_free(&mut self.place_free[..model.at_once]);
            *place = place.max(now + model.network / 2.0) + time;
            *place + model.network / 2.0
        };
        self.requests[worker].push((now, comes));
    }

    /// When a worker can do something: request a chunk, or take an answer.
    fn next(&self, worker: usize, may_request: bool) -> f64 {
        let free = self.worker_free[worker];
        if may_request {
            return free;
        }
        let comes = self.requests[worker].iter().map(|request| request.1);
        free.max(comes.fold(f64::MAX, f64::min))
    }
}

/// Seconds for so many chunks, with one model after the other, and what was in flight in the end.
fn run(models: &[(usize, Model)], mut ramp: InFlightRamp) -> (f64, usize) {
    let workers = models[0].1.workers;
    let mut run = Run {
        chance: Chance(7),
        requests: vec![Vec::new(); workers],
        worker_free: vec![0.0; workers],
        place_free: vec![0.0; 64],
        core_free: vec![0.0; 64],
    };
    let mut end = 0.0_f64;
    for &(chunks, model) in models {
        let (mut asked, mut answered) = (0, 0);
        while answered < chunks {
            let limit = ramp.limit();
            let share = |worker| limit / workers + usize::from(worker < limit % workers);
            let may_request = |run: &Run, worker: usize| {
                asked < chunks && run.requests[worker].len() < share(worker)
            };
            let next = |worker: &usize| run.next(*worker, may_request(&run, *worker));
            let worker = (0..workers).min_by(|a, b| next(a).total_cmp(&next(b)));
            let worker = worker.expect("there is one");
            let now = next(&worker);
            if may_request(&run, worker) {
                run.request(model, worker, now);
                run.worker_free[worker] = now;
                asked += 1;
                continue;
            }
            let requests = &mut run.requests[worker];
            let first = (0..requests.len())
                .min_by(|a, b| requests[*a].1.total_cmp(&requests[*b].1))
                .expect("it waits for one");
            let (requested, _) = requests.swap_remove(first);
            let took = Duration::from_secs_f64(now - requested);
            let time = run.chance.about(model.decode, model.noise);
            let decoding = Duration::from_secs_f64(time);
            ramp.record_answer(Some(at_once(took)), decoding, asked < chunks);
            answered += 1;
            let limit = ramp.limit();
            let share = limit / workers + usize::from(worker < limit % workers);
            // The next request is made before the last answer is decoded.
            if asked < chunks && run.requests[worker].len() < share {
                run.request(model, worker, now);
                asked += 1;
            }
            let core = first_free(&mut run.core_free[..model.cores]);
            *core = core.max(now) + time;
            run.worker_free[worker] = *core;
            end = end.max(*core);
        }
    }
    (end, ramp.limit())
}

fn best(models: &[(usize, Model)]) -> (f64, usize) {
    let fixed = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64];
    fixed
        .iter()
        .map(|n| (run(models, InFlightRamp::new(*n, *n, false, 2)).0, *n))
        .min_by(|a, b| a.0.total_cmp(&b.0))
        .expect("there are some")
}

fn ramp(cores: usize) -> InFlightRamp {
    InFlightRamp::new(4, 59, true, cores)
}

/// A place on this machine or in the same room, or far away; and how far what is in flight may end up.
fn places(cores: usize) -> Vec<(Model, std::ops::RangeInclusive<usize>)> {
    let mut places = Vec::new();
    for (network, limits) in [
        (0.0, 2..=8),
        (0.001, 2..=8),
        (0.007, 2..=24),
        (0.05, 12..=59),
    ] {
        for (place, at_once) in [(0.001, 1), (0.003, 2)] {
            for (noise, is_sharing) in [(0.0, false), (0.5, false), (0.0, true), (0.5, true)] {
                if is_sharing && network > 0.001 {
                    continue;
                }
                let model = Model {
                    network,
                    place,
                    at_once,
                    decode: 0.005,
                    cores,
                    workers: cores.clamp(4, 16),
                    noise,
                    is_sharing,
                };
                places.push((model, limits.clone()));
            }
        }
    }
    places
}

#[test]
fn it_loses_little_to_the_best_choice_and_takes_no_more_than_it_needs() {
    for cores in [1, 2] {
        for (model, limits) in places(cores) {
            // A GiB, and eight of them.
            for (chunks, least) in [(256, 0.9), (2048, 0.95)] {
                let (time, limit) = run(&[(chunks, model)], ramp(cores));
                let share = best(&[(chunks, model)]).0 / time;
                let Model {
                    network,
                    place,
                    noise,
                    ..
                } = model;
                let of = format!("{network} s, {place} s, {cores} cores, {noise}: {limit}");
                assert!(
                    share > least,
                    "{share} of the best in {chunks} chunks: {of}"
                );
                assert!(limits.contains(&limit), "{of}");
            }
        }
    }
}

#[test]
fn a_place_that_becomes_slow_gets_more_requests_again() {
    let near = places(2)[0].0;
    let far = Model {
        network: 0.1,
        ..near
    };
    let (_, before) = run(&[(1000, near)], ramp(2));
    let (_, after) = run(&[(1000, near), (2000, far)], ramp(2));
    assert!(before <= 8 && after >= 30, "{before}, {after}");
}

#[test]
fn who_names_a_number_keeps_it() {
    for (model, _) in places(2) {
        assert_eq!(run(&[(500, model)], InFlightRamp::new(5, 5, false, 2)).1, 5);
    }
}

#[test]
fn a_place_that_refuses_is_asked_for_half_and_slowly_for_more_again() {
    let mut ramp = InFlightRamp::new(16, 16, false, 2);
    // All that were in flight are refused: that is one refusal.
    (0..16).for_each(|_| ramp.record_refusal());
    assert_eq!(ramp.limit(), 8);
    (0..100).for_each(|_| ramp.record_refusal());
    assert_eq!(ramp.limit(), 1);
    let answer = |ramp: &mut InFlightRamp| ramp.record_answer(None, Duration::ZERO, true);
    (0..32).for_each(|_| answer(&mut ramp));
    assert!((2..=3).contains(&ramp.limit()), "{}", ramp.limit());
    (0..1000).for_each(|_| answer(&mut ramp));
    assert_eq!(ramp.limit(), 16);
}

#[test]
fn more_is_in_flight_while_the_first_answer_does_not_come() {
    let millis = Duration::from_millis;
    let after = |waited| {
        let mut ramp = ramp(2);
        ramp.record_unanswered(waited);
        ramp.limit()
    };
    let limits = [0, 9, 10, 20, 1000].map(|waited| after(millis(waited)));
    assert_eq!(limits, [4, 4, 8, 16, 16]);
    assert_eq!(ramp(2).unanswered_limit(), Some(millis(10)));
    // An answer says more than the clock, and so does a refusal.
    let mut answered = ramp(2);
    answered.record_answer(Some(at_once(millis(50))), millis(5), true);
    assert_eq!(answered.unanswered_limit(), None);
    let mut refused = ramp(2);
    refused.record_refusal();
    assert_eq!(refused.unanswered_limit(), None);
    let fixed = InFlightRamp::new(4, 64, false, 2);
    assert_eq!(fixed.unanswered_limit(), None);
}

#[test]
fn what_shares_the_line_is_no_latency_unless_the_place_is_far() {
    let millis = Duration::from_millis;
    let guess = |latency, coming| {
        let mut ramp = ramp(2);
        ramp.record_unanswered(millis(latency));
        // Chunks that are hashed while they come leave nothing to decode.
        let took = Took {
            whole: millis(latency + coming),
            coming: millis(coming),
        };
        (0..4).for_each(|_| ramp.record_answer(Some(took), Duration::from_micros(50), true));
        ramp.limit()
    };
    // Four of them share a line that carries one in 4 ms.
    assert_eq!([0, 7].map(|latency| guess(latency, 16)), [4, 4]);
    assert_eq!(guess(7, 1), 32);
    // TCP begins with few bytes for each round trip.
    assert_eq!(guess(50, 350), 32);
}
