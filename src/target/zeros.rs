//! Zeros: what is to be done for them, and where they are in data. Does no I/O.

/// What a [`FileTarget`](crate::FileTarget) or a [`DeviceTarget`](crate::DeviceTarget) does where the archive has
/// zeros.
///
/// Whichever is chosen: what is restored reads as zeros, whatever was there before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Zeros {
    /// No room is taken for them where the target can do without: they become holes of a file, and a device is told
    /// that they are zeros, so that a thin one keeps none. A target that can't do that is read, and zeros are
    /// written where it holds something else: a fresh thin volume stays thin. (One that shows what other volumes
    /// have left, as those of an LVM pool that was made with `-Zn` may, wants [`Write`](Zeros::Write).)
    #[default]
    Auto,
    /// They are written like everything else, and a file gets room for all of them.
    Write,
    /// As [`Auto`](Zeros::Auto), but it is an error where the target can make no holes.
    Punch,
    /// What the target holds is thrown away before the first byte is written: a file is emptied, and a device is zeroed
    /// whole, also what is beyond the end of the archive. Then zeros need nothing more. It is an error where a device
    /// can't do it quickly.
    Discard,
}

/// Runs of zeros are found by blocks of so many bytes, as most file systems make holes of no less.
const GRAIN: usize = 4096;

static BLOCK: [u8; GRAIN] = [0; GRAIN];

/// A part of some data.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Run<'a> {
    Data(&'a [u8]),
    Zeros(u64),
}

/// Cuts data that begins at `offset` where whole blocks of zeros begin and end.
pub(super) fn runs(data: &[u8], offset: u64) -> impl Iterator<Item = Run<'_>> {
    let mut rest = data;
    // Of the block that the data begins in, so much is before it.
    let mut before = (offset % GRAIN as u64) as usize;
    std::iter::from_fn(move || {
        let mut blocks = Blocks { rest, before };
        let is_zeros = are_zeros(blocks.next()?);
        let mut left = blocks;
        while blocks
            .next()
            .is_some_and(|block| are_zeros(block) == is_zeros)
        {
            left = blocks;
        }
        let run = &rest[..rest.len() - left.rest.len()];
        (rest, before) = (left.rest, 0);
        Some(match is_zeros {
            true => Run::Zeros(run.len() as u64),
            false => Run::Data(run),
        })
    })
}

/// Data in blocks, of which the first and the last may be cut off.
#[derive(Clone, Copy)]
struct Blocks<'a> {
    rest: &'a [u8],
    before: usize,
}

impl<'a> Iterator for Blocks<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let len = self.rest.len().min(GRAIN - self.before);
        let (block, rest) = self.rest.split_at(len);
        (self.rest, self.before) = (rest, 0);
        (!block.is_empty()).then_some(block)
    }
}

/// Whether all bytes are zeros. Data is known by its first bytes nearly always, and the rest is left to `memcmp`.
pub(super) fn are_zeros(data: &[u8]) -> bool {
    if data
        .first_chunk()
        .is_some_and(|first: &[u8; 16]| u128::from_ne_bytes(*first) != 0)
    {
        return false;
    }
    data.chunks(GRAIN)
        .all(|piece| *piece == BLOCK[..piece.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_cut_at_the_blocks_of_the_offset() {
        let mut data = vec![0; 3 * GRAIN];
        data[GRAIN + 5] = 1;
        let found: Vec<_> = runs(&data, 0).collect();
        let block = &data[GRAIN..2 * GRAIN];
        let grain = GRAIN as u64;
        assert_eq!(
            found,
            [Run::Zeros(grain), Run::Data(block), Run::Zeros(grain)]
        );
        // The byte is now in the first block, which the data has the end of.
        let found: Vec<_> = runs(&data[GRAIN..], 2 * grain - 6).collect();
        assert_eq!(
            found,
            [
                Run::Data(&data[GRAIN..GRAIN + 6]),
                Run::Zeros(2 * grain - 6)
            ]
        );
    }

    #[test]
    fn runs_put_together_are_the_data() {
        let data: Vec<u8> = (0..40_000).map(|at| u8::from(at % 11_000 == 7)).collect();
        for (from, offset) in [(0, 0), (1, 1), (4096, 4095), (39_999, 3), (40_000, 0)] {
            let mut joined = Vec::new();
            for run in runs(&data[from..], offset) {
                match run {
                    Run::Data(data) => joined.extend_from_slice(data),
                    Run::Zeros(len) => joined.resize(joined.len() + len as usize, 0),
                }
            }
            assert!(joined == data[from..], "from {from} at {offset}");
        }
    }

    #[test]
    fn one_byte_anywhere_is_not_zeros() {
        for at in 0..9000 {
            let mut data = vec![0; 9000];
            assert!(are_zeros(&data[..at]));
            data[at] = 1;
            assert!(!are_zeros(&data), "byte {at}");
        }
    }
}
