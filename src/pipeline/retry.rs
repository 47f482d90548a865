//! Which failures are worth another try, and when. Knows nothing of threads.

use std::time::{Duration, Instant};

use crate::backend::{FetchError, retry};
use crate::error::{Error, ErrorKind};
use crate::pipeline::Job;

/// Why a job came back without its chunk.
#[derive(Debug)]
pub(super) enum Failure {
    /// No blob came.
    Fetch(FetchError),
    /// A blob came, and is not the chunk.
    Corrupt(Error),
    /// The worker is unwinding: its panic is raised again when it is joined.
    Panicked,
}

/// What to do about a failed job.
pub(super) enum Verdict {
    /// Ask again at this time.
    Again { at: Instant, why: Error },
    /// The restore fails.
    Final(Error),
}

/// Decides about a failed job, and prepares it to be asked again.
pub(super) fn judge(job: &mut Job, failure: Failure, attempts: u32) -> Verdict {
    let pause = match &failure {
        Failure::Fetch(FetchError::Transient { retry_after, .. }) if job.attempt < attempts => {
            // A byte of the digest is as good as chance.
            let chance = job.chunk.digest.as_bytes()[job.attempt as usize % 32];
            retry::pause(job.attempt, chance, *retry_after)
        }
        // Damage on the way is cured by another connection, damage in the store is not.
        Failure::Corrupt(_) if !job.fresh_connection && job.attempt < attempts => {
            job.fresh_connection = true;
            Duration::ZERO
        }
        _ => return Verdict::Final(error_of(job, failure)),
    };
    let why = error_of(job, failure);
    job.attempt += 1;
    let at = Instant::now() + pause;
    Verdict::Again { at, why }
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
        Failure::Panicked => Error::new(
            ErrorKind::Resources,
            format!("the worker that fetched {chunk} panicked"),
        ),
    };
    error
        .of_chunk(job.chunk.digest)
        .at_position(job.position)
        .at_offset(job.chunk.offset)
}
