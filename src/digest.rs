//! Digests, which name chunks, and fingerprints, which name keys and certificates.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

/// The name of a chunk: a SHA-256 over its decoded bytes, shown as 64 lower-case hex digits.
///
/// Where chunks are encrypted, the hash also covers a secret of the key (see [`Key::digest`](crate::Key::digest)).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of unencrypted data.
    #[must_use]
    pub fn of(data: &[u8]) -> Digest {
        Digest(Sha256::digest(data).into())
    }

    /// The digest's 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Makes a digest of data that comes in pieces.
#[derive(Clone, Default)]
pub(crate) struct Hasher(Sha256);

impl Hasher {
    pub(crate) fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    pub(crate) fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

impl From<[u8; 32]> for Digest {
    fn from(bytes: [u8; 32]) -> Digest {
        Digest(bytes)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = ParseDigestError;

    /// Reads 64 hex digits.
    ///
    /// # Errors
    /// [`ParseDigestError`] for anything else.
    fn from_str(text: &str) -> Result<Digest, ParseDigestError> {
        let bytes = hex_bytes(text.as_bytes(), None);
        bytes.map(Digest).ok_or(ParseDigestError("64 hex digits"))
    }
}

/// Names a key or a certificate: a SHA-256, shown as 32 pairs of hex digits joined by `:`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint's 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first 8 pairs, which is how people are shown the fingerprint of a key.
    #[must_use]
    pub fn short(&self) -> String {
        self.to_string()[..23].to_owned()
    }
}

impl From<[u8; 32]> for Fingerprint {
    fn from(bytes: [u8; 32]) -> Fingerprint {
        Fingerprint(bytes)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            let separator = if at == 0 { "" } else { ":" };
            write!(f, "{separator}{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = ParseDigestError;

    /// Reads 32 pairs of hex digits, of either case, joined by `:`.
    ///
    /// # Errors
    /// [`ParseDigestError`] for anything else.
    fn from_str(text: &str) -> Result<Fingerprint, ParseDigestError> {
        let bytes = hex_bytes(text.as_bytes(), Some(b':'));
        (bytes.map(Fingerprint)).ok_or(ParseDigestError("32 pairs of hex digits joined by ':'"))
    }
}

/// The error for a text that should be a digest or a fingerprint, and isn't.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseDigestError(&'static str);

impl fmt::Display for ParseDigestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it does not consist of {}", self.0)
    }
}

impl std::error::Error for ParseDigestError {}

fn hex_bytes(text: &[u8], separator: Option<u8>) -> Option<[u8; 32]> {
    let step = if separator.is_some() { 3 } else { 2 };
    if text.len() != 31 * step + 2 {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks(step)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        if separator.is_some() && pair.get(2).copied().or(separator) != separator {
            return None;
        }
        *byte = u8::try_from(digit(0)? << 4 | digit(1)?).ok()?;
    }
    Some(bytes)
}
