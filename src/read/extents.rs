//! Extents: where an archive has data, and where it has zeros, by its index alone.

use std::ops::Range;

use crate::read::shared::Shared;

/// A run of bytes of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Extent {
    /// Where the run begins in the archive, in bytes.
    pub offset: u64,
    /// The length of the run in bytes; at least 1.
    pub len: u64,
    /// Whether all of its bytes are zeros. The bytes of a run that says no can be zeros too: only
    /// whole chunks of zeros are known without fetching them.
    pub is_zero: bool,
}

/// The extents of a part of an archive, in order and without gaps. Two that follow one another
/// differ in [`Extent::is_zero`].
#[derive(Clone, Debug)]
pub struct Extents<'a> {
    shared: &'a Shared,
    left: Range<u64>,
}

impl<'a> Extents<'a> {
    /// Of these bytes, as far as the archive has them.
    pub(super) fn new(shared: &'a Shared, range: Range<u64>) -> Extents<'a> {
        let end = range.end.min(shared.archive.index().len());
        Extents {
            shared,
            left: range.start.min(end)..end,
        }
    }
}

impl Iterator for Extents<'_> {
    type Item = Extent;

    fn next(&mut self) -> Option<Extent> {
        let index = self.shared.archive.index();
        let offset = self.left.start;
        if self.left.is_empty() {
            return None;
        }
        let first = index.position_at(offset)?;
        let is_zero = self.shared.is_zero(&index.chunk(first)?);
        let mut end = offset;
        let mut position = first;
        while end < self.left.end
            && let Some(chunk) = index.chunk(position)
            && self.shared.is_zero(&chunk) == is_zero
        {
            end = chunk.offset + u64::from(chunk.len);
            position += 1;
        }
        let end = end.min(self.left.end);
        self.left.start = end;
        Some(Extent {
            offset,
            len: end - offset,
            is_zero,
        })
    }
}
