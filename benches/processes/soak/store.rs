//! The disks that are restored over and over, in a datastore on disk, with their bytes beside it. Knows nothing of
//! rounds.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use testkit::{CryptMode, Folder, Image, SnapshotBuilder, TestKey, Workload, index_entries};

pub(crate) const NAME: &str = "disk.img";

/// The disks, which differ in the size of their chunks, and in whether they are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disk {
    Small,
    Large,
    Encrypted,
}

impl Disk {
    pub(crate) const ALL: [Disk; 3] = [Disk::Small, Disk::Large, Disk::Encrypted];

    pub(crate) fn snapshot(self) -> &'static str {
        match self {
            Disk::Small => "vm/100/2026-01-02T03:04:05Z",
            Disk::Large => "vm/101/2026-01-02T03:04:05Z",
            Disk::Encrypted => "vm/102/2026-01-02T03:04:05Z",
        }
    }

    pub(crate) fn chunk(self) -> u64 {
        match self {
            Disk::Small => 64 << 10,
            Disk::Large | Disk::Encrypted => 4 << 20,
        }
    }

    pub(crate) fn count(self) -> u64 {
        match self {
            Disk::Small => 512,
            Disk::Large | Disk::Encrypted => 30,
        }
    }

    pub(crate) fn len(self) -> u64 {
        self.chunk() * self.count()
    }

    pub(crate) fn key(self) -> Option<TestKey> {
        (self == Disk::Encrypted).then(|| TestKey::from_seed(1))
    }
}

/// All that is on disk. It is gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Store {
    folder: TempDir,
}

impl Store {
    pub(crate) fn new() -> Store {
        let store = Store {
            folder: TempDir::new().expect("there is room for a temporary folder"),
        };
        let (sound, damaged) = (Folder::new(store.sound()), Folder::new(store.damaged()));
        for (seed, disk) in (1..).zip(Disk::ALL) {
            let image = Image::new(Workload::Typical, seed, disk.len(), disk.chunk());
            let mut builder = SnapshotBuilder::new(disk.snapshot()).chunk_size(disk.chunk());
            if let Some(key) = disk.key() {
                builder = builder.key(&key, CryptMode::Encrypt);
            }
            let builder = builder.image(NAME, image.clone());
            builder.write_to(&sound);
            builder.write_to(&damaged);
            damage(&damaged, disk);
            let bytes = File::create(store.bytes(disk)).expect("the folder is new");
            for position in 0..image.count() {
                let written =
                    bytes.write_all_at(&image.chunk(position), position as u64 * disk.chunk());
                written.expect("there is room");
            }
        }
        fs::create_dir(store.folder.path().join("out")).expect("the folder is new");
        store
    }

    pub(crate) fn sound(&self) -> PathBuf {
        self.folder.path().join("sound")
    }

    pub(crate) fn damaged(&self) -> PathBuf {
        self.folder.path().join("damaged")
    }

    /// What a disk must be.
    pub(crate) fn bytes(&self, disk: Disk) -> PathBuf {
        self.folder.path().join(format!("{disk:?}.raw"))
    }

    /// Where it is restored to.
    pub(crate) fn output(&self, disk: Disk) -> PathBuf {
        self.folder.path().join(format!("out/{disk:?}.raw"))
    }
}

/// The digests of a disk, by position.
pub(crate) fn digests(folder: &Path, disk: Disk) -> Vec<[u8; 32]> {
    let index = Folder::new(folder).file("", disk.snapshot(), &format!("{NAME}.fidx"));
    let entries = index_entries(&index.expect("the disk has an index"));
    entries.into_iter().map(|(digest, _)| digest).collect()
}

/// Of every ten chunks one is gone, and one cut off.
fn damage(folder: &Folder, disk: Disk) {
    for (position, digest) in digests(folder.path(), disk).iter().enumerate() {
        // One that occurs again may be gone already.
        match (position % 10, folder.chunk(digest)) {
            (3, Some(_)) => folder.remove_chunk(digest),
            (7, Some(blob)) => folder.replace_chunk(digest, &blob[..blob.len() / 2]),
            _ => {}
        }
    }
}
