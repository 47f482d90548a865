//! A datastore in a folder: one that a PBS left on a disk, or a copy of one.

mod links;
mod listing;

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::backend::{
    ArchivePath, Backend, Concurrency, Connection, FetchError, Request, SnapshotInfo, layout,
    one_by_one,
};
use crate::cancel::Cancel;
use crate::error::is_ours;
use crate::error::{BoxError, Error, ErrorKind, Scope};
use crate::format::name::{GroupName, Namespace, SnapshotPath};
use crate::rate_limit::RateLimit;
use crate::reading;

use listing::Found;

const REPLACED: &str = "another folder, or none, has taken its place";

/// A datastore in a folder.
#[derive(Debug)]
pub(crate) struct Directory {
    root: PathBuf,
    chunks: Chunks,
}

impl Directory {
    /// # Errors
    /// The folder does not exist, has no `.chunks` folder in it, or may not be searched. The error
    /// names the path that it is about.
    pub(crate) fn open(root: &Path) -> io::Result<Directory> {
        let explain = |path: &Path, error: io::Error| match (error.kind(), links::broken(path)) {
            (io::ErrorKind::PermissionDenied, _) => {
                let message = format!("permission denied to read {}", path.display());
                io::Error::new(error.kind(), message)
            }
            // The datastore may appear once a disk or share is mounted.
            (_, Some(message)) => io::Error::new(io::ErrorKind::NotConnected, message),
            _ => error,
        };
        if !fs::metadata(root)
            .map_err(|error| explain(root, error))?
            .is_dir()
        {
            let message = "it is not a folder";
            return Err(io::Error::new(io::ErrorKind::NotADirectory, message));
        }
        let folder = root.join(layout::CHUNKS);
        let chunks = Chunks::open(folder.clone()).map_err(|error| {
            let error = explain(&folder, error);
            match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => io::Error::new(
                    io::ErrorKind::NotFound,
                    "there is no .chunks folder in it: it is not the top folder of a datastore",
                ),
                _ => error,
            }
        })?;
        Ok(Directory {
            root: root.to_owned(),
            chunks,
        })
    }

    /// The path on this machine of a path in the datastore, without a slash at its end.
    fn path(&self, relative: &str) -> PathBuf {
        match relative.trim_end_matches('/') {
            "" => self.root.clone(),
            relative => self.root.join(relative),
        }
    }

    /// Lists what lies in a namespace, or in one group of it.
    fn list(
        &self,
        namespace: &Namespace,
        group: Option<&GroupName>,
    ) -> Result<Found<SnapshotInfo>, FetchError> {
        let groups = match group {
            Some(group) => Found {
                found: vec![group.clone()],
                passed_over: Vec::new(),
            },
            None => listing::groups(self, namespace)?,
        };
        let mut all = Found {
            found: Vec::new(),
            passed_over: groups.passed_over,
        };
        for group in groups.found {
            let snapshots = listing::snapshots(self, namespace, &group)?;
            all.found.extend(snapshots.found);
            all.passed_over.extend(snapshots.passed_over);
        }
        Ok(all)
    }

    /// The path of a snapshot's file, also if the snapshot's folder has an odd name.
    fn path_of(&self, snapshot: &SnapshotPath, file: &str) -> Result<PathBuf, FetchError> {
        Ok(listing::snapshot_folder(self, snapshot)?.join(file))
    }

    /// Opens a file of a snapshot. The file counts as missing only if the datastore is still there.
    fn open_file(&self, snapshot: &SnapshotPath, file: &str) -> Result<File, FetchError> {
        let opened = self
            .path_of(snapshot, file)
            .and_then(|path| reading::open_file(&path).map_err(|error| at(&path, error)));
        match opened {
            Err(FetchError::Missing) => {
                self.chunks.check_same()?;
                Err(FetchError::Missing)
            }
            opened => opened,
        }
    }
}

impl Backend for Directory {
    fn read_file(
        &self,
        snapshot: &SnapshotPath,
        file: &str,
        limit: u64,
    ) -> Result<Vec<u8>, FetchError> {
        let file = self.open_file(snapshot, file)?;
        let len = file.metadata().map_err(FetchError::of_file)?.len();
        if len > limit {
            return Err(FetchError::TooLong);
        }
        let mut bytes = Vec::with_capacity(usize::try_from(len).unwrap_or_default());
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
        self.list(namespace, group).map(|list| list.found)
    }

    fn passed_over(&self, namespace: &Namespace, group: Option<&GroupName>) -> Vec<String> {
        let listed = self.list(namespace, group);
        let mut texts = listed.map_or_else(|_| Vec::new(), |list| list.passed_over);
        if group.is_none() {
            let namespaces = listing::namespaces(self, namespace);
            texts.extend(namespaces.map_or_else(|_| Vec::new(), |list| list.passed_over));
        }
        texts
    }

    fn namespaces(&self, parent: &Namespace) -> Result<Vec<Namespace>, FetchError> {
        listing::namespaces(self, parent).map(|list| list.found)
    }

    fn owner(&self, namespace: &Namespace, group: &GroupName) -> Result<String, FetchError> {
        let path = self.path(&layout::owner(namespace, group));
        let mut text = String::new();
        reading::open_file(&path)
            .and_then(|file| file.take(layout::OWNER_LEN_MAX).read_to_string(&mut text))
            .map_err(|error| at(&path, error))?;
        Ok(layout::parse_owner(&text).to_owned())
    }

    fn concurrency(&self) -> Concurrency {
        Concurrency::Local
    }

