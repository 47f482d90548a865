//! Which failures are worth another try, and when. Knows nothing of threads.

use std::time::{Duration, Instant};

use crate::backend::{FetchError, retry};
use crate::error::{Error, ErrorKind};
use crate::pipeline::Job;
use crate::pipeline::places::Places;

/// Why a job came back without its chunk.
#[derive(Debug)]
pub(super) enum Failure {
    /// No blob came.
    Fetch(FetchError),
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
    /// Whether it is the place that failed, and did not just lack the chunk; `None` where it was not asked.
    pub(super) fn is_of_place(&self) -> Option<bool> {
        use FetchError::{Cancelled, Denied, Fatal, Resources, Transient, Unsupported};
        match self {
            Failure::Needless | Failure::Panicked | Failure::Fetch(Cancelled) => None,
            Failure::Fetch(Transient { .. } | Denied(_) | Unsupported) => Some(true),
            Failure::Fetch(Resources(_)) => None,
            Failure::Fetch(error @ Fatal(_)) => Some(error.kind() != ErrorKind::Missing),
            Failure::Fetch(_) | Failure::Corrupt(_) | Failure::Overtaken => Some(false),
        }
    }
}

/// What to do about a failed job.
pub(super) enum Verdict {
    /// Ask again at this time.
    Again { at: Instant, why: Error },
    /// The restore fails.
    Final(Error),
}

/// Decides about a failed job, and prepares it to be asked again: elsewhere at once, or here after a while.
pub(super) fn judge(job: &mut Job, failure: Failure, attempts: u32, places: &Places) -> Verdict {
    let count = u32::try_from(places.count()).unwrap_or(u32::MAX);
    let most = attempts.saturating_mul(count);
    let mut elsewhere = job.lacking;
    elsewhere.insert(job.place);
    let mut other = places.choose(elsewhere, None);
    let pause = match &failure {
        Failure::Needless
        | Failure::Overtaken
        | Failure::Panicked
        | Failure::Fetch(FetchError::Cancelled) => {
            return Verdict::Final(error_of(job, failure));
        }
        Failure::Fetch(FetchError::Transient { retry_after, .. }) if job.attempt < most => {
            other = (places.choose(job.lacking, Some(job.place))).filter(|next| *next != job.place);
            // A byte of the digest is as good as chance.
            let chance = job.chunk.digest.as_bytes()[job.attempt as usize % 32];
            let asked_for = retry_after.filter(|_| other.is_none());
            match other {
                // Where all were asked and failed, none is asked again at once.
                Some(_) if !job.attempt.is_multiple_of(count) => Duration::ZERO,
                _ => retry::pause(job.attempt.div_ceil(count), chance, asked_for),
            }
        }
        // Damage on the way is cured by another connection, damage in the store is not.
        Failure::Corrupt(_) if other.is_none() && !job.fresh_connection && job.attempt < most => {
            job.fresh_connection = true;
            Duration::ZERO
        }
        // Each place is asked once, also where a single attempt was to be made.
        _ => {
            job.lacking = elsewhere;
            if other.is_none() {
                let error = error_of(job, failure);
                return Verdict::Final(job.remembered(error));
            }
            Duration::ZERO
        }
    };
    let why = error_of(job, failure);
    job.attempt += 1;
    job.go_to(other.unwrap_or(job.place));
    let at = Instant::now() + pause;
    Verdict::Again { at, why }
}

impl Job {
    /// Of this error and those before it, at other places, the one that is worth telling: a place that could not be
    /// asked may have the chunk, so that it is not lost.
    fn remembered(&mut self, error: Error) -> Error {
        let is_damage = |error: &Error| {
            use ErrorKind::{Corrupt, Missing, Unreadable};
            matches!(error.kind(), Corrupt | Missing | Unreadable)
        };
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

fn error_of(job: &Job, failure: Failure) -> Error {
    let chunk = format!(
        "chunk {} (position {}, offset {})",
        job.chunk.digest, job.position, job.chunk.offset
    );
    let fetch = |verb: &str, error: FetchError| {
        // The sort of failure is in the sentence already: only its cause is news.
        let kind = error.kind();
        let error = match error {
            FetchError::Unreadable(cause)
            | FetchError::Denied(cause)
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
        Failure::Fetch(error @ FetchError::Denied(_)) => fetch("access is denied to", error),
        Failure::Fetch(error) => match job.attempt {
            1 => fetch("cannot fetch", error),
            attempt => fetch(&format!("in {attempt} attempts cannot fetch"), error),
        },
        Failure::Needless | Failure::Overtaken | Failure::Panicked => Error::new(
            ErrorKind::Resources,
            format!("the worker that fetched {chunk} panicked"),
        ),
    };
    error
        .of_chunk(job.chunk.digest)
        .at_position(job.position)
        .at_offset(job.chunk.offset)
}
