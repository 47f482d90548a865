//! `Datastore`: what one or several places hold, checked. Knows nothing of kinds of places.

mod copies;
pub(crate) mod listing;
pub(crate) mod snapshot;
pub(crate) mod trust;
mod view;

use std::fmt::{self, Display};
use std::sync::Arc;

use crate::backend::{Backend, FetchError, SnapshotInfo};
use crate::datastore::snapshot::Snapshot;
use crate::datastore::trust::Trust;
use crate::datastore::view::{OpenPlace, View};
use crate::error::{Error, ErrorKind, Result};
use crate::format::name::{GroupName, Namespace, SnapshotName, SnapshotPath};

/// The places that have a chunk, or lack it, are the bits of a number.
const MOST_PLACES: usize = 64;

/// A datastore, seen from one of its namespaces. Cheap to clone.
#[derive(Clone)]
pub struct Datastore {
    /// One at the least; the first is preferred.
    views: Vec<View>,
}

impl Datastore {
    /// The datastore behind a backend of your own, without keys, seen from the root namespace.
    ///
    /// With keys: [`OpenOptions::open_backend`](crate::OpenOptions::open_backend).
    pub fn new(backend: impl Backend + 'static) -> Datastore {
        Datastore::assemble(Box::new(backend), Namespace::default(), Trust::default())
    }

    pub(crate) fn assemble(
        backend: Box<dyn Backend>,
        namespace: Namespace,
        trust: Trust,
    ) -> Datastore {
        Datastore {
            views: vec![View {
                place: Arc::new(OpenPlace::new(backend)),
                namespace,
                trust: Arc::new(trust),
            }],
        }
    }

