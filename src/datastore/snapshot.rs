//! `Snapshot` and `Archive`: one backup and what is in it, checked against its manifest.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use crate::backend::layout::{CLIENT_LOG, WRAPPED_KEY};
use crate::backend::{ArchivePath, Backend, FetchError};
use crate::datastore::copies::Difference;
use crate::datastore::view::{Found, View};
use crate::datastore::{cannot, few, first_right, within};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result, Scope};
use crate::format::blob::{MAX_BLOB, MAX_RAW, decode_blob, is_encrypted};
use crate::format::index::{Index, longest_dynamic, longest_fixed};
use crate::format::key::Key;
use crate::format::manifest::{CryptMode, Manifest, ManifestFile};
use crate::format::name::{SnapshotName, SnapshotPath};

/// The most bytes that are read for an index: enough for 128 TiB in chunks of 4 MiB.
const MAX_INDEX: u64 = 1 << 30;

/// The most bytes that the index of an archive can have, given the length that the manifest lists
/// for the archive.
fn index_limit(file: &ManifestFile) -> u64 {
    let most = match file.name().ends_with(".fidx") {
        true => longest_fixed(file.size()),
        false => longest_dynamic(file.size()),
    };
    most.min(MAX_INDEX)
}

/// One backup, with its manifest. Cheap to clone.
#[derive(Clone)]
pub struct Snapshot(Arc<SnapshotInner>);

struct SnapshotInner {
    views: Vec<View>,
    found: Found,
    /// Sorted.
    differences: Vec<Difference>,
}

impl Snapshot {
    pub(super) fn new(views: Vec<View>, found: Found, differences: Vec<Difference>) -> Snapshot {
        Snapshot(Arc::new(SnapshotInner {
            views,
            found,
            differences,
        }))
    }

    /// The snapshot's name. It has the time also where only the group was asked for.
    #[must_use]
    pub fn name(&self) -> &SnapshotName {
        &self.0.found.name
    }

