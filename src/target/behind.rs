//! Writes that are under way on threads of a target's own.
//!
//! The caller hands them over in the order of the file, and they may end in any order. A byte counts
//! as written only when all bytes before it are written too.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::target::chunk_data::ChunkData;
use crate::target::handle::{DIRECT_LEN_MIN, Handle};

/// How many writes are under way at most, each on a thread of its own.
pub(super) const WRITES_MAX: usize = 4;

/// The writes that are under way, and the threads that do them. Dropping it waits for the writes.
#[derive(Debug)]
pub(super) struct Behind {
    threads: Vec<JoinHandle<()>>,
    jobs: (Sender<Job>, Receiver<Job>),
    done: (Sender<Done>, Receiver<Done>),
    /// The writes that have not ended, and those that wait for one before them, in the order of the
    /// file. A failed one stays at the front.
    under_way: VecDeque<Write>,
    /// The number of the first of them.
    first: u64,
}

/// A write that was handed over.
#[derive(Debug)]
struct Write {
    offset: u64,
    /// What came of it, once it has ended.
    outcome: Option<io::Result<()>>,
}

/// A chunk that is to be written.
struct Job {
    data: ChunkData,
    /// The parts of the data that are written: the others are holes.
    pieces: Vec<Range<usize>>,
    offset: u64,
    handle: Arc<Handle>,
    ticket: Ticket,
}

/// Answers for a job, also where its thread panics.
struct Ticket {
    number: u64,
    outcome: Option<io::Result<()>>,
    done: Sender<Done>,
}

struct Done {
    number: u64,
    outcome: io::Result<()>,
}

impl Default for Behind {
    fn default() -> Behind {
        Behind {
            threads: Vec::new(),
            jobs: unbounded(),
            done: unbounded(),
            under_way: VecDeque::new(),
            first: 0,
        }
    }
}

impl Behind {
    /// Hands over the next write, after it has waited for the oldest one if too many are under way.
    pub(super) fn write(
        &mut self,
        data: ChunkData,
        pieces: Vec<Range<usize>>,
        offset: u64,
        handle: &Arc<Handle>,
    ) {
        while self.under_way.len() >= WRITES_MAX && !self.has_failed() {
            self.wait_for_one();
        }
        let job = Job {
            data,
            pieces,
            offset,
            handle: Arc::clone(handle),
            ticket: Ticket {
                number: self.first + self.under_way.len() as u64,
                outcome: None,
                done: self.done.0.clone(),
            },
        };
        self.under_way.push_back(Write {
            offset,
            outcome: None,
        });
        if self.threads.len() < self.under_way.len().min(WRITES_MAX) {
            let jobs = self.jobs.1.clone();
            let name = "restore-write".to_owned();
            let started = thread::Builder::new()
                .name(name)
                .spawn(move || jobs.iter().for_each(Job::run));
            self.threads.extend(started);
        }
        if self.threads.is_empty() {
            // No thread could be started.
            return job.run();
        }
        if let Err(unsent) = self.jobs.0.send(job) {
            unsent.into_inner().run();
        }
    }

    /// Of the first `given` bytes of the file, how many are written without a gap.
    pub(super) fn written(&mut self, given: u64) -> u64 {
        self.take_ended();
        self.under_way
            .front()
            .map_or(given, |write| write.offset.min(given))
    }

    /// Waits until all bytes before an offset are written, or a write has failed.
    pub(super) fn wait_before(&mut self, offset: u64) {
        self.take_ended();
        while let Some(oldest) = self.under_way.front()
            && oldest.offset < offset
            && !self.has_failed()
        {
            self.wait_for_one();
        }
    }

    /// Whether a write has failed. If so, waits for the others, since one before it may fail too.
    ///
    /// # Errors
    /// The failure of the first write that failed, in the order of the file.
    pub(super) fn check(&mut self) -> io::Result<()> {
        self.take_ended();
        if !self.has_failed() {
            return Ok(());
        }
        while self.under_way.iter().any(|write| write.outcome.is_none()) {
            self.wait_for_one();
        }
        let Some(failed) = self.under_way.front_mut() else {
            return Ok(());
        };
        let again = Err(io::Error::other("an earlier write has failed"));
        failed.outcome.replace(again).unwrap_or(Ok(()))
    }

