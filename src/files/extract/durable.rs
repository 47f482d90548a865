//! Makes durable what was made, in batches, and then gives it its times.

use std::time::{Duration, Instant};

use rustix::fs::{fsync, syncfs};
use rustix::io::Errno;

use crate::error::{Error, ErrorKind, Result};
use crate::files::extract::pending::Sealing;
use crate::files::extract::run::Extraction;

/// How much is made before it becomes durable and gets its times: bytes, files, and how long it
/// takes to make them.
const BATCH_LEN: u64 = 256 << 20;
const BATCH_FILES: u64 = 20_000;
const BATCH_TIME: Duration = Duration::from_secs(30);

/// What was made since the data became durable.
pub(super) struct Batch {
    pub(super) bytes: u64,
    pub(super) files: u64,
    pub(super) begun: Instant,
}

impl Batch {
    pub(super) fn new() -> Batch {
        Batch {
            bytes: 0,
            files: 0,
            begun: Instant::now(),
        }
    }

    pub(super) fn is_full(&self) -> bool {
        let is_late = self.files > 0 && self.begun.elapsed() >= BATCH_TIME;
        is_late || self.bytes >= BATCH_LEN || self.files >= BATCH_FILES
    }
}

impl Extraction<'_> {
    /// Makes durable what was made, and then gives it its times.
    pub(super) fn seal(&mut self) -> Result<()> {
        self.common.wait_until_idle();
        self.batch = Batch::new();
        // The kernel tells an error of writing once. So what could not be made durable is forgotten
        // here, and gets its time from no later call either.
        let files = std::mem::take(&mut self.common.done.lock().files);
        let directories = std::mem::take(&mut self.directories);
        self.sync()?;
        let mut done = self.common.done.lock();
        let mut sealing = Sealing::new(&self.target, &self.common.attributes);
        for file in &files {
            sealing.file(file, &mut done.report);
        }
        for directory in &directories {
            sealing.directory(directory, &mut done.report);
        }
        done.fatal.take().map_or(Ok(()), Err)
    }

    /// Makes durable what was written. The program behind a FUSE file system does not hear of
    /// `syncfs`, and syncs its disk when one of its folders is synced.
    pub(super) fn sync(&self) -> Result<()> {
        for file_system in self.file_systems.values() {
            let folder = file_system.folder.as_fd();
            let synced = syncfs(folder).and_then(|()| match fsync(folder) {
                // Some file systems can't sync a folder.
                Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::ISDIR) => Ok(()),
                synced => synced,
            });
            synced.map_err(|error| {
                let message = "the data that was written can't be made durable";
                Error::new(ErrorKind::Target, message).because(std::io::Error::from(error))
            })?;
        }
        Ok(())
    }
}
