//! The exit codes of the program, all in one place.

use std::error::Error as _;
use std::process::ExitCode;

use chunk_restore::backend::FetchError;
use chunk_restore::{Error, ErrorKind, Scope};

/// An exit code of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    Damaged = 3,
    Denied = 4,
    NotFound = 5,
    Key = 6,
    Integrity = 7,
    Target = 8,
    Interrupted = 130,
}

pub(crate) const HELP: &str = "\
Exit codes:
  0    done
  1    failed, for none of the reasons below
  2    the command line or a name makes no sense
  3    done, with zeros for what --salvage could not get
  4    sign-in, TLS or permission
  5    no such datastore, namespace, snapshot or archive, or no such file in an archive
  6    a key is missing, wrong or locked, or a snapshot is not signed by it
  7    stored data itself is damaged, missing or unreadable
  8    the target, the socket or the mount can't be created, or the target can't be written;
       of the files of an archive some could not be restored
  130  interrupted";

impl Exit {
    /// The exit code where several things were done: that of the one which counts most. Of two that
    /// count the same, the first is taken.
    ///
    /// Damage of the datastore counts more than all other failures, since it needs somebody's
    /// attention most. A failure counts more than zeros in place of lost chunks.
    pub(crate) fn worse(self, other: Exit) -> Exit {
        match other.weight() > self.weight() {
            true => other,
            false => self,
        }
    }

    fn weight(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Damaged => 1,
            Exit::Failed => 2,
            Exit::Usage | Exit::Denied | Exit::NotFound | Exit::Key => 3,
            Exit::Target => 4,
            Exit::Integrity => 5,
            Exit::Interrupted => 6,
        }
    }

    /// This exit code, or the other one if all is done.
    pub(crate) fn or(self, other: Exit) -> Exit {
        match self {
            Exit::Done => other,
            exit => exit,
        }
    }

    /// The exit code for an error. Only errors of the data itself count as damage.
    pub(crate) fn of(error: &Error) -> Exit {
        match (error.kind(), error.scope()) {
            (_, Some(Scope::Ours)) => Exit::Failed,
            (
                ErrorKind::Corrupt | ErrorKind::Missing | ErrorKind::Unreadable,
                Some(Scope::Place),
            ) => match is_denied(error) {
                true => Exit::Denied,
                false => Exit::Failed,
            },
            (ErrorKind::Invalid, _) => Exit::Usage,
            (ErrorKind::Denied, _) => Exit::Denied,
            (ErrorKind::NotFound, _) => Exit::NotFound,
            (ErrorKind::Key, _) => Exit::Key,
            (ErrorKind::Corrupt | ErrorKind::Missing | ErrorKind::Unreadable, _) => Exit::Integrity,
            (ErrorKind::Target, _) => Exit::Target,
            (ErrorKind::Cancelled, _) => Exit::Interrupted,
            _ => Exit::Failed,
        }
    }
}

/// Whether the cause of an error is a lack of permission.
fn is_denied(error: &Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        let is_denied = match (error.downcast_ref::<Error>(), error.downcast_ref()) {
            (Some(error), _) => error.kind() == ErrorKind::Denied,
            (_, Some(FetchError::Denied(_))) => true,
            _ => false,
        };
        if is_denied {
            return true;
        }
        cause = error.source();
    }
    false
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}
