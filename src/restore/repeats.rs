//! Finds chunks that occur more than once, and chooses which of them to keep in memory where a
//! target can't be read back.

use std::collections::BTreeSet;

use crate::format::index::occurrences::Occurrences;
use crate::format::index::{Chunk, Index};

/// A chunk that occurred before. With positions of 4 bytes, chunks of 4 MiB reach to 16 PiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Repeat {
    pub(super) position: u32,
    /// The position at which the chunk occurred before.
    pub(super) origin: u32,
}

/// Finds the chunks at these positions that occurred before among them. Each comes with the first
/// position of its digest, and the result is sorted by position. Only whole chunks count: at the
/// edge of a range, not every byte of a chunk is in the target to be copied, or is wanted.
pub(super) fn find_repeats(
    index: &Index,
    positions: impl Iterator<Item = usize>,
    is_whole: impl Fn(&Chunk) -> bool,
) -> Vec<Repeat> {
    let occurrences = Occurrences::new(index, positions);
    let mut repeats = Vec::new();
    occurrences.for_each_repeated(index, |positions| {
        let mut whole = positions.filter(|position| {
            index
                .chunk(*position as usize)
                .is_some_and(|chunk| is_whole(&chunk))
        });
        let Some(origin) = whole.next() else { return };
        repeats.extend(whole.map(|position| Repeat { position, origin }));
    });
    repeats.sort_unstable_by_key(|repeat| repeat.position);
    repeats
}

/// Chooses the repeats of a plan that `room` chunks of memory can serve. Each comes with the
/// position at which its chunk occurred last before it.
///
/// A chunk is kept from one of its positions to the next. Where there is no room for all chunks,
/// the one that is needed last is dropped. No method that does not know the future fetches less
/// (Belady, 1966).
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

/// Turns repeats that name the first position of their chunk into repeats that name the position
/// just before.
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
