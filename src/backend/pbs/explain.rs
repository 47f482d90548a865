//! Asks the server for what its refusals leave open: which namespaces the identity may see, and
//! whether a snapshot is complete.

use std::time::{Duration, Instant};

use crate::backend::FetchError;
use crate::backend::layout::MANIFEST;
use crate::backend::pbs::refusal::{Forbidden, Locked, is_due_to};
use crate::backend::pbs::{Pbs, listing};
use crate::cancel::Cancel;
use crate::error::{Error, ErrorKind};
use crate::format::blob::MAX_BLOB;
use crate::format::name::{Namespace, SnapshotPath};
use crate::rate_limit::RateLimit;

/// For how long a snapshot that was found on the server is assumed to be still there.
const FRESH: Duration = Duration::from_secs(10);

/// The most namespaces that a message lists.
const FEW: usize = 8;

impl Pbs {
    /// Adds to a refused session for a snapshot the reason for the refusal, if the server can tell
    /// it.
    pub(super) fn explain_session(
        &self,
        snapshot: &SnapshotPath,
        refusal: FetchError,
    ) -> FetchError {
        if is_due_to::<Locked>(&refusal) && self.is_unfinished(snapshot) {
            let name = &snapshot.snapshot;
            let message =
                format!("the snapshot {name} is being written: its backup has not finished");
            let error = Error::new(ErrorKind::NotFound, message).because(refusal);
            return FetchError::Fatal(error.into());
        }
        self.explain_namespace(&snapshot.namespace, refusal)
    }

    /// Adds to the refusal of a namespace which namespaces the identity may see.
    pub(super) fn explain_namespace(
        &self,
        namespace: &Namespace,
        refusal: FetchError,
    ) -> FetchError {
        if !is_due_to::<Forbidden>(&refusal) {
            return refusal;
        }
        let server = self.server(&self.retry.cancel);
        let mut seen = listing::all_namespaces(&server, &self.login).unwrap_or_default();
        seen.retain(|seen| !seen.is_root() && seen != namespace);
        seen.sort();
        if seen.is_empty() {
            return refusal;
        }
        let names: Vec<String> = seen.iter().take(FEW).map(ToString::to_string).collect();
        let more = match seen.len() - names.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let place = match namespace.is_root() {
            true => "the top of the datastore".to_owned(),
            false => format!("the namespace {namespace}"),
        };
        let message = format!(
            "{} may not read {place}; it may see the namespaces: {}{more}",
            self.repository.identity(),
            names.join(", ")
        );
        FetchError::Denied(
            Error::new(ErrorKind::Denied, message)
                .because(refusal)
                .into(),
        )
    }

    /// Whether a snapshot is on the server without a manifest.
    fn is_unfinished(&self, snapshot: &SnapshotPath) -> bool {
        let SnapshotPath {
            namespace,
            snapshot: name,
        } = snapshot;
        let server = self.server(&self.retry.cancel);
        let listed = listing::snapshots(&server, &self.login, namespace, Some(name.group()));
        let mut listed = listed.unwrap_or_default().into_iter();
        listed.any(|found| found.name == *name && !found.is_finished)
    }

    /// Makes sure that a missing chunk is missing from a snapshot that is still there. If the
    /// datastore's disk is gone, or the snapshot was deleted, nothing is known of the chunk.
    ///
    /// # Errors
    /// [`FetchError::Fatal`] if the snapshot is not there; else the reason why the server could not
    /// tell.
    pub(super) fn check_that_it_has(
        &self,
        snapshot: &SnapshotPath,
        cancel: &Cancel,
    ) -> Result<(), FetchError> {
        let mut last = self.last_seen.lock();
        let is_fresh =
            |(seen, at): &(SnapshotPath, Instant)| seen == snapshot && at.elapsed() < FRESH;
        if last.as_ref().is_some_and(is_fresh) {
            return Ok(());
        }
        let read = self
            .session(snapshot, cancel, &RateLimit::default())
            .and_then(|mut session| session.download(MANIFEST, MAX_BLOB as u64, &mut |_| {}));
        match read {
            Ok(()) => {
                *last = Some((snapshot.clone(), Instant::now()));
                Ok(())
            }
            Err(FetchError::Missing) => Err(no_longer_there(snapshot)),
            Err(error) => Err(of_place(error)),
        }
    }
}

/// The error for a snapshot that was there before, and no longer is.
pub(super) fn no_longer_there(snapshot: &SnapshotPath) -> FetchError {
    let message = format!(
        "the snapshot {snapshot} is no longer on the server: it was deleted, or the datastore's disk is not there"
    );
    FetchError::Fatal(Error::new(ErrorKind::NotFound, message).into())
}

/// Turns an error that would concern one chunk, had a chunk been requested, into an error of the
/// place.
pub(super) fn of_place(error: FetchError) -> FetchError {
    match error {
        FetchError::Missing | FetchError::TooLong | FetchError::Unreadable(_) => {
            let message = "the server can't give the files of the snapshot any more";
            FetchError::Fatal(Error::new(error.kind(), message).because(error).into())
        }
        error => error,
    }
}
