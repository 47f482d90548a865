//! File archives that a real PBS wrote, and what was backed up.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};

use chunk_restore::format::KeyFile;
use chunk_restore::{OpenOptions, Restore, Snapshot, StreamTarget};

/// A file archive of the golden datastore `files`.
pub(crate) struct Golden {
    pub(crate) snapshot: &'static str,
    pub(crate) is_split: bool,
    /// The state of the tree that was backed up: `a` or `b`.
    pub(crate) state: char,
}

impl Golden {
    pub(crate) const ALL: [Golden; 6] = [
        Golden {
            snapshot: "host/files/2026-05-28T20:26:40Z",
            is_split: false,
            state: 'a',
        },
        Golden {
            snapshot: "host/split/2026-05-28T20:26:40Z",
            is_split: true,
            state: 'a',
        },
        // The backup took most payloads from the one before, with gaps between them.
        Golden {
            snapshot: "host/split/2026-05-28T21:26:40Z",
            is_split: true,
            state: 'b',
        },
        Golden {
            snapshot: "host/signed/2026-05-28T20:26:40Z",
            is_split: false,
            state: 'b',
        },
        // Encrypted.
        Golden {
            snapshot: "host/split-enc/2026-05-28T20:26:40Z",
            is_split: true,
            state: 'a',
        },
        Golden {
            snapshot: "host/split-enc/2026-05-28T21:26:40Z",
            is_split: true,
            state: 'b',
        },
    ];

    pub(crate) fn open(&self) -> Snapshot {
        snapshot("files", self.snapshot)
    }

    /// The bytes of the archive, and those of the payload archive.
    pub(crate) fn streams(&self) -> (Vec<u8>, Option<Vec<u8>>) {
        let stream = |name| stream("files", self.snapshot, name);
        match self.is_split {
            true => (stream("root.mpxar"), Some(stream("root.ppxar"))),
            false => (stream("root.pxar"), None),
        }
    }
}

fn golden(path: &str) -> PathBuf {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
    PathBuf::from(root).join(path)
}

pub(crate) fn snapshot(datastore: &str, snapshot: &str) -> Snapshot {
    let place = format!("dir:{}", golden(datastore).display());
    let key = KeyFile::read(golden("keys/plain.key")).unwrap();
    let key = key.unlock(None).unwrap();
    let options = OpenOptions::new().key(key).allow_unsigned(true);
    let datastore = options.open(&place).unwrap();
    datastore.snapshot(snapshot).unwrap()
}

/// The bytes of an archive. Each is restored once.
pub(crate) fn stream(datastore: &str, name: &str, archive: &str) -> Vec<u8> {
    static STREAMS: OnceLock<Mutex<HashMap<String, Vec<u8>>>> = OnceLock::new();
    let streams = STREAMS.get_or_init(Mutex::default).lock();
    let mut streams = streams.unwrap_or_else(PoisonError::into_inner);
    let key = format!("{datastore}/{name}/{archive}");
    let stream = streams.entry(key).or_insert_with(|| {
        let archive = snapshot(datastore, name).archive(archive).unwrap();
        let mut target = StreamTarget::new(Vec::new());
        Restore::new().run(&archive, &mut target).unwrap();
        target.into_inner()
    });
    stream.clone()
}

/// The lines of the manifest of a state of the tree.
pub(crate) fn manifest(state: char) -> Vec<String> {
    let text = fs::read_to_string(golden(&format!("input/files-{state}.manifest"))).unwrap();
    text.lines().map(str::to_owned).collect()
}
