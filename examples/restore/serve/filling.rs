//! `restore serve --fill`: each disk becomes a file while it is served.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use chunk_restore::read::Fill;
use chunk_restore::{Archive, ErrorKind, FileTarget, Restore, Seed};
use serde_json::{Value, json};

use crate::disks::Disk;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::size::Size;

/// Where the files are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Folder<'a> {
    pub(crate) path: &'a Path,
    /// Whether files that are there are replaced.
    pub(crate) overwrites: bool,
}

/// A file that becomes a disk.
#[derive(Debug)]
pub(crate) struct Filling {
    disk: String,
    path: PathBuf,
    partial_path: PathBuf,
    len: u64,
    fill: Fill,
    is_told: AtomicBool,
}

impl Folder<'_> {
    /// How the archive of a disk is read. If a file of its name is there already, and is not to be
    /// replaced, chunks are taken from it as far as they are right, and the file is not changed.
    pub(crate) fn settings(
        self,
        name: &str,
        archive: &Archive,
        restore: &Restore,
    ) -> Result<Restore, Failure> {
        let path = self.path.join(name);
        let Some(found) = fs::metadata(&path).ok().filter(|_| !self.overwrites) else {
            return Ok(restore.clone());
        };
        if !found.is_file() || found.len() != archive.index().len() {
            return Err(Failure::differs(&path));
        }
        let file = File::open(&path).map_err(|error| {
            Failure::unreadable(format!("cannot read {}", path.display()), &error)
        })?;
        Ok(restore.clone().seed(Seed::new(file)))
    }

    /// Starts to fill the file of a disk; `None` where a file of its name is there and stays.
    pub(crate) fn fill(self, disk: &Disk, output: &Output) -> Result<Option<Filling>, Failure> {
        fs::create_dir_all(self.path).map_err(|error| {
            Failure::target(format!("cannot make {}", self.path.display()), &error)
        })?;
        let (name, path) = (&disk.name, self.path.join(&disk.name));
        if path.exists() && !self.overwrites {
            let text = format!(
                "{} exists already: {name} is read from it where it is right, and it is not changed",
                path.display()
            );
            output.remark(
                text,
                &json!({ "event": "exists", "archive": name, "path": path.to_string_lossy() }),
            );
            return Ok(None);
        }
        let target = match self.overwrites {
            true => FileTarget::replace(&path)?,
            false => FileTarget::create(&path)?,
        };
        Ok(Some(Filling {
            disk: name.clone(),
            partial_path: target.partial_path().to_owned(),
            path,
            len: disk.reader.len(),
            fill: disk.reader.fill(target)?,
            is_told: AtomicBool::new(false),
        }))
    }
}

impl Filling {
    /// How many bytes the file holds, and how many it will.
    pub(crate) fn progress(&self) -> (u64, u64) {
        (self.fill.filled(), self.len)
    }

    /// Says that the file is whole, or why it will not be, as soon as that is known; once.
    pub(crate) fn tell_outcome(&self, output: &Output) {
        let Some(outcome) = self.fill.outcome() else {
            return;
        };
        if self.is_told.swap(true, Ordering::Relaxed) {
            return;
        }
        let disk = &self.disk;
        match outcome {
            Ok(()) => {
                let path = self.path.display();
                let text = format!("{disk} is whole in {path}, and is read from there");
                output.remark(text, &self.event("filled", &self.path));
            }
            Err(error) if error.kind() == ErrorKind::Cancelled => {}
            Err(error) => {
                let failure = Failure::from_library(&error);
                let path = self.partial_path.display();
                let text =
                    format!("{path} is not filled any further, and {disk} is served all the same");
                let mut json = self.event("warning", &self.partial_path);
                json["message"] = text.as_str().into();
                json["error"] = failure.facts();
                output.warn(format!("{text}: {}", failure.reason()), &json);
            }
        }
    }

    /// Ends the fill when nothing is served any more, and says so if the file is not whole. The exit
    /// code is that of the failure, if the fill failed.
    pub(crate) fn end(self, output: &Output) -> Exit {
        self.tell_outcome(output);
        let mut incomplete = self.event("incomplete", &self.partial_path);
        let (filled, len) = self.progress();
        (incomplete["filled"], incomplete["len"]) = (filled.into(), len.into());
        let path = self.partial_path.display().to_string();
        match self.fill.end() {
            Ok(()) => Exit::Done,
            Err(error) if error.kind() == ErrorKind::Cancelled => {
                let (filled, len) = (Size::of(filled), Size::of(len));
                let text = format!(
                    "{path} is incomplete, with {filled} of {len}: the same command goes on with it"
                );
                output.remark(text, &incomplete);
                Exit::Done
            }
            Err(error) => Exit::of(&error),
        }
    }

    fn event(&self, event: &str, path: &Path) -> Value {
        json!({ "event": event, "archive": self.disk, "path": path.to_string_lossy() })
    }
}
