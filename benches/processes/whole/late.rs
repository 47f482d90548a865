//! What order costs: chunks that come late, committed in order by a restore, or taken as they come. Both read through
//! the same backend, and knows nothing of networks.

use std::fs::{self, File};
use std::io::Read;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use chunk_restore::backend::{
    Answer, ArchivePath, Backend, Buffer, Concurrency, Connection, FetchError, Request,
};
use chunk_restore::format::{Chunk, ChunkDecoder, SnapshotPath};
use chunk_restore::{Cancel, OpenOptions};

use crate::child::{DISK, Task, measure};
use crate::floors::web_path;
use crate::measure::{Figures, Used};
use crate::support::null::Null;

/// How many requests a connection takes at once.
const DEPTH: usize = 16;
/// One request in so many is later than the others.
const ONE_IN: u64 = 50;
/// What a restore that races holds in reserve, in buffers.
const RESERVE: usize = 10;

/// Files whose requests are answered after a while.
struct Late {
    folder: PathBuf,
    latency: Duration,
    /// How much later one request in [`ONE_IN`] is answered.
    more: Duration,
    requests: AtomicU64,
}

impl Late {
    fn new(task: &Task) -> Late {
        Late {
            folder: task.text("folder").into(),
            latency: Duration::from_millis(task.number("latency")),
            more: Duration::from_millis(task.number("late")),
            requests: AtomicU64::new(0),
        }
    }

    fn open(&self) -> Waiting<'_> {
        Waiting {
            late: self,
            requests: Vec::new(),
        }
    }
}

impl Backend for Late {
    fn read_file(
        &self,
        snapshot: &SnapshotPath,
        file: &str,
        _limit: u64,
    ) -> Result<Vec<u8>, FetchError> {
        let folder = self.folder.join(snapshot.snapshot.to_string());
        fs::read(folder.join(file)).map_err(FetchError::of_file)
    }

    fn concurrency(&self) -> Concurrency {
        Concurrency::Multiplexed
    }

    fn connect<'a>(
        &'a self,
        _archive: &ArchivePath,
        _cancel: &'a Cancel,
        _rate_limit: &'a chunk_restore::backend::RateLimit,
    ) -> Result<Box<dyn Connection + 'a>, FetchError> {
        Ok(Box::new(self.open()))
    }
}

/// Requests, and when each is answered.
struct Waiting<'a> {
    late: &'a Late,
    requests: Vec<(Instant, Request)>,
}

impl Connection for Waiting<'_> {
    fn depth(&self) -> usize {
        DEPTH
    }

    fn request(&mut self, request: Request) -> Result<(), FetchError> {
        let late = self.late;
        let number = late.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let more = if number.is_multiple_of(ONE_IN) {
            late.more
        } else {
            Duration::ZERO
        };
        let due = Instant::now() + late.latency + more;
        self.requests.push((due, request));
        Ok(())
    }

    fn receive(&mut self) -> Result<Answer, FetchError> {
        let waiting = self.requests.iter().enumerate();
        let Some((at, _)) = waiting.min_by_key(|(_, (due, _))| *due) else {
            return Err(FetchError::Fatal("nothing was requested".into()));
        };
        let (due, mut request) = self.requests.swap_remove(at);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let path = self.late.folder.join(&web_path(&request.digest())[1..]);
        let mut file = File::open(path).map_err(FetchError::of_file)?;
        let len = file.metadata().map_err(FetchError::of_file)?.len() as usize;
        file.read_exact(request.buffer().space(len))
            .map_err(FetchError::of_file)?;
        Ok(request.answer(Ok(())))
    }
}

/// A restore, with room for twice as many chunks as are in flight, where the task doesn't say how much memory it has.
pub(crate) fn ordered(task: &Task) -> Figures {
    let races = task.number("race") > 0;
    let in_flight = task.number("in_flight") as usize;
    let reserve = if races { RESERVE } else { 0 };
    // One for each chunk that is decoded at once.
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let decoders = cores + cores / 2;
    let buffers = (2 * in_flight + decoders + reserve) as u64;
    let mut restore = task.restore().race(races);
    if task.number("memory") == 0 {
        restore = restore.memory(buffers * task.number("chunk"));
    }
    let snapshot = OpenOptions::new()
        .open_backend(Late::new(task))
        .snapshot(task.text("snapshot"));
    let archive = snapshot.and_then(|snapshot| snapshot.archive(DISK));
    let archive = archive.expect("the testkit makes sound datastores");
    measure(&restore, &archive, &mut Null)
}

/// The same threads and requests, without order: whatever comes is decoded and done with.
pub(crate) fn unordered(task: &Task) -> Figures {
    let archive = task.local();
    let plan = task.restore().plan(&archive);
    let wanted = crate::floors::chunks(task);
    let mut chunks: Vec<Chunk> = archive.index().chunks().collect();
    let mut position = 0;
    // Each once, at its first place.
    chunks.retain(|chunk| {
        let is_next = wanted.get(position) == Some(&chunk.digest);
        position += usize::from(is_next);
        is_next
    });
    assert_eq!(chunks.len(), plan.chunks_to_fetch());
    let late = Late::new(task);
    let share = (task.number("in_flight") as usize).div_ceil(workers());
    let next = AtomicUsize::new(0);
    let used = Used::now();
    thread::scope(|scope| {
        for _ in 0..workers() {
            scope.spawn(|| take_as_they_come(&late, &chunks, &next, share));
        }
    });
    Figures {
        logical: task.number("len") as f64,
        chunks: chunks.len() as f64,
        ..used.figures()
    }
}

/// As a worker of a restore: the next is requested before the last is decoded.
fn take_as_they_come(late: &Late, chunks: &[Chunk], next: &AtomicUsize, share: usize) {
    let mut connection = late.open();
    let mut decoder = ChunkDecoder::new(None);
    let mut spares: Vec<Buffer> = Vec::new();
    let mut scratch = Buffer::new();
    let mut received: Option<Answer> = None;
    loop {
        while connection.requests.len() < share {
            let id = next.fetch_add(1, Ordering::Relaxed);
            let Some(chunk) = chunks.get(id) else { break };
            let limit = ChunkDecoder::blob_limit(chunk.len);
            let mut blob = spares.pop().unwrap_or_default();
            blob.clear();
            blob.reserve(limit);
            let request = Request::new(id as u64, chunk.digest, limit, blob);
            connection.request(request).expect("it takes requests");
        }
        if let Some(answer) = received.take() {
            let chunk = &chunks[answer.id() as usize];
            let blob = answer.into_blob().expect("the chunk is there");
            let decoded = decoder.decode(chunk, blob, &mut scratch);
            spares.push(decoded.expect("the chunk is sound").into_buffer());
        }
        if connection.requests.is_empty() {
            return;
        }
        received = Some(connection.receive().expect("the chunk is there"));
    }
}

/// As many as a restore has by default.
fn workers() -> usize {
    thread::available_parallelism().map_or(4, |cores| cores.get().clamp(4, 16))
}
