//! `restore serve --fill`: each disk becomes a file while it is served.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use chunk_restore::read::Fill;
use chunk_restore::{Archive, ErrorKind, FileTarget, Reader, Restore, Seed};
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::size::Size;

/// A disk's file, on its way to be whole.
#[derive(Debug)]
pub(crate) struct Filling {
    path: PathBuf,
    len: u64,
    /// `None` where the file was there before.
    fill: Option<Fill>,
    is_told: AtomicBool,
}

impl Filling {
    /// Opens a disk, and starts to fill the file of its name in a folder. A file that is there
    /// already is read instead of the place, as far as it is right.
    pub(crate) fn open(
        folder: &Path,
        name: &str,
        archive: &Archive,
        restore: &Restore,
    ) -> Result<(Reader, Filling), Failure> {
        fs::create_dir_all(folder).map_err(|error| {
            Failure::target(format!("cannot make {}", folder.display()), &error)
        })?;
        let path = folder.join(name);
        if let Ok(file) = File::open(&path) {
            let reader = restore.clone().seed(Seed::new(file)).reader(archive)?;
            let len = reader.len();
            let filling = Filling {
                path,
                len,
                fill: None,
                is_told: AtomicBool::new(false),
            };
            return Ok((reader, filling));
        }
        let target = FileTarget::create(&path)?;
        let reader = restore.reader(archive)?;
        let filling = Filling {
            path,
            len: reader.len(),
            fill: Some(reader.fill(target)?),
            is_told: AtomicBool::new(false),
        };
        Ok((reader, filling))
    }

    /// How many bytes the file holds, and how many it will.
    pub(crate) fn progress(&self) -> (u64, u64) {
        let filled = self.fill.as_ref().map_or(self.len, Fill::filled);
        (filled, self.len)
    }

    /// Tells once how it ended, if it has.
    pub(crate) fn tell_end(&self, name: &str, output: &Output) {
        let outcome = self.fill.as_ref().and_then(Fill::outcome);
        let Some(outcome) = outcome.filter(|_| !self.is_told.swap(true, Ordering::Relaxed)) else {
            return;
        };
        let path = self.path.display();
        match outcome {
            Ok(()) => output.remark(
                format!("{name} is whole in {path}, and is read from there"),
                &json!({ "event": "filled", "archive": name, "path": path.to_string() }),
            ),
            Err(error) if error.kind() == ErrorKind::Cancelled => {}
            Err(error) => {
                let failure = Failure::from_library(&error);
                let text =
                    format!("{path} is not filled any further, and {name} is served all the same");
                output.warn(
                    format!("{text}: {}", failure.reason()),
                    &json!({
                        "event": "warning",
                        "message": text,
                        "archive": name,
                        "path": path.to_string(),
                        "error": failure.facts(),
                    }),
                );
            }
        }
    }

    /// The exit code at the end, when nothing is served any more. A file that is not whole is told.
    pub(crate) fn end(&self, name: &str, output: &Output) -> Exit {
        self.tell_end(name, output);
        match self.fill.as_ref().map(Fill::outcome) {
            None | Some(Some(Ok(()))) => Exit::Done,
            Some(Some(Err(error))) if error.kind() != ErrorKind::Cancelled => Exit::of(&error),
            _ => {
                let (filled, len) = self.progress();
                let path = self.path.display();
                let (filled_size, len_size) = (Size::of(filled), Size::of(len));
                output.remark(
                    format!(
                        "{path} is incomplete, with {filled_size} of {len_size}: the same command goes on with it"
                    ),
                    &json!({
                        "event": "incomplete",
                        "archive": name,
                        "path": path.to_string(),
                        "filled": filled,
                        "len": len,
                    }),
                );
                Exit::Done
            }
        }
    }
}
