//! A secret that is sent as the value of a header.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

/// The value of a header that identifies the client. It is wiped from memory with its last clone.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SecretValue(Arc<Zeroizing<String>>);

impl SecretValue {
    /// `None` for a text that no header can carry: a text with characters other than visible ASCII
    /// ones.
    pub(crate) fn new(text: Zeroizing<String>) -> Option<SecretValue> {
        let fits = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        fits.then(|| SecretValue(Arc::new(text)))
    }

    /// The header's value, in the clear.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretValue {
    // The secret is never shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretValue(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_stays_on_its_line_and_is_not_shown() {
        let new = |text: &str| SecretValue::new(Zeroizing::new(text.to_owned()));
        let value = new("Bearer a b~!").expect("a header can carry it");
        assert_eq!(value.reveal(), "Bearer a b~!");
        assert_eq!(format!("{value:?}"), "SecretValue(..)");
        for bad in ["a\r\nb", "a\nb", "a\0", "a\tb", "\u{7f}", "ä"] {
            assert_eq!(new(bad), None, "{bad:?}");
        }
    }
}
