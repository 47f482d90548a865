//! A chunk that is wanted, and all that is known of the requests for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::fetch::health::PlaceSet;
use crate::fetch::job::{Stage, Urgency};
use crate::format::index::Chunk;

/// A chunk that a consumer asks the dispatcher for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Want {
    /// Names the want in its settlement. Of two wants of the same urgency, the one with the lower number comes first.
    pub(crate) ticket: u64,
    /// The chunk's place in the index, for messages.
    pub(crate) position: usize,
    pub(crate) chunk: Chunk,
    pub(crate) urgency: Urgency,
}

/// A want that is not settled.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) want: Want,
    /// How long places had been waited for in all when the want was made.
    pub(super) waited_before: Duration,
    /// The place that was asked last.
    pub(super) place: usize,
    /// The request that was made, and is not answered.
    pub(super) sent: Option<Sent>,
    /// Not to be asked for before this time; `None` where it never failed.
    pub(super) retry_at: Option<Instant>,
    /// Whether it was asked for a second time because it was late.
    pub(super) is_hedged: bool,
    /// The second request, which is not answered.
    pub(super) hedge: Option<Sent>,
    /// The places that can't give the chunk, as far as is known since they were last gone through.
    pub(super) lacking: PlaceSet,
    /// Those of them that never will: they refuse it.
    pub(super) refused: PlaceSet,
    /// The places that failed since they were last gone through, which others are preferred to.
    pub(super) failed: PlaceSet,
    /// Why a place refuses it, and what is wrong with it at a place: of both the first.
    pub(super) refusal: Option<Error>,
    pub(super) damage: Option<Error>,
    /// How many times it was asked for, for whatever reason; from 1.
    pub(super) attempt: u32,
    /// How many times the places were gone through, from 1.
    pub(super) look: u32,
    /// How often places refused it for now, or could not be reached.
    pub(super) refusals: u32,
    /// How often this machine lacked something.
    pub(super) shortages: u32,
    /// How many connections were ended because it did not come over them.
    pub(super) hang_ups: u32,
    /// How many of them because this very chunk was slow, and whether the one that it was last asked for over is to be ended for
    /// that.
    pub(super) stalls: u32,
    pub(super) is_stalled: bool,
    /// Whether the last answer was corrupt, so that the same connection is not to be used again.
    pub(super) fresh_connection: bool,
}

/// A request that was given to a worker.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) id: u64,
    pub(super) lane: usize,
    pub(super) place: usize,
    pub(super) stage: Arc<Stage>,
}

impl Task {
    pub(super) fn new(want: Want, waited_before: Duration) -> Task {
        Task {
            want,
            waited_before,
            place: 0,
            sent: None,
            retry_at: None,
            is_hedged: false,
            hedge: None,
            lacking: PlaceSet::default(),
            refused: PlaceSet::default(),
            failed: PlaceSet::default(),
            refusal: None,
            damage: None,
            attempt: 1,
            look: 1,
            refusals: 0,
            shortages: 0,
            hang_ups: 0,
            stalls: 0,
            is_stalled: false,
            fresh_connection: false,
        }
    }
}
