//! Chunks that occur more than once: where, and which of them to keep in memory where a target can't be read back. Does
//! no I/O.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use crate::digest::Digest;
use crate::format::index::Index;
use crate::pipeline::plan::{Plan, Step};

/// A chunk that occurred before. Positions of 4 bytes reach to 16 PiB in chunks of 4 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Repeat {
    pub(super) position: u32,
    /// Where it occurred before.
    pub(super) origin: u32,
}

/// All chunks of a plan that would be fetched again, each with the first place of its digest, by position.
pub(super) fn find_repeats(index: &Index, plan: &Plan) -> Vec<Repeat> {
    let is_candidate = |position: usize| plan.step(position) == Some(Step::Fetch);
    let occurrences = Occurrences::new(index, plan.positions().filter(|at| is_candidate(*at)));
    let mut repeats = Vec::new();
    occurrences.for_each_repeated(|positions| {
        // Of a chunk at the edge of the range not every byte is there to be copied, or wanted.
        let mut whole = positions.filter(|position| {
            (index.chunk(*position as usize)).is_some_and(|chunk| plan.is_whole(&chunk))
        });
        let Some(origin) = whole.next() else { return };
        repeats.extend(whole.map(|position| Repeat { position, origin }));
    });
    repeats.sort_unstable_by_key(|repeat| repeat.position);
    repeats
}

/// Where each digest of an index occurs, in 8 bytes for each chunk: the start of its digest above its position, sorted.
#[derive(Debug)]
pub(crate) struct Occurrences<'a> {
    index: &'a Index,
    sorted: Vec<u64>,
}

impl<'a> Occurrences<'a> {
    pub(super) fn new(index: &'a Index, positions: impl Iterator<Item = usize>) -> Occurrences<'a> {
        let entry = |position: usize| {
            // A chunk so far out is not looked for: it is fetched, however often it occurs.
            let position = u32::try_from(position).ok()?;
            let digest = index.chunk(position as usize)?.digest;
            Some(start_of(&digest) << 32 | u64::from(position))
        };
        let mut sorted: Vec<u64> = positions.filter_map(entry).collect();
        sorted.sort_unstable();
        // Digests that begin alike, by chance or by somebody's design.
        for alike in sorted.chunk_by_mut(|one, next| one >> 32 == next >> 32) {
            if alike.len() > 1 {
                alike.sort_by_key(|entry| digest_of(index, *entry));
            }
        }
        Occurrences { index, sorted }
    }

    /// Calls back with the positions of each digest that occurs more than once, in their order.
    fn for_each_repeated(&self, mut found: impl FnMut(&mut dyn Iterator<Item = u32>)) {
        let digest = |entry: &u64| digest_of(self.index, *entry);
        let is_same =
            |one: &u64, next: &u64| one >> 32 == next >> 32 && digest(one) == digest(next);
        for same in self.sorted.chunk_by(is_same) {
            if same.len() > 1 {
                found(&mut same.iter().map(|entry| *entry as u32));
            }
        }
    }

    /// A position at which a digest occurs.
    pub(super) fn find(&self, digest: &Digest) -> Option<usize> {
        let start = start_of(digest);
        let is_before = |entry: &u64| match (entry >> 32).cmp(&start) {
            Ordering::Equal => digest_of(self.index, *entry).as_ref() < Some(digest),
            order => order == Ordering::Less,
        };
        let entry = *self.sorted.get(self.sorted.partition_point(is_before))?;
        (digest_of(self.index, entry) == Some(*digest)).then_some(entry as u32 as usize)
    }
}

fn digest_of(index: &Index, entry: u64) -> Option<Digest> {
    index.chunk(entry as u32 as usize).map(|chunk| chunk.digest)
}

fn start_of(digest: &Digest) -> u64 {
    let [a, b, c, d, ..] = *digest.as_bytes();
    u32::from_be_bytes([a, b, c, d]).into()
}

/// Of the repeats of a plan, those that `room` chunks of memory can serve, each with the place where its chunk was before that.
///
/// A chunk is kept from one place to the next; where there is no room for all, the one that is needed last is let go.
/// Nothing that decides without knowing the future fetches less (Belady, 1966).
pub(super) fn repeats_within(room: usize, repeats: &[Repeat]) -> Vec<Repeat> {
    let mut links = chain(repeats);
    links.sort_unstable_by_key(|link| link.origin);
    let mut kept = BTreeSet::new();
    let mut served = Vec::new();
    for link in links {
        while let Some(&(position, origin)) = kept.first()
            && position <= link.origin
        {
            kept.pop_first();
            served.push(Repeat { position, origin });
        }
        kept.insert((link.position, link.origin));
        if kept.len() > room {
            kept.pop_last();
        }
    }
    served.extend(
        kept.into_iter()
            .map(|(position, origin)| Repeat { position, origin }),
    );
    served.sort_unstable_by_key(|repeat| repeat.position);
    served
}

/// From places with the first one of each, to places with the one before each.
fn chain(repeats: &[Repeat]) -> Vec<Repeat> {
    let mut links = repeats.to_vec();
    links.sort_unstable_by_key(|repeat| (repeat.origin, repeat.position));
    for at in (1..links.len()).rev() {
        if links[at].origin == links[at - 1].origin {
            links[at].origin = links[at - 1].position;
        }
    }
    links
}
