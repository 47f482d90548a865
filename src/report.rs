//! What a restore has done so far. The same report shows the progress and, in the end, the result.

use std::fmt;
use std::time::Duration;

use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Scope};
use crate::format::index::Chunk;

/// What a restore has done so far, and in the end what it did. All numbers are in bytes, unless
/// said otherwise.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// The length of the data that is restored.
    pub len: u64,
    /// How much of the data the target has taken, in order from the start.
    pub committed: u64,
    /// How much of the committed data was chunks of zeros, which are known by their digest and not
    /// fetched.
    pub zeros: u64,
    /// How much of the data the target held already.
    pub kept: u64,
    /// How much of the data occurred earlier in the same archive, and was not fetched a second
    /// time.
    pub repeated: u64,
    /// How much of the data came from seeds.
    pub seeded: u64,
    /// The length of the chunks that [`verify_chosen`](crate::Restore::verify_chosen) left out. It is
    /// not a part of `len`.
    pub skipped: u64,
    /// How many chunks were fetched and committed.
    pub chunks: u64,
    /// The size of all blobs that were fetched, as the datastore holds them.
    pub fetched: u64,
    /// How much of what was fetched came too late: the same chunk had already come another way.
    pub surplus: u64,
    /// What each of the archive's places gave, in the order of the places. Places that have another
    /// archive under the same name are left out.
    pub places: Vec<PlaceReport>,
    /// How many times a request was repeated because it had failed.
    pub retries: u64,
    /// How many times a late chunk was requested a second time.
    pub races: u64,
    /// Time since the start.
    pub elapsed: Duration,
    /// How long the calling thread waited for the next chunk in order.
    pub waiting: Duration,
    /// How long the target took to write what it was given.
    pub writing: Duration,
    /// How long worker threads waited for the place, all together.
    pub fetching: Duration,
    /// How long worker threads decrypted, decompressed and verified, all together.
    pub decoding: Duration,
    /// The chunks that could not be restored, in the order of the archive: the target has zeros in
    /// their place. Only a [`salvage`](crate::Restore::salvage) goes on after damage.
    pub damage: Vec<Damage>,
}

/// What one of several places gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlaceReport {
    /// How many chunks came from the place and were of use.
    pub chunks: u64,
    /// The size of all blobs that came from the place, in bytes.
    pub fetched: u64,
    /// How many times the place could not be asked, or did not answer.
    pub failures: u64,
}

/// A chunk that could not be restored: the datastore lacks it, or holds something else in its
/// place.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// The chunk's position in the index, from 0.
    pub position: usize,
    /// Where the chunk begins in the archive, in bytes.
    pub offset: u64,
    /// The chunk's length in bytes.
    pub len: u32,
    /// The chunk's name.
    pub digest: Digest,
    /// [`Missing`](ErrorKind::Missing), [`Corrupt`](ErrorKind::Corrupt) or
    /// [`Unreadable`](ErrorKind::Unreadable). A chunk that could not be fetched for any other
    /// reason is no damage: it fails the restore.
    pub kind: ErrorKind,
}

impl Damage {
    /// The damage that an error reports, if it reports any.
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
            (self.skipped, "skipped"),
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

/// What the observer of a restore is told, on the thread that runs the restore.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// After every commit, and at least once a second.
    Progress(&'a Report),
    /// The chunk with this digest was fetched, was verified, and was given to the target, which may
    /// still be writing it. A chunk that occurs several times in an archive is usually fetched once.
    Fetched(&'a Digest),
    /// A chunk is requested again because of this error.
    Retried(&'a Error),
    /// A chunk can't be restored, and the restore goes on with zeros in its place.
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