    /// The manifest: the list of what is in the snapshot.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.0.found.manifest
    }

    /// The files that places of [`any_of`](crate::Datastore::any_of) have in another version than
    /// the manifest says, or that their own manifests do not list: the number of the place, from 0,
    /// with the name of the file. Such differences come from a server that decrypted a copy, or
    /// from two backups that were made in the same second. Nothing of such a file is taken from
    /// such a place.
    pub fn differences(&self) -> impl Iterator<Item = (usize, &str)> {
        let files = self.manifest().files();
        let differences = self.0.differences.iter();
        differences.map(|&(place, file)| (place, files[file].name()))
    }

    /// An archive by its name, such as `drive-scsi0.img`. Its index is read, and checked against
    /// the manifest.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] where the manifest has no such archive: the message lists those that
    /// it has; [`ErrorKind::Invalid`] for a small file, which must be read with
    /// [`read`](Snapshot::read), and for a name that several files share; [`ErrorKind::Key`] where
    /// the archive is encrypted and its key was not given; [`ErrorKind::Missing`] where the place
    /// lacks the index that the manifest lists; [`ErrorKind::Corrupt`] for an index that is damaged
    /// or is not the one that the manifest lists; otherwise why the index could not be fetched.
    pub fn archive(&self, name: &str) -> Result<Archive> {
        let file = self.file(name)?;
        if !file.is_archive() {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "{} is a small file without chunks: read it whole",
                    file.archive_name()
                ),
            ));
        }
        let key = self.key_for(file)?;
        let index = first_right(self.views_with(file), |view| self.index(view, file))?;
        let sources = self.views_with(file).map(|view| Source {
            view: view.clone(),
            path: ArchivePath {
                snapshot: view.path(self.name()),
                file: file.name().to_owned(),
                len: index.file_len(),
                csum: index.csum(),
            },
        });
        Ok(Archive(Arc::new(ArchiveInner {
            sources: sources.collect(),
            index,
            key,
        })))
    }

    /// The index that a place has, if it is the one that the manifest lists.
    fn index(&self, view: &View, file: &ManifestFile) -> Result<Index> {
        let path = view.path(self.name());
        let raw = fetch(view, &path, file, index_limit(file))?;
        let index = Index::parse(raw).map_err(|error| within(file.name(), &path, error))?;
        let is_fixed = file.name().ends_with(".fidx");
        if (index.csum(), index.len(), index.is_fixed()) != (file.csum(), file.size(), is_fixed) {
            return Err(Error::new(
                ErrorKind::Corrupt,
                format!(
                    "{} is not the index that the manifest of {path} lists: csum {} of {} bytes instead of {} of {}",
                    file.name(),
                    index.csum(),
                    index.len(),
                    file.csum(),
                    file.size(),
                ),
            ));
        }
        Ok(index)
    }

    /// A small file such as `qemu-server.conf`: it is read, checked against the manifest, and
    /// decoded.
    ///
    /// Two files can be read although no manifest lists them: `index.json`, which is the manifest's
    /// own JSON, and `client.log`, which a client may add after it has written the manifest. The
    /// log is checked only by its CRC. So the server can change the log at will, unless the log is
    /// encrypted.
    ///
    /// # Errors
    /// As [`archive`](Snapshot::archive), and [`ErrorKind::Invalid`] for an archive.
    pub fn read(&self, name: &str) -> Result<Vec<u8>> {
        if self.manifest().file(name).is_none() {
            match name.strip_suffix(".blob").unwrap_or(name) {
                "index.json" => return self.read_manifest(),
                "client.log" => return self.read_log(),
                _ => {}
            }
        }
        let file = self.file(name)?;
        if file.is_archive() {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("{} is an archive: restore it", file.archive_name()),
            ));
        }
        let key = match file.name() {
            WRAPPED_KEY => None,
            _ => self.key_for(file)?,
        };
        first_right(self.views_with(file), |view| {
            let path = view.path(self.name());
            let raw = fetch(view, &path, file, file.size().min(MAX_RAW))?;
            if (raw.len() as u64, Digest::of(&raw)) != (file.size(), file.csum()) {
                let message = format!(
                    "{} is not the file that the manifest of {path} lists",
                    file.name()
                );
                return Err(Error::new(ErrorKind::Corrupt, message));
            }
            if is_encrypted(&raw) != key.is_some() {
                let message = format!(
                    "{} of {path} is not encrypted as its manifest says",
                    file.name()
                );
                return Err(Error::new(ErrorKind::Corrupt, message));
            }
            decode_blob(raw, key.as_ref(), MAX_BLOB)
                .map_err(|error| within(file.name(), &path, error))
        })
    }

    /// The JSON of the manifest. It is read again, since only the parsed manifest is kept.
    fn read_manifest(&self) -> Result<Vec<u8>> {
        first_right(&self.0.views, |view| {
            let (manifest, json) = view.manifest(self.name())?;
            if !manifest.is_signed_as(self.manifest()) {
                let path = view.path(self.name());
                let message =
                    format!("the manifest of {path} is no longer the one that was read before");
                return Err(Error::new(ErrorKind::Corrupt, message));
            }
            Ok(json)
        })
    }

    fn read_log(&self) -> Result<Vec<u8>> {
        first_right(&self.0.views, |view| {
            let path = view.path(self.name());
            let read = view.place.backend.read_file(&path, CLIENT_LOG, MAX_RAW);
            let raw = read.map_err(|error| match error {
                FetchError::Missing => {
                    Error::new(ErrorKind::NotFound, format!("{path} has no client.log"))
                }
                error => cannot(&format!("fetch {CLIENT_LOG} of"), &path, error),
            })?;
            decode_blob(raw, self.0.found.key.as_ref(), MAX_BLOB)
                .map_err(|error| within(CLIENT_LOG, &path, error))
        })
    }

    /// How fast a place sends bytes over one connection when it need not look for them, in bytes
    /// per second. `None` where the place offers no such test; a Proxmox Backup Server does. Of
    /// several places, the first is tested.
    ///
    /// # Errors
    /// Why the bytes could not be fetched.
    pub fn speedtest(&self) -> Result<Option<f64>> {
        let view = self.0.views.first().expect("there is a place");
        let path = view.path(self.name());
        let begun = Instant::now();
        match view.place.backend.speedtest(&path) {
            Ok(len) => Ok(Some(len as f64 / begun.elapsed().as_secs_f64())),
            Err(FetchError::Unsupported) => Ok(None),
            Err(error) => Err(cannot("test the speed of the place of", &path, error)),
        }
    }

    /// The places, except those that have another file under this file's name.
    fn views_with(&self, file: &ManifestFile) -> impl Iterator<Item = &View> {
        let files = self.manifest().files().iter();
        let number = files
            .take_while(|other| other.name() != file.name())
            .count();
        let views = self.0.views.iter().enumerate();
        views
            .filter(move |&(view, _)| self.0.differences.binary_search(&(view, number)).is_err())
            .map(|(_, view)| view)
    }

    fn file(&self, name: &str) -> Result<&ManifestFile> {
        let manifest = &self.0.found.manifest;
        manifest.file(name).ok_or_else(|| {
            let namesakes: Vec<_> = manifest.namesakes(name).map(ManifestFile::name).collect();
            if !namesakes.is_empty() {
                let message = format!(
                    "{name} is not the name of one file of {}: name {} in full",
                    self.path(),
                    namesakes.join(" or ")
                );
                return Error::new(ErrorKind::Invalid, message);
            }
            let there = few(manifest.files().iter().map(ManifestFile::archive_name));
            Error::new(
                ErrorKind::NotFound,
                format!("no archive {name} in {}; it has: {there}", self.path()),
            )
        })
    }

    fn key_for(&self, file: &ManifestFile) -> Result<Option<Key>> {
        if file.crypt_mode() != CryptMode::Encrypt {
            return Ok(None);
        }
        if self.0.found.key.is_some() {
            return Ok(self.0.found.key.clone());
        }
        let what = format!("{} is encrypted", file.archive_name());
        let view = self.0.views.first().expect("there is a place");
        Err(view.trust.foreign_key(self.manifest(), &what))
    }

    fn path(&self) -> SnapshotPath {
        let view = self.0.views.first().expect("there is a place");
        view.path(self.name())
    }
}

