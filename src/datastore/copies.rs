//! Compares the manifests that several places have under the same snapshot name. They can differ:
//! for example, a server that decrypts a snapshot while it copies it stores other chunks under the
//! same name.

use std::sync::Arc;
use std::thread;

use crate::datastore::view::{Found, View};
use crate::format::manifest::Manifest;

/// A file that a place has in another version than the believed manifest lists: the number of the
/// place, and that of the file.
pub(super) type Difference = (usize, usize);

/// Compares the manifest of a snapshot with those that the other places have, all at once. A place
/// whose manifest can't be read counts as having the same files: it may have the chunks.
pub(super) fn differences(views: &[View], from: &View, found: &Found) -> Vec<Difference> {
    let others = views.iter().enumerate().filter(|(_, view)| {
        let is_same = Arc::ptr_eq(&view.place, &from.place) && view.namespace == from.namespace;
        !is_same && !view.is_out_of_reach()
    });
    let read = |view: &View| view.ask(|view| view.manifest(&found.name)).ok();
    thread::scope(|scope| {
        let asked: Vec<_> = others
            .map(|(number, view)| {
                let thread = thread::Builder::new().spawn_scoped(scope, move || read(view));
                (number, view, thread)
            })
            .collect();
        let mut differences = Vec::new();
        for (number, view, thread) in asked {
            let other = match thread {
                Ok(thread) => {
                    (thread.join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                }
                // No thread could be started.
                Err(_) => read(view),
            };
            if let Some((other, _)) = other {
                differences.extend(differing(&found.manifest, &other).map(|file| (number, file)));
            }
        }
        differences
    })
}

/// The files that the other manifest lists with another checksum or length, or not at all. The
/// other manifest need not be signed: a place that lies about its files only gives nothing, and it
/// could give nothing anyway.
fn differing<'a>(manifest: &'a Manifest, other: &'a Manifest) -> impl Iterator<Item = usize> + 'a {
    let mut theirs: Vec<_> = (other.files().iter())
        .map(|file| (file.name(), file.csum(), file.size()))
        .collect();
    theirs.sort_unstable();
    let ours = manifest.files().iter().enumerate();
    ours.filter(move |(_, file)| {
        theirs
            .binary_search(&(file.name(), file.csum(), file.size()))
            .is_err()
    })
    .map(|(number, _)| number)
}
