//! How many requests a lane has in flight. The time is an argument.
//!
//! By Little's law a line is full when as many requests are in flight as chunks come in the time that one chunk takes of itself.
//! With fewer the line idles; more of them only wait for one another, and take memory and caches. So the ramp compares how
//! long chunks take with how long they took at the quickest: the rest of the time they waited. It is the rule of TCP Vegas
//! (Brakmo and Peterson, 1995), with chunks for packets.

use std::time::Duration;

use crate::fetch::job::Took;

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

/// The first guess is so many times what keeps the line or the cores busy.
const FIRST_GUESS_FACTOR: f64 = 1.25;

/// And no more than this: few answers are little to go by, and a place may not take hundreds of requests at once.
const FIRST_GUESS_MAX: usize = 32;

/// Until an answer has come, no more requests than this are in flight: nothing is known of the place.
const UNANSWERED_MAX: usize = 16;

/// What a core takes to decode a chunk, as long as no chunk has shown how long it takes.
const USUAL_DECODING: Duration = Duration::from_millis(5);

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
    /// How long the bytes of answers came in this round, and the shortest time until the first byte of one came.
    coming: Duration,
    latency: Duration,
    /// How long workers decoded in this round. A worker that has one request in flight decodes the last answer meanwhile, so
    /// that no chunk seems to take shorter than that.
    decoding: Duration,
    /// How long a chunk takes of itself.
    quickest: Option<Duration>,
    /// Whether a step up doubles the limit: nobody knows yet how far it is from right.
    is_starting: bool,
    /// Whether the answers of this round are those to the first requests, and how many these were.
    is_first: bool,
    start: usize,
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
            coming: Duration::ZERO,
            latency: Duration::MAX,
            decoding: Duration::ZERO,
            quickest: None,
            is_starting: true,
            is_first: true,
            start: start.min(max),
            stepped_down: None,
            rest: 0,
            next_rest: REST_MIN,
        }
    }

    /// How many requests may be in flight.
    pub(super) fn limit(&self) -> usize {
        self.limit.min(self.allowed)
    }

    /// How long the first answer must have been waited for until more requests may be in flight: as long as it takes to decode
    /// what is in flight already, since the cores are idle from then on. `None` where only answers will tell.
    pub(super) fn unanswered_limit(&self) -> Option<Duration> {
        let is_untried = self.is_first && self.round.is_empty() && self.allowed == usize::MAX;
        let may_grow = self.limit < UNANSWERED_MAX.min(self.max);
        let decoding = USUAL_DECODING.mul_f64(self.limit as f64 / self.cores.max(1) as f64);
        (self.adapts && is_untried && may_grow).then_some(decoding)
    }

    /// The first answer has been waited for so long.
    pub(super) fn record_unanswered(&mut self, waited: Duration) {
        while self.unanswered_limit().is_some_and(|limit| limit <= waited) {
            self.limit = (2 * self.limit).min(UNANSWERED_MAX).min(self.max);
        }
    }

    /// An answer came: how long it took, where that is known, how long the worker then decoded it, and whether the lane had as
    /// many jobs as it may.
    pub(super) fn record_answer(&mut self, took: Option<Took>, decoding: Duration, was_full: bool) {
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
        self.round.push(took.whole);
        self.coming += took.coming;
        let latency = took.whole.saturating_sub(took.coming);
        self.latency = self.latency.min(latency);
        self.decoding += decoding;
        self.full += usize::from(was_full);
        let enough = match (self.is_first, self.is_starting) {
            // Only these were in flight with no others.
            (true, _) => self.start,
            (_, true) => self.limit.max(FIRST_ROUND_MIN),
            _ => self.limit.max(ROUND_MIN),
        };
        if self.round.len() >= enough {
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
        (self.coming, self.latency) = (Duration::ZERO, Duration::MAX);
    }

    fn end_round(&mut self) {
        let took = mean(&self.round);
        let is_full = 2 * self.full >= self.round.len();
        let quickest = self.quickest.unwrap_or(took).min(took);
        self.quickest = Some(quickest);
        let answers = u32::try_from(self.round.len()).unwrap_or(u32::MAX);
        let (decoding, coming) = (self.decoding / answers, self.coming / answers);
        let quickest = quickest.max(decoding).min(took);
        let next = match self.stepped_down.take() {
            _ if self.is_first => self.first_guess(took, coming, decoding),
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

    /// No more chunks can come than the line carries and the cores decode, so that no more need to be in flight than do so in
    /// the time of one. It is only a guess: the first chunks may be others than the rest.
    fn first_guess(&self, took: Duration, coming: Duration, decoding: Duration) -> usize {
        if !self.may_grow(took, decoding) {
            return self.limit;
        }
        let on_cores = decoding.as_secs_f64() / self.cores.max(1) as f64;
        let (one, each) = if self.limit >= UNANSWERED_MAX {
            // From afar the bytes of a new connection come slowly, however much the line carries: TCP begins with few.
            (took.as_secs_f64(), on_cores)
        } else {
            // The first ones came at the same time, and shared the line.
            let on_line = coming.as_secs_f64() / self.start.max(1) as f64;
            let one = self.latency.as_secs_f64() + on_line;
            (one, on_line.max(on_cores))
        };
        let guess = FIRST_GUESS_FACTOR * one / each.max(f64::MIN_POSITIVE);
        let least = if self.limit > self.start {
            // The first byte was waited for.
            self.limit
        } else {
            // While one chunk is decoded, another one comes.
            (2 * self.cores).min(self.start)
        };
        // A number too large for it becomes the largest there is.
        (guess.ceil() as usize)
            .clamp(least.max(1), FIRST_GUESS_MAX)
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
mod tests;
