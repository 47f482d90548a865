//! A datastore in a folder: one that a PBS left on a disk, or a copy of one. Knows nothing of what the files mean.

mod listing;

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::backend::{
    Access, Answer, ArchivePath, Backend, Connection, FetchError, Request, SnapshotInfo,
};
use crate::cancel::Cancel;
use crate::digest::Digest;
use crate::error::BoxError;
use crate::format::name::{GroupName, Namespace, SnapshotPath};
use crate::reading;
use crate::throttle::Throttle;

use listing::Found;

/// A datastore in a folder.
#[derive(Debug)]
pub(crate) struct Directory {
    root: PathBuf,
}

impl Directory {
    /// # Errors
    /// It does not exist or is no folder, has no `.chunks` folder in it, or can't be looked into.
    pub(crate) fn open(root: &Path) -> io::Result<Directory> {
        if !fs::metadata(root)?.is_dir() {
            return Err(io::Error::new(
                io::ErrorKind::NotADirectory,
                "it is not a folder",
            ));
        }
        let chunks = root.join(".chunks");
        match fs::metadata(&chunks) {
            Ok(found) if found.is_dir() => Ok(Directory {
                root: root.to_owned(),
            }),
            // Who may not look can't tell what is there.
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io::Error::new(
                error.kind(),
                format!("{}: {error}", chunks.display()),
            )),
            _ => Err(io::Error::new(
                io::ErrorKind::NotFound,
                "there is no .chunks folder in it: it is not the top folder of a datastore",
            )),
        }
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

    /// What lies in a namespace, or in one group of it.
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
            None => listing::groups(&self.namespace(namespace))?,
        };
        let mut all = Found {
            found: Vec::new(),
            passed_over: groups.passed_over,
        };
        for group in groups.found {
            let snapshots = listing::snapshots(&self.group(namespace, &group), &group)?;
            all.found.extend(snapshots.found);
            all.passed_over.extend(snapshots.passed_over);
        }
        Ok(all)
    }

    /// A file of a snapshot; `Missing` only while the datastore is there that lacks it.
    fn open_file(&self, snapshot: &SnapshotPath, file: &str) -> Result<File, FetchError> {
        let group = self.group(&snapshot.namespace, snapshot.snapshot.group());
        let opened = listing::snapshot_folder(&group, &snapshot.snapshot).and_then(|folder| {
            let path = folder.join(file);
            reading::open_file(&path).map_err(|error| at(&path, error))
        });
        match opened {
            Err(FetchError::Missing) if Directory::open(&self.root).is_err() => {
                let root = self.root.display();
                let message = format!("there is no datastore at {root} any more");
                Err(FetchError::transient(message))
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
        self.list(namespace, group).map(|list| list.found)
    }

    fn passed_over(&self, namespace: &Namespace, group: Option<&GroupName>) -> Vec<String> {
        let listed = self.list(namespace, group);
        let mut texts = listed.map_or_else(|_| Vec::new(), |list| list.passed_over);
        if group.is_none() {
            let namespaces = listing::namespaces(&self.namespace(namespace), namespace);
            texts.extend(namespaces.map_or_else(|_| Vec::new(), |list| list.passed_over));
        }
        texts
    }

    fn namespaces(&self, parent: &Namespace) -> Result<Vec<Namespace>, FetchError> {
        listing::namespaces(&self.namespace(parent), parent).map(|list| list.found)
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
            chunks: self.root.join(".chunks"),
            requested: None,
            cancel,
            throttle,
        }))
    }
}

/// A worker's view of the `.chunks` folder.
struct ChunkFiles<'a> {
    chunks: PathBuf,
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
    fn read(&self, request: &mut Request) -> Result<(), FetchError> {
        let mut file = File::open(self.path(&request.digest)).map_err(FetchError::of_file)?;
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
        request.blob.fill(len, |space| {
            let allowed = self.throttle.may_read(space.len(), self.cancel)?;
            file.read_exact(&mut space[..allowed])
                .map_err(FetchError::of_file)?;
            Ok(allowed)
        })
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        let name = digest.to_string();
        let mut path = self.chunks.join(&name[..4]);
        path.push(name);
        path
    }
}

/// Sorts the failure to read something of a place, and names the thing.
fn at(path: &Path, error: io::Error) -> FetchError {
    let named = |cause: BoxError| format!("{}: {cause}", path.display()).into();
    match FetchError::of_file(error) {
        FetchError::Denied(cause) => FetchError::Denied(named(cause)),
        FetchError::Unreadable(cause) => FetchError::Unreadable(named(cause)),
        other => other,
    }
}
