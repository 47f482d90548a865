//! `SnapshotInfo`: a snapshot as a listing shows it. Knows nothing of how places list.

use crate::backend::layout;
use crate::digest::Fingerprint;
use crate::format::manifest::{CryptMode, Manifest};
use crate::format::name::{SnapshotName, archive_name};
use crate::format::verification::Verification;

/// Written when the backup is done, so manifests know nothing of them.
const NOT_LISTED: [&str; 2] = [layout::MANIFEST, layout::CLIENT_LOG];

/// A snapshot as a listing shows it.
///
/// What a place does not tell with its listing is `None`; [`Datastore::describe`](crate::Datastore::describe) asks for it.
/// Nothing of it is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnapshotInfo {
    /// The snapshot.
    pub name: SnapshotName,
    /// Whether it has a manifest. One that has none is being written, or its backup was cut off.
    pub is_finished: bool,
    /// The names of its archives and small files, as people type them.
    pub files: Option<Vec<String>>,
    /// How many bytes its archives have when they are restored, and its small files as stored.
    pub size: Option<u64>,
    /// What is done to all of its files: the least of it, where they differ.
    pub crypt_mode: Option<CryptMode>,
    /// The key that it is signed with.
    pub key_fingerprint: Option<Fingerprint>,
    /// What the server's last verification found; `None` also where there was none.
    pub verification: Option<Verification>,
    /// Whether the server keeps it when it prunes.
    pub is_protected: Option<bool>,
    /// The user or token that its group belongs to.
    pub owner: Option<String>,
    /// What somebody noted about it; where it comes from a listing, the first line.
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

    /// Adds what its manifest says.
    pub(crate) fn describe(&mut self, manifest: &Manifest) {
        let files = manifest.files().iter();
        self.list(files.map(|file| (file.name(), Some(file.size()), Some(file.crypt_mode()))));
        self.key_fingerprint = manifest.key_fingerprint();
        self.verification = manifest.verification();
        self.comment = manifest.notes().map(str::to_owned);
    }

    /// Adds what is known of its files: names on the server, lengths, and what is done to them.
    pub(crate) fn list<'a>(
        &mut self,
        files: impl Iterator<Item = (&'a str, Option<u64>, Option<CryptMode>)>,
    ) {
        let mut names = Vec::new();
        let (mut size, mut protection) = (None::<u64>, None);
        for (name, len, crypt_mode) in files.filter(|(name, ..)| !NOT_LISTED.contains(name)) {
            // What has a name that no file can have is none that could be asked for.
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
