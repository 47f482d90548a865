//! Exit codes, all in one place. Knows nothing of how failures are told.

use std::process::ExitCode;

use chunk_restore::ErrorKind;

/// What the program's exit code says.
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
  5    no such datastore, namespace, snapshot or archive
  6    a key is missing, wrong or locked, or a snapshot is not signed by it
  7    stored data is damaged, missing or unreadable
  8    the target can't be created or written
  130  interrupted";

impl From<ErrorKind> for Exit {
    fn from(kind: ErrorKind) -> Exit {
        match kind {
            ErrorKind::Invalid => Exit::Usage,
            ErrorKind::Denied => Exit::Denied,
            ErrorKind::NotFound => Exit::NotFound,
            ErrorKind::Key => Exit::Key,
            ErrorKind::Corrupt | ErrorKind::Missing | ErrorKind::Unreadable => Exit::Integrity,
            ErrorKind::Target => Exit::Target,
            ErrorKind::Cancelled => Exit::Interrupted,
            _ => Exit::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}
