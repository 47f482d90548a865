//! What was done so far; the report is the progress. Knows nothing of how it is done.

use std::fmt;
use std::time::Duration;

use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Scope};
use crate::format::index::Chunk;

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
    /// How much of it the target held already.
    pub kept: u64,
    /// How much of it occurred before in the same archive, and was fetched no second time.
    pub repeated: u64,
    /// How much of it came from seeds.
    pub seeded: u64,
    /// How many chunks were fetched and committed.
    pub chunks: u64,
    /// The size of all blobs that came, as the datastore holds them.
    pub fetched: u64,
    /// How much of that came too late: the same chunk had come another way.
    pub surplus: u64,
    /// What each of the archive's places gave, in their order, without those that have another archive under its name.
    pub places: Vec<PlaceReport>,
    /// How many times something was asked for again, because it failed.
    pub retries: u64,
    /// How many times a late chunk was asked for a second time.
    pub races: u64,
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
    /// What could not be had, in the order of the archive: zeros stand in for it. Only a
    /// [`salvage`](crate::Restore::salvage) goes on after damage.
    pub damage: Vec<Damage>,
}

/// What one of several places gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlaceReport {
    /// How many chunks came from there that were of use.
    pub chunks: u64,
    /// The size of all blobs that came from there, in bytes.
    pub fetched: u64,
    /// How many times it could not be asked, or did not answer.
    pub failures: u64,
}

/// A chunk that could not be had: the datastore lacks it, or what it holds is not the chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// Its place in the index, from 0.
    pub position: usize,
    /// Where it begins in the archive, in bytes.
    pub offset: u64,
    /// Its length in bytes.
    pub len: u32,
    /// Its name.
    pub digest: Digest,
    /// [`Missing`](ErrorKind::Missing), [`Corrupt`](ErrorKind::Corrupt) or [`Unreadable`](ErrorKind::Unreadable). What
    /// could not be fetched is none of these, and fails the restore.
    pub kind: ErrorKind,
}

impl Damage {
    /// The damage that an error tells of, if it does.
    pub(crate) fn of(chunk: &Chunk, position: usize, error: &Error) -> Option<Damage> {
        (error.scope() == Some(Scope::Chunk)).then(|| Damage {
            position,
            offset: chunk.offset,
            len: chunk.len,
            digest: chunk.digest,
            kind: error.kind(),
        })
    }
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
            "{} in {:.1} s ({}/s): {} chunk{} fetched as {}",
            Size(self.committed as f64),
            self.elapsed.as_secs_f64(),
            Size(self.speed()),
            self.chunks,
            if self.chunks == 1 { "" } else { "s" },
            Size(self.fetched as f64),
        )?;
        let parts = [
            (self.zeros, "zeros"),
            (self.kept, "kept"),
            (self.seeded, "from seeds"),
            (self.repeated, "repeated"),
        ];
        for (bytes, what) in parts.iter().filter(|(bytes, _)| *bytes > 0) {
            write!(f, ", {} {what}", Size(*bytes as f64))?;
        }
        if let [_, _, ..] = &self.places[..] {
            for (number, place) in self.places.iter().enumerate() {
                let from = if number == 0 {
                    ", from its places "
                } else {
                    " + "
                };
                write!(f, "{from}{}", place.chunks)?;
            }
        }
        match self.damage.len() {
            0 => {}
            1 => f.write_str(", 1 chunk lost")?,
            lost => write!(f, ", {lost} chunks lost")?,
        }
        match self.retries {
            0 => Ok(()),
            1 => f.write_str(", 1 retry"),
            retries => write!(f, ", {retries} retries"),
        }?;
        match self.races {
            0 => Ok(()),
            races => write!(f, ", {races} late"),
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
    /// A chunk can't be had, and the restore goes on with zeros in its place.
    Lost(&'a Damage),
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
