//! Stands for a place that could not be opened, among others that could. The place gives nothing.
//! But it may hold anything, so chunks that the other places lack do not count as lost.

use chunk_restore::backend::{
    ArchivePath, Backend, Concurrency, Connection, FetchError, RateLimit,
};
use chunk_restore::format::{GroupName, Namespace, SnapshotPath};
use chunk_restore::{Cancel, SnapshotInfo};

use crate::exit::Exit;
use crate::failure::Failure;

/// Answers every request with the reason why the place could not be opened.
pub(crate) struct Closed {
    reason: String,
    is_denied: bool,
}

impl Closed {
    pub(crate) fn new(failure: &Failure) -> Closed {
        Closed {
            reason: format!(
                "{}; make the place usable, or leave it out, and the chunks that only it has are lost",
                failure.reason()
            ),
            is_denied: failure.exit() == Exit::Denied,
        }
    }

    /// An error that is not retried: the user was told, and can make the place usable.
    fn refusal(&self) -> FetchError {
        let reason = self.reason.clone().into();
        match self.is_denied {
            true => FetchError::Denied(reason),
            false => FetchError::Fatal(reason),
        }
    }
}

impl Backend for Closed {
    fn read_file(&self, _: &SnapshotPath, _: &str, _: u64) -> Result<Vec<u8>, FetchError> {
        Err(self.refusal())
    }

    fn snapshots(
        &self,
        _: &Namespace,
        _: Option<&GroupName>,
    ) -> Result<Vec<SnapshotInfo>, FetchError> {
        Err(self.refusal())
    }

    fn namespaces(&self, _: &Namespace) -> Result<Vec<Namespace>, FetchError> {
        Err(self.refusal())
    }

    fn concurrency(&self) -> Concurrency {
        Concurrency::Local
    }

    fn connect<'a>(
        &'a self,
        _: &ArchivePath,
        _: &'a Cancel,
        _: &'a RateLimit,
    ) -> Result<Box<dyn Connection + 'a>, FetchError> {
        Err(self.refusal())
    }
}
