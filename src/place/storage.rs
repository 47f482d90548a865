//! The name of a storage of Proxmox VE.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};

/// The longest name, in bytes. The name of a file has at most 255 bytes, and the files of a storage
/// are called by its name and an ending.
const STORAGE_NAME_LEN: usize = 240;

/// The name of a storage of Proxmox VE, such as `backup`: a letter, then letters, digits, `-`, `_`
/// and `.`, and at the end a letter or a digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StorageName(String);

impl StorageName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StorageName {
    type Err = Error;

    /// Checks a name as Proxmox VE does. So it can't lead out of the folder that it is looked up in.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for anything else.
    fn from_str(text: &str) -> Result<StorageName> {
        let bytes = text.as_bytes();
        let is_inner = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        let fits = bytes.len() >= 2
            && bytes.len() <= STORAGE_NAME_LEN
            && bytes.first().is_some_and(u8::is_ascii_alphabetic)
            && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
            && bytes.iter().all(is_inner);
        if fits {
            return Ok(StorageName(text.to_owned()));
        }
        let message = match text {
            "" => "pve: lacks the name of a storage, as in pve:backup".to_owned(),
            text => format!(
                "'{}' is not the name of a storage of Proxmox VE: a letter, then letters, digits, '-', '_' and '.', \
                 and at the end a letter or a digit",
                text.escape_debug()
            ),
        };
        Err(Error::new(ErrorKind::Invalid, message))
    }
}

impl fmt::Display for StorageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_proxmox_ve_takes() {
        for name in ["pbs", "PBS-2", "a1", "back_up.old", &"a".repeat(240)] {
            let parsed: StorageName = name.parse().expect(name);
            assert_eq!(parsed.to_string(), name);
        }
        for bad in [
            "",
            "a",
            "1a",
            "-ab",
            ".ab",
            "..",
            "ab-",
            "ab.",
            "a/b",
            "../ab",
            "a b",
            "ab\n",
            "\u{e4}b",
            &"a".repeat(241),
        ] {
            let error = bad.parse::<StorageName>().expect_err(bad);
            assert_eq!(error.kind(), ErrorKind::Invalid, "{bad:?}");
        }
    }
}
