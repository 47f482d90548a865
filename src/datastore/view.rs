//! One place seen from one namespace: reads what it holds, and checks it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::backend::layout::MANIFEST;
use crate::backend::{Backend, FetchError, SnapshotInfo};
use crate::datastore::trust::Trust;
use crate::datastore::{cannot, few, within};
use crate::error::{Error, ErrorKind, Result};
use crate::format::blob::{MAX_RAW, decode_blob};
use crate::format::key::Key;
use crate::format::manifest::{MAX_MANIFEST, Manifest};
use crate::format::name::{GroupName, Namespace, SnapshotName, SnapshotPath};

/// For this long, a place that was out of reach is asked only after all others.
const PAUSE: Duration = Duration::from_secs(60);

/// A place, a namespace in it, and the rule that says which of its manifests are believed.
#[derive(Clone)]
pub(super) struct View {
    pub(super) place: Arc<OpenPlace>,
    pub(super) namespace: Namespace,
    pub(super) trust: Arc<Trust>,
}

/// A place that is open: its backend, and whether the place was out of reach a moment ago.
pub(super) struct OpenPlace {
    pub(super) backend: Box<dyn Backend>,
    /// When the place was last found to be out of reach. The time is taken after the failure, since
    /// it may take a while to find out.
    failed: Mutex<Option<Instant>>,
}

/// A snapshot whose manifest is believed.
pub(super) struct Found {
    pub(super) name: SnapshotName,
    pub(super) manifest: Manifest,
    /// The key of the snapshot's chunks, where it was given.
    pub(super) key: Option<Key>,
}

impl OpenPlace {
    pub(super) fn new(backend: Box<dyn Backend>) -> OpenPlace {
        OpenPlace {
            backend,
            failed: Mutex::new(None),
        }
    }
}

impl View {
    /// Asks the place, and remembers whether it is out of reach.
    pub(super) fn ask<T>(&self, ask: impl FnOnce(&View) -> Result<T>) -> Result<T> {
        let answer = ask(self);
        let is_out_of_reach =
            matches!(&answer, Err(error) if error.kind() == ErrorKind::Unavailable);
        *self.place.failed.lock() = is_out_of_reach.then(Instant::now);
        answer
    }

    /// Whether the place was out of reach a moment ago.
    pub(super) fn is_out_of_reach(&self) -> bool {
        let failed = *self.place.failed.lock();
        failed.is_some_and(|failed| failed.elapsed() < PAUSE)
    }

    pub(super) fn path(&self, snapshot: &SnapshotName) -> SnapshotPath {
        SnapshotPath {
            namespace: self.namespace.clone(),
            snapshot: snapshot.clone(),
        }
    }

    pub(super) fn namespaces(&self) -> Result<Vec<Namespace>> {
        let found = self.place.backend.namespaces(&self.namespace);
        found.map_err(|error| self.cannot_list(error))
    }

    pub(super) fn snapshots(&self) -> Result<Vec<SnapshotInfo>> {
        let found = self.place.backend.snapshots(&self.namespace, None);
        found.map_err(|error| self.cannot_list(error))
    }

    /// The snapshot of this name, after its manifest was checked: it must belong to the snapshot,
    /// and be signed where a signature is required.
    pub(super) fn snapshot(&self, name: SnapshotName) -> Result<Found> {
        let (manifest, _) = self.manifest(&name)?;
        let key = self.key_of(&manifest, &self.path(&name))?;
        Ok(Found {
            name,
            manifest,
            key,
        })
    }

    /// The key of a snapshot, after its manifest was found to be signed by this key.
    fn key_of(&self, manifest: &Manifest, path: &SnapshotPath) -> Result<Option<Key>> {
        #[cfg(feature = "master-key")]
        if let Some(master) = self.trust.master_for(manifest) {
            return self.wrapped_key(master, manifest, path);
        }
        self.trust.key_of(manifest, path)
    }

