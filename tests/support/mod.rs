//! A backend that does as it is told, and a target that remembers, for the tests of the pipeline.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chunk_restore::backend::{Answer, ArchivePath, Backend, Connection, FetchError, Request};
use chunk_restore::format::{Index, Namespace, SnapshotPath};
use chunk_restore::target::Target;
use chunk_restore::{Archive, Cancel, Datastore, OpenOptions, SnapshotInfo};
use testkit::{Image, InMemory, Prng, SnapshotBuilder};

/// The snapshot that [`Script`] tells of.
pub(crate) const SNAPSHOT: &str = "vm/100/2026-01-02T03:04:05Z";
/// Its archive.
pub(crate) const DISK: &str = "drive-scsi0.img";

pub(crate) mod disk;

const UNPOISONED: &str = "nobody panics while holding it";

/// What happens to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It may work on another try, at once.
    Transient,
    /// A blob comes with a byte changed.
    Corrupt,
    /// A blob comes cut in half.
    Truncated,
    /// There is no such chunk.
    Missing,
    /// It can't be read.
    Unreadable,
    /// This machine lacks something.
    Resources,
    /// It may not be had.
    Denied,
    /// It is longer than it can be.
    TooLong,
    /// The connection dies, with all that is in flight.
    Disconnect,
    /// The connection can't be had at first.
    Panic,
    /// Nothing comes until the restore is stopped.
    Stall,
}

/// A datastore in memory with one snapshot, whose answers come in an order and with faults of the test's choice.
pub(crate) struct Script {
    pub(crate) store: InMemory,
    /// What befalls the requests for a chunk, one after the other; then it is answered.
    pub(crate) faults: Mutex<HashMap<[u8; 32], VecDeque<Fault>>>,
    /// Requests that a connection takes at once.
    pub(crate) depth: usize,
    /// Chooses among those in flight which is answered next.
    pub(crate) seed: u64,
    pub(crate) watch: Arc<Watch>,
}

/// What was seen of a restore from outside.
#[derive(Default)]
pub(crate) struct Watch {
    /// All requests, retries included.
    pub(crate) requests: AtomicUsize,
    /// Connections made.
    pub(crate) connections: AtomicUsize,
    asked: Mutex<HashMap<[u8; 32], usize>>,
    committed: AtomicUsize,
    most_outstanding: AtomicUsize,
    /// Set when a connection begins to stall.
    stalled: AtomicBool,
}

impl Watch {
    /// The most chunks that were asked for and not committed at any time.
    pub(crate) fn most_outstanding(&self) -> usize {
        self.most_outstanding.load(Ordering::SeqCst)
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// Requests for one chunk, retries included.
    pub(crate) fn requests_for(&self, digest: &[u8; 32]) -> usize {
        let asked = self.asked.lock().expect(UNPOISONED);
        asked.get(digest).copied().unwrap_or_default()
    }

    pub(crate) fn has_stalled(&self) -> bool {
        self.stalled.load(Ordering::SeqCst)
    }

    fn asks(&self, digest: &[u8; 32]) {
        self.requests.fetch_add(1, Ordering::SeqCst);
        let mut asked = self.asked.lock().expect(UNPOISONED);
        *asked.entry(*digest).or_default() += 1;
        let outstanding = asked.len() - self.committed.load(Ordering::SeqCst).min(asked.len());
        self.most_outstanding
            .fetch_max(outstanding, Ordering::SeqCst);
    }
}

impl Script {
    /// A snapshot with this disk, in chunks of this many bytes, answered in order.
    pub(crate) fn of(image: Image, chunk_size: u64) -> Script {
        let store = InMemory::new();
        SnapshotBuilder::new(SNAPSHOT)
            .chunk_size(chunk_size)
            .image(DISK, image)
            .write_to(&store);
        Script::over(store)
    }

    /// The same over a store that was filled by the test.
    pub(crate) fn over(store: InMemory) -> Script {
        Script {
            store,
            faults: Mutex::default(),
            depth: 1,
            seed: 0,
            watch: Arc::default(),
        }
    }

    /// The digests of the disk's chunks, by position.
    pub(crate) fn digests(&self) -> Vec<[u8; 32]> {
        let index = self.store.file("", SNAPSHOT, &format!("{DISK}.fidx"));
        let index = Index::parse(&*index.expect("the test put it there"))
            .expect("the testkit makes sound ones");
        index
            .chunks()
            .map(|chunk| *chunk.digest.as_bytes())
            .collect()
    }

    /// Adds a fault for the next request of a chunk that has none yet.
    pub(crate) fn fault(self, digest: [u8; 32], fault: Fault) -> Script {
        self.faults
            .lock()
            .expect(UNPOISONED)
            .entry(digest)
            .or_default()
            .push_back(fault);
        self
    }

    /// The disk, through the whole library.
    pub(crate) fn archive(self) -> (Archive, Arc<Watch>) {
        let watch = Arc::clone(&self.watch);
        let datastore = Datastore::new(self);
        let archive = datastore
            .snapshot(SNAPSHOT)
            .and_then(|snapshot| snapshot.archive(DISK));
        (archive.expect("the test made a sound snapshot"), watch)
    }

    /// A datastore over it with options.
    pub(crate) fn open(self, options: OpenOptions) -> Datastore {
        options.open_backend(self)
    }
}

impl Backend for Script {
    fn read_file(
        &self,
        path: &SnapshotPath,
        file: &str,
        limit: u64,
    ) -> Result<Vec<u8>, FetchError> {
        let (namespace, snapshot) = (path.namespace.to_string(), path.snapshot.to_string());
        let bytes = self
            .store
            .file(&namespace, &snapshot, file)
            .ok_or(FetchError::Missing)?;
        if bytes.len() as u64 > limit {
            return Err(FetchError::TooLong);
        }
        Ok(bytes.to_vec())
    }

