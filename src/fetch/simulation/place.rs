//! A place as the simulation plays it: what it stores, and how it behaves as time goes on.

use std::time::Duration;

use crate::error::{Error, ErrorKind, FetchError};
use crate::fetch::failure::Failure;
use crate::fetch::simulation::chance::Chance;

/// How a place behaves for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    Well,
    /// No connection can be made, and those that there are break.
    Gone,
    /// Nothing is answered.
    Silent,
    /// Everything is refused for now; the place may say for how long.
    Throttling(Option<Duration>),
    /// Everything is refused for good.
    Denying,
    /// This machine lacks file descriptors.
    Short,
}

/// What a place has of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stock {
    Good,
    Missing,
    Corrupt,
    Unreadable,
    /// A request for it is never answered.
    Silent,
    /// Corrupt the first time, as after damage on the way.
    Slip,
}

/// What comes of a request when its time has come.
pub(super) enum Reply {
    Chunk,
    Failed(Failure),
    /// The connection is lost, with all that was requested over it.
    Lost,
    /// Nothing before this time; `None` where nothing will ever come.
    Later(Option<Duration>),
}

#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Moods with their ends, and the mood afterwards.
    pub(super) phases: Vec<(Duration, Mood)>,
    pub(super) at_last: Mood,
    /// The shortest and the longest time of an answer, in milliseconds.
    pub(super) latency: (usize, usize),
    /// How many requests a connection takes.
    pub(super) depth: usize,
    /// The worker whose first connection brings nothing.
    pub(super) sick_worker: Option<usize>,
    pub(super) stock: Vec<Stock>,
}

impl Place {
    /// A place that is well, has this many chunks, and answers in 10 to 20 ms.
    pub(super) fn well(chunks: usize) -> Place {
        Place {
            phases: Vec::new(),
            at_last: Mood::Well,
            latency: (10, 20),
            depth: 2,
            sick_worker: None,
            stock: vec![Stock::Good; chunks],
        }
    }

    /// A place that behaves so all the time.
    pub(super) fn always(mood: Mood, chunks: usize) -> Place {
        Place {
            at_last: mood,
            ..Place::well(chunks)
        }
    }

    /// A place that is well after this time.
    pub(super) fn at_first(mood: Mood, until: Duration, chunks: usize) -> Place {
        Place {
            phases: vec![(until, mood)],
            ..Place::well(chunks)
        }
    }

    /// The mood, and until when it lasts; `None` for ever.
    fn mood(&self, at: Duration) -> (Mood, Option<Duration>) {
        let phase = self.phases.iter().find(|(until, _)| at < *until);
        phase.map_or((self.at_last, None), |(until, mood)| (*mood, Some(*until)))
    }

    /// What comes of a request for a chunk at a time since the start.
    pub(super) fn reply(&mut self, chunk: usize, at: Duration, chance: &mut Chance) -> Reply {
        let (mood, until) = self.mood(at);
        match mood {
            Mood::Well => self.stored(chunk),
            Mood::Gone => Reply::Lost,
            Mood::Silent => Reply::Later(
                until.map(|until| until + chance.millis(self.latency.0, self.latency.1)),
            ),
            Mood::Throttling(retry_after) => Reply::Failed(Failure::Fetch(FetchError::Transient {
                cause: "too many requests".into(),
                retry_after,
            })),
            Mood::Denying => Reply::Failed(Failure::Fetch(FetchError::Denied("go away".into()))),
            Mood::Short => Reply::Failed(Failure::Fetch(FetchError::Resources(
                "no more files".into(),
            ))),
        }
    }

    fn stored(&mut self, chunk: usize) -> Reply {
        let corrupt = || Failure::Corrupt(Error::new(ErrorKind::Corrupt, "the CRC is wrong"));
        match self.stock[chunk] {
            Stock::Good => Reply::Chunk,
            Stock::Missing => Reply::Failed(Failure::Fetch(FetchError::Missing)),
            Stock::Corrupt => Reply::Failed(corrupt()),
            Stock::Unreadable => {
                Reply::Failed(Failure::Fetch(FetchError::Unreadable("bad sector".into())))
            }
            Stock::Silent => Reply::Later(None),
            Stock::Slip => {
                self.stock[chunk] = Stock::Good;
                Reply::Failed(corrupt())
            }
        }
    }

    /// Whether the place gives everything that it has within the patience, if it is but asked often enough.
    pub(super) fn is_reliable(&self, patience: Duration) -> bool {
        let back = self
            .phases
            .last()
            .map_or(Duration::ZERO, |(until, _)| *until);
        let never = |(_, mood): &(Duration, Mood)| matches!(mood, Mood::Denying | Mood::Short);
        self.at_last == Mood::Well && !self.phases.iter().any(never) && back <= patience / 4
    }
}
