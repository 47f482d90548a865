//! Extracts the files of an archive into a folder.

mod attributes;
mod durable;
mod failure;
mod folders;
mod levels;
mod make;
mod new_file;
mod options;
mod others;
mod pending;
mod place;
mod pool;
mod regular;
mod report;
mod request;
mod run;
mod times;
mod unfinished;

use std::path::Path;

use crate::error::Result;
use crate::files::extract::options::{Overwrite, Properties};
use crate::files::extract::run::Extraction;
use crate::files::{Files, Selection};

use crate::files::extract::unfinished::UNFINISHED;

pub use report::ExtractReport;

/// How to extract the files of an archive: options that all have good defaults, and
/// [`run`](Extract::run).
///
/// Nothing outside the target folder is changed, whatever the archive holds and whatever lies in
/// the folder: no link is followed there, and hard links are resolved inside the archive.
///
/// A file appears under its name only once it is whole, and gets its time only once its data is
/// durable. So an extraction that was cut off can be run again: it keeps the files that are there
/// with the right length and time, and makes the others. Until everything is there, the folder
/// holds a file `.chunk-restore-unfinished`. What an unfinished extraction has made is replaced
/// also where nothing may be overwritten. Beside files of the user's, a file has a time between 2001
/// and 2018 until it is durable: the next extraction knows the file by this time.
///
/// An entry that can't be restored doesn't hold up the others: the report lists it. What the file
/// system lacks, and what the user may not do, is left out, and the report tells.
///
/// ```no_run
/// use chunk_restore::files::{Extract, Files, Selection};
/// use chunk_restore::{Datastore, Restore};
///
/// let datastore = Datastore::open("/mnt/datastore")?;
/// let snapshot = datastore.snapshot("ct/101")?;
/// let files = Files::open(&Restore::new(), &snapshot, "root.pxar")?;
/// let extract = Extract::new().selection(Selection::default().path("etc"));
/// let report = extract.run(&files, "/srv/rescued", |_| {})?;
/// assert!(report.is_complete(), "{:?} {:?}", report.failures, report.damage);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Extract {
    selection: Selection,
    allows_existing_directories: bool,
    overwrite: Overwrite,
    wanted: Properties,
    ignores_device_errors: bool,
    salvage: bool,
    verify: bool,
}

impl Extract {
    /// The name of the file that lies in the target folder until everything is there.
    pub const UNFINISHED: &str = UNFINISHED;

    /// Default options: everything, with all properties, over nothing that is there.
    #[must_use]
    pub fn new() -> Extract {
        Extract::default()
    }

    /// Which entries are extracted; all of them by default.
    #[must_use]
    pub fn selection(self, selection: Selection) -> Extract {
        Extract { selection, ..self }
    }

    /// Extracts into directories that are there already. Without this, only the target folder
    /// itself may be there, and directories that have the archive's time: an earlier extraction has
    /// made them.
    #[must_use]
    pub fn allow_existing_directories(mut self, yes: bool) -> Extract {
        self.allows_existing_directories = yes;
        self
    }

    /// Lets regular files replace what is at their paths. A file that is there with the length and
    /// the time of the archive's is kept in any case.
    #[must_use]
    pub fn overwrite_files(mut self, yes: bool) -> Extract {
        self.overwrite.files = yes;
        self
    }

    /// Lets symbolic links replace what is at their paths.
    #[must_use]
    pub fn overwrite_symlinks(mut self, yes: bool) -> Extract {
        self.overwrite.symlinks = yes;
        self
    }

    /// Lets hard links replace what is at their paths.
    #[must_use]
    pub fn overwrite_hard_links(mut self, yes: bool) -> Extract {
        self.overwrite.hard_links = yes;
        self
    }

    /// Restores owners and groups; on by default. Without it, setuid and setgid are left out of
    /// files that get another owner.
    #[must_use]
    pub fn ownership(mut self, yes: bool) -> Extract {
        self.wanted.ownership = yes;
        self
    }

    /// Restores permissions; on by default. Without it, only the owner may use what is made.
    #[must_use]
    pub fn permissions(mut self, yes: bool) -> Extract {
        self.wanted.permissions = yes;
        self
    }

    /// Restores extended attributes; on by default.
    #[must_use]
    pub fn xattrs(mut self, yes: bool) -> Extract {
        self.wanted.xattrs = yes;
        self
    }

    /// Restores access control lists; on by default.
    #[must_use]
    pub fn acls(mut self, yes: bool) -> Extract {
        self.wanted.acls = yes;
        self
    }

    /// Restores what gives rights: devices, setuid and setgid, capabilities, and extended attributes
    /// that only root sees; on by default.
    #[must_use]
    pub fn special(mut self, yes: bool) -> Extract {
        self.wanted.special = yes;
        self
    }

    /// Takes devices that can't be made for omissions.
    #[must_use]
    pub fn ignore_device_errors(mut self, yes: bool) -> Extract {
        self.ignores_device_errors = yes;
        self
    }

    /// Goes on where a chunk of a file is missing, corrupt or unreadable after all attempts: the
    /// file gets zeros there, and [`ExtractReport::damage`] lists it. Such a file does not get its
    /// time, so that a later extraction takes it again.
    #[must_use]
    pub fn salvage(mut self, yes: bool) -> Extract {
        self.salvage = yes;
        self
    }

    /// Compares the files that are there already with the archive, rather than to keep them for
    /// their length and time.
    #[must_use]
    pub fn verify(mut self, yes: bool) -> Extract {
        self.verify = yes;
        self
    }

    /// Extracts into a folder, which is made if nothing is there. The folder gets the properties of
    /// the archive's root, unless it was there already and a selection takes only a part of the
    /// archive. The calling thread reads the
    /// archive and calls the observer; up to four threads make small files beside it.
    ///
    /// # Errors
    /// What ends the whole extraction: a path of the selection that the archive doesn't have
    /// ([`NotFound`](crate::ErrorKind::NotFound)); an archive that is damaged
    /// ([`Corrupt`](crate::ErrorKind::Corrupt)); a chunk that could not be fetched, of the same
    /// kinds as for [`Restore::run`](crate::Restore::run); a target that is full, failing or out of
    /// reach, or that another extraction is at work in ([`Target`](crate::ErrorKind::Target));
    /// [`Cancelled`](crate::ErrorKind::Cancelled). An entry that alone can't be restored is no
    /// error: the report lists it.
    pub fn run(
        &self,
        files: &Files,
        folder: impl AsRef<Path>,
        mut observer: impl FnMut(&ExtractReport),
    ) -> Result<ExtractReport> {
        Extraction::run(self, &files.0, folder.as_ref(), &mut observer)
    }
}
