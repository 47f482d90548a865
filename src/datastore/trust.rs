//! Decides which manifests are believed, and which key a snapshot has. Does no I/O.

use crate::datastore::few;
use crate::error::{Error, ErrorKind, Result};
use crate::format::key::Key;
#[cfg(feature = "master-key")]
use crate::format::key::MasterKey;
use crate::format::manifest::Manifest;
use crate::format::name::SnapshotPath;

/// The keys that may sign manifests, and whether a manifest must be signed.
#[derive(Default)]
pub(crate) struct Trust {
    pub(crate) keys: Vec<Key>,
    pub(crate) allow_unsigned: bool,
    /// Recovers the key of a snapshot that none of the keys is of.
    #[cfg(feature = "master-key")]
    pub(crate) master: Option<MasterKey>,
}

impl Trust {
    /// The strictest combination of several: it has the keys of all. If there is any key, every
    /// manifest must be signed, unless all that have keys allow unsigned manifests.
    pub(super) fn strictest<'a>(trusts: impl IntoIterator<Item = &'a Trust>) -> Trust {
        let mut keys: Vec<Key> = Vec::new();
        let mut allow_unsigned = true;
        #[cfg(feature = "master-key")]
        let mut master = None;
        for trust in trusts
            .into_iter()
            .filter(|trust| trust.asks_for_signatures())
        {
            #[cfg(feature = "master-key")]
            {
                master = master.or_else(|| trust.master.clone());
            }
            for key in &trust.keys {
                if keys
                    .iter()
                    .all(|known| known.fingerprint() != key.fingerprint())
                {
                    keys.push(key.clone());
                }
            }
            allow_unsigned &= trust.allow_unsigned;
        }
        Trust {
            keys,
            allow_unsigned,
            #[cfg(feature = "master-key")]
            master,
        }
    }

    /// Whether there is any key, so that manifests must be signed.
    fn asks_for_signatures(&self) -> bool {
        #[cfg(feature = "master-key")]
        if self.master.is_some() {
            return true;
        }
        !self.keys.is_empty()
    }

    /// The master key, if the key of the manifest is not at hand.
    #[cfg(feature = "master-key")]
    pub(super) fn master_for(&self, manifest: &Manifest) -> Option<&MasterKey> {
        let is_at_hand = match manifest.key_fingerprint() {
            Some(wanted) => self.keys.iter().any(|key| key.fingerprint() == wanted),
            None => !self.keys.is_empty(),
        };
        self.master.as_ref().filter(|_| !is_at_hand)
    }

    /// The key of a snapshot, after its manifest was found to be signed by this key.
    pub(super) fn key_of(&self, manifest: &Manifest, path: &SnapshotPath) -> Result<Option<Key>> {
        if self.keys.is_empty() {
            return Ok(None);
        }
        self.check_signed(manifest, path)?;
        let key = match manifest.key_fingerprint() {
            Some(wanted) => self.keys.iter().find(|key| key.fingerprint() == wanted),
            None => self.keys.first(),
        };
        if !manifest.is_signed() {
            return Ok(key.cloned());
        }
        let Some(key) = key else {
            return Err(self.foreign_key(manifest, &format!("the manifest of {path} is signed")));
        };
        // Without a fingerprint, any of the keys may have signed the manifest; the fingerprint is a
        // member that the signature does not protect.
        let named = manifest.key_fingerprint().is_some();
        let candidates = self
            .keys
            .iter()
            .filter(|other| !named || other.fingerprint() == key.fingerprint());
        let mut failure = None;
        for candidate in candidates {
            match manifest.verify_signature(candidate) {
                Ok(()) => return Ok(Some(candidate.clone())),
                Err(error) => failure = Some(error),
            }
        }
        // The key is the right one and the signature is wrong, so somebody changed the manifest.
        let kind = if named {
            ErrorKind::Corrupt
        } else {
            ErrorKind::Key
        };
        let error = Error::new(kind, format!("the manifest of {path} can't be trusted"));
        Err(match failure {
            Some(cause) => error.because(cause),
            None => error,
        })
    }

    /// Refuses a manifest that is not signed, unless such manifests are allowed.
    pub(super) fn check_signed(&self, manifest: &Manifest, path: &SnapshotPath) -> Result<()> {
        if manifest.is_signed() || self.allow_unsigned {
            return Ok(());
        }
        let message = format!(
            "the manifest of {path} is not signed, so nothing tells it from a forged one; \
             allow unsigned manifests if you trust the server, or give no key"
        );
        Err(Error::new(ErrorKind::Key, message))
    }

    pub(super) fn foreign_key(&self, manifest: &Manifest, what: &str) -> Error {
        let with = manifest
            .key_fingerprint()
            .map_or("another key".to_owned(), |key| {
                format!("key {}", key.short())
            });
        let given = match &self.keys[..] {
            [] => "and no key was given".to_owned(),
            keys => format!(
                "not with the given key {}",
                few(keys.iter().map(|key| key.fingerprint().short()))
            ),
        };
        Error::new(ErrorKind::Key, format!("{what} with {with}, {given}"))
    }
}
