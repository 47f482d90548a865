//! What the readers of an archive have done so far.

use crate::report::PlaceReport;

/// What a [`Reader`](crate::Reader) and its clones have done so far.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ReadReport {
    /// How many reads were made.
    pub reads: u64,
    /// How many bytes they gave, zeros included.
    pub bytes: u64,
    /// How many chunks they needed, zeros not counted. A chunk counts once for each read.
    pub chunks: u64,
    /// How many of these chunks were in memory already.
    pub hits: u64,
    /// The size in bytes of all blobs that were fetched, as the datastore holds them.
    pub fetched: u64,
    /// How many times a request was repeated because it had failed.
    pub retries: u64,
    /// What each of the archive's places gave, in the order of the places.
    pub places: Vec<PlaceReport>,
}
