//! Destinations that an archive or a small file is restored into: a new file, a block device, or an
//! existing file.

use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chunk_restore::target::{Existing, ReadAt, Target};
use chunk_restore::{DeviceTarget, FileTarget};

use crate::arguments::{Writing, ZeroPolicy};
use crate::content::Content;
use crate::damage_map::DamageMap;
use crate::failure::Failure;
use crate::options::Options;

/// The suffixes of the files next to a restored file: for the unfinished file, the damaged file,
/// and the list of damage.
pub(crate) const SIDE_FILES: [&str; 3] = [PARTIAL, DAMAGED, DAMAGE_MAP];
const PARTIAL: &str = ".partial";
const DAMAGED: &str = ".damaged";
const DAMAGE_MAP: &str = ".damaged.json";

static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// A destination for one archive or small file.
pub(crate) struct Destination {
    path: PathBuf,
    target: Box<dyn Target + Send>,
    /// The file until it is complete.
    partial: Option<Partial>,
    /// The path of the file in which zeros stand in for lost chunks.
    damaged: PathBuf,
    /// The list of damage.
    map: DamageMap,
    /// The length of a device, in bytes.
    size: Option<u64>,
    /// Whether everything that a device held is thrown away, also behind what is restored.
    is_discarded: bool,
}

/// An unfinished file.
struct Partial {
    path: PathBuf,
    /// Which file it is. Another file may have the name later.
    id: Option<(u64, u64)>,
    is_locked: bool,
}

impl Destination {
    /// Opens a destination. Refuses anything that is neither a file nor a block device, and an
    /// existing file unless it is to be replaced or reused. Damage is listed in the file `map`.
    /// Without one, it is listed next to the file; for a device, in the current folder.
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
        let device = DeviceTarget::open(&path)?
            .zeros(writing.zeros.into())
            .buffered(writing.buffered);
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
            // A new file in `/dev` would be in memory; the user misspelt the name of a device.
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
            .check_space(!writing.skip_space_check)
            .buffered(writing.buffered);
        let partial = file.partial_path().to_owned();
        // Where the path is a link, the partial file is next to the file that the link leads to. A
        // file that is reused still has its own name at this point.
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

    /// Opens a destination, as `open` does. A file that is to stay is compared: an earlier run that
    /// was cut off may have completed it.
    pub(crate) fn open_or_compare(
        path: PathBuf,
        reuse: bool,
        content: &Content,
        writing: &Writing,
        options: &Options,
    ) -> Result<Destination, Failure> {
        match !reuse && is_kept(&path, options) {
            true => Destination::compare(path, content),
            false => Destination::open(path, reuse, None, writing, options),
        }
    }

    /// Opens a file that an earlier run may have completed: it is compared, and nothing is written.
    /// A small file is compared at once, and so is the length of any file.
    pub(crate) fn compare(path: PathBuf, content: &Content) -> Result<Destination, Failure> {
        let file = of_len(&path, content.len())?;
        if let Content::Small { bytes, .. } = content
            && fs::read(&path).map_err(|error| cannot_read(&path, &error))? != *bytes
        {
            return Err(Failure::differs(&path));
        }
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

    /// Fails unless the file has the right length.
    pub(crate) fn check_len(path: &Path, len: u64) -> Result<(), Failure> {
        of_len(path, len).map(drop)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a file is only compared, so that nothing is written.
    pub(crate) fn is_compared(&self) -> bool {
        self.partial.is_none() && self.size.is_none()
    }

    /// The length of a device, in bytes.
    pub(crate) fn device_len(&self) -> Option<u64> {
        self.size
    }

    /// The file that the bytes go to until it is complete. A device and a file that is only compared
    /// have none.
    pub(crate) fn partial_path(&self) -> Option<&Path> {
        self.partial.as_ref().map(|partial| &*partial.path)
    }

    pub(crate) fn target(&mut self) -> &mut dyn Target {
        &mut *self.target
    }

    /// Whether another restore could write to the file at the same time, since its file system has
    /// no locks.
    pub(crate) fn is_unlocked(&self) -> bool {
        (self.partial.as_ref()).is_some_and(|partial| !partial.is_locked)
    }

    /// The path of what a restore leaves incomplete; `begun` says whether it had begun to write.
    pub(crate) fn into_rest(self, begun: bool) -> Option<PathBuf> {
        // Dropping the target removes an empty file.
        drop(self.target);
        let Some(partial) = self.partial else {
            return self.size.filter(|_| begun).map(|_| self.path);
        };
        let found = partial.path.symlink_metadata().ok()?;
        (Some(id(&found)) == partial.id).then_some(partial.path)
    }

    /// The path of the file in which zeros stand in for lost chunks.
    pub(crate) fn damaged(&self) -> &Path {
        &self.damaged
    }

    /// The list of damage.
    pub(crate) fn map(&self) -> &DamageMap {
        &self.map
    }

    /// Removes the list of earlier damage, now that the file is whole. A damaged file that still
    /// exists keeps its list.
    pub(crate) fn forget_damage(&self) {
        let damaged = match self.partial {
            Some(_) => self.damaged.clone(),
            None => beside(&self.path, DAMAGED),
        };
        if self.size.is_some() || damaged.symlink_metadata().is_err() {
            self.map.remove();
        }
    }

    /// How many bytes of a device lie behind what was restored, and were not changed.
    pub(crate) fn untouched(&self, len: u64) -> u64 {
        match self.size {
            Some(size) if !self.is_discarded => size.saturating_sub(len),
            _ => 0,
        }
    }
}

/// Makes a folder, if it is not there, and says whether it did.
pub(crate) fn make_folder(folder: &Path) -> Result<bool, Failure> {
    if folder.is_dir() {
        return Ok(false);
    }
    let shown = folder.display();
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let error = io::ErrorKind::NotADirectory.into();
            Err(Failure::target(
                format!("cannot restore into {shown}"),
                &error,
            ))
        }
        Err(error) => Err(Failure::target(
            format!("cannot make the folder {shown}"),
            &error,
        )),
        Ok(()) => Ok(true),
    }
}

/// Writes a small file.
pub(crate) fn write_whole(target: &mut dyn Target, bytes: &[u8]) -> io::Result<()> {
    target.begin(bytes.len() as u64, 0)?;
    target.write(bytes)?;
    target.finish(false)
}

/// Whether there is a file that is not to be replaced.
pub(crate) fn is_kept(path: &Path, options: &Options) -> bool {
    path.is_file() && !options.overwrite
}

/// Opens an existing file, if it has this length.
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

/// Whether the path is in `/dev`, but not in its part that is for files.
fn is_among_devices(path: &Path) -> bool {
    path.starts_with("/dev") && !path.starts_with("/dev/shm")
}

/// The path with a suffix.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn id(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

/// A complete file, which is compared with what would be restored.
struct There {
    file: Arc<File>,
    offset: u64,
}

impl There {
    /// The offset of the next data before `end`.
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

    /// A hole holds zeros, so it need not be read.
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
