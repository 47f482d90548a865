//! A place that could not be opened, among others that could. It has nothing to give, and may hold anything: what the others
//! lack is not lost for that. Knows nothing of why.

use chunk_restore::{
    Access, ArchivePath, Backend, Cancel, Connection, FetchError, GroupName, Namespace,
    SnapshotInfo, SnapshotPath, Throttle,
};

use crate::exit::Exit;
use crate::failure::Failure;

pub(crate) struct Closed {
    why: String,
    is_denied: bool,
}

impl Closed {
    pub(crate) fn new(failure: &Failure) -> Closed {
        Closed {
            why: format!(
                "{}; make the place usable, or leave it out, and what only it has is lost",
                failure.reason()
            ),
            is_denied: failure.exit() == Exit::Denied,
        }
    }

    /// It is not tried again: whoever runs the program is told, and can make the place usable.
    fn refusal(&self) -> FetchError {
        let why = self.why.clone().into();
        match self.is_denied {
            true => FetchError::Denied(why),
            false => FetchError::Fatal(why),
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

    fn access(&self) -> Access {
        Access::Local
    }

    fn connect<'a>(
        &'a self,
        _: &ArchivePath,
        _: &'a Cancel,
        _: &'a Throttle,
    ) -> Result<Box<dyn Connection + 'a>, FetchError> {
        Err(self.refusal())
    }
}
