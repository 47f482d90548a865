//! Which failures are worth another try, and when. The time is an argument.

use std::time::{Duration, Instant};

use crate::backend::retry::pause;
use crate::error::{Error, FetchError, Scope};
use crate::fetch::dispatcher::Rules;
use crate::fetch::failure::{Failure, error_of};
use crate::fetch::health::{CircuitBreakers, PlaceSet};
use crate::fetch::task::Task;

/// How often a chunk that is missing or corrupt is asked for at each place: a place that says so only once may have made a slip.
const DAMAGED_LOOKS: u32 = 2;

/// How often a chunk that can't be read is, which a disk or a network file system may get over.
const UNREADABLE_LOOKS: u32 = 3;

/// How often a chunk may meet a lack of this machine's own, such as of file descriptors.
const SHORTAGES_MAX: u32 = 4;

/// How many connections are ended because one chunk did not come over them before the chunk is given up: others may come all
/// the while, so that the patience with the places never ends.
const STALLS_MAX: u32 = 3;

/// The longest pause for a chunk that a place refuses for now, where the place does not ask for a longer one.
const REFUSAL_PAUSE_MAX: Duration = Duration::from_secs(16);

/// So often a place may ask for no pause at all.
const NO_PAUSE_MAX: u32 = 3;

/// The longest pause for a chunk whose connections break one after the other.
const RECONNECT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// How many times a chunk is looked for at each place that fails so.
fn looks(rules: Rules, failure: &Failure) -> u32 {
    let most = if failure.is_unreadable() {
        UNREADABLE_LOOKS
    } else {
        DAMAGED_LOOKS
    };
    // Nothing is replaced by zeros that was not looked for twice.
    let least = if rules.salvage { DAMAGED_LOOKS } else { 1 };
    rules.attempts.clamp(least, most.max(least))
}

/// What to do about a failed task.
pub(super) enum Verdict {
    /// Ask again after this time, as soon as a place that may have it can be asked.
    Again { after: Duration, why: Error },
    /// Nothing is left to try.
    Final(Error),
}

/// Decides about a failed job, and prepares it to be asked again.
///
/// What is wrong with the chunk counts against the chunk, at one place after the other. What is wrong with a place that may
/// come back counts against the place alone: how long to wait for it is decided elsewhere.
pub(super) fn judge(
    task: &mut Task,
    failure: Failure,
    rules: Rules,
    places: &CircuitBreakers,
    now: Instant,
) -> Verdict {
    let after = match failure.scope() {
        None => None,
        Some(Scope::Ours) => task.after_shortage(),
        Some(Scope::Place) if task.stalls >= STALLS_MAX => None,
        Some(Scope::Place) if failure.fetch_error().is_some_and(FetchError::may_pass) => {
            Some(task.after_refusal(&failure, places, now))
        }
        Some(Scope::Place) => task.elsewhere(places),
        Some(Scope::Chunk) => task.after_damage(&failure, rules, places),
    };
    let why = error_of(&task.want.chunk, task.want.position, task.attempt, failure);
    match after {
        Some(after) => {
            task.attempt += 1;
            Verdict::Again { after, why }
        }
        None => Verdict::Final(task.worth_telling(why)),
    }
}

impl Task {
    /// How long to wait after this machine lacked something; `None` where it lacked it too often.
    fn after_shortage(&mut self) -> Option<Duration> {
        self.shortages += 1;
        (self.shortages < SHORTAGES_MAX).then(|| pause(self.shortages, self.chance(), None))
    }

    /// How long to wait for a place that refused for now, or could not be reached.
    fn after_refusal(
        &mut self,
        failure: &Failure,
        places: &CircuitBreakers,
        now: Instant,
    ) -> Duration {
        self.failed.insert(self.place);
        if places.are_all_in(self.failed.union(self.lacking)) {
            self.failed = PlaceSet::default();
            self.failed.insert(self.place);
        }
        self.refusals += 1;
        let count = u32::try_from(places.count()).unwrap_or(u32::MAX);
        let (rounds, chance) = (self.refusals / count, self.chance());
        // Where all were asked and failed, none is asked again at once.
        let is_round = self.refusals.is_multiple_of(count);
        if !is_round && places.has_another(self.place, self.lacking, self.failed, now) {
            return Duration::ZERO;
        }
        if failure.is_unreachable() {
            // One connection may break. When a place that can't be reached is asked again, its circuit breaker says; but
            // it may just be this chunk that breaks each.
            return match rounds {
                0 | 1 => Duration::ZERO,
                _ => pause(rounds - 1, chance, None).min(RECONNECT_PAUSE_MAX),
            };
        }
        match failure.fetch_error().and_then(FetchError::retry_after) {
            None => pause(rounds, chance, None).min(REFUSAL_PAUSE_MAX),
            Some(asked_for) if rounds <= NO_PAUSE_MAX => asked_for,
            // A place that asks for no pause gets one all the same when it goes on to refuse.
            Some(asked_for) => {
                let least = pause(rounds - NO_PAUSE_MAX, chance, None);
                asked_for.max(least.min(REFUSAL_PAUSE_MAX))
            }
        }
    }

    /// The place will never give it: another may, at once.
    fn elsewhere(&mut self, places: &CircuitBreakers) -> Option<Duration> {
        self.lacking.insert(self.place);
        self.refused.insert(self.place);
        (!places.are_all_in(self.lacking)).then_some(Duration::ZERO)
    }

    /// What the place has is not right: another place may have it, or a second look find it.
    fn after_damage(
        &mut self,
        failure: &Failure,
        rules: Rules,
        places: &CircuitBreakers,
    ) -> Option<Duration> {
        self.lacking.insert(self.place);
        if !places.are_all_in(self.lacking) {
            return Some(Duration::ZERO);
        }
        if self.look >= looks(rules, failure) {
            return None;
        }
        self.look += 1;
        self.lacking = self.refused;
        // Damage on the way is cured by another connection, damage in the store is not.
        self.fresh_connection = matches!(
            failure,
            Failure::Corrupt(_) | Failure::Fetch(FetchError::TooLong)
        );
        Some(match failure.is_unreadable() {
            true => pause(self.look - 1, self.chance(), None),
            false => Duration::ZERO,
        })
    }

    /// A byte of the digest is as good as chance.
    fn chance(&self) -> u8 {
        self.want.chunk.digest.as_bytes()[self.attempt as usize % 32]
    }

    /// Keeps why the chunk can't be had at a place, for when nothing is left to try. A failure that passed is not kept: the place
    /// will be asked again.
    pub(super) fn remember(&mut self, error: Error) {
        match error.scope() {
            Some(Scope::Chunk) => _ = self.damage.get_or_insert(error),
            Some(Scope::Place) if self.refused.contains(self.place) => {
                self.refusal.get_or_insert(error);
            }
            _ => {}
        }
    }

    /// Of the last error and those before it, the one that is worth telling: a place that refuses the chunk may have it, so that
    /// the chunk is not lost.
    fn worth_telling(&mut self, last: Error) -> Error {
        let earlier = match last.scope() {
            Some(Scope::Chunk) => self.refusal.take().or_else(|| self.damage.take()),
            Some(Scope::Place) => self.refusal.take(),
            _ => None,
        };
        earlier.unwrap_or(last)
    }
}
