//! Where a made datastore is put: a folder or memory. Knows nothing of what the bytes mean.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};

use crate::key::hex;

/// What takes chunks and files, from several threads at once.
pub trait Store: Sync {
    /// Puts the blob of a chunk, instead of one that is there.
    fn put_chunk(&self, digest: &[u8; 32], blob: &[u8]);

    /// Whether there is such a chunk.
    fn has_chunk(&self, digest: &[u8; 32]) -> bool;

    /// Puts a file of a snapshot, instead of one that is there. The namespace is such as `team/a`, or empty; the
    /// snapshot such as `vm/100/2026-01-02T03:04:05Z`; the name as on the server, with its suffix.
    fn put_file(&self, namespace: &str, snapshot: &str, name: &str, bytes: &[u8]);
}

/// A datastore on disk, as PBS lays it out.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    temporary: AtomicUsize,
}

impl Folder {
    /// The datastore in this folder, which is made if need be.
    pub fn new(path: impl Into<PathBuf>) -> Folder {
        let path = path.into();
        fs::create_dir_all(path.join(".chunks")).expect("the folder can be made");
        Folder {
            path,
            temporary: AtomicUsize::new(0),
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where a chunk is.
    pub fn chunk_path(&self, digest: &[u8; 32]) -> PathBuf {
        let name = hex(digest);
        self.path.join(".chunks").join(&name[..4]).join(name)
    }

    /// Where the files of a snapshot are.
    pub fn snapshot_path(&self, namespace: &str, snapshot: &str) -> PathBuf {
        self.path.join(relative(namespace, snapshot))
    }

    /// The blob of a chunk.
    pub fn chunk(&self, digest: &[u8; 32]) -> Option<Vec<u8>> {
        fs::read(self.chunk_path(digest)).ok()
    }

    /// A file of a snapshot.
    pub fn file(&self, namespace: &str, snapshot: &str, name: &str) -> Option<Vec<u8>> {
        fs::read(self.snapshot_path(namespace, snapshot).join(name)).ok()
    }

    /// Loses a chunk.
    ///
    /// # Panics
    /// There is none.
    pub fn remove_chunk(&self, digest: &[u8; 32]) {
        fs::remove_file(self.chunk_path(digest)).expect("the chunk was there");
    }

    /// Changes a chunk.
    ///
    /// # Panics
    /// There is none.
    pub fn replace_chunk(&self, digest: &[u8; 32], blob: &[u8]) {
        assert!(self.has_chunk(digest), "there is no chunk {}", hex(digest));
        self.put_chunk(digest, blob);
    }
}

impl Store for Folder {
    fn put_chunk(&self, digest: &[u8; 32], blob: &[u8]) {
        let path = self.chunk_path(digest);
        let folder = path.parent().expect("a chunk is in a folder");
        fs::create_dir_all(folder).expect("the folder can be made");
        // A name of its own for each write: two threads may put the same chunk, and a reader must see a whole one.
        let number = self.temporary.fetch_add(1, Ordering::Relaxed);
        let temporary = folder.join(format!("{number}.tmp"));
        fs::write(&temporary, blob).expect("the chunk can be written");
        fs::rename(&temporary, &path).expect("the chunk can be renamed");
    }

    fn has_chunk(&self, digest: &[u8; 32]) -> bool {
        self.chunk_path(digest).exists()
    }

    fn put_file(&self, namespace: &str, snapshot: &str, name: &str, bytes: &[u8]) {
        let folder = self.snapshot_path(namespace, snapshot);
        fs::create_dir_all(&folder).expect("the folder can be made");
        fs::write(folder.join(name), bytes).expect("the file can be written");
    }
}

/// A datastore in memory.
#[derive(Debug, Default)]
pub struct InMemory {
    chunks: RwLock<HashMap<[u8; 32], Arc<[u8]>>>,
    files: RwLock<HashMap<String, Arc<[u8]>>>,
}

const WHOLE: &str = "no one panics while changing a map";

impl InMemory {
    /// An empty one.
    pub fn new() -> InMemory {
        InMemory::default()
    }

    /// The blob of a chunk; it is not copied.
    pub fn chunk(&self, digest: &[u8; 32]) -> Option<Arc<[u8]>> {
        self.chunks.read().expect(WHOLE).get(digest).cloned()
    }

    /// How many chunks there are.
    pub fn chunk_count(&self) -> usize {
        self.chunks.read().expect(WHOLE).len()
    }

    /// A file of a snapshot; it is not copied.
    pub fn file(&self, namespace: &str, snapshot: &str, name: &str) -> Option<Arc<[u8]>> {
        self.file_at(&format!("{}/{name}", relative(namespace, snapshot)))
    }

    /// The file that a datastore on disk has at this path; it is not copied.
    pub fn file_at(&self, path: &str) -> Option<Arc<[u8]>> {
        self.files.read().expect(WHOLE).get(path).cloned()
    }

    /// The paths of all files, sorted, as a datastore on disk has them.
    pub fn paths(&self) -> Vec<String> {
        let mut paths: Vec<String> = self.files.read().expect(WHOLE).keys().cloned().collect();
        paths.sort();
        paths
    }

    /// Loses a chunk.
    ///
    /// # Panics
    /// There is none.
    pub fn remove_chunk(&self, digest: &[u8; 32]) {
        let removed = self.chunks.write().expect(WHOLE).remove(digest);
        assert!(removed.is_some(), "there is no chunk {}", hex(digest));
    }

    /// Changes a chunk.
    ///
    /// # Panics
    /// There is none.
    pub fn replace_chunk(&self, digest: &[u8; 32], blob: &[u8]) {
        assert!(self.has_chunk(digest), "there is no chunk {}", hex(digest));
        self.put_chunk(digest, blob);
    }
}

impl Store for InMemory {
    fn put_chunk(&self, digest: &[u8; 32], blob: &[u8]) {
        let blob = Arc::from(blob);
        self.chunks.write().expect(WHOLE).insert(*digest, blob);
    }

    fn has_chunk(&self, digest: &[u8; 32]) -> bool {
        self.chunks.read().expect(WHOLE).contains_key(digest)
    }

    fn put_file(&self, namespace: &str, snapshot: &str, name: &str, bytes: &[u8]) {
        let path = format!("{}/{name}", relative(namespace, snapshot));
        self.files
            .write()
            .expect(WHOLE)
            .insert(path, Arc::from(bytes));
    }
}

/// Where a snapshot is in its datastore.
fn relative(namespace: &str, snapshot: &str) -> String {
    let names = namespace.split('/').filter(|name| !name.is_empty());
    let namespace: String = names.map(|name| format!("ns/{name}/")).collect();
    namespace + snapshot
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_nest_as_on_disk() {
        assert_eq!(relative("", "vm/1/t"), "vm/1/t");
        assert_eq!(relative("team/a", "vm/1/t"), "ns/team/ns/a/vm/1/t");
    }
}
