//! What was done so far; the report is the progress. Knows nothing of how it is done.

use std::fmt;
use std::time::Duration;

use crate::error::Error;

/// What a restore has done so far, and in the end what it did. All in bytes, unless said otherwise.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// The length of what is restored.
    pub len: u64,
    /// How much of it the target has taken, in order from the start.
    pub committed: u64,
    /// How much of that was chunks of zeros, which are known by their digest and not fetched.
    pub zeros: u64,
    /// How many chunks were fetched and committed.
    pub chunks: u64,
    /// The size of their blobs, as the datastore holds them.
    pub fetched: u64,
    /// How many times something was asked for again.
    pub retries: u64,
    /// Time since the start.
    pub elapsed: Duration,
    /// How long the calling thread waited for the next chunk in order.
    pub waiting: Duration,
    /// How long the target took for what it was given.
    pub writing: Duration,
    /// How long worker threads waited for the place, all together.
    pub fetching: Duration,
    /// How long worker threads decrypted, decompressed and verified, all together.
    pub decoding: Duration,
}

impl Report {
    /// Committed bytes per second since the start.
    #[must_use]
    pub fn speed(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 {
            self.committed as f64 / seconds
        } else {
            0.0
        }
    }
}

impl fmt::Display for Report {
    /// One line for people: `24.0 MiB in 0.3 s (80.0 MiB/s): 4 chunks fetched as 96.1 KiB, 8.0 MiB zeros`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} in {:.1} s ({}/s): {} chunk{} fetched as {}, {} zeros",
            Size(self.committed as f64),
            self.elapsed.as_secs_f64(),
            Size(self.speed()),
            self.chunks,
            if self.chunks == 1 { "" } else { "s" },
            Size(self.fetched as f64),
            Size(self.zeros as f64),
        )?;
        match self.retries {
            0 => Ok(()),
            1 => f.write_str(", 1 retry"),
            retries => write!(f, ", {retries} retries"),
        }
    }
}

/// Told to the observer of a restore, on the thread that runs it.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// After every commit, and at least once a second.
    Progress(&'a Report),
    /// A chunk is asked for again, because of this.
    Retried(&'a Error),
}

struct Size(f64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut size = self.0;
        for unit in ["bytes", "KiB", "MiB", "GiB"] {
            if size < 1024.0 {
                let decimals = usize::from(unit != "bytes");
                return write!(f, "{size:.decimals$} {unit}");
            }
            size /= 1024.0;
        }
        write!(f, "{size:.1} TiB")
    }
}