    fn snapshots(
        &self,
        _namespace: &Namespace,
        _group: Option<&chunk_restore::format::GroupName>,
    ) -> Result<Vec<SnapshotInfo>, FetchError> {
        let name = SNAPSHOT.parse().expect("it is the name of a snapshot");
        Ok(vec![SnapshotInfo::new(name, true)])
    }

    fn connect<'a>(
        &'a self,
        _archive: &ArchivePath,
        cancel: &'a Cancel,
        _rate_limit: &'a chunk_restore::backend::RateLimit,
    ) -> Result<Box<dyn Connection + 'a>, FetchError> {
        let number = self.watch.connections.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(Line {
            script: self,
            cancel,
            requests: Vec::new(),
            chance: Prng::new(self.seed ^ ((number as u64) << 32)),
        }))
    }
}

struct Line<'a> {
    script: &'a Script,
    cancel: &'a Cancel,
    requests: Vec<Request>,
    chance: Prng,
}

impl Line<'_> {
    fn below(&mut self, limit: usize) -> usize {
        let mut bytes = [0; 8];
        self.chance.fill(&mut bytes);
        usize::try_from(u64::from_le_bytes(bytes) % limit as u64).expect("it is below a usize")
    }
}

impl Connection for Line<'_> {
    fn depth(&self) -> usize {
        self.script.depth
    }

    fn request(&mut self, mut request: Request) -> Result<(), FetchError> {
        assert!(
            self.requests.len() < self.script.depth,
            "more requests than the depth"
        );
        assert!(request.buffer().is_empty(), "the buffer holds something");
        self.script.watch.asks(request.digest().as_bytes());
        self.requests.push(request);
        Ok(())
    }

    fn receive(&mut self) -> Result<Answer, FetchError> {
        assert!(!self.requests.is_empty(), "nothing was requested");
        let at = self.below(self.requests.len());
        let mut request = self.requests.swap_remove(at);
        let (digest, limit) = (request.digest(), request.limit());
        let blob = request.buffer();
        let fault = {
            let mut faults = self.script.faults.lock().expect(UNPOISONED);
            faults
                .get_mut(digest.as_bytes())
                .and_then(VecDeque::pop_front)
        };
        let stored = self.script.store.chunk(digest.as_bytes());
        let result = match (fault, stored) {
            (None | Some(Fault::Corrupt | Fault::Truncated), None) => Err(FetchError::Missing),
            (None, Some(stored)) if stored.len() > limit => Err(FetchError::TooLong),
            (None, Some(stored)) => {
                blob.extend_from_slice(&stored);
                Ok(())
            }
            (Some(Fault::Corrupt), Some(stored)) => {
                let (last, rest) = stored.split_last().expect("a blob has a header");
                blob.extend_from_slice(rest);
                blob.extend_from_slice(&[last ^ 1]);
                Ok(())
            }
            (Some(Fault::Truncated), Some(stored)) => {
                blob.extend_from_slice(&stored[..stored.len() / 2]);
                Ok(())
            }
            (Some(Fault::Transient), _) => Err(FetchError::Transient {
                cause: "scripted".into(),
                retry_after: Some(Duration::ZERO),
            }),
            (Some(Fault::Missing), _) => Err(FetchError::Missing),
            (Some(Fault::Unreadable), _) => Err(FetchError::Unreadable("scripted".into())),
            (Some(Fault::Resources), _) => Err(FetchError::Resources("scripted".into())),
            (Some(Fault::Denied), _) => Err(FetchError::Denied("scripted".into())),
            (Some(Fault::TooLong), _) => Err(FetchError::TooLong),
            (Some(Fault::Disconnect), _) => return Err(FetchError::unreachable("scripted")),
            (Some(Fault::Panic), _) => panic!("scripted panic of the backend"),
            (Some(Fault::Stall), _) => {
                self.script.watch.stalled.store(true, Ordering::SeqCst);
                self.cancel.wait(Duration::MAX);
                return Err(FetchError::transient("stopped"));
            }
        };
        Ok(request.answer(result))
    }
}

/// Keeps what it is given, and fails where it is told to.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) data: Vec<u8>,
    pub(crate) begun: Option<u64>,
    pub(crate) is_finished: bool,
    /// Refuses the write that would pass this offset.
    pub(crate) room: Option<usize>,
    pub(crate) watch: Option<Arc<Watch>>,
}

impl Memory {
    pub(crate) fn watched(watch: &Arc<Watch>) -> Memory {
        Memory {
            watch: Some(Arc::clone(watch)),
            ..Memory::default()
        }
    }
}

impl Target for Memory {
    fn begin(&mut self, len: u64, _zeros: u64) -> io::Result<()> {
        assert!(self.begun.replace(len).is_none(), "begun twice");
        Ok(())
    }

    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        assert!(
            self.begun.is_some() && !self.is_finished,
            "written out of turn"
        );
        if self
            .room
            .is_some_and(|room| self.data.len() + data.len() > room)
        {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.data.extend_from_slice(data);
        if let Some(watch) = &self.watch {
            watch.committed.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }

    fn write_zeros(&mut self, len: u64) -> io::Result<()> {
        assert!(
            self.begun.is_some() && !self.is_finished,
            "written out of turn"
        );
        let len = usize::try_from(len).expect("tests are small");
        self.data.resize(self.data.len() + len, 0);
        Ok(())
    }

    fn finish(&mut self, _damaged: bool) -> io::Result<()> {
        assert!(!self.is_finished, "finished twice");
        assert_eq!(
            self.begun,
            Some(self.data.len() as u64),
            "finished before the end"
        );
        self.is_finished = true;
        Ok(())
    }
}
