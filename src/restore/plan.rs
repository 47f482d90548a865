//! Decides what is to be done for every chunk, before anything is fetched. Does no I/O.

use std::ops::Range;

use crate::digest::Digest;
use crate::format::index::zeros::ZeroDigests;
use crate::format::index::{Chunk, Index};
use crate::format::key::Key;
use crate::restore::repeats::{Repeat, find_repeats};

/// What a restore will do. It is known before the restore starts.
///
/// A plan takes one byte of memory for each chunk, and 8 more for each chunk that occurred before.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The bytes of the archive that are wanted.
    range: Range<u64>,
    /// The position of the chunk that the first step is for.
    first: usize,
    steps: Vec<Step>,
    /// Sorted by position.
    repeats: Vec<Repeat>,
    zeros: u64,
    skipped: u64,
    chunks_to_fetch: usize,
}

/// What is to be done for one chunk, unless the target turns out to hold it already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The chunk's digest is that of zeros.
    Zero,
    /// The chunk must be fetched.
    Fetch,
    /// The chunk occurred before, and is committed once more.
    Repeat,
    /// The chunk was not chosen. Only a verification, which writes nothing, leaves out chunks.
    Skip,
}

impl Plan {
    /// A plan for the bytes of `range`, as far as the archive has them.
    pub(crate) fn new(index: &Index, key: Option<&Key>, range: Range<u64>) -> Plan {
        Plan::choosing(index, key, range, &mut |_| true)
    }

    /// A plan that skips the chunks whose digests are not chosen. Chunks of zeros are not asked
    /// about.
    pub(super) fn choosing(
        index: &Index,
        key: Option<&Key>,
        range: Range<u64>,
        choose: &mut dyn FnMut(&Digest) -> bool,
    ) -> Plan {
        let end = range.end.min(index.len());
        let range = range.start.min(end)..end;
        let positions = match index.position_at(range.start) {
            Some(first) if !range.is_empty() => {
                let last = index.position_at(range.end - 1).unwrap_or(first);
                first..last + 1
            }
            _ => 0..0,
        };
        let mut plan = Plan {
            range,
            first: positions.start,
            steps: Vec::with_capacity(positions.len()),
            repeats: Vec::new(),
            zeros: 0,
            skipped: 0,
            chunks_to_fetch: 0,
        };
        let zeros = ZeroDigests::new(index, key);
        for chunk in positions.filter_map(|position| index.chunk(position)) {
            let len = plan.piece(&chunk).len() as u64;
            let step = if zeros.contains(&chunk.digest, chunk.len) {
                plan.zeros += len;
                Step::Zero
            } else if choose(&chunk.digest) {
                Step::Fetch
            } else {
                plan.skipped += len;
                Step::Skip
            };
            plan.steps.push(step);
        }
        let to_fetch = plan
            .positions()
            .filter(|at| plan.step(*at) == Some(Step::Fetch));
        plan.repeats = find_repeats(index, to_fetch, |chunk| plan.is_whole(chunk));
        for repeat in &plan.repeats {
            plan.steps[repeat.position as usize - plan.first] = Step::Repeat;
        }
        plan.chunks_to_fetch = plan.count(Step::Fetch);
        plan
    }

    /// How many bytes will be restored.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// How many of the bytes are in chunks of zeros, which are not fetched.
    #[must_use]
    pub fn zeros(&self) -> u64 {
        self.zeros
    }

    /// How many of the bytes are in chunks that were not chosen.
    pub(super) fn skipped(&self) -> u64 {
        self.skipped
    }

    /// How many chunks will be fetched if the target holds none of them yet. A chunk that occurs
    /// more than once is fetched once, if the target can be read back or there is memory to keep
    /// the chunk.
    #[must_use]
    pub fn chunks_to_fetch(&self) -> usize {
        self.chunks_to_fetch
    }

    /// The positions of the chunks that hold the wanted bytes.
    pub(super) fn positions(&self) -> Range<usize> {
        self.first..self.first + self.steps.len()
    }

    /// The step for the chunk at a position; `None` beyond the last.
    pub(super) fn step(&self, position: usize) -> Option<Step> {
        self.steps.get(position.checked_sub(self.first)?).copied()
    }

    /// Which bytes of a chunk are wanted: all of them, except perhaps in the first and the last
    /// chunk.
    pub(super) fn piece(&self, chunk: &Chunk) -> Range<usize> {
        let within = |offset: u64| offset.saturating_sub(chunk.offset).min(chunk.len.into());
        within(self.range.start) as usize..within(self.range.end) as usize
    }

    /// Whether all bytes of a chunk are wanted.
    pub(super) fn is_whole(&self, chunk: &Chunk) -> bool {
        self.piece(chunk).len() == chunk.len as usize
    }

    /// The offset in the target at which a chunk begins. The first byte of the chunk must be
    /// wanted.
    pub(super) fn offset_in_target(&self, chunk: &Chunk) -> u64 {
        chunk.offset.saturating_sub(self.range.start)
    }

    pub(super) fn repeats(&self) -> &[Repeat] {
        &self.repeats
    }

    /// Where the chunk of a [`Step::Repeat`] occurred before.
    pub(super) fn origin(&self, position: usize) -> Option<usize> {
        let by_position = |repeat: &Repeat| (repeat.position as usize).cmp(&position);
        let found = self.repeats.binary_search_by(by_position).ok()?;
        Some(self.repeats[found].origin as usize)
    }

    /// Replaces the repeats of the plan by these. A chunk that is no longer a repeat is fetched
    /// again.
    pub(super) fn repeat_only(&mut self, repeats: Vec<Repeat>) {
        for repeat in &self.repeats {
            self.steps[repeat.position as usize - self.first] = Step::Fetch;
        }
        for repeat in &repeats {
            self.steps[repeat.position as usize - self.first] = Step::Repeat;
        }
        self.repeats = repeats;
        self.chunks_to_fetch = self.count(Step::Fetch);
    }

    fn count(&self, wanted: Step) -> usize {
        self.steps.iter().filter(|step| **step == wanted).count()
    }
}
