//! Zeros: what a target does for them, and where they are in data. Does no I/O.

/// What a [`FileTarget`](crate::FileTarget) or a [`DeviceTarget`](crate::DeviceTarget) does where
/// the archive has zeros.
///
/// With every choice the target reads as zeros there afterwards, whatever it held before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Zeros {
    /// Zeros take no room where the target can do without. In a file they become holes. A device is
    /// told to zero the blocks, so that a thin one keeps no blocks for them. A target that can't do
    /// either is read, and zeros are written only where it holds something else, so a fresh thin
    /// volume stays thin. (A volume that shows what other volumes have left needs
    /// [`Write`](Zeros::Write): volumes of an LVM pool that was made with `-Zn` may.)
    #[default]
    Auto,
    /// Zeros are written like all other bytes, and a file gets room for all of them.
    Write,
    /// As [`Auto`](Zeros::Auto), but a target that can make no holes is an error.
    Punch,
    /// What the target holds is thrown away before the first byte is written: a file is emptied,
    /// and a device is zeroed whole, also beyond the end of the archive. Nothing more is then done
    /// for zeros. A device that can't be zeroed quickly is an error.
    Discard,
}

/// Runs of zeros are found in blocks of this many bytes, since most file systems make no smaller
/// holes.
const GRAIN: usize = 4096;

static BLOCK: [u8; GRAIN] = [0; GRAIN];

/// A run of data or of zeros.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Run<'a> {
    Data(&'a [u8]),
    Zeros(u64),
}

/// Cuts data that begins at `offset` into runs, which begin and end at whole blocks of zeros.
pub(crate) fn runs(data: &[u8], offset: u64) -> impl Iterator<Item = Run<'_>> {
    let mut rest = data;
    // How many bytes of its first block lie before the data.
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

/// Iterates over data in blocks; the first and the last block may be incomplete.
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

/// Whether all bytes are zeros. The first bytes nearly always show that data is no zeros; `memcmp`
/// compares the rest.
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
        // The data now begins near the end of a block, and that first block holds the byte.
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
