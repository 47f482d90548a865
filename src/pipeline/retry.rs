//! Which failures are worth another try, and when. Knows nothing of threads.

use std::time::{Duration, Instant};

use crate::backend::FetchError;
use crate::error::{Error, ErrorKind};
use crate::pipeline::Job;

/// The first pause; each further one is four times as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The longest pause, whatever a place asks for.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

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
            retry_after
                .unwrap_or_else(|| back_off(job))
                .min(LONGEST_PAUSE)
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

/// Exponential, and up to a half shorter by the chunk's digest, which is as good as chance: so that those that failed
/// together don't come back together.
fn back_off(job: &Job) -> Duration {
    let pause = FIRST_PAUSE.saturating_mul(4u32.saturating_pow(job.attempt - 1));
    let jitter = f64::from(job.chunk.digest.as_bytes()[job.attempt as usize % 32]) / 512.0;
    pause.min(LONGEST_PAUSE).mul_f64(1.0 - jitter)
}

fn error_of(job: &Job, failure: Failure) -> Error {
    let chunk = format!(
        "chunk {} (position {}, offset {})",
        job.chunk.digest, job.position, job.chunk.offset
    );
    let error = match failure {
        Failure::Corrupt(error) => match std::error::Error::source(&error) {
            // The chunk is named here already: only its cause is news.
            Some(cause) => Error::new(ErrorKind::Corrupt, format!("{chunk} is corrupt"))
                .because(cause.to_string()),
            None => Error::new(ErrorKind::Corrupt, format!("{chunk} is corrupt")).because(error),
        },
        Failure::Fetch(FetchError::Missing) => Error::new(
            ErrorKind::Missing,
            format!("{chunk} is missing in the datastore"),
        ),
        Failure::Fetch(FetchError::TooLong) => {
            Error::new(ErrorKind::Corrupt, format!("{chunk} is corrupt"))
                .because(FetchError::TooLong)
        }
        Failure::Fetch(FetchError::Unreadable(cause)) => {
            Error::new(ErrorKind::Unreadable, format!("{chunk} can't be read")).because(cause)
        }
        Failure::Fetch(FetchError::Denied(cause)) => {
            Error::new(ErrorKind::Denied, format!("{chunk} may not be fetched")).because(cause)
        }
        Failure::Fetch(FetchError::Transient { cause, .. }) => Error::new(
            ErrorKind::Unavailable,
            match job.attempt {
                1 => format!("cannot fetch {chunk}"),
                attempt => format!("cannot fetch {chunk}, attempt {attempt}"),
            },
        )
        .because(cause),
        Failure::Fetch(FetchError::Fatal(cause)) => {
            Error::new(ErrorKind::Unavailable, format!("cannot fetch {chunk}")).because(cause)
        }
        Failure::Fetch(error @ FetchError::Unsupported) => {
            Error::new(ErrorKind::Unsupported, format!("cannot fetch {chunk}")).because(error)
        }
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
