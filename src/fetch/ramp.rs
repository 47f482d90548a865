//! How many requests a lane has in flight. The time is an argument.
//!
//! By Little's law a line is full when as many requests are in flight as chunks come in the time that one chunk takes of itself.
//! With fewer the line idles; more of them only wait for one another, and take memory and caches. So the ramp compares how
//! long chunks take with how long they took at the quickest: the rest of the time they waited. It is the rule of TCP Vegas
//! (Brakmo and Peterson, 1995), with chunks for packets.

use std::time::Duration;

/// The requests that wait for others are to be at least so many, and this share of all, lest the line idle where chunks take
/// unequal times.
const QUEUE_MIN: f64 = 1.0;
const QUEUE_MIN_SHARE: f64 = 0.2;

/// And no more than so many, and this share of all.
const QUEUE_MAX: f64 = 2.0;
const QUEUE_MAX_SHARE: f64 = 0.35;

/// A round is so many answers, or as many as are in flight if these are more; and fewer at the start, when the limit may be far
/// from right.
const ROUND_MIN: usize = 32;
const FIRST_ROUND_MIN: usize = 8;

/// The first guess is so many times what keeps the cores busy with decoding.
const FIRST_GUESS_FACTOR: f64 = 1.25;

/// And no more than this: few answers are little to go by, and a place may not take hundreds of requests at once.
const FIRST_GUESS_MAX: usize = 32;

/// A step down was right if it shortened the time of chunks by this share of what the queue alone would make of it.
const SHORTENED_SHARE: f64 = 0.7;

/// With a request in flight for each core, more of them bring something only where a chunk takes so many times as long to come
/// as to decode. Otherwise the cores are busy already, and more chunks only push one another out of the caches.
const GROWTH_RATIO_MIN: f64 = 2.5;

/// After a step down that was wrong no other is tried for so many rounds, and for twice as many each time, up to the most.
const REST_MIN: u32 = 8;
const REST_MAX: u32 = 512;

/// After a refusal one more request is tried for each so many answers.
const ANSWERS_PER_STEP: usize = 16;

/// The in-flight limit of a lane, which follows what the answers show.
#[derive(Debug)]
pub(super) struct InFlightRamp {
    limit: usize,
    max: usize,
    /// Whether it follows how long chunks take. If not, only refusals lower it.
    adapts: bool,
    /// How many chunks can be decoded at the same time.
    cores: usize,
    /// The most that a place which refused is asked for, and the answers since that was last raised.
    allowed: usize,
    answers: usize,
    /// Answers that still tell of what was in flight before the last change.
    settling: usize,
    /// How long the answers of this round took, and how many of them came while the lane was full.
    round: Vec<Duration>,
    full: usize,
    /// How long workers decoded in this round. A worker that has one request in flight decodes the last answer meanwhile, so
    /// that no chunk seems to take shorter than that.
    decoding: Duration,
    /// How long a chunk takes of itself.
    quickest: Option<Duration>,
    /// Whether a step up doubles the limit: nobody knows yet how far it is from right.
    is_starting: bool,
    /// Whether the answers of this round are those to the first requests.
    is_first: bool,
    /// What a step down started from: the limit, and how long chunks took.
    stepped_down: Option<(usize, Duration)>,
    /// Rounds without a step down, and how many they will be after the next wrong one.
    rest: u32,
    next_rest: u32,
}

impl InFlightRamp {
    /// From `start` requests, between 1 and `max`, where so many chunks can be decoded at the same time.
    pub(super) fn new(start: usize, max: usize, adapts: bool, cores: usize) -> InFlightRamp {
        InFlightRamp {
            limit: start.min(max),
            max,
            adapts,
            cores,
            allowed: usize::MAX,
            answers: 0,
            settling: 0,
            round: Vec::new(),
            full: 0,
            decoding: Duration::ZERO,
            quickest: None,
            is_starting: true,
            is_first: true,
            stepped_down: None,
            rest: 0,
            next_rest: REST_MIN,
        }
    }

    /// How many requests may be in flight.
    pub(super) fn limit(&self) -> usize {
        self.limit.min(self.allowed)
    }

    /// An answer came: how long it took, where that is known, how long the worker then decoded it, and whether the lane had as
    /// many jobs as it may.
    pub(super) fn record_answer(
        &mut self,
        took: Option<Duration>,
        decoding: Duration,
        was_full: bool,
    ) {
        self.answers += 1;
        if self.allowed < self.max && self.answers >= ANSWERS_PER_STEP {
            (self.allowed, self.answers) = (self.allowed + 1, 0);
        }
        if self.settling > 0 {
            self.settling -= 1;
            return;
        }
        // While refusals bound what is in flight, nothing is learnt of what the line can take.
        let follows = self.adapts && self.limit <= self.allowed;
        let Some(took) = took.filter(|_| follows) else {
            return;
        };
        self.round.push(took);
        self.decoding += decoding;
        self.full += usize::from(was_full);
        let enough = match (self.is_first, self.is_starting) {
            (true, _) => 1,
            (_, true) => FIRST_ROUND_MIN,
            _ => ROUND_MIN,
        };
        if self.round.len() >= self.limit.max(enough) {
            self.end_round();
        }
    }

