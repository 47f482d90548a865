//! A datastore in a folder: one that a PBS left on a disk, or a copy of one. Knows nothing of what the files mean.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::backend::{
    Access, Answer, ArchivePath, Backend, Connection, FetchError, Request, SnapshotInfo, is_ours,
};
use crate::cancel::Cancel;
use crate::digest::Digest;
use crate::error::{BoxError, Error, ErrorKind, Scope};
use crate::format::name::{BackupType, GroupName, Namespace, SnapshotName, SnapshotPath};
use crate::throttle::Throttle;

/// The manifest's file: a snapshot that has none is unfinished.
const MANIFEST: &str = "index.json.blob";

/// A datastore in a folder.
#[derive(Debug)]
pub(crate) struct Directory {
    root: PathBuf,
    chunks: Chunks,
}

impl Directory {
    /// # Errors
    /// The folder does not exist, has no `.chunks` folder in it, or may not be searched; with the path that it is about.
    pub(crate) fn open(root: &Path) -> io::Result<Directory> {
        let denied = |path: &Path, error: io::Error| match error.kind() {
            io::ErrorKind::PermissionDenied => {
                let message = format!("permission denied to read {}", path.display());
                io::Error::new(error.kind(), message)
            }
            _ => error,
        };
        if !fs::metadata(root)
            .map_err(|error| denied(root, error))?
            .is_dir()
        {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        let folder = root.join(".chunks");
        let chunks = Chunks::open(folder.clone()).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => io::Error::new(
                io::ErrorKind::NotFound,
                "there is no .chunks folder in it: it is not the top folder of a datastore",
            ),
            _ => denied(&folder, error),
        })?;
        Ok(Directory {
            root: root.to_owned(),
            chunks,
        })
    }

    fn namespace(&self, namespace: &Namespace) -> PathBuf {
        let mut path = self.root.clone();
        for name in namespace.components() {
            path.push("ns");
            path.push(name);
        }
        path
    }

    fn group(&self, namespace: &Namespace, group: &GroupName) -> PathBuf {
        let mut path = self.namespace(namespace);
        path.push(group.backup_type().to_string());
        path.push(group.id());
        path
    }

    fn groups(&self, namespace: &Namespace) -> Result<Vec<GroupName>, FetchError> {
        let folder = self.namespace(namespace);
        fs::metadata(&folder).map_err(FetchError::of_file)?;
        let mut groups = Vec::new();
        for backup_type in [BackupType::Vm, BackupType::Ct, BackupType::Host] {
            let ids =
                names_in(&folder.join(backup_type.to_string())).map_err(FetchError::of_file)?;
            groups.extend(
                ids.iter()
                    .filter_map(|id| GroupName::new(backup_type, id).ok()),
            );
        }
        Ok(groups)
    }
}

impl Backend for Directory {
    fn read_file(
        &self,
        snapshot: &SnapshotPath,
        file: &str,
        limit: u64,
    ) -> Result<Vec<u8>, FetchError> {
        let mut path = self.group(&snapshot.namespace, snapshot.snapshot.group());
        path.push(snapshot.snapshot.time_text());
        path.push(file);
        let file = File::open(path).map_err(FetchError::of_file)?;
        let mut bytes = Vec::new();
        file.take(limit + 1)
            .read_to_end(&mut bytes)
            .map_err(FetchError::of_file)?;
        if bytes.len() as u64 > limit {
            return Err(FetchError::TooLong);
        }
        Ok(bytes)
    }

    fn snapshots(
        &self,
        namespace: &Namespace,
        group: Option<&GroupName>,
    ) -> Result<Vec<SnapshotInfo>, FetchError> {
        let groups = match group {
            Some(group) => vec![group.clone()],
            None => self.groups(namespace)?,
        };
        let mut snapshots = Vec::new();
        for group in groups {
            let folder = self.group(namespace, &group);
            for time in names_in(&folder).map_err(FetchError::of_file)? {
                // What is not named like a snapshot is not one: the file `owner`, for instance.
                let Ok(name) = format!("{group}/{time}").parse::<SnapshotName>() else {
                    continue;
                };
                snapshots.push(SnapshotInfo {
                    name,
                    is_finished: folder.join(time).join(MANIFEST).is_file(),
                });
            }
        }
        Ok(snapshots)
    }

    fn namespaces(&self, parent: &Namespace) -> Result<Vec<Namespace>, FetchError> {
        let folder = self.namespace(parent);
        fs::metadata(&folder).map_err(FetchError::of_file)?;
        let names = names_in(&folder.join("ns")).map_err(FetchError::of_file)?;
        Ok(names
            .iter()
            .filter_map(|name| parent.child(name).ok())
            .collect())
    }

    fn access(&self) -> Access {
        Access::Local
    }

