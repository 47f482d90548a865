//! What something is restored into: a file, a block device, or a file that is there already.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chunk_restore::{DeviceTarget, Existing, FileTarget, ReadAt, Target};

use crate::arguments::{Options, Writing, ZeroPolicy};
use crate::content::Content;
use crate::failure::Failure;

/// What is added to the name of a file for what is beside it on the way, and after damage.
pub(crate) const SIDE_FILES: [&str; 3] = [PARTIAL, DAMAGED, DAMAGE_MAP];
const PARTIAL: &str = ".partial";
const DAMAGED: &str = ".damaged";
const DAMAGE_MAP: &str = ".damaged.json";

/// A place that takes one archive or small file.
pub(crate) struct Destination {
    path: PathBuf,
    target: Box<dyn Target>,
    /// Where a file is until it is complete.
    partial: Option<PathBuf>,
    /// The bytes of a device.
    size: Option<u64>,
    /// Whether what it held is thrown away, also behind what is restored.
    is_discarded: bool,
}

impl Destination {
    /// Refuses what is neither a file nor a block device, and a file that exists, unless it was asked to be replaced or reused.
    pub(crate) fn open(
        path: PathBuf,
        reuse: bool,
        writing: &Writing,
        options: &Options,
    ) -> Result<Destination, Failure> {
        let found = path.metadata().ok().map(|found| found.file_type());
        if found.is_some_and(|found| found.is_block_device()) {
            let device = DeviceTarget::open(&path)?.zeros(writing.zeros.into());
            return Ok(Destination {
                path,
                size: Some(device.size()),
                is_discarded: writing.zeros == ZeroPolicy::Discard,
                target: Box::new(device.reuse(reuse)),
                partial: None,
            });
        }
        let refuse = |why: &str| Err(Failure::refused(format!("{} {why}", path.display())));
        let file = match found {
            Some(found) if found.is_dir() => {
                return refuse("is a folder: name a file in it");
            }
            Some(found) if !found.is_file() => {
                return refuse("is neither a file nor a block device; standard output is '-'");
            }
            // What is made there is in memory, and a device that was misspelt.
            None if is_among_devices(&path) => return refuse("is no device that exists"),
            _ if reuse => FileTarget::reuse(&path)?,
            Some(_) if options.overwrite => FileTarget::replace(&path)?,
            Some(_) => {
                return refuse(
                    "exists already: --overwrite replaces it once all is there, --reuse changes it in place",
                );
            }
            None => FileTarget::create(&path)?,
        };
        let file = file
            .zeros(writing.zeros.into())
            .check_space(!writing.skip_space_check);
        Ok(Destination {
            path,
            partial: Some(file.partial_path().to_owned()),
            target: Box::new(file),
            size: None,
            is_discarded: false,
        })
    }

    /// A file that an earlier run may have completed: it is compared, and nothing is written. What is small, or has another
    /// length, is found out at once.
    pub(crate) fn compare(path: PathBuf, content: &Content) -> Result<Destination, Failure> {
        let file = match content {
            Content::Archive { archive, .. } => of_len(&path, archive.index().len())?,
            Content::Small { bytes, .. } => {
                let file = of_len(&path, bytes.len() as u64)?;
                if fs::read(&path).map_err(|error| cannot_read(&path, &error))? != *bytes {
                    return Err(Failure::differs(&path));
                }
                file
            }
        };
        Ok(Destination {
            target: Box::new(There {
                file: Arc::new(file),
                offset: 0,
            }),
            path,
            partial: None,
            size: None,
            is_discarded: false,
        })
    }

    /// Whether a file is as long as it must be to be the right one.
    pub(crate) fn check_len(path: &Path, len: u64) -> Result<(), Failure> {
        of_len(path, len).map(drop)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn target(&mut self) -> &mut dyn Target {
        &mut *self.target
    }

    /// What is left incomplete after a restore that had `begun`, or had not.
    pub(crate) fn into_rest(self, begun: bool) -> Option<PathBuf> {
        // It takes an empty file away.
        drop(self.target);
        match self.size {
            Some(_) => begun.then_some(self.path),
            None => self.partial.filter(|partial| partial.exists()),
        }
    }

    /// Where it is with zeros for what was lost.
    pub(crate) fn damaged(&self) -> PathBuf {
        match self.size {
            Some(_) => self.path.clone(),
            None => beside(&self.path, DAMAGED),
        }
    }

    /// Where what was lost is listed, unless it was said: next to the file, and for a device in the folder that one is in.
    pub(crate) fn damage_map(&self) -> PathBuf {
        let name = match self.size {
            Some(_) => Path::new(self.path.file_name().unwrap_or_default()),
            None => &self.path,
        };
        beside(name, DAMAGE_MAP)
    }

    /// How many bytes of a device lie behind what was restored, and are as they were.
    pub(crate) fn untouched(&self, len: u64) -> u64 {
        match self.size {
            Some(size) if !self.is_discarded => size.saturating_sub(len),
            _ => 0,
        }
    }
}

/// A file that exists, if it is so long.
fn of_len(path: &Path, len: u64) -> Result<File, Failure> {
    let file = File::open(path).map_err(|error| cannot_read(path, &error))?;
    let found = file.metadata().map_err(|error| cannot_read(path, &error))?;
    match found.len() == len {
        true => Ok(file),
        false => Err(Failure::differs(path)),
    }
}

fn cannot_read(path: &Path, error: &io::Error) -> Failure {
    Failure::target(format!("cannot read {}", path.display()), error)
}

/// Whether the path is in `/dev`, and not in the part of it that is for files.
fn is_among_devices(path: &Path) -> bool {
    path.starts_with("/dev") && !path.starts_with("/dev/shm")
}

/// The path with something added to its name.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// A complete file, which must hold what would be restored.
struct There {
    file: Arc<File>,
    offset: u64,
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
            Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "it holds something else",
            ))
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