    /// The same datastore in several places, such as a server and a bucket with a copy of it, each seen from a namespace of
    /// its own.
    ///
    /// What is missing, damaged or out of reach in one place comes from the next. Chunks are known by their digests, so it does
    /// not matter whose they are: a place may be old, cheap, incomplete or not to be trusted. A manifest is that of the first
    /// place that has a right one, and the strictest rule holds for all: where one of the places was opened with a key, the
    /// manifests of all must be signed by one of their keys, unless each that has a key allows otherwise. A place that has
    /// something else under a snapshot's name gives nothing of it: see
    /// [`Snapshot::differences`](crate::Snapshot::differences).
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for no place, and for more than 64.
    pub fn any_of(places: impl IntoIterator<Item = Datastore>) -> Result<Datastore> {
        let mut views: Vec<View> = places.into_iter().flat_map(|place| place.views).collect();
        if views.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, "no place was named"));
        }
        if views.len() > MOST_PLACES {
            let message = format!("more than {MOST_PLACES} places were named");
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        // Else a forged manifest in the place that asks for no signature would pass for one that was checked.
        let strictest = Trust::strictest(views.iter().map(|view| &*view.trust));
        let strictest = Arc::new(strictest);
        for view in &mut views {
            view.trust = Arc::clone(&strictest);
        }
        Ok(Datastore { views })
    }

    /// The same datastore, seen from another namespace.
    #[must_use]
    pub fn in_namespace(&self, namespace: Namespace) -> Datastore {
        let views = self.views.iter();
        Datastore {
            views: views
                .map(|view| View {
                    namespace: namespace.clone(),
                    ..view.clone()
                })
                .collect(),
        }
    }

    /// The namespaces directly below this one, sorted; of several places, of all that can be listed.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] where this one does not exist; [`ErrorKind::Unsupported`] where the place can't list;
    /// else why the listing failed.
    pub fn namespaces(&self) -> Result<Vec<Namespace>> {
        let mut namespaces = self.all(View::namespaces)?;
        namespaces.sort();
        namespaces.dedup();
        Ok(namespaces)
    }

    /// The snapshots of this namespace, sorted by group and time; of several places, of all that can be listed. What the
    /// listing does not tell of them, [`describe`](Datastore::describe) does.
    ///
    /// # Errors
    /// As [`namespaces`](Datastore::namespaces).
    pub fn snapshots(&self) -> Result<Vec<SnapshotInfo>> {
        let mut snapshots = self.all(View::snapshots)?;
        // Of several of a name, one that is finished somewhere, and of these the first.
        snapshots.sort_by(|one, other| {
            let by_name = one.name.cmp(&other.name);
            by_name.then(other.is_finished.cmp(&one.is_finished))
        });
        snapshots.dedup_by(|other, kept| other.name == kept.name);
        Ok(snapshots)
    }

    /// What lies among the snapshots of this namespace, or of one of its groups, and is in no listing, with the reason; for
    /// people. A folder has such where a tool that copied it renamed what is in it.
    #[must_use]
    pub fn passed_over(&self, group: Option<&GroupName>) -> Vec<String> {
        let reached = self.views.iter().filter(|view| !view.is_out_of_reach());
        reached
            .flat_map(|view| view.place.backend.passed_over(&view.namespace, group))
            .collect()
    }

    /// A snapshot by its name, such as `vm/100/2026-11-23T00:00:00Z`; or a group's last finished one, by the name
    /// of the group, such as `vm/100`.
    ///
    /// Its manifest is read and checked: it must be of the snapshot that was asked for, and, where keys were given,
    /// be signed by one of them. Of several places, the manifests of the others are compared with it, those aside that were
    /// out of reach a moment ago.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a name that is neither; [`ErrorKind::NotFound`] where there is no such snapshot, with
    /// those that there are; [`ErrorKind::Key`] where the manifest is not signed by a key that was given;
    /// [`ErrorKind::Corrupt`] for a manifest that is damaged or another's; else why it could not be fetched. Of
    /// several places, what the first says that does not just lack it.
    pub fn snapshot(&self, name: &str) -> Result<Snapshot> {
        let name = match (name.parse::<SnapshotName>(), name.parse::<GroupName>()) {
            (Ok(snapshot), _) => snapshot,
            (_, Ok(group)) => {
                let last = self.all(|view| view.last_finished(&group).map(|last| vec![last]))?;
                last.into_iter()
                    .max()
                    .expect("each place names one, or none does")
            }
            (Err(error), Err(_)) => {
                return Err(Error::new(
                    ErrorKind::Invalid,
                    format!("{name:?} names neither a snapshot (as vm/100/2026-11-23T00:00:00Z) nor a group (as vm/100)"),
                )
                .because(error));
            }
        };
        let (view, found) = first_right(&self.views, |view| {
            Ok((view.clone(), view.snapshot(name.clone())?))
        })?;
        let differences = copies::differences(&self.views, &view, &found);
        Ok(Snapshot::new(self.views.clone(), found, differences))
    }

    /// What all places that answer have, one after the other. A place that is out of reach is not asked each time.
    fn all<T>(&self, ask: impl Fn(&View) -> Result<Vec<T>>) -> Result<Vec<T>> {
        let mut answers = None;
        let mut failure = None;
        for view in in_turn(&self.views) {
            if answers.is_some() && view.is_out_of_reach() {
                continue;
            }
            match view.ask(&ask) {
                Ok(answer) => answers.get_or_insert_with(Vec::new).extend(answer),
                Err(error) => failure = more_telling(failure, error),
            }
        }
        match (answers, failure) {
            (None, Some(error)) => Err(error),
            (answers, _) => Ok(answers.unwrap_or_default()),
        }
    }
}

/// What the first place gives that has it right; if none has, what is wrong with it in the first that does not just lack it.
fn first_right<'a, T>(
    views: impl IntoIterator<Item = &'a View>,
    ask: impl Fn(&View) -> Result<T>,
) -> Result<T> {
    let mut failure = None;
    for view in in_turn(views) {
        match view.ask(&ask) {
            Ok(answer) => return Ok(answer),
            Err(error) => failure = more_telling(failure, error),
        }
    }
    Err(failure.expect("there is a place"))
}

/// The first failure, unless it says that the thing is not there and the other leaves open whether it is.
fn more_telling(first: Option<Error>, other: Error) -> Option<Error> {
    let lacks = |error: &Error| matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Missing);
    match first {
        Some(first) if !lacks(&first) || lacks(&other) => Some(first),
        _ => Some(other),
    }
}

/// Those first that were not found out of reach a moment ago.
fn in_turn<'a>(views: impl IntoIterator<Item = &'a View>) -> impl Iterator<Item = &'a View> {
    let (others, reached): (Vec<_>, Vec<_>) =
        (views.into_iter()).partition(|view| view.is_out_of_reach());
    reached.into_iter().chain(others)
}

fn cannot(verb: &str, path: &SnapshotPath, error: FetchError) -> Error {
    let scope = error.scope();
    Error::new(error.kind(), format!("cannot {verb} {path}"))
        .of_scope(scope)
        .because(error)
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
        let namespaces = self.views.iter().map(|view| &view.namespace);
        f.debug_struct("Datastore")
            .field("namespaces", &namespaces.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
