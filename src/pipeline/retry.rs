//! Which failures are worth another try, and when. Knows nothing of threads, and has no clock.

use std::time::{Duration, Instant};

use crate::backend::{FetchError, retry};
use crate::error::{Error, ErrorKind, Scope};
use crate::format::index::Chunk;
use crate::pipeline::Job;
use crate::pipeline::places::Places;

/// How often a chunk that is missing or corrupt is asked for at each place: once more than it takes to fail, since what is
/// said only once may be a slip.
const LOOKS: u32 = 2;

/// How often one that can't be read is, which a disk or a network file system may get over.
const LOOKS_AT_UNREADABLE: u32 = 3;

/// How often a chunk may meet a lack of this machine's own, such as of file descriptors.
const SHORTAGES: u32 = 4;

/// The longest pause for a chunk that a place refuses for now, where it does not ask for more.
const LONGEST_PAUSE: Duration = Duration::from_secs(16);

/// So often a place may ask for no pause at all.
const FREE: u32 = 3;

/// The longest pause for a chunk whose connections break one after the other.
const LONGEST_RECONNECT: Duration = Duration::from_secs(1);

/// Why a job came back without its chunk.
#[derive(Debug)]
pub(super) enum Failure {
    /// This is the answer to the request for the chunk.
    Fetch(FetchError),
    /// There is no connection, or there is none any more.
    Connection(FetchError),
    /// A blob came, and is not the chunk.
    Corrupt(Error),
    /// It was not asked for: another had been quicker.
    Needless,
    /// A blob came, and was not looked at: another had been quicker.
    Overtaken,
    /// The worker is unwinding: its panic is raised again when it is joined.
    Panicked,
}

impl Failure {
    /// Whose failure it is; `None` where nobody failed.
    pub(super) fn scope(&self) -> Option<Scope> {
        match self {
            Failure::Corrupt(_) => Some(Scope::Chunk),
            Failure::Fetch(error) => error.scope(),
            // What goes wrong with a connection says nothing of any chunk, whatever its name.
            Failure::Connection(error) => match error.scope() {
                Some(Scope::Chunk) => Some(Scope::Place),
                scope => scope,
            },
            Failure::Needless | Failure::Overtaken | Failure::Panicked => None,
        }
    }

    fn fetch_error(&self) -> Option<&FetchError> {
        match self {
            Failure::Fetch(error) | Failure::Connection(error) => Some(error),
            _ => None,
        }
    }

    pub(super) fn is_unreachable(&self) -> bool {
        matches!(self.fetch_error(), Some(FetchError::Unreachable(_)))
    }

    fn is_unreadable(&self) -> bool {
        matches!(self, Failure::Fetch(FetchError::Unreadable(_)))
    }
}

/// How often what is tried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// Most looks for a chunk at each place.
    pub(super) attempts: u32,
    /// Nothing is replaced by zeros that was not looked for twice.
    pub(super) salvage: bool,
}

impl Rules {
    fn looks(self, failure: &Failure) -> u32 {
        let most = if failure.is_unreadable() {
            LOOKS_AT_UNREADABLE
        } else {
            LOOKS
        };
        let least = if self.salvage { LOOKS } else { 1 };
        self.attempts.clamp(least, most.max(least))
    }
}

