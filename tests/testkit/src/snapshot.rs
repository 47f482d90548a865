//! Whole snapshots: images, archives and small files, with indexes and manifest. Knows nothing of where they are put.

use std::thread;

use crate::blob::encode_auto;
use crate::chunks::{cut, put_chunks};
use crate::image::{Image, IntoImage};
use crate::index::{DynamicIndex, FixedIndex};
use crate::key::{TestKey, sha256};
use crate::manifest::{CryptMode, Manifest, ManifestFile, unix_time};
use crate::pxar::{self, Content};
use crate::store::Store;

/// A snapshot in the making.
#[derive(Clone, Debug)]
pub struct SnapshotBuilder {
    namespace: String,
    snapshot: String,
    key: Option<(TestKey, CryptMode)>,
    chunk_size: u64,
    entries: Vec<(String, Entry)>,
}

#[derive(Clone, Debug)]
enum Entry {
    Image(Image),
    Archive { bytes: Content, ends: Vec<u64> },
    Blob(Vec<u8>),
}

/// A snapshot that was made.
#[derive(Clone, Debug)]
pub struct SnapshotInfo {
    /// Such as `team/a`, or empty.
    pub namespace: String,
    /// Such as `vm/100/2026-01-02T03:04:05Z`.
    pub snapshot: String,
    /// Its images and archives, in the order in which they were given.
    pub archives: Vec<ArchiveInfo>,
}

/// An image or an archive that was made.
#[derive(Clone, Debug)]
pub struct ArchiveInfo {
    /// As it was given, such as `drive-scsi0.img`.
    pub name: String,
    /// As it is on the server, such as `drive-scsi0.img.fidx`.
    pub file: String,
    /// Bytes of the archive.
    pub len: u64,
    /// SHA-256 of the archive.
    pub sha256: [u8; 32],
    /// The digest of each chunk, by position.
    pub digests: Vec<[u8; 32]>,
    /// The content of the index file.
    pub index: Vec<u8>,
}

impl SnapshotInfo {
    /// The archive with this name.
    ///
    /// # Panics
    /// There is none.
    pub fn archive(&self, name: &str) -> &ArchiveInfo {
        let archive = self.archives.iter().find(|archive| archive.name == name);
        archive.unwrap_or_else(|| panic!("{} has no {name}", self.snapshot))
    }
}

impl SnapshotBuilder {
    /// An empty snapshot, such as `vm/100/2026-01-02T03:04:05Z`, in the root namespace, without a key, with images in
    /// chunks of 4 MiB.
    pub fn new(snapshot: &str) -> SnapshotBuilder {
        SnapshotBuilder {
            namespace: String::new(),
            snapshot: snapshot.to_owned(),
            key: None,
            chunk_size: 4 << 20,
            entries: Vec::new(),
        }
    }

    /// The namespace, such as `team/a`.
    pub fn namespace(mut self, namespace: &str) -> SnapshotBuilder {
        self.namespace = namespace.to_owned();
        self
    }

    /// Encrypts or signs everything with this key.
    pub fn key(mut self, key: &TestKey, mode: CryptMode) -> SnapshotBuilder {
        self.key = (mode != CryptMode::None).then(|| (key.clone(), mode));
        self
    }

    /// The chunk size of the images that are given as bytes after this, and that of file archives on the average. Other
    /// images have one of their own.
    pub fn chunk_size(mut self, chunk_size: u64) -> SnapshotBuilder {
        self.chunk_size = chunk_size;
        self
    }

    /// Adds an image, made or given as bytes, under a name such as `drive-scsi0.img`.
    pub fn image(self, name: &str, image: impl IntoImage) -> SnapshotBuilder {
        let image = image.into_image(self.chunk_size);
        self.entry(name, Entry::Image(image))
    }

    /// Adds an archive under a name such as `root.pxar`, cut into chunks at these offsets.
    ///
    /// # Panics
    /// The offsets do not rise, or are not inside the archive.
    pub fn archive(self, name: &str, bytes: &[u8], cuts: &[u64]) -> SnapshotBuilder {
        let mut ends = cuts.to_vec();
        let len = bytes.len() as u64;
        if ends.last() != Some(&len) && len > 0 {
            ends.push(len);
        }
        let rises = [0].iter().chain(&ends).is_sorted_by(|a, b| a < b);
        assert!(
            rises && ends.last().unwrap_or(&0) == &len,
            "the cuts of {name} are wrong"
        );
        let bytes = Content::from(bytes);
        self.entry(name, Entry::Archive { bytes, ends })
    }

