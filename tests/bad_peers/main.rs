//! Servers that break the rules, or just break: every one ends in a typed error or in the right bytes, in time.
#![cfg(feature = "pbs")]
#![allow(clippy::unwrap_used, reason = "a test that can't be set up has failed")]

mod cancel;
mod frames;
mod http2;
mod patience;
mod progress;
mod random;
mod session;
mod tls;

use std::io::{self, Write};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use chunk_restore::{
    Cancel, Error, ErrorKind, Event, OpenOptions, Report, Restore, Result, StreamTarget,
};
use testkit::{
    ArchiveInfo, Gate, Image, InMemory, PbsOptions, PbsServer, Raw, SessionFault, SnapshotBuilder,
    SnapshotInfo, When, Workload, raw, sha256,
};

const LIMIT: Duration = Duration::from_secs(120);
/// Long enough for a machine that runs all of this at once, and shorter than the pauses of a trickle.
const PATIENCE: Duration = Duration::from_millis(800);
const SNAPSHOT: &str = "vm/100/2026-01-02T03:04:05Z";
const DISK: &str = "drive-scsi0.img";
const CHUNK: u64 = 4096;
const CHUNKS: u64 = 16;

/// A server, and what a client should get from it.
struct Peer {
    server: PbsServer,
    store: Arc<InMemory>,
    info: SnapshotInfo,
}

impl Peer {
    fn new() -> Peer {
        Peer::with(PbsOptions::new())
    }

    fn with(options: PbsOptions) -> Peer {
        Peer::sized(options, CHUNKS, CHUNK)
    }

    /// A disk of so many chunks of so many bytes.
    fn sized(options: PbsOptions, chunks: u64, chunk: u64) -> Peer {
        let store = InMemory::new();
        let image = Image::new(Workload::Incompressible, 1, chunks * chunk, chunk);
        let info = SnapshotBuilder::new(SNAPSHOT)
            .chunk_size(chunk)
            .image(DISK, image)
            .write_to(&store);
        let store = Arc::new(store);
        Peer {
            server: options.start(Arc::clone(&store)),
            store,
            info,
        }
    }

    fn options(&self) -> OpenOptions {
        OpenOptions::new()
            .fingerprint(self.server.fingerprint().parse().unwrap())
            .password(PbsServer::SECRET)
            .progress_timeout(PATIENCE)
            .tls_timeout(PATIENCE)
    }

    fn disk(&self) -> &ArchiveInfo {
        self.info.archive(DISK)
    }

    /// Opens the snapshot and no more: it takes one session, which reads one file.
    fn look(&self, options: OpenOptions) -> Result<()> {
        let datastore = options.open(&self.server.repository("store1"))?;
        datastore.snapshot(SNAPSHOT).map(drop)
    }

    /// Restores the disk; where that works the bytes are compared.
    fn restore(&self, restore: &Restore) -> Result<Report> {
        self.restore_with(self.options(), restore)
    }

    fn restore_with(&self, options: OpenOptions, restore: &Restore) -> Result<Report> {
        self.retries_with(options, restore)
            .map(|(report, _)| report)
    }

    /// The same, with what was got over.
    fn retries_with(
        &self,
        options: OpenOptions,
        restore: &Restore,
    ) -> Result<(Report, Vec<String>)> {
        let datastore = options.open(&self.server.repository("store1"))?;
        let archive = datastore.snapshot(SNAPSHOT)?.archive(DISK)?;
        let mut target = StreamTarget::new(Vec::new());
        let mut retries = Vec::new();
        let report = restore.run_with(&archive, &mut target, |event| {
            if let Event::Retried(error) = event {
                retries.push(format!("{error:?}"));
            }
        })?;
        assert_eq!(sha256(&target.into_inner()), self.disk().sha256);
        Ok((report, retries))
    }

    /// Restores until something fails, which may pass; its kind, the position of its chunk, and what is said of it.
    fn first_failure(&self, restore: &Restore) -> (ErrorKind, Option<usize>, String) {
        let of = |error: &Error| (error.kind(), error.position(), format!("{error:?}"));
        let datastore = self.options().open(&self.server.repository("store1"));
        let snapshot = datastore.unwrap().snapshot(SNAPSHOT).unwrap();
        let archive = snapshot.archive(DISK).unwrap();
        let (cancel, mut first) = (Cancel::new(), None);
        let mut target = StreamTarget::new(Vec::new());
        let restore = restore.clone().cancel(&cancel);
        let result = restore.run_with(&archive, &mut target, |event| {
            if let Event::Retried(error) = event {
                first.get_or_insert_with(|| of(error));
                cancel.cancel();
            }
        });
        first.unwrap_or_else(|| of(&result.unwrap_err()))
    }

    /// A session that answers as it should until the first chunk is asked for, on stream 5, and then does this.
    fn on_first_chunk(&self, when: When, steps: &[Raw]) {
        let mut script = self.opening();
        script.push(Raw::ReadUntilRequest);
        script.extend_from_slice(steps);
        self.server.on_session(when, SessionFault::Raw(script));
    }

    /// Answers for the manifest and the index, to a client with one thread.
    fn opening(&self) -> Vec<Raw> {
        let manifest = self.store.file("", SNAPSHOT, "index.json.blob").unwrap();
        vec![
            Raw::Send(raw::settings(&[])),
            Raw::ReadUntilRequest,
            Raw::Send(raw::answer(1, &manifest)),
            Raw::ReadUntilRequest,
            Raw::Send(raw::answer(3, &self.disk().index)),
        ]
    }

    /// What is stored of the chunk at a position.
    fn blob(&self, position: usize) -> Vec<u8> {
        let digest = &self.disk().digests[position];
        self.store.chunk(digest).unwrap().to_vec()
    }

    /// Waits until the client has closed all its sockets. The server can't say: where it stalls it sees nothing.
    fn wait_until_left(&self) {
        self.wait_until(|| self.open_sockets() == 0);
    }

    fn wait_until(&self, is_so: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !is_so() {
            assert!(Instant::now() < deadline, "{:?}", self.server.counts());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// How many sockets of this machine are open towards the server; none where the system does not tell.
    fn open_sockets(&self) -> usize {
        let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
        let port = format!(":{:04X}", self.server.port());
        let is_open = |line: &&str| {
            let mut words = line.split_whitespace().skip(2);
            let is_towards_it = words.next().is_some_and(|remote| remote.ends_with(&port));
            // ESTABLISHED, or the server has closed its side.
            is_towards_it
                && words
                    .next()
                    .is_some_and(|state| ["01", "08"].contains(&state))
        };
        sockets.lines().filter(is_open).count()
    }
}

/// A place to write to that says when the first bytes come, and takes them when it may.
struct Slow {
    begun: Gate,
    end: Gate,
}

impl Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.begun.open();
        self.end.wait();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One thread: which session is the first, and what is asked for on which stream, is then certain.
fn serial() -> Restore {
    Restore::new().threads(1)
}

/// Runs all cases at once, as they mostly wait.
fn each<T: Send>(cases: Vec<(&'static str, T)>, test: impl Fn(&str, T) + Sync) {
    thread::scope(|scope| {
        for (name, case) in cases {
            let (test, thread) = (&test, thread::Builder::new().name(name.to_owned()));
            thread
                .spawn_scoped(scope, move || test(name, case))
                .unwrap();
        }
    });
}

#[track_caller]
fn assert_error(name: &str, error: &Error, kind: ErrorKind, words: &str) {
    assert_eq!(error.kind(), kind, "{name}: {error:?}");
    assert!(format!("{error:?}").contains(words), "{name}: {error:?}");
}