    /// Waits for all writes, and ends the threads.
    pub(super) fn end(&mut self) {
        self.jobs = unbounded();
        for thread in self.threads.drain(..) {
            // If it panicked, the failure of its write tells so.
            let _ = thread.join();
        }
        self.take_ended();
    }

    fn has_failed(&self) -> bool {
        let has_failed = |write: &Write| matches!(write.outcome, Some(Err(_)));
        self.under_way.iter().any(has_failed)
    }

    fn take_ended(&mut self) {
        while let Ok(done) = self.done.1.try_recv() {
            self.record(done);
        }
    }

    fn wait_for_one(&mut self) {
        if let Ok(done) = self.done.1.recv() {
            self.record(done);
        }
    }

    fn record(&mut self, done: Done) {
        let at = (done.number - self.first) as usize;
        if let Some(write) = self.under_way.get_mut(at) {
            write.outcome = Some(done.outcome);
        }
        while matches!(
            self.under_way.front(),
            Some(Write {
                outcome: Some(Ok(())),
                ..
            })
        ) {
            self.under_way.pop_front();
            self.first += 1;
        }
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        self.end();
    }
}

impl Job {
    fn run(self) {
        let Job { data, handle, .. } = &self;
        let len: usize = self.pieces.iter().map(Range::len).sum();
        let is_direct = len / DIRECT_LEN_MIN >= self.pieces.len();
        let written = self.pieces.iter().try_for_each(|piece| {
            let offset = self.offset + piece.start as u64;
            match is_direct {
                true => handle.write_all(&data[piece.clone()], offset),
                false => handle.write_to_cache(&data[piece.clone()], offset),
            }
        });
        if !is_direct {
            handle.pass_on(self.offset, data.len() as u64);
        }
        let Job {
            data, mut ticket, ..
        } = self;
        // The memory goes back first: whoever sees that the write has ended finds it there.
        drop(data);
        ticket.outcome = Some(written);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let panicked = || Err(io::Error::other("the thread that writes has panicked"));
        let _ = self.done.send(Done {
            number: self.number,
            outcome: self.outcome.take().unwrap_or_else(panicked),
        });
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;
    use crate::memory::Buffer;

    const LEN: usize = 4096;

    fn write(behind: &mut Behind, offset: usize, handle: &Arc<Handle>) {
        let mut buffer = Buffer::new();
        buffer.extend_from_slice(&[7; LEN]);
        let pieces = std::iter::once(0..LEN).collect();
        behind.write(buffer.into(), pieces, offset as u64, handle);
    }

    #[test]
    fn nothing_behind_a_write_that_failed_counts_and_the_first_failure_is_told_once() {
        let good = tempfile::NamedTempFile::new().unwrap();
        let bad = Arc::new(File::open(good.path()).unwrap());
        let good = Arc::new(Handle::cached(Arc::new(good.reopen().unwrap())));
        let bad = Arc::new(Handle::cached(bad));
        let mut behind = Behind::default();
        for (at, handle) in [&good, &good, &bad, &good, &bad, &good].iter().enumerate() {
            write(&mut behind, at * LEN, handle);
        }
        behind.wait_before(u64::MAX);
        let error = behind.check().unwrap_err();
        assert_eq!(
            error.raw_os_error(),
            Some(rustix::io::Errno::BADF.raw_os_error())
        );
        assert_eq!(behind.written(100_000), 2 * LEN as u64);
        let error = behind.check().unwrap_err();
        assert_eq!(error.to_string(), "an earlier write has failed");
        behind.end();
        assert_eq!(behind.written(100_000), 2 * LEN as u64);
    }

    #[test]
    fn all_is_written_when_the_threads_have_ended_and_new_ones_start_for_more() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let handle = Arc::new(Handle::uncached(Arc::new(file.reopen().unwrap())));
        let mut behind = Behind::default();
        for round in 0..2 {
            for at in 0..10 {
                write(&mut behind, (round * 10 + at) * LEN, &handle);
            }
            behind.end();
            assert_eq!(behind.written(u64::MAX), u64::MAX);
        }
        behind.check().unwrap();
        assert!(std::fs::read(file.path()).unwrap() == [7; 20 * LEN]);
    }
}