    /// The place asked for less. A request that was made before the place was last heeded says nothing new.
    pub(super) fn record_refusal(&mut self) {
        if self.settling > 0 {
            self.settling -= 1;
            return;
        }
        self.allowed = (self.limit() / 2).max(1);
        self.answers = 0;
        // The limit itself stays: once the place takes more again, it is there at once.
        self.settle(2 * self.allowed);
    }

    /// What is in flight now was asked for under another limit.
    fn settle(&mut self, in_flight: usize) {
        self.settling = in_flight;
        self.begin_round();
    }

    fn begin_round(&mut self) {
        self.round.clear();
        (self.full, self.decoding) = (0, Duration::ZERO);
    }

    fn end_round(&mut self) {
        let took = mean(&self.round);
        let is_full = 2 * self.full >= self.round.len();
        let quickest = self.quickest.unwrap_or(took).min(took);
        self.quickest = Some(quickest);
        let decoding = self.decoding / u32::try_from(self.round.len()).unwrap_or(u32::MAX);
        let quickest = quickest.max(decoding).min(took);
        let next = match self.stepped_down.take() {
            _ if self.is_first => self.first_guess(took, decoding),
            Some((limit, before)) if !is_shorter(took, before, self.limit, limit) => {
                // Chunks take as long without waiting for others: that is the place's own time.
                self.quickest = Some(took);
                self.is_starting = true;
                self.rest = self.next_rest;
                self.next_rest = (2 * self.next_rest).min(REST_MAX);
                limit
            }
            _ => self.follow(took, quickest, is_full && self.may_grow(took, decoding)),
        };
        self.is_first = false;
        let before = std::mem::replace(&mut self.limit, next);
        if next == before {
            self.begin_round();
        } else {
            self.settle(before);
        }
    }

    /// Whether more requests in flight may bring something, where chunks take so long to come and to decode.
    fn may_grow(&self, took: Duration, decoding: Duration) -> bool {
        let ratio = took.as_secs_f64() / decoding.as_secs_f64().max(f64::MIN_POSITIVE);
        self.limit < self.cores || ratio >= GROWTH_RATIO_MIN
    }

    /// No more chunks can come than the cores decode, so that no more need to be in flight than come in the time of one. It is
    /// only a guess: the first chunks may be others than the rest.
    fn first_guess(&self, took: Duration, decoding: Duration) -> usize {
        if !self.may_grow(took, decoding) {
            return self.limit;
        }
        let busy = took.as_secs_f64() / decoding.as_secs_f64().max(f64::MIN_POSITIVE);
        let guess = FIRST_GUESS_FACTOR * self.cores as f64 * busy;
        // A number too large for it becomes the largest there is.
        (guess.ceil() as usize)
            .clamp(1, FIRST_GUESS_MAX)
            .min(self.max)
    }

    /// The limit for the next round.
    fn follow(&mut self, took: Duration, quickest: Duration, may_grow: bool) -> usize {
        let in_flight = self.limit as f64;
        let busy = in_flight * quickest.as_secs_f64() / took.as_secs_f64().max(f64::MIN_POSITIVE);
        let queue = in_flight - busy;
        self.rest = self.rest.saturating_sub(1);
        if queue < QUEUE_MIN.max(QUEUE_MIN_SHARE * in_flight) {
            let step = if self.is_starting {
                self.limit
            } else {
                (self.limit / 4).max(1)
            };
            return match may_grow {
                true => (self.limit + step).min(self.max),
                false => self.limit,
            };
        }
        self.is_starting = false;
        if queue <= QUEUE_MAX.max(QUEUE_MAX_SHARE * in_flight) || self.rest > 0 {
            return self.limit;
        }
        let wanted = (busy + QUEUE_MIN).max(busy / (1.0 - QUEUE_MIN_SHARE));
        let next = (wanted.ceil() as usize).clamp(1, self.limit);
        if next < self.limit {
            self.stepped_down = Some((self.limit, took));
        }
        next
    }
}

/// Whether chunks take shorter with `now` requests in flight than with `then`, as they do where they waited for one another.
fn is_shorter(took: Duration, before: Duration, now: usize, then: usize) -> bool {
    let shortened = SHORTENED_SHARE * (1.0 - now as f64 / then as f64);
    took.as_secs_f64() < before.as_secs_f64() * (1.0 - shortened)
}

fn mean(times: &[Duration]) -> Duration {
    let count = u32::try_from(times.len()).unwrap_or(u32::MAX).max(1);
    times.iter().sum::<Duration>() / count
}

#[cfg(test)]
mod tests {
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
                ramp.record_answer(Some(took), decoding, asked < chunks);
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
}