    /// Adds a file archive under a name such as `root.pxar`, in chunks of random lengths that follow from the seed. A
    /// split one becomes `root.mpxar` and `root.ppxar`.
    ///
    /// # Panics
    /// The name does not end in `.pxar`.
    pub fn files(self, name: &str, archive: &pxar::Archive, seed: u64) -> SnapshotBuilder {
        let stem = name.strip_suffix(".pxar");
        let stem = stem.unwrap_or_else(|| panic!("{name} does not end in .pxar"));
        match &archive.payload {
            None => self.cut(name, &archive.stream, seed),
            Some(payload) => self
                .cut(&format!("{stem}.mpxar"), &archive.stream, seed)
                .cut(&format!("{stem}.ppxar"), payload, seed ^ 1),
        }
    }

    fn cut(self, name: &str, bytes: &Content, seed: u64) -> SnapshotBuilder {
        let ends = cut(bytes, self.chunk_size, seed);
        let bytes = bytes.clone();
        self.entry(name, Entry::Archive { bytes, ends })
    }

    /// Adds a small file under a name such as `qemu-server.conf`.
    pub fn blob(self, name: &str, bytes: &[u8]) -> SnapshotBuilder {
        self.entry(name, Entry::Blob(bytes.to_vec()))
    }

    fn entry(mut self, name: &str, entry: Entry) -> SnapshotBuilder {
        self.entries.push((name.to_owned(), entry));
        self
    }

    /// Makes the snapshot. A chunk that the store has already is not put again; the manifest comes last.
    pub fn write_to(&self, store: &dyn Store) -> SnapshotInfo {
        let mut manifest = Manifest::new(&self.snapshot);
        if let Some((key, _)) = &self.key {
            manifest = manifest.signed(key);
        }
        let mut archives = Vec::new();
        for (name, entry) in &self.entries {
            let (suffix, size, csum, bytes) = match entry {
                Entry::Image(image) => {
                    let (index, info) = self.write_image(name, image, store);
                    archives.push(info);
                    ("fidx", image.len(), index.csum(), index.bytes())
                }
                Entry::Archive { bytes, ends } => {
                    let (index, info) = self.write_archive(name, bytes, ends, store);
                    archives.push(info);
                    ("didx", bytes.len(), index.csum(), index.bytes())
                }
                Entry::Blob(data) => {
                    let blob = encode_auto(data, self.encryption_key());
                    ("blob", blob.len() as u64, sha256(&blob), blob)
                }
            };
            let file = ManifestFile {
                name: format!("{name}.{suffix}"),
                crypt_mode: self.crypt_mode(),
                size,
                csum,
            };
            store.put_file(&self.namespace, &self.snapshot, &file.name, &bytes);
            manifest = manifest.file(file);
        }
        let blob = manifest.blob();
        store.put_file(&self.namespace, &self.snapshot, "index.json.blob", &blob);
        SnapshotInfo {
            namespace: self.namespace.clone(),
            snapshot: self.snapshot.clone(),
            archives,
        }
    }

    fn write_image(
        &self,
        name: &str,
        image: &Image,
        store: &dyn Store,
    ) -> (FixedIndex, ArchiveInfo) {
        let key = self.encryption_key();
        let (sha256, digests) = thread::scope(|scope| {
            // The image is made a second time for its own hash: that needs order, and making it is cheap.
            let sha256 = scope.spawn(|| image.sha256());
            let fill = |position: usize, chunk: &mut Vec<u8>| {
                chunk.resize(image.chunk_len(position), 0);
                image.fill(position, chunk);
            };
            let digests = put_chunks(image.count(), &fill, key, store);
            (sha256.join().expect("hashing does not panic"), digests)
        });
        let mut index = FixedIndex::new(image.len(), image.chunk_size(), digests.clone());
        index.ctime = self.time();
        let info = ArchiveInfo {
            name: name.to_owned(),
            file: format!("{name}.fidx"),
            len: image.len(),
            sha256,
            digests,
            index: index.bytes(),
        };
        (index, info)
    }

    fn write_archive(
        &self,
        name: &str,
        bytes: &Content,
        ends: &[u64],
        store: &dyn Store,
    ) -> (DynamicIndex, ArchiveInfo) {
        let fill = |position: usize, chunk: &mut Vec<u8>| {
            let start = position.checked_sub(1).map_or(0, |before| ends[before]);
            chunk.resize((ends[position] - start) as usize, 0);
            bytes.read_at(start, chunk);
        };
        let key = self.encryption_key();
        let (sha256, digests) = thread::scope(|scope| {
            let sha256 = scope.spawn(|| bytes.sha256());
            let digests = put_chunks(ends.len(), &fill, key, store);
            (sha256.join().expect("hashing does not panic"), digests)
        });
        let entries = ends.iter().copied().zip(digests.iter().copied()).collect();
        let mut index = DynamicIndex::new(entries);
        index.ctime = self.time();
        let info = ArchiveInfo {
            name: name.to_owned(),
            file: format!("{name}.didx"),
            len: bytes.len(),
            sha256,
            digests,
            index: index.bytes(),
        };
        (index, info)
    }

