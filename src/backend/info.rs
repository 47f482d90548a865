//! `SnapshotInfo`: a snapshot as a listing shows it.

use crate::backend::layout;
use crate::digest::Fingerprint;
use crate::format::manifest::{CryptMode, Manifest};
use crate::format::name::{SnapshotName, archive_name};
use crate::format::verification::Verification;

/// These files are written when the backup is done, so manifests do not list them.
const NOT_LISTED: [&str; 2] = [layout::MANIFEST, layout::CLIENT_LOG];

/// A snapshot as a listing shows it.
///
/// A field is `None` if the place does not tell it with its listing;
/// [`Datastore::describe`](crate::Datastore::describe) asks for the missing fields. Nothing in a
/// listing is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnapshotInfo {
    /// The snapshot.
    pub name: SnapshotName,
    /// Whether the snapshot has a manifest. A snapshot without one is being written, or its backup
    /// was cut off.
    pub is_finished: bool,
    /// The names of the snapshot's archives and small files, as people type them.
    pub files: Option<Vec<String>>,
    /// The size of the snapshot in bytes: of its archives as restored, and of its small files as
    /// stored.
    pub size: Option<u64>,
    /// Whether the snapshot's files are plain, signed or encrypted: the least of these, if the
    /// files differ.
    pub crypt_mode: Option<CryptMode>,
    /// The fingerprint of the key that the snapshot is signed with.
    pub key_fingerprint: Option<Fingerprint>,
    /// What the server's last verification found; `None` also if there was no verification.
    pub verification: Option<Verification>,
    /// Whether the server keeps the snapshot when it prunes.
    pub is_protected: Option<bool>,
    /// The user or token that the snapshot's group belongs to.
    pub owner: Option<String>,
    /// The comment on the snapshot; only its first line if it comes from a listing.
    pub comment: Option<String>,
}

impl SnapshotInfo {
    /// A snapshot of which nothing else is known.
    #[must_use]
    pub fn new(name: SnapshotName, is_finished: bool) -> SnapshotInfo {
        SnapshotInfo {
            name,
            is_finished,
            files: None,
            size: None,
            crypt_mode: None,
            key_fingerprint: None,
            verification: None,
            is_protected: None,
            owner: None,
            comment: None,
        }
    }

    /// Adds what the snapshot's manifest says.
    pub(crate) fn describe(&mut self, manifest: &Manifest) {
        let files = manifest.files().iter();
        self.list(files.map(|file| (file.name(), Some(file.size()), Some(file.crypt_mode()))));
        self.key_fingerprint = manifest.key_fingerprint();
        self.verification = manifest.verification();
        self.comment = manifest.notes().map(str::to_owned);
    }

    /// Adds what is known of the snapshot's files: names on the server, lengths, and crypt modes.
    pub(crate) fn list<'a>(
        &mut self,
        files: impl Iterator<Item = (&'a str, Option<u64>, Option<CryptMode>)>,
    ) {
        let mut names = Vec::new();
        let (mut size, mut protection) = (None::<u64>, None);
        for (name, len, crypt_mode) in files.filter(|(name, ..)| !NOT_LISTED.contains(name)) {
            // Nobody could ask for an entry whose name no file can have, so such an entry is left
            // out.
            names.extend(archive_name(name).map(str::to_owned));
            if let Some(len) = len {
                size = Some(size.unwrap_or_default().saturating_add(len));
            }
            if name != layout::WRAPPED_KEY {
                protection = least(protection, crypt_mode);
            }
        }
        names.sort_unstable();
        self.files = Some(names);
        self.size = size;
        self.crypt_mode = protection;
    }
}

fn least(one: Option<CryptMode>, other: Option<CryptMode>) -> Option<CryptMode> {
    let rank = |mode: &CryptMode| match mode {
        CryptMode::None => 0,
        CryptMode::SignOnly => 1,
        CryptMode::Encrypt => 2,
    };
    one.into_iter().chain(other).min_by_key(rank)
}
