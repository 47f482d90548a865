//! `Sample`: a part of all chunks, chosen by their digests.

use std::fmt;
use std::str::FromStr;

use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};

/// One of several equal parts of all chunks: number N of M.
///
/// The digest of a chunk alone says which part the chunk is in, whatever archive or snapshot holds
/// it. So M runs with the numbers 1 to M take each chunk exactly once. It is written `N/M`, such as
/// `3/30`.
///
/// Digests spread evenly, so each part has about the same number of chunks. Who knows the digests
/// also knows the parts: a sample finds what decays, and not what a dishonest server hides.
///
/// ```
/// use chunk_restore::{Digest, Sample};
///
/// # fn main() -> chunk_restore::Result<()> {
/// let digest = Digest::of(b"a chunk");
/// let taken = (1..=30).filter(|n| Sample::new(*n, 30).is_ok_and(|part| part.contains(&digest)));
/// assert_eq!(taken.count(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    number: u32,
    of: u32,
}

impl Sample {
    /// The most parts that there can be.
    pub const PARTS_MAX: u32 = 10_000;

    /// Part `number` of `of` parts, from 1.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] where there is no such part, and for more than
    /// [`PARTS_MAX`](Sample::PARTS_MAX) parts.
    pub fn new(number: u32, of: u32) -> Result<Sample> {
        let most = Sample::PARTS_MAX;
        if of == 0 || of > most {
            return Err(invalid(format!(
                "a sample is one of 1 to {most} parts, not of {of}"
            )));
        }
        if number == 0 || number > of {
            return Err(invalid(format!(
                "there is no part {number} of {of}: parts are 1 to {of}"
            )));
        }
        Ok(Sample { number, of })
    }

    /// The number of the part, from 1.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// How many parts there are.
    #[must_use]
    pub fn of(&self) -> u32 {
        self.of
    }

    /// Whether the chunk with this digest is in this part.
    #[must_use]
    pub fn contains(&self, digest: &Digest) -> bool {
        let (head, _) = digest.as_bytes().split_at(8);
        let head = head
            .iter()
            .fold(0, |head, byte| head << 8 | u128::from(*byte));
        // The digests are cut into ranges of equal length.
        (head * u128::from(self.of)) >> 64 == u128::from(self.number - 1)
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

impl FromStr for Sample {
    type Err = Error;

    /// Reads `N/M`.
    ///
    /// # Errors
    /// As [`new`](Sample::new), and for anything that is not two numbers.
    fn from_str(text: &str) -> Result<Sample> {
        let number = |text: &str| {
            let digits = Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
            digits.and_then(|digits| digits.parse().ok())
        };
        let parts = text.split_once('/');
        match parts.map(|(n, of)| (number(n), number(of))) {
            Some((Some(n), Some(of))) => Sample::new(n, of),
            _ => Err(invalid(format!(
                "{text:?} is no sample: write N/M, such as 3/30"
            ))),
        }
    }
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that panics has failed")]
mod tests {
    use super::*;

    #[test]
    fn each_digest_is_in_exactly_one_part_and_the_parts_are_about_equal() {
        for of in [1, 2, 3, 7, 30, 365, 10_000] {
            let mut sizes = vec![0_u32; of as usize];
            let edges = [[0; 32], [255; 32]].map(Digest::from);
            let digests = (0..300_u32).map(|n| Digest::of(&n.to_le_bytes()));
            for digest in digests.chain(edges) {
                let parts = (1..=of).filter(|n| Sample::new(*n, of).unwrap().contains(&digest));
                let parts: Vec<u32> = parts.collect();
                assert_eq!(parts.len(), 1, "{digest} of {of}");
                sizes[parts[0] as usize - 1] += 1;
            }
            let even = 302 / of;
            assert!(
                of > 30 || sizes.iter().all(|size| size.abs_diff(even) < 40),
                "{sizes:?}"
            );
        }
    }

    #[test]
    fn only_two_numbers_in_range_are_a_sample() {
        assert_eq!("3/30".parse::<Sample>().unwrap().to_string(), "3/30");
        assert_eq!("10000/10000".parse::<Sample>().unwrap().number(), 10_000);
        for bad in [
            "",
            "/",
            "3",
            "3/",
            "/3",
            "0/3",
            "4/3",
            "1/0",
            "0/0",
            "-1/3",
            "+1/3",
            " 1/3",
            "1/3/5",
            "1/10001",
            "1/4294967297",
            "99999999999999999999/3",
            "a/b",
            "1.0/3",
        ] {
            let error = bad.parse::<Sample>().expect_err(bad);
            assert_eq!(error.kind(), ErrorKind::Invalid, "{bad}");
        }
    }
}
