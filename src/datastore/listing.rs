//! What a datastore holds, at a glance: what a listing leaves open is asked for. Nothing of it is checked.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use parking_lot::Mutex;

use crate::backend::SnapshotInfo;
use crate::datastore::{Datastore, first_right};
use crate::error::{Error, ErrorKind, Result};
use crate::format::name::{GroupName, SnapshotName};

/// How many manifests are asked for at a time: enough for a place that takes its time, and few enough for a disk.
const THREADS: usize = 8;

/// All backups of one thing, as a listing shows them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupInfo {
    /// The group.
    pub name: GroupName,
    /// How many snapshots it has, finished or not.
    pub snapshots: usize,
    /// The last one that is finished.
    pub last: Option<SnapshotName>,
    /// The user or token that it belongs to, where the place tells.
    pub owner: Option<String>,
}

impl Datastore {
    /// The groups of this namespace, sorted.
    ///
    /// # Errors
    /// As [`snapshots`](Datastore::snapshots).
    pub fn groups(&self) -> Result<Vec<GroupInfo>> {
        let mut groups: Vec<GroupInfo> = Vec::new();
        for snapshot in self.snapshots()? {
            let name = snapshot.name.group();
            if groups.last().is_none_or(|group| group.name != *name) {
                groups.push(GroupInfo {
                    name: name.clone(),
                    snapshots: 0,
                    last: None,
                    owner: None,
                });
            }
            let group = groups.last_mut().expect("one was just pushed");
            group.snapshots += 1;
            group.owner = group.owner.take().or(snapshot.owner);
            if snapshot.is_finished {
                group.last = Some(snapshot.name);
            }
        }
        each(
            groups.iter_mut().filter(|group| group.owner.is_none()),
            |group| {
                group.owner = self.owner(&group.name);
                Ok(())
            },
        );
        Ok(groups)
    }

    /// Adds to snapshots of this namespace what their listing left open, as far as the place can tell: from their manifests,
    /// and from their groups. Several are read at a time. Whose signature a manifest has is not looked at.
    ///
    /// Returns why some of it could not be had; each error names a snapshot. Where the place is out of reach, that is one error,
    /// and the rest is left as it is.
    pub fn describe(&self, snapshots: &mut [SnapshotInfo]) -> Vec<Error> {
        let mut owners: BTreeMap<GroupName, Option<String>> = (snapshots.iter())
            .filter(|snapshot| snapshot.owner.is_none())
            .map(|snapshot| (snapshot.name.group().clone(), None))
            .collect();
        each(owners.iter_mut(), |(group, owner)| {
            *owner = self.owner(group);
            Ok(())
        });
        for snapshot in snapshots.iter_mut() {
            if let Some(owner) = owners.get(snapshot.name.group()) {
                snapshot.owner = snapshot.owner.take().or_else(|| owner.clone());
            }
        }
        let open = snapshots
            .iter_mut()
            .filter(|snapshot| snapshot.is_finished && snapshot.files.is_none());
        each(open, |snapshot| {
            let (manifest, _) = first_right(&self.views, |view| view.manifest(&snapshot.name))?;
            snapshot.describe(&manifest);
            Ok(())
        })
    }

    /// That it can't be told is no reason not to list.
    fn owner(&self, group: &GroupName) -> Option<String> {
        (self.views.iter()).find_map(|view| view.place.backend.owner(&view.namespace, group).ok())
    }
}

/// Does the same with all of them, several at a time, until one is out of reach.
fn each<T: Send>(
    items: impl Iterator<Item = T> + Send,
    work: impl Fn(T) -> Result<()> + Sync,
) -> Vec<Error> {
    let items = Mutex::new(items);
    let errors = Mutex::new(Vec::new());
    let is_over = AtomicBool::new(false);
    let next = || items.lock().next();
    let work_on = || {
        while let Some(item) = next().filter(|_| !is_over.load(Ordering::Relaxed)) {
            let Err(error) = work(item) else { continue };
            let is_final = matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Cancelled);
            if !(is_final && is_over.swap(true, Ordering::Relaxed)) {
                errors.lock().push(error);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..THREADS {
            // Without more threads the others do it, and this one.
            let _ = thread::Builder::new().spawn_scoped(scope, work_on);
        }
        work_on();
    });
    errors.into_inner()
}
