//! Recovers the key of a snapshot from the snapshot itself, with the master key.

use crate::backend::layout::WRAPPED_KEY;
use crate::datastore::snapshot::fetch;
use crate::datastore::trust::Trust;
use crate::datastore::view::View;
use crate::datastore::within;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::format::blob::decode_blob;
use crate::format::key::{Key, MasterKey};
use crate::format::manifest::Manifest;
use crate::format::name::SnapshotPath;

/// The most bytes of a wrapped key, as stored. A key of RSA with 16,384 bits makes 2 KiB of it.
const MAX_WRAPPED_KEY: usize = 64 << 10;

impl View {
    /// The key that the snapshot holds for the master key, after its manifest was found to be signed by
    /// this key.
    pub(super) fn wrapped_key(
        &self,
        master: &MasterKey,
        manifest: &Manifest,
        path: &SnapshotPath,
    ) -> Result<Option<Key>> {
        let Some(file) = manifest.file(WRAPPED_KEY) else {
            self.trust.check_signed(manifest, path)?;
            if !manifest.is_signed() {
                return Ok(None);
            }
            let message =
                format!("{path} was made without a master key: it holds no {WRAPPED_KEY}");
            return Err(Error::new(ErrorKind::Key, message));
        };
        let limit = file.size().min(MAX_WRAPPED_KEY as u64);
        let raw = fetch(self, path, file, limit)?;
        if (raw.len() as u64, Digest::of(&raw)) != (file.size(), file.csum()) {
            let message =
                format!("{WRAPPED_KEY} is not the file that the manifest of {path} lists");
            return Err(Error::new(ErrorKind::Corrupt, message));
        }
        let key = decode_blob(raw, None, MAX_WRAPPED_KEY).and_then(|key| master.recover(&key));
        let key = key.map_err(|error| within(WRAPPED_KEY, path, error))?;
        let trust = Trust {
            keys: vec![key],
            allow_unsigned: self.trust.allow_unsigned,
            master: None,
        };
        trust.key_of(manifest, path)
    }
}
