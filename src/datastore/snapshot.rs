//! `Snapshot` and `Archive`: one backup and what is in it, checked against its manifest.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use crate::backend::{ArchivePath, Backend, FetchError};
use crate::datastore::{Place, cannot, few, within};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::format::blob::{MAX_BLOB, decode_blob, is_encrypted};
use crate::format::index::Index;
use crate::format::key::Key;
use crate::format::manifest::{CryptMode, Manifest, ManifestFile};
use crate::format::name::{SnapshotName, SnapshotPath};

/// The private key that a master key wraps; never encrypted, whatever the manifest says of it.
const WRAPPED_KEY: &str = "rsa-encrypted.key.blob";

/// Bounds what an index may take: 128 TiB in chunks of 4 MiB.
const MAX_INDEX: u64 = 1 << 30;

/// One backup, with its manifest. Cheap to clone.
#[derive(Clone)]
pub struct Snapshot(Arc<SnapshotInner>);

struct SnapshotInner {
    place: Arc<Place>,
    path: SnapshotPath,
    manifest: Manifest,
    key: Option<Key>,
}

impl Snapshot {
    pub(super) fn new(
        place: Arc<Place>,
        path: SnapshotPath,
        manifest: Manifest,
        key: Option<Key>,
    ) -> Snapshot {
        Snapshot(Arc::new(SnapshotInner {
            place,
            path,
            manifest,
            key,
        }))
    }

    /// The snapshot's name, with the time where only a group was asked for.
    #[must_use]
    pub fn name(&self) -> &SnapshotName {
        &self.0.path.snapshot
    }

    /// The list of what is in it.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.0.manifest
    }

    /// An archive by its name, such as `drive-scsi0.img`. Its index is read, and checked against the manifest.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] where the manifest has no such archive, with those that it has;
    /// [`ErrorKind::Invalid`] for a small file, which [`read`](Snapshot::read) is for; [`ErrorKind::Key`] where it is
    /// encrypted and its key was not given; [`ErrorKind::Corrupt`] for an index that is damaged or not the manifest's;
    /// else why it could not be fetched.
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
        let raw = self.fetch(file, MAX_INDEX)?;
        let index = Index::parse(raw).map_err(|error| within(file.name(), &self.0.path, error))?;
        let is_fixed = file.name().ends_with(".fidx");
        if (index.csum(), index.len(), index.is_fixed()) != (file.csum(), file.size(), is_fixed) {
            return Err(Error::new(
                ErrorKind::Corrupt,
                format!(
                    "{} is not the index that the manifest of {} lists: csum {} of {} bytes instead of {} of {}",
                    file.name(),
                    self.0.path,
                    index.csum(),
                    index.len(),
                    file.csum(),
                    file.size(),
                ),
            ));
        }
        let path = ArchivePath {
            snapshot: self.0.path.clone(),
            file: file.name().to_owned(),
        };
        Ok(Archive(Arc::new(ArchiveInner {
            place: Arc::clone(&self.0.place),
            path,
            index,
            key,
        })))
    }

    /// A small file such as `qemu-server.conf`: read, checked against the manifest, and decoded.
    ///
    /// # Errors
    /// As [`archive`](Snapshot::archive), and [`ErrorKind::Invalid`] for an archive.
    pub fn read(&self, name: &str) -> Result<Vec<u8>> {
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
        let raw = self.fetch(file, MAX_BLOB as u64)?;
        if (raw.len() as u64, Digest::of(&raw)) != (file.size(), file.csum()) {
            return Err(Error::new(
                ErrorKind::Corrupt,
                format!(
                    "{} is not the file that the manifest of {} lists",
                    file.name(),
                    self.0.path
                ),
            ));
        }
        if is_encrypted(&raw) != key.is_some() {
            return Err(Error::new(
                ErrorKind::Corrupt,
                format!(
                    "{} of {} is not encrypted as its manifest says",
                    file.name(),
                    self.0.path
                ),
            ));
        }
        decode_blob(&raw, key.as_ref(), MAX_BLOB)
            .map_err(|error| within(file.name(), &self.0.path, error))
    }

    /// How fast bytes come from the place over one connection, in bytes per second: bytes that it need not look for.
    /// `None` where the place offers no such test; a Proxmox Backup Server does.
    ///
    /// # Errors
    /// Why they could not be fetched.
    pub fn speedtest(&self) -> Result<Option<f64>> {
        let begun = Instant::now();
        match self.0.place.backend.speedtest(&self.0.path) {
            Ok(len) => Ok(Some(len as f64 / begun.elapsed().as_secs_f64())),
            Err(FetchError::Unsupported) => Ok(None),
            Err(error) => Err(cannot(
                "test the speed of the place of",
                &self.0.path,
                error,
            )),
        }
    }

    fn file(&self, name: &str) -> Result<&ManifestFile> {
        let manifest = &self.0.manifest;
        manifest.file(name).ok_or_else(|| {
            let there = few(manifest.files().iter().map(ManifestFile::archive_name));
            Error::new(
                ErrorKind::NotFound,
                format!("no archive {name} in {}; it has: {there}", self.0.path),
            )
        })
    }

    fn key_for(&self, file: &ManifestFile) -> Result<Option<Key>> {
        if file.crypt_mode() != CryptMode::Encrypt {
            return Ok(None);
        }
        if self.0.key.is_some() {
            return Ok(self.0.key.clone());
        }
        let what = format!("{} is encrypted", file.archive_name());
        Err(self.0.place.trust.foreign_key(&self.0.manifest, &what))
    }

    fn fetch(&self, file: &ManifestFile, limit: u64) -> Result<Vec<u8>> {
        (self
            .0
            .place
            .backend
            .read_file(&self.0.path, file.name(), limit))
        .map_err(|error| cannot(&format!("fetch {} of", file.name()), &self.0.path, error))
    }
}

/// An image or a pxar stream of a snapshot, with its index. Cheap to clone.
#[derive(Clone)]
pub struct Archive(Arc<ArchiveInner>);

struct ArchiveInner {
    place: Arc<Place>,
    path: ArchivePath,
    index: Index,
    key: Option<Key>,
}

impl Archive {
    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &ArchivePath {
        &self.0.path
    }

    /// Its chunks.
    #[must_use]
    pub fn index(&self) -> &Index {
        &self.0.index
    }

    /// The key of its chunks; `None` where they are not encrypted.
    #[must_use]
    pub fn key(&self) -> Option<&Key> {
        self.0.key.as_ref()
    }

    pub(crate) fn backend(&self) -> &dyn Backend {
        &*self.0.place.backend
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("path", &self.0.path)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Archive")
            .field("path", &self.0.path)
            .finish_non_exhaustive()
    }
}
