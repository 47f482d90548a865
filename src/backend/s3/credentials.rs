//! The credentials that requests are signed with. Temporary ones expire: then they are read anew.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use rusty_s3::Credentials;

/// Reads credentials anew from where they were found; `None` where there are none any more.
pub(crate) type Renew = Box<dyn Fn() -> Option<Credentials> + Send + Sync>;

/// Credentials that can be replaced while others sign with them.
pub(crate) struct Keyring {
    current: Mutex<Arc<Credentials>>,
    /// Held while credentials are read anew, which may take long: others sign meanwhile.
    renewing: Mutex<()>,
    /// `None` for credentials that a caller gave: they are nowhere to be read from.
    renew: Option<Renew>,
}

impl Keyring {
    pub(crate) fn new(credentials: Credentials, renew: Option<Renew>) -> Keyring {
        Keyring {
            current: Mutex::new(Arc::new(credentials)),
            renewing: Mutex::new(()),
            renew,
        }
    }

    pub(super) fn current(&self) -> Arc<Credentials> {
        Arc::clone(&self.current.lock())
    }

    /// The server says that these credentials have expired. Returns others, if there are any by now.
    pub(super) fn instead_of(&self, expired: &Arc<Credentials>) -> Option<Arc<Credentials>> {
        // Whoever comes second finds what the first has read.
        let _renewing = self.renewing.lock();
        let current = self.current();
        if !Arc::ptr_eq(&current, expired) {
            return Some(current);
        }
        let read = self.renew.as_ref().and_then(|renew| renew())?;
        let is_same = (read.key(), read.secret(), read.token())
            == (expired.key(), expired.secret(), expired.token());
        if is_same {
            return None;
        }
        let read = Arc::new(read);
        *self.current.lock() = Arc::clone(&read);
        Some(read)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn expired_credentials_are_read_anew_once_for_all_who_used_them() {
        let reads = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&reads);
        let renew = move || {
            let number = counted.fetch_add(1, Ordering::Relaxed);
            let token = if number < 2 { "new" } else { "newer" };
            Some(Credentials::new_with_token("key", "secret", token))
        };
        let old = Credentials::new_with_token("key", "secret", "old");
        let keyring = Keyring::new(old, Some(Box::new(renew)));
        let old = keyring.current();
        let new = keyring.instead_of(&old).expect("others are there");
        assert_eq!(new.token(), Some("new"));
        assert_eq!(
            keyring.instead_of(&old).expect("they were read").token(),
            new.token()
        );
        assert_eq!(reads.load(Ordering::Relaxed), 1);
        assert!(
            keyring.instead_of(&new).is_none(),
            "the file is still the same"
        );
        assert_eq!(
            keyring.instead_of(&new).expect("others").token(),
            Some("newer")
        );
        let given = Keyring::new(Credentials::new("key", "secret"), None);
        assert!(given.instead_of(&given.current()).is_none());
    }
}