    fn crypt_mode(&self) -> CryptMode {
        (self.key.as_ref()).map_or(CryptMode::None, |(_, mode)| *mode)
    }

    /// The key of the chunks: a key that only signs does not change them.
    fn encryption_key(&self) -> Option<&TestKey> {
        match &self.key {
            Some((key, CryptMode::Encrypt)) => Some(key),
            _ => None,
        }
    }

    fn time(&self) -> i64 {
        let time = self.snapshot.rsplit('/').next();
        unix_time(time.expect("a split has at least one part"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::{BlobKind, decode};
    use crate::image::Workload;
    use crate::key::hex;
    use crate::model::restore;
    use crate::store::{Folder, InMemory};

    const SNAPSHOT: &str = "vm/100/2026-01-02T03:04:05Z";

    fn builder() -> SnapshotBuilder {
        SnapshotBuilder::new(SNAPSHOT)
            .namespace("team/a")
            .chunk_size(8)
            .image("made.img", Image::new(Workload::Typical, 1, 300_001, 4096))
            .image("bytes.img", vec![0; 20])
            .image("empty.img", vec![])
            .archive("root.pxar", b"one two three", &[4, 8])
            .blob("qemu-server.conf", b"cores: 2\n")
    }

    #[test]
    fn every_mode_is_restored_by_the_model() {
        let key = TestKey::from_seed(1);
        for mode in [CryptMode::None, CryptMode::Encrypt, CryptMode::SignOnly] {
            let store = InMemory::new();
            let info = builder().key(&key, mode).write_to(&store);
            let chunk_key = (mode == CryptMode::Encrypt).then_some(&key);
            for archive in &info.archives {
                let data = restore(&archive.index, |digest| store.chunk(digest), chunk_key);
                assert_eq!(data.len() as u64, archive.len, "{}, {mode:?}", archive.name);
                assert_eq!(sha256(&data), archive.sha256, "{}, {mode:?}", archive.name);
            }
            let blob = store.file("team/a", SNAPSHOT, "qemu-server.conf.blob");
            let blob = blob.expect("the blob is there");
            assert_eq!(decode(&blob, Some(&key), 100), b"cores: 2\n");
            assert_eq!(BlobKind::of(&blob).is_encrypted(), chunk_key.is_some());
        }
    }

    #[test]
    fn equal_chunks_are_stored_once() {
        let store = InMemory::new();
        let info = builder().write_to(&store);
        let chunks = store.chunk_count();
        let digests = &info.archive("bytes.img").digests;
        assert_eq!(digests[0], digests[1]);
        assert_ne!(digests[0], digests[2], "the last chunk is shorter");
        builder().namespace("").write_to(&store);
        assert_eq!(store.chunk_count(), chunks);
    }

    #[test]
    fn folder_holds_what_memory_holds() {
        let folder = tempfile::tempdir().expect("there is room for files");
        let folder = Folder::new(folder.path().join("datastore"));
        let memory = InMemory::new();
        let info = builder().write_to(&folder);
        builder().write_to(&memory);
        for path in memory.paths() {
            let bytes = std::fs::read(folder.path().join(&path)).expect("the file is there");
            assert_eq!(
                bytes,
                memory.file_at(&path).expect("it was listed")[..],
                "{path}"
            );
        }
        let digest = info.archives[0].digests[0];
        assert_eq!(
            folder.chunk(&digest).as_deref(),
            memory.chunk(&digest).as_deref()
        );
        folder.replace_chunk(&digest, b"damage");
        assert_eq!(folder.chunk(&digest).as_deref(), Some(&b"damage"[..]));
        folder.remove_chunk(&digest);
        assert_eq!(folder.chunk(&digest), None);
    }

    #[test]
    fn manifest_lists_what_lies_beside_it() {
        let store = InMemory::new();
        builder()
            .key(&TestKey::from_seed(1), CryptMode::SignOnly)
            .write_to(&store);
        let blob = store
            .file("team/a", SNAPSHOT, "index.json.blob")
            .expect("it is there");
        let json = decode(&blob, None, 10_000);
        let manifest: serde_json::Value = serde_json::from_slice(&json).expect("it is JSON");
        let files = manifest["files"].as_array().expect("it lists files");
        assert_eq!(files.len(), 5);
        for file in files {
            let name = file["filename"].as_str().expect("a file has a name");
            let bytes = store
                .file("team/a", SNAPSHOT, name)
                .expect("the file is there");
            let csum = if name.ends_with(".blob") {
                sha256(&bytes)
            } else {
                sha256(&bytes[4096..])
            };
            assert_eq!(file["csum"], hex(&csum), "{name}");
            assert_eq!(file["crypt-mode"], "sign-only");
        }
    }
}