    fn connect<'a>(
        &'a self,
        _archive: &ArchivePath,
        cancel: &'a Cancel,
        throttle: &'a Throttle,
    ) -> Result<Box<dyn Connection + 'a>, FetchError> {
        Ok(Box::new(ChunkFiles {
            chunks: self.chunks.clone(),
            requested: None,
            cancel,
            throttle,
        }))
    }
}

/// A worker's view of the `.chunks` folder.
struct ChunkFiles<'a> {
    chunks: Chunks,
    requested: Option<Request>,
    cancel: &'a Cancel,
    throttle: &'a Throttle,
}

impl Connection for ChunkFiles<'_> {
    fn request(&mut self, request: Request) -> Result<(), FetchError> {
        self.requested = Some(request);
        Ok(())
    }

    fn receive(&mut self) -> Result<Answer, FetchError> {
        let Some(mut request) = self.requested.take() else {
            return Err(FetchError::Fatal("nothing was requested".into()));
        };
        let result = self.read(&mut request);
        Ok(Answer {
            id: request.id,
            blob: request.blob,
            result,
        })
    }
}

impl ChunkFiles<'_> {
    /// Reads a chunk. That it is missing or can't be read is said of it only where its folder is still there: of a disk that
    /// was pulled out, or a file system that was unmounted, nothing is known.
    fn read(&self, request: &mut Request) -> Result<(), FetchError> {
        let path = self.chunks.path_of(&request.digest);
        match self.read_file(&path, request) {
            Err(error) if error.scope() == Some(Scope::Chunk) => {
                self.chunks.check_there()?;
                Err(error)
            }
            Err(FetchError::Denied(cause)) => {
                let message = format!("permission denied to read {}", path.display());
                Err(FetchError::Denied(
                    Error::new(ErrorKind::Denied, message).because(cause).into(),
                ))
            }
            result => result,
        }
    }

    fn read_file(&self, path: &Path, request: &mut Request) -> Result<(), FetchError> {
        let mut file = open_regular(path).map_err(FetchError::of_file)?;
        let len = file.metadata().map_err(FetchError::of_file)?.len();
        // The local cache of an S3-backed datastore keeps an evicted chunk as an empty file.
        if len == 0 {
            return Err(FetchError::Missing);
        }
        let Some(len) = usize::try_from(len)
            .ok()
            .filter(|&len| len <= request.limit)
        else {
            return Err(FetchError::TooLong);
        };
        request.blob.clear();
        request.blob.fill(len, |space| {
            let allowed = self.throttle.may_read(space.len(), self.cancel)?;
            (file.read_exact(&mut space[..allowed])).map_err(FetchError::of_file)?;
            Ok(allowed)
        })
    }
}

/// The folder that holds all chunks.
#[derive(Clone, Debug)]
struct Chunks {
    folder: PathBuf,
    /// Device and inode, as they were when the datastore was opened.
    identity: (u64, u64),
}

impl Chunks {
    /// # Errors
    /// There is no such folder, or it may not be searched.
    fn open(folder: PathBuf) -> io::Result<Chunks> {
        let metadata = fs::metadata(&folder)?;
        if !metadata.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Chunks {
            folder,
            identity: (metadata.dev(), metadata.ino()),
        })
    }

    /// Whether it is still the folder that was opened, and can be read.
    ///
    /// # Errors
    /// [`FetchError::Denied`] where it may not be read, else [`FetchError::Unreachable`].
    fn check_there(&self) -> Result<(), FetchError> {
        let folder = self.folder.display();
        let gone = |cause: BoxError| {
            let message = format!("the datastore's folder {folder} is out of reach");
            FetchError::unreachable(Error::new(ErrorKind::Unavailable, message).because(cause))
        };
        // A disk that is gone may still have its folders in the cache, but not their contents.
        let there = fs::metadata(&self.folder).and_then(|metadata| {
            let first = fs::read_dir(&self.folder)?.next();
            Ok((metadata.dev(), metadata.ino(), first.transpose()?.is_some()))
        });
        match there {
            Ok((device, inode, true)) if (device, inode) == self.identity => Ok(()),
            Ok(_) => Err(gone("another folder, or none, has taken its place".into())),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let message = format!("permission denied to read {folder}");
                Err(FetchError::Denied(
                    Error::new(ErrorKind::Denied, message).because(error).into(),
                ))
            }
            Err(error) if is_ours(&error) => Err(FetchError::Resources(error.into())),
            Err(error) => Err(gone(error.into())),
        }
    }

    fn path_of(&self, digest: &Digest) -> PathBuf {
        let name = digest.to_string();
        let mut path = self.folder.join(&name[..4]);
        path.push(name);
        path
    }
}

/// Opens a file that is one, and not a pipe or a device, which might never be at an end, or never be opened.
fn open_regular(path: &Path) -> io::Result<File> {
    let file = (File::options().read(true))
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    Ok(file)
}

/// The names in a folder; none where there is no such folder.
fn names_in(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        // Names that are not UTF-8 are not PBS's.
        names.extend(entry?.file_name().into_string());
    }
    Ok(names)
}