    /// The manifest of a snapshot, after it was found to belong to this snapshot, and its JSON. The
    /// signature is not checked.
    pub(super) fn manifest(&self, name: &SnapshotName) -> Result<(Manifest, Vec<u8>)> {
        let path = self.path(name);
        let read = (self.place.backend).read_file(&path, MANIFEST, MAX_RAW);
        let raw = match read {
            Ok(raw) => raw,
            Err(FetchError::Missing) => return Err(self.no_such_snapshot(&path.snapshot)),
            Err(error) => return Err(cannot("fetch the manifest of", &path, error)),
        };
        let parsed = decode_blob(raw, None, MAX_MANIFEST)
            .and_then(|json| Ok((Manifest::parse(&json)?, json)));
        let (manifest, json) = parsed.map_err(|error| within("the manifest", &path, error))?;
        if *manifest.snapshot() != path.snapshot {
            return Err(Error::new(
                ErrorKind::Corrupt,
                format!(
                    "the manifest found for {path} is that of {}",
                    manifest.snapshot()
                ),
            ));
        }
        Ok((manifest, json))
    }

    /// The last snapshot of a group that is finished: it has a manifest.
    pub(super) fn last_finished(&self, group: &GroupName) -> Result<SnapshotName> {
        let found = self.place.backend.snapshots(&self.namespace, Some(group));
        let snapshots = match found {
            Ok(snapshots) => snapshots,
            Err(FetchError::Unsupported) => {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    format!(
                        "this kind of place can't list the snapshots of {group}; name one in full, as {group}/2026-11-23T00:00:00Z"
                    ),
                ));
            }
            Err(error) => return Err(self.cannot_list(error)),
        };
        let finished = snapshots.into_iter().filter(|found| found.is_finished);
        (finished.map(|found| found.name).max()).ok_or_else(|| {
            let message = format!("no finished snapshot of {group}{}", self.namespace_suffix());
            Error::new(ErrorKind::NotFound, message + &self.groups_there())
        })
    }

    fn no_such_snapshot(&self, name: &SnapshotName) -> Error {
        let group = name.group();
        let there =
            (self.place.backend.snapshots(&self.namespace, Some(group))).unwrap_or_default();
        if there.iter().any(|found| found.name == *name) {
            return Error::new(
                ErrorKind::NotFound,
                format!(
                    "the snapshot {name} is unfinished: it has no manifest (its backup is running, or was cut off)"
                ),
            );
        }
        let mut times: Vec<_> = there.iter().map(|found| &found.name).collect();
        times.sort();
        let message = format!("no snapshot {name}{}", self.namespace_suffix());
        let others = if times.is_empty() {
            self.groups_there()
        } else {
            format!("; the last of {group}: {}", few(times.iter().rev()))
        };
        Error::new(ErrorKind::NotFound, message + &others)
    }

    /// A text for a message about something that is not there: it lists the groups that are there.
    fn groups_there(&self) -> String {
        match self.place.backend.snapshots(&self.namespace, None) {
            Ok(snapshots) => {
                let mut groups: Vec<_> = snapshots.iter().map(|found| found.name.group()).collect();
                groups.sort();
                groups.dedup();
                if groups.is_empty() {
                    "; there are no snapshots at all".to_owned()
                } else {
                    format!("; there are snapshots of: {}", few(groups))
                }
            }
            Err(FetchError::Missing) => "; there is no such namespace".to_owned(),
            Err(_) => String::new(),
        }
    }

    fn cannot_list(&self, error: FetchError) -> Error {
        if matches!(error, FetchError::Missing) {
            let top = self.place.backend.namespaces(&Namespace::default());
            let there = match top {
                Ok(mut top) if !top.is_empty() => {
                    top.sort();
                    format!("; at the top there are: {}", few(top))
                }
                _ => String::new(),
            };
            return Error::new(
                ErrorKind::NotFound,
                format!("no namespace {}{there}", self.namespace),
            );
        }
        let message = format!("cannot list the datastore{}", self.namespace_suffix());
        Error::new(error.kind(), message)
            .of_scope(error.scope())
            .because(error)
    }

    fn namespace_suffix(&self) -> String {
        if self.namespace.is_root() {
            String::new()
        } else {
            format!(" in namespace {}", self.namespace)
        }
    }
}
