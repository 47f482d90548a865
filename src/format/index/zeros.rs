//! The digests that chunks of zeros have: such chunks need not be fetched.

use crate::digest::Digest;
use crate::format::index::Index;
use crate::format::key::Key;

/// The digests that chunks of zeros have, for the two chunk lengths of an image. A file archive has
/// none: its chunks have any length, and it holds no runs of zeros that would be worth hashing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ZeroDigests([Option<(u32, Digest)>; 2]);

impl ZeroDigests {
    pub(crate) fn new(index: &Index, key: Option<&Key>) -> ZeroDigests {
        let digest = |len: u32| {
            let zeros = vec![0; len as usize];
            let digest = key.map_or_else(|| Digest::of(&zeros), |key| key.digest(&zeros));
            (len, digest)
        };
        if !index.is_fixed() {
            return ZeroDigests([None; 2]);
        }
        let first = index.chunk(0).map(|chunk| chunk.len);
        let last = index
            .count()
            .checked_sub(1)
            .and_then(|last| index.chunk(last));
        let shorter = last
            .map(|chunk| chunk.len)
            .filter(|len| Some(*len) != first);
        ZeroDigests([first.map(digest), shorter.map(digest)])
    }

    /// Whether a chunk of this digest and this length in bytes is all zeros.
    pub(crate) fn contains(&self, digest: &Digest, len: u32) -> bool {
        self.0.iter().flatten().any(|zero| *zero == (len, *digest))
    }
}
