//! Lists what a datastore holds, and asks for facts that a listing does not give. Nothing of this
//! is checked.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use parking_lot::Mutex;

use crate::backend::SnapshotInfo;
use crate::datastore::{Datastore, first_right};
use crate::error::{Error, ErrorKind, Result};
use crate::format::name::{GroupName, SnapshotName};

/// How many manifests are asked for at a time: enough for a slow place, and few enough for a disk.
const THREADS: usize = 8;

/// All backups of one thing, as a listing shows them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupInfo {
    /// The group.
    pub name: GroupName,
    /// How many snapshots it has, finished or not.
    pub snapshots: usize,
    /// The group's last finished snapshot.
    pub last: Option<SnapshotName>,
    /// The user or token that the group belongs to, where the place tells.
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

    /// Fills in what the listing of these snapshots left open, as far as the place can tell, from
    /// their manifests and their groups. Several manifests are read at a time. Their signatures are
    /// not checked.
    ///
    /// Returns the reasons why some facts could not be found out; each error names a snapshot. If
    /// the place is out of reach, there is only one error for that, and the remaining snapshots are
    /// left as they are.
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

    /// The owner of a group. Where it can't be found out, the listing goes on without it.
    fn owner(&self, group: &GroupName) -> Option<String> {
        (self.views.iter()).find_map(|view| view.place.backend.owner(&view.namespace, group).ok())
    }
}

/// Does the same work with all items, several at a time, until a place is out of reach or somebody
/// cancels.
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
            // If a thread can't be started, the other threads and this one do its work.
            let _ = thread::Builder::new().spawn_scoped(scope, work_on);
        }
        work_on();
    });
    errors.into_inner()
}