/// Reads a file that the manifest lists, of at most `limit` bytes.
pub(super) fn fetch(
    view: &View,
    path: &SnapshotPath,
    file: &ManifestFile,
    limit: u64,
) -> Result<Vec<u8>> {
    let read = view.place.backend.read_file(path, file.name(), limit);
    read.map_err(|error| match error {
        // The manifest lists the file, so the file is lost. It is not a name that nobody knows.
        FetchError::Missing => {
            let message = format!(
                "{} of {path} is missing: its manifest lists it",
                file.name()
            );
            Error::new(ErrorKind::Missing, message).of_scope(Scope::Chunk)
        }
        FetchError::TooLong => {
            let name = file.name();
            let message = format!("{name} is not the file that the manifest of {path} lists");
            Error::new(ErrorKind::Corrupt, message).because(error)
        }
        error => cannot(&format!("fetch {} of", file.name()), path, error),
    })
}

/// An image or a pxar stream of a snapshot, with its index. Cheap to clone.
#[derive(Clone)]
pub struct Archive(Arc<ArchiveInner>);

struct ArchiveInner {
    sources: Vec<Source>,
    index: Index,
    key: Option<Key>,
}

/// A place that the chunks of an archive can come from.
pub(crate) struct Source {
    view: View,
    path: ArchivePath,
}

impl Source {
    pub(crate) fn backend(&self) -> &dyn Backend {
        &*self.view.place.backend
    }

    pub(crate) fn path(&self) -> &ArchivePath {
        &self.path
    }
}

impl Archive {
    /// The path of the archive; of several places, in the first that has the archive as the
    /// manifest lists it.
    #[must_use]
    pub fn path(&self) -> &ArchivePath {
        &self.0.sources.first().expect("there is a place").path
    }

    /// The list of the archive's chunks.
    #[must_use]
    pub fn index(&self) -> &Index {
        &self.0.index
    }

    /// The key that the archive's chunks are encrypted with; `None` where they are not encrypted.
    #[must_use]
    pub fn key(&self) -> Option<&Key> {
        self.0.key.as_ref()
    }

    /// The digest that a chunk of these bytes has in this archive.
    pub(crate) fn digest_of(&self, data: &[u8]) -> Digest {
        match self.key() {
            Some(key) => key.digest(data),
            None => Digest::of(data),
        }
    }

    /// The places that the archive's chunks can come from, the preferred one first. Places that
    /// have another archive under the same name are left out.
    pub(crate) fn sources(&self) -> &[Source] {
        &self.0.sources
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("path", &self.path())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Archive")
            .field("path", self.path())
            .finish_non_exhaustive()
    }
}
