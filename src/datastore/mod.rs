//! `Datastore`: the checked contents of one place, or of several places that hold the same
//! datastore.

mod copies;
pub(crate) mod listing;
pub(crate) mod snapshot;
pub(crate) mod trust;
mod view;
#[cfg(feature = "master-key")]
mod wrapped;

use std::fmt::{self, Display};
use std::sync::Arc;

use crate::backend::{Backend, FetchError, SnapshotInfo};
use crate::datastore::snapshot::Snapshot;
use crate::datastore::trust::Trust;
use crate::datastore::view::{OpenPlace, View};
use crate::error::{Error, ErrorKind, Result};
use crate::format::name::{GroupName, Namespace, SnapshotName, SnapshotPath};

/// The set of places that have or lack a chunk is a number with one bit for each place.
const MOST_PLACES: usize = 64;

/// A datastore, seen from one of its namespaces. Cheap to clone.
#[derive(Clone)]
pub struct Datastore {
    /// There is at least one view; the first is preferred.
    views: Vec<View>,
}

impl Datastore {
    /// The datastore behind a backend of your own, without keys, seen from the root namespace.
    ///
    /// To give keys, use [`OpenOptions::open_backend`](crate::OpenOptions::open_backend).
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

    /// The same datastore in several places, such as a server and a bucket with a copy of it. Each
    /// place is seen from its own namespace.
    ///
    /// Data that is missing, damaged or out of reach in one place comes from the next. Chunks are
    /// checked by their digests, so it does not matter which place they come from: a place may be
    /// old, cheap, incomplete or not to be trusted. A manifest comes from the first place that has
    /// a right one, and the strictest rule holds for all places: where one of them was opened with
    /// a key, the manifests of all places must be signed by one of the given keys, unless every
    /// place with a key allows unsigned manifests. Of several master keys, that of the first place that
    /// has one counts. If a place has another file under the same name
    /// of a snapshot's file, nothing of that file is taken from this place: see
    /// [`Snapshot::differences`](crate::Snapshot::differences).
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] where no place is named, and where more than 64 are.
    pub fn any_of(places: impl IntoIterator<Item = Datastore>) -> Result<Datastore> {
        let mut views: Vec<View> = places.into_iter().flat_map(|place| place.views).collect();
        if views.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, "no place was named"));
        }
        if views.len() > MOST_PLACES {
            let message = format!("more than {MOST_PLACES} places were named");
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        // Otherwise a forged manifest from a place that asks for no signature would pass for a
        // checked one.
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

    /// The namespaces directly below this one, sorted. For several places: those of all places that
    /// can be listed.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] where this namespace does not exist; [`ErrorKind::Unsupported`]
    /// where the place can't list; otherwise why the listing failed.
    pub fn namespaces(&self) -> Result<Vec<Namespace>> {
        let mut namespaces = self.all(View::namespaces)?;
        namespaces.sort();
        namespaces.dedup();
        Ok(namespaces)
    }

    /// The snapshots of this namespace, sorted by group and time. For several places: those of all
    /// places that can be listed. Facts that the listing does not give can be had from
    /// [`describe`](Datastore::describe).
    ///
    /// # Errors
    /// As [`namespaces`](Datastore::namespaces).
    pub fn snapshots(&self) -> Result<Vec<SnapshotInfo>> {
        let mut snapshots = self.all(View::snapshots)?;
        // Where several places have a snapshot of the same name, one that is finished is kept, and
        // of several such ones the first.
        snapshots.sort_by(|one, other| {
            let by_name = one.name.cmp(&other.name);
            by_name.then(other.is_finished.cmp(&one.is_finished))
        });
        snapshots.dedup_by(|other, kept| other.name == kept.name);
        Ok(snapshots)
    }

    /// What lies among the snapshots of this namespace, or of one of its groups, but is in no
    /// listing; each text is for people, and gives the reason. A folder has such entries where a
    /// tool that copied it renamed what is in it.
    #[must_use]
    pub fn passed_over(&self, group: Option<&GroupName>) -> Vec<String> {
        let reached = self.views.iter().filter(|view| !view.is_out_of_reach());
        reached
            .flat_map(|view| view.place.backend.passed_over(&view.namespace, group))
            .collect()
    }

    /// A snapshot by its name, such as `vm/100/2026-11-23T00:00:00Z`; or the last finished snapshot
    /// of a group, by the name of the group, such as `vm/100`.
    ///
    /// The snapshot's manifest is read and checked: it must be that of the snapshot, and, where
    /// keys were given, it must be signed by one of them. For several places, the manifests of the
    /// other places are compared with it, except those of places that were out of reach a moment
    /// ago.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a name of neither a snapshot nor a group; [`ErrorKind::NotFound`]
    /// where there is no such snapshot: the message lists some that exist; [`ErrorKind::Key`] where
    /// the manifest is not signed by a key that was given; [`ErrorKind::Corrupt`] for a manifest
    /// that is damaged or belongs to another snapshot; otherwise why the manifest could not be
    /// fetched. For several places, it is the error of the first place that does not just lack the
    /// snapshot.
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

    /// The answers of all places that answer, one after the other. A place that was out of reach a
    /// moment ago is asked only if no other place has answered.
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

/// The answer of the first place that gives a right one. If no place does, the error of the first
/// place that does not just lack the thing.
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

/// The first failure, unless it says that the thing is not there while the other failure leaves
/// open whether it is.
fn more_telling(first: Option<Error>, other: Error) -> Option<Error> {
    let lacks = |error: &Error| matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Missing);
    match first {
        Some(first) if !lacks(&first) || lacks(&other) => Some(first),
        _ => Some(other),
    }
}

/// The views in the order in which to ask them: those that were out of reach a moment ago come
/// last.
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
