//! What a server serves. Knows nothing of who asks.

use std::fs;
use std::io::Read as _;
use std::mem;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::lock;
use crate::store::{Folder, InMemory};

/// A datastore that can be served, and changed while it is.
pub trait Source: Send + Sync + 'static {
    /// The blob of a chunk, as it is stored.
    fn chunk_bytes(&self, digest: &[u8; 32]) -> Option<Bytes>;

    /// The file at this path below the datastore, such as `vm/1/2026-01-02T03:04:05Z/index.json.blob`.
    fn file_bytes(&self, path: &str) -> Option<Bytes>;

    /// The paths of all files but the chunks, sorted.
    fn file_paths(&self) -> Vec<String>;

    /// Whether reading may wait for a disk, so that it must not be done where others wait.
    fn is_blocking(&self) -> bool {
        true
    }
}

impl Source for InMemory {
    fn chunk_bytes(&self, digest: &[u8; 32]) -> Option<Bytes> {
        self.chunk(digest).map(Bytes::from_owner)
    }

    fn file_bytes(&self, path: &str) -> Option<Bytes> {
        self.file_at(path).map(Bytes::from_owner)
    }

    fn file_paths(&self) -> Vec<String> {
        self.paths()
    }

    fn is_blocking(&self) -> bool {
        false
    }
}

impl Source for Folder {
    fn chunk_bytes(&self, digest: &[u8; 32]) -> Option<Bytes> {
        let mut file = fs::File::open(self.chunk_path(digest)).ok()?;
        let len = file.metadata().ok()?.len();
        let mut bytes = lock(&SPARE).pop().unwrap_or_default();
        bytes.reserve(len as usize);
        file.read_to_end(&mut bytes).ok()?;
        Some(Bytes::from_owner(Recycled(bytes)))
    }

    fn file_bytes(&self, path: &str) -> Option<Bytes> {
        let leads_out = path.split('/').any(|part| part == ".." || part.is_empty());
        let bytes = (!leads_out).then(|| fs::read(self.path().join(path)).ok());
        bytes.flatten().map(Bytes::from)
    }

    fn file_paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        collect(self.path(), "", &mut paths);
        paths.sort();
        paths
    }
}

/// Buffers of chunks that were sent. New ones would cost a page fault for every 4 KiB.
static SPARE: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// How many buffers are worth keeping.
const MAX_SPARE: usize = 64;

struct Recycled(Vec<u8>);

impl AsRef<[u8]> for Recycled {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Recycled {
    fn drop(&mut self) {
        let mut bytes = mem::take(&mut self.0);
        bytes.clear();
        let mut spare = lock(&SPARE);
        if spare.len() < MAX_SPARE {
            spare.push(bytes);
        }
    }
}

fn collect(folder: &Path, prefix: &str, paths: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("the datastore can be read") {
        let entry = entry.expect("the datastore can be read");
        let name = entry.file_name();
        let name = name.to_str().expect("names in a datastore are ASCII");
        // Chunks, and what PBS keeps for itself.
        if name.starts_with('.') && name != ".protected" {
            continue;
        }
        let path = format!("{prefix}{name}");
        if entry.path().is_dir() {
            collect(&entry.path(), &format!("{path}/"), paths);
        } else {
            paths.push(path);
        }
    }
}

/// Reads without keeping other tasks waiting.
pub(crate) async fn read<T: Send + 'static>(
    source: &Arc<dyn Source>,
    read: impl FnOnce(&dyn Source) -> T + Send + 'static,
) -> T {
    if !source.is_blocking() {
        return read(&**source);
    }
    let source = Arc::clone(source);
    let read = tokio::task::spawn_blocking(move || read(&*source));
    read.await.expect("reading does not panic")
}
