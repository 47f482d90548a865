//! Remembers where the regular files of an archive begin, so that hard links can be checked.

/// Offsets in ascending order, four bytes each.
#[derive(Debug, Default)]
pub(crate) struct Starts {
    /// The upper halves of the offsets, each with the lower halves that occur with it.
    blocks: Vec<(u64, Vec<u32>)>,
    count: usize,
}

impl Starts {
    /// Adds an offset, which is larger than all before.
    pub(crate) fn push(&mut self, start: u64) {
        let (upper, lower) = halves(start);
        match self.blocks.last_mut() {
            Some((last, lowers)) if *last == upper => lowers.push(lower),
            _ => self.blocks.push((upper, vec![lower])),
        }
        self.count += 1;
    }

    pub(crate) fn contains(&self, start: u64) -> bool {
        let (upper, lower) = halves(start);
        let block = self
            .blocks
            .binary_search_by_key(&upper, |(upper, _)| *upper);
        block.is_ok_and(|block| self.blocks[block].1.binary_search(&lower).is_ok())
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }
}

fn halves(start: u64) -> (u64, u32) {
    (start >> 32, (start & 0xffff_ffff) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_offsets_that_were_added_are_found() {
        let offsets = [
            0,
            1,
            77,
            0xffff_ffff,
            0x1_0000_0000,
            0x5_0000_0000,
            u64::MAX,
        ];
        let mut starts = Starts::default();
        offsets.iter().for_each(|offset| starts.push(*offset));
        for offset in offsets {
            assert!(starts.contains(offset));
        }
        for offset in [
            2,
            76,
            0xffff_fffe,
            0x1_0000_0001,
            0x4_0000_0000,
            u64::MAX - 1,
        ] {
            assert!(!starts.contains(offset));
        }
        assert_eq!(starts.count(), offsets.len());
    }
}
