//! What something is restored into: a file, a block device, or a file that is there already.

use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chunk_restore::target::{Existing, ReadAt, Target};
use chunk_restore::{DeviceTarget, FileTarget};

use crate::arguments::{Options, Writing, ZeroPolicy};
use crate::content::Content;
use crate::damage_map::DamageMap;
use crate::failure::Failure;

/// What is added to the name of a file for what is beside it on the way, and after damage.
pub(crate) const SIDE_FILES: [&str; 3] = [PARTIAL, DAMAGED, DAMAGE_MAP];
const PARTIAL: &str = ".partial";
const DAMAGED: &str = ".damaged";
const DAMAGE_MAP: &str = ".damaged.json";

static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// A place that takes one archive or small file.
pub(crate) struct Destination {
    path: PathBuf,
    target: Box<dyn Target>,
    /// Where a file is until it is complete.
    partial: Option<Partial>,
    /// Where it is with zeros for what was lost.
    damaged: PathBuf,
    /// Where what was lost is listed.
    map: DamageMap,
    /// The bytes of a device.
    size: Option<u64>,
    /// Whether what it held is thrown away, also behind what is restored.
    is_discarded: bool,
}

/// An unfinished file.
struct Partial {
    path: PathBuf,
    /// Which file it is, whoever has the name later.
    id: Option<(u64, u64)>,
    is_locked: bool,
}

impl Destination {
    /// Refuses what is neither a file nor a block device, and a file that exists, unless it was asked to be replaced or reused.
    /// What is lost is listed in the file `map`, or else next to the file; for a device in the folder that one is in.
    pub(crate) fn open(
        path: PathBuf,
        reuse: bool,
        map: Option<PathBuf>,
        writing: &Writing,
        options: &Options,
    ) -> Result<Destination, Failure> {
        let is_device = |found: Metadata| found.file_type().is_block_device();
        let destination = match path.metadata().is_ok_and(is_device) {
            true => Destination::device(path, reuse, map, writing)?,
            false => Destination::file(path, reuse, map, writing, options)?,
        };
        if writing.salvage {
            let mut others = vec![&*destination.path, &*destination.damaged];
            let real = destination.damaged.with_extension("");
            if let Some(partial) = &destination.partial {
                others.extend([&*partial.path, &*real]);
            }
            if destination.size.is_some() {
                others.pop();
            }
            destination.map.check(&others)?;
        }
        Ok(destination)
    }

    fn device(
        path: PathBuf,
        reuse: bool,
        map: Option<PathBuf>,
        writing: &Writing,
    ) -> Result<Destination, Failure> {
        let device = DeviceTarget::open(&path)?.zeros(writing.zeros.into());
        let name = Path::new(path.file_name().unwrap_or_default());
        let map = map.unwrap_or_else(|| beside(name, DAMAGE_MAP));
        Ok(Destination {
            map: DamageMap::new(map, &path),
            damaged: path.clone(),
            path,
            size: Some(device.size()),
            is_discarded: writing.zeros == ZeroPolicy::Discard,
            target: Box::new(device.reuse(reuse)),
            partial: None,
        })
    }

    fn file(
        path: PathBuf,
        reuse: bool,
        map: Option<PathBuf>,
        writing: &Writing,
        options: &Options,
    ) -> Result<Destination, Failure> {
        let found = path.metadata().ok().map(|found| found.file_type());
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
        let partial = file.partial_path().to_owned();
        // Where the path is a link, it is next to the file that it leads to. One that is reused still has its own name.
        let real = partial.with_extension("");
        let held = partial
            .symlink_metadata()
            .or_else(|_| real.symlink_metadata());
        let damaged = beside(&real, DAMAGED);
        let map = map.unwrap_or_else(|| beside(&real, DAMAGE_MAP));
        Ok(Destination {
            map: DamageMap::new(map, &damaged),
            damaged,
            path,
            partial: Some(Partial {
                path: partial,
                id: held.ok().map(|held| id(&held)),
                is_locked: file.is_locked(),
            }),
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
            map: DamageMap::new(beside(&path, DAMAGE_MAP), &beside(&path, DAMAGED)),
            damaged: path.clone(),
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

    /// Whether another restore can write to it at the same time, as its file system has no locks.
    pub(crate) fn is_unlocked(&self) -> bool {
        (self.partial.as_ref()).is_some_and(|partial| !partial.is_locked)
    }

    /// What is left incomplete after a restore that had `begun`, or had not.
    pub(crate) fn into_rest(self, begun: bool) -> Option<PathBuf> {
        // It takes an empty file away.
        drop(self.target);
        let Some(partial) = self.partial else {
            return self.size.filter(|_| begun).map(|_| self.path);
        };
        let found = partial.path.symlink_metadata().ok()?;
        (Some(id(&found)) == partial.id).then_some(partial.path)
    }

    /// Where it is with zeros for what was lost.
    pub(crate) fn damaged(&self) -> &Path {
        &self.damaged
    }

    /// Where what was lost is listed.
    pub(crate) fn map(&self) -> &DamageMap {
        &self.map
    }

    /// Removes the list of what was lost of it before, now that it is whole. What is still there with zeros keeps its list.
    pub(crate) fn forget_damage(&self) {
        let damaged = match self.partial {
            Some(_) => self.damaged.clone(),
            None => beside(&self.path, DAMAGED),
        };
        if self.size.is_some() || damaged.symlink_metadata().is_err() {
            self.map.remove();
        }
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

fn id(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

/// A complete file, which must hold what would be restored.
struct There {
    file: Arc<File>,
    offset: u64,
}

impl There {
    /// Where the next data before `end` is.
    fn next_data(&self, end: u64) -> io::Result<Option<u64>> {
        match self.offset < end {
            true => Ok(ReadAt::next_data(&*self.file, self.offset)?.filter(|data| *data < end)),
            false => Ok(None),
        }
    }
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

    /// What is a hole need not be read.
    fn write_zeros(&mut self, len: u64) -> io::Result<()> {
        let end = self.offset + len;
        while let Some(data) = self.next_data(end)? {
            self.offset = data;
            let piece = ZEROS.len().min((end - data) as usize);
            self.write(&ZEROS[..piece])?;
        }
        self.offset = end;
        Ok(())
    }

    fn keep(&mut self, len: u64) -> io::Result<()> {
        self.offset += len;
        Ok(())
    }

    fn finish(&mut self, _damaged: bool) -> io::Result<()> {
        Ok(())
    }
}
