//! What something is restored into: a file, a block device, or a file that is there already.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chunk_restore::{DeviceTarget, Existing, FileTarget, ReadAt, Result, Target};

use crate::arguments::{Options, Writing};
use crate::content::Content;
use crate::failure::Failure;

/// A place that takes one archive or small file.
pub(crate) struct Destination {
    path: PathBuf,
    target: Box<dyn Target>,
    /// Where a file is until it is complete.
    partial: Option<PathBuf>,
    /// The bytes of a device.
    size: Option<u64>,
}

impl Destination {
    /// Refuses a file that exists, unless it was asked to be replaced or reused.
    pub(crate) fn open(
        path: PathBuf,
        reuse: bool,
        writing: &Writing,
        options: &Options,
    ) -> Result<Destination> {
        let found = path.metadata().ok();
        if found.is_some_and(|found| found.file_type().is_block_device()) {
            let device = DeviceTarget::open(&path)?.zeros(writing.zeros.into());
            return Ok(Destination {
                path,
                size: Some(device.size()),
                target: Box::new(device.reuse(reuse)),
                partial: None,
            });
        }
        let file = match path.symlink_metadata() {
            _ if reuse => FileTarget::reuse(&path)?,
            Ok(_) if options.overwrite => FileTarget::replace(&path)?,
            _ => FileTarget::create(&path)?,
        };
        let file = file
            .zeros(writing.zeros.into())
            .check_space(!writing.skip_space_check);
        Ok(Destination {
            path,
            partial: Some(file.partial_path().to_owned()),
            target: Box::new(file),
            size: None,
        })
    }

    /// A file that an earlier run may have completed: it is compared, and nothing is written. What is small, or has another
    /// length, is found out at once.
    pub(crate) fn compare(path: PathBuf, content: &Content) -> Result<Destination, Failure> {
        let cannot = |error| Failure::target(format!("cannot read {}", path.display()), &error);
        let file = File::open(&path).map_err(cannot)?;
        let len = file.metadata().map_err(cannot)?.len();
        let is_same = match content {
            Content::Archive(archive) => archive.index().len() == len,
            Content::Small { bytes, .. } => {
                bytes.len() as u64 == len && fs::read(&path).map_err(cannot)? == *bytes
            }
        };
        if !is_same {
            return Err(Failure::exists(&path));
        }
        Ok(Destination {
            target: Box::new(There {
                file: Arc::new(file),
                offset: 0,
            }),
            path,
            partial: None,
            size: None,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn target(&mut self) -> &mut dyn Target {
        &mut *self.target
    }

    /// What is left of a file that was not completed.
    pub(crate) fn into_partial(self) -> Option<PathBuf> {
        // It takes an empty file away.
        drop(self.target);
        self.partial.filter(|partial| partial.exists())
    }

    pub(crate) fn is_device(&self) -> bool {
        self.size.is_some()
    }

    /// How many bytes of a device lie behind what was restored.
    pub(crate) fn untouched(&self, len: u64) -> u64 {
        self.size.unwrap_or(len).saturating_sub(len)
    }
}

/// A complete file, which must hold what would be restored.
struct There {
    file: Arc<File>,
    offset: u64,
}

fn differs() -> io::Error {
    let message = "it exists already, and holds something else: --overwrite replaces it";
    io::Error::new(io::ErrorKind::AlreadyExists, message)
}

impl Target for There {
    fn existing(&self) -> Existing {
        let file: Arc<dyn ReadAt> = Arc::clone(&self.file) as _;
        Existing::Similar(file)
    }

    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        let mut there = vec![0; data.len()];
        self.file.read_exact_at(&mut there, self.offset)?;
        self.offset += data.len() as u64;
        if there == data {
            Ok(())
        } else {
            Err(differs())
        }
    }

    fn keep(&mut self, len: u64) -> io::Result<()> {
        self.offset += len;
        Ok(())
    }

    fn finish(&mut self, _damaged: bool) -> io::Result<()> {
        Ok(())
    }
}
