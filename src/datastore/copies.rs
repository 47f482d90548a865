//! What other places hold under the name of a snapshot. A server that decrypts while it copies leaves other chunks under the
//! same name, for one.

use std::sync::Arc;
use std::thread;

use crate::datastore::view::{Found, View};
use crate::format::manifest::Manifest;

/// A file that a place has otherwise than the manifest that is believed: the number of the place, and of the file.
pub(super) type Difference = (usize, usize);

/// Compares the manifest of a snapshot with those that the other places have, all at once. What can't be read differs in
/// nothing: a place without the manifest may have the chunks.
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
                // There is no thread to be had.
                Err(_) => read(view),
            };
            if let Some((other, _)) = other {
                differences.extend(differing(&found.manifest, &other).map(|file| (number, file)));
            }
        }
        differences
    })
}

/// The files that the other manifest lists with another checksum or length, or not at all. It need not be signed: a place
/// that lies about what it has gives nothing, which it could have anyway.
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
