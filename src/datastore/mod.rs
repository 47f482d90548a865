//! `Datastore`: what a backend holds, checked. Knows nothing of kinds of places.

pub(crate) mod snapshot;
pub(crate) mod trust;

use std::fmt::{self, Display};
use std::sync::Arc;

use crate::backend::{Backend, FetchError, SnapshotInfo};
use crate::datastore::snapshot::Snapshot;
use crate::datastore::trust::Trust;
use crate::error::{Error, ErrorKind, Result};
use crate::format::blob::{MAX_BLOB, decode_blob};
use crate::format::manifest::Manifest;
use crate::format::name::{GroupName, Namespace, SnapshotName, SnapshotPath};

const MANIFEST: &str = "index.json.blob";

/// A datastore, seen from one of its namespaces. Cheap to clone.
#[derive(Clone)]
pub struct Datastore {
    place: Arc<Place>,
    namespace: Namespace,
}

struct Place {
    backend: Box<dyn Backend>,
    trust: Trust,
}

impl Datastore {
    /// The datastore behind a backend of your own, without keys, seen from the root namespace.
    ///
    /// With keys: [`Options::open_backend`](crate::Options::open_backend).
    pub fn new(backend: impl Backend + 'static) -> Datastore {
        Datastore::assemble(Box::new(backend), Namespace::default(), Trust::default())
    }

    pub(crate) fn assemble(
        backend: Box<dyn Backend>,
        namespace: Namespace,
        trust: Trust,
    ) -> Datastore {
        let place = Arc::new(Place { backend, trust });
        Datastore { place, namespace }
    }

    /// The same datastore, seen from another namespace.
    #[must_use]
    pub fn in_namespace(&self, namespace: Namespace) -> Datastore {
        Datastore {
            place: Arc::clone(&self.place),
            namespace,
        }
    }

    /// The namespaces directly below this one, sorted.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] where this one does not exist; [`ErrorKind::Unsupported`] where the place can't list;
    /// else why the listing failed.
    pub fn namespaces(&self) -> Result<Vec<Namespace>> {
        let found = self.place.backend.namespaces(&self.namespace);
        let mut namespaces = found.map_err(|error| self.cannot_list(error))?;
        namespaces.sort();
        Ok(namespaces)
    }

    /// The snapshots of this namespace, sorted by group and time.
    ///
    /// # Errors
    /// As [`namespaces`](Datastore::namespaces).
    pub fn snapshots(&self) -> Result<Vec<SnapshotInfo>> {
        let found = self.place.backend.snapshots(&self.namespace, None);
        let mut snapshots = found.map_err(|error| self.cannot_list(error))?;
        snapshots.sort();
        Ok(snapshots)
    }

    /// A snapshot by its name, such as `vm/100/2026-11-23T00:00:00Z`; or a group's last finished one, by the name
    /// of the group, such as `vm/100`.
    ///
    /// Its manifest is read and checked: it must be of the snapshot that was asked for, and, where keys were given,
    /// be signed by one of them.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a name that is neither; [`ErrorKind::NotFound`] where there is no such snapshot, with
    /// those that there are; [`ErrorKind::Key`] where the manifest is not signed by a key that was given;
    /// [`ErrorKind::Corrupt`] for a manifest that is damaged or another's; else why it could not be fetched.
    pub fn snapshot(&self, name: &str) -> Result<Snapshot> {
        let name = match (name.parse::<SnapshotName>(), name.parse::<GroupName>()) {
            (Ok(snapshot), _) => snapshot,
            (_, Ok(group)) => self.last_finished(&group)?,
            (Err(error), Err(_)) => {
                return Err(Error::new(
                    ErrorKind::Invalid,
                    format!("{name:?} names neither a snapshot (as vm/100/2026-11-23T00:00:00Z) nor a group (as vm/100)"),
                )
                .because(error));
            }
        };
        let path = SnapshotPath {
            namespace: self.namespace.clone(),
            snapshot: name,
        };
        let read = (self.place.backend).read_file(&path, MANIFEST, MAX_BLOB as u64);
        let raw = match read {
            Ok(raw) => raw,
            Err(FetchError::Missing) => return Err(self.no_such_snapshot(&path.snapshot)),
            Err(error) => return Err(cannot("fetch the manifest of", &path, error)),
        };
        let manifest = decode_blob(&raw, None, MAX_BLOB)
            .and_then(|json| Manifest::parse(&json))
            .map_err(|error| within("the manifest", &path, error))?;
        if *manifest.snapshot() != path.snapshot {
            return Err(Error::new(
                ErrorKind::Corrupt,
                format!(
                    "the manifest found for {path} is that of {}",
                    manifest.snapshot()
                ),
            ));
        }
        let key = self.place.trust.key_of(&manifest, &path)?;
        Ok(Snapshot::new(Arc::clone(&self.place), path, manifest, key))
    }

    fn last_finished(&self, group: &GroupName) -> Result<SnapshotName> {
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

    /// For a message about something that is not there: what is.
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
        Error::new(
            error.kind(),
            format!("cannot list the datastore{}", self.namespace_suffix()),
        )
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

fn cannot(verb: &str, path: &SnapshotPath, error: FetchError) -> Error {
    Error::new(error.kind(), format!("cannot {verb} {path}")).because(error)
}

fn within(file: &str, path: &SnapshotPath, error: Error) -> Error {
    let mut outer = Error::new(error.kind(), format!("{file} of {path} can't be used"));
    if let Some(position) = error.position() {
        outer = outer.at_position(position);
    }
    if let Some(offset) = error.offset() {
        outer = outer.at_offset(offset);
    }
    outer.because(error)
}

/// The first few of a list, for a message.
fn few<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    const FEW: usize = 8;
    let mut items = items.into_iter();
    let shown: Vec<String> = items
        .by_ref()
        .take(FEW)
        .map(|item| item.to_string())
        .collect();
    let more = items.count();
    let list = shown.join(", ");
    if more > 0 {
        format!("{list} and {more} more")
    } else {
        list
    }
}

impl fmt::Debug for Datastore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Datastore")
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}
