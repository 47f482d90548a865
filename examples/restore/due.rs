//! When a chunk that a drill has verified is due to be verified again.

use crate::verified_table::ShortDigest;

/// Which verifications still count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due {
    /// In days from 1970-01-01, as all days here.
    pub(crate) today: u16,
    /// The most days for which a verification counts.
    pub(crate) max_age: u16,
}

impl Due {
    /// Whether a chunk that was verified on that day need not be verified today. A day in the future
    /// comes from a clock that was wrong.
    pub(crate) fn is_fresh(self, digest: &ShortDigest, day: u16) -> bool {
        day <= self.today && u32::from(self.today) < self.next(digest, day)
    }

    /// The day on which the chunk is due again.
    ///
    /// Chunks that were verified on one day come due on different days of the last half of
    /// `max_age`, so that no night has to verify all of them again. The digest chooses the day: one
    /// day in every `max_age / 2` is the chunk's own. So, once a chunk was verified on a day of its
    /// own, it comes due when all of `max_age` is over (or all but a day, if `max_age` is odd).
    fn next(self, digest: &ShortDigest, day: u16) -> u32 {
        let days = u32::from(self.max_age / 2).max(1);
        // The first half of the bytes says which sample the chunk is in.
        let [.., a, b, c, d] = *digest;
        let own = u32::from_le_bytes([a, b, c, d]) % days;
        let last = u32::from(day) + u32::from(self.max_age);
        last - (last + own) % days
    }
}