    fn connect<'a>(
        &'a self,
        archive: &ArchivePath,
        cancel: &'a Cancel,
        rate_limit: &'a RateLimit,
    ) -> Result<Box<dyn Connection + 'a>, FetchError> {
        let files = ChunkFiles {
            place: self,
            index: self.path_of(&archive.snapshot, &archive.file).ok(),
            cancel,
            rate_limit,
        };
        Ok(one_by_one(move |request| files.read(request)))
    }
}

/// A worker's access to the `.chunks` folder.
struct ChunkFiles<'a> {
    place: &'a Directory,
    /// The file of the archive's index, if this place has one.
    index: Option<PathBuf>,
    cancel: &'a Cancel,
    rate_limit: &'a RateLimit,
}

impl ChunkFiles<'_> {
    /// Reads a chunk. The chunk counts as missing or unreadable only if its folder is still there,
    /// and no link on the way to it leads nowhere: whether a chunk exists can't be known while its
    /// disk is pulled out, or its file system is not mounted.
    fn read(&self, request: &mut Request) -> Result<(), FetchError> {
        let path = self.place.path(&layout::chunk(&request.digest()));
        match self.read_file(&path, request) {
            Err(error) if error.scope() == Some(Scope::Chunk) => {
                self.place.chunks.check_there()?;
                links::check(&path)?;
                if matches!(error, FetchError::Unreadable(_)) {
                    self.check_disk()?;
                }
                Err(error)
            }
            Err(FetchError::Denied(cause)) => Err(denied(&path, cause)),
            result => result,
        }
    }

    /// Reads the beginning of the archive's index once more, which could be read before. After a
    /// disk is pulled out, the system may still have all its folders in the cache: then each chunk
    /// looks as if it were damaged.
    ///
    /// # Errors
    /// [`FetchError::Unreachable`] if the index can't be read any more.
    fn check_disk(&self) -> Result<(), FetchError> {
        let Some(index) = &self.index else {
            return Ok(());
        };
        let read = reading::read_from_disk(index);
        match read.map_err(|error| at(index, error)) {
            Err(FetchError::Unreadable(cause) | FetchError::Unreachable(cause)) => {
                Err(self.place.chunks.gone(cause))
            }
            Err(error @ FetchError::Resources(_)) => Err(error),
            // The index was deleted, or may not be read any more. Either way the disk answered.
            _ => Ok(()),
        }
    }

    fn read_file(&self, path: &Path, request: &mut Request) -> Result<(), FetchError> {
        let mut file = reading::open_file(path).map_err(FetchError::of_file)?;
        let len = file.metadata().map_err(FetchError::of_file)?.len();
        // The local cache of an S3-backed datastore keeps an evicted chunk as an empty file.
        if len == 0 {
            return Err(FetchError::Missing);
        }
        let Some(len) = usize::try_from(len)
            .ok()
            .filter(|&len| len <= request.limit())
        else {
            return Err(FetchError::TooLong);
        };
        request.buffer().fill(len, |space| {
            let allowed = self.rate_limit.may_read(space.len(), self.cancel)?;
            (file.read_exact(&mut space[..allowed])).map_err(FetchError::of_file)?;
            Ok(allowed)
        })
    }
}

/// The folder that holds all chunks.
#[derive(Clone, Debug)]
struct Chunks {
    folder: PathBuf,
    /// The device and inode of the folder when the datastore was opened.
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

    /// Checks that the folder at this path is still the one that was opened.
    ///
    /// # Errors
    /// [`FetchError::Unreachable`] if it is not.
    fn check_same(&self) -> Result<(), FetchError> {
        match Chunks::open(self.folder.clone()) {
            Ok(now) if now.identity != self.identity => Err(self.gone(REPLACED)),
            Err(error) => Err(self.gone(error)),
            Ok(_) => Ok(()),
        }
    }

    fn gone(&self, cause: impl Into<BoxError>) -> FetchError {
        let folder = self.folder.display();
        let message = format!("the datastore's folder {folder} is out of reach");
        FetchError::unreachable(Error::new(ErrorKind::Unavailable, message).because(cause))
    }

    /// Checks that the folder is still the one that was opened, and that it can be read.
    ///
    /// # Errors
    /// [`FetchError::Denied`] if the folder may not be read, else [`FetchError::Unreachable`].
    fn check_there(&self) -> Result<(), FetchError> {
        // A disk that is gone may still have its folders in the cache, but not their contents.
        let there = fs::metadata(&self.folder).and_then(|metadata| {
            let first = fs::read_dir(&self.folder)?.next();
            Ok((metadata.dev(), metadata.ino(), first.transpose()?.is_some()))
        });
        match there {
            Ok((device, inode, true)) if (device, inode) == self.identity => Ok(()),
            Ok(_) => Err(self.gone(REPLACED)),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Err(denied(&self.folder, error))
            }
            Err(error) if is_ours(&error) => Err(FetchError::Resources(error.into())),
            Err(error) => Err(self.gone(error)),
        }
    }
}

/// Sorts the failure to read a path of a place, and names the path. Nothing counts as missing
/// behind a link that leads nowhere.
fn at(path: &Path, error: io::Error) -> FetchError {
    let error = FetchError::of_file(error);
    if error.scope() == Some(Scope::Chunk)
        && let Err(broken) = links::check(path)
    {
        return broken;
    }
    match error {
        FetchError::Denied(cause) => denied(path, cause),
        FetchError::Unreadable(cause) => {
            FetchError::Unreadable(format!("{}: {cause}", path.display()).into())
        }
        other => other,
    }
}

fn denied(path: &Path, cause: impl Into<BoxError>) -> FetchError {
    let message = format!("permission denied to read {}", path.display());
    FetchError::Denied(Error::new(ErrorKind::Denied, message).because(cause).into())
}