/// What to do about a failed job.
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
    job: &mut Job,
    failure: Failure,
    rules: Rules,
    places: &Places,
    now: Instant,
) -> Verdict {
    // A byte of the digest is as good as chance.
    let chance = job.chunk.digest.as_bytes()[job.attempt as usize % 32];
    let may_pass = failure.fetch_error().is_some_and(FetchError::may_pass);
    let after = match failure.scope() {
        None => return Verdict::Final(error_of(job, failure)),
        Some(Scope::Ours) => {
            job.shortages += 1;
            if job.shortages == SHORTAGES {
                return Verdict::Final(error_of(job, failure));
            }
            retry::pause(job.shortages, chance, None)
        }
        Some(Scope::Place) if may_pass => {
            job.failed = Some(job.place);
            job.refusals += 1;
            let count = u32::try_from(places.count()).unwrap_or(u32::MAX);
            let rounds = job.refusals / count;
            let asked_for = failure.fetch_error().and_then(FetchError::retry_after);
            let is_round = job.refusals.is_multiple_of(count);
            if !is_round && places.has_another(job.place, job.lacking, now) {
                Duration::ZERO
            } else if failure.is_unreachable() {
                // One connection may break. When a place that can't be reached is asked again, its circuit breaker says;
                // but it may just be this chunk that breaks each.
                let pause = retry::pause(rounds.saturating_sub(1), chance, None);
                if rounds <= 1 {
                    Duration::ZERO
                } else {
                    pause.min(LONGEST_RECONNECT)
                }
            } else {
                // A place that asks for no pause gets one all the same when it goes on to refuse.
                let least = retry::pause(rounds.saturating_sub(FREE), chance, None);
                match asked_for {
                    Some(asked_for) if rounds <= FREE => asked_for,
                    Some(asked_for) => asked_for.max(least.min(LONGEST_PAUSE)),
                    None => retry::pause(rounds, chance, None).min(LONGEST_PAUSE),
                }
            }
        }
        Some(Scope::Place) => {
            job.lacking.insert(job.place);
            job.refused.insert(job.place);
            if places.are_all_in(job.lacking) {
                let error = error_of(job, failure);
                return Verdict::Final(job.remembered(error));
            }
            Duration::ZERO
        }
        Some(Scope::Chunk) => {
            job.lacking.insert(job.place);
            if !places.are_all_in(job.lacking) {
                Duration::ZERO
            } else if job.look < rules.looks(&failure) {
                let pause = match failure.is_unreadable() {
                    true => retry::pause(job.look, chance, None),
                    false => Duration::ZERO,
                };
                job.look += 1;
                job.lacking = job.refused;
                // Damage on the way is cured by another connection, damage in the store is not.
                job.fresh_connection = matches!(
                    failure,
                    Failure::Corrupt(_) | Failure::Fetch(FetchError::TooLong)
                );
                pause
            } else {
                let error = error_of(job, failure);
                return Verdict::Final(job.remembered(error));
            }
        }
    };
    let why = error_of(job, failure);
    job.attempt += 1;
    Verdict::Again { after, why }
}

impl Job {
    /// Of this error and those before it, at other places, the one that is worth telling: a place that could not be
    /// asked may have the chunk, so that it is not lost.
    fn remembered(&mut self, error: Error) -> Error {
        let is_damage = |error: &Error| error.scope() == Some(Scope::Chunk);
        match self.failure.take() {
            Some(earlier) if is_damage(&error) || !is_damage(&earlier) => earlier,
            _ => error,
        }
    }

    /// Keeps why it failed for when nothing is left to try.
    pub(super) fn remember(&mut self, error: Error) {
        let error = self.remembered(error);
        self.failure = Some(error);
    }
}

/// A chunk, as messages name it.
pub(super) fn name_of(chunk: &Chunk, position: usize) -> String {
    let Chunk { digest, offset, .. } = chunk;
    format!("chunk {digest} (position {position}, offset {offset})")
}

fn error_of(job: &Job, failure: Failure) -> Error {
    let chunk = name_of(&job.chunk, job.position);
    let scope = failure.scope();
    let fetch = |verb: &str, error: FetchError| {
        // The sort of failure is in the sentence already: only its cause is news.
        let kind = error.kind();
        let error = match error {
            FetchError::Unreadable(cause)
            | FetchError::Denied(cause)
            | FetchError::Unreachable(cause)
            | FetchError::Transient { cause, .. }
            | FetchError::Resources(cause)
            | FetchError::Fatal(cause) => cause,
            error => error.into(),
        };
        Error::new(kind, format!("{verb} {chunk}")).because(error)
    };
    let corrupt = || Error::new(ErrorKind::Corrupt, format!("{chunk} is corrupt"));
    let error = match failure {
        // The chunk is named here already.
        Failure::Corrupt(error) => match std::error::Error::source(&error) {
            Some(cause) => corrupt().because(cause.to_string()),
            None => corrupt().because(error),
        },
        Failure::Fetch(FetchError::Missing) => Error::new(
            ErrorKind::Missing,
            format!("{chunk} is missing in the datastore"),
        ),
        Failure::Fetch(FetchError::TooLong) => corrupt().because(FetchError::TooLong),
        Failure::Fetch(error @ FetchError::Unreadable(_)) => fetch("cannot read", error),
        Failure::Fetch(error @ FetchError::Denied(_))
        | Failure::Connection(error @ FetchError::Denied(_)) => fetch("access is denied to", error),
        Failure::Connection(
            error @ (FetchError::Missing | FetchError::Unreadable(_) | FetchError::TooLong),
        ) => {
            let message = format!("cannot connect to the place of {chunk}");
            Error::new(ErrorKind::Unavailable, message).because(error)
        }
        Failure::Fetch(error) | Failure::Connection(error) => match job.attempt {
            1 => fetch("cannot fetch", error),
            attempt => fetch(&format!("in {attempt} attempts cannot fetch"), error),
        },
        Failure::Needless | Failure::Overtaken | Failure::Panicked => Error::new(
            ErrorKind::Resources,
            format!("the worker that fetched {chunk} panicked"),
        ),
    };
    error
        .of_scope(scope)
        .of_chunk(job.chunk.digest)
        .at_position(job.position)
        .at_offset(job.chunk.offset)
}
