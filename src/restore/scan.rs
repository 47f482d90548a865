//! Finds out what the target holds already: hashes its bytes chunk by chunk, ahead of the writer,
//! on all cores. A chunk counts as held only if its digest is right.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded};
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::cancel::Cancel;
use crate::datastore::snapshot::Archive;
use crate::digest::{Digest, Hasher};
use crate::error::{Error, ErrorKind, Result};
use crate::format::index::Chunk;
use crate::memory::Buffer;
use crate::restore::hash_many::{CHUNKS_AT_ONCE, ManyHasher};
use crate::restore::plan::{Plan, Step};
use crate::target::ReadAt;

/// How many bytes are read at once: few enough to stay in a core's cache between reading and
/// hashing.
const PIECE: usize = 256 << 10;

/// How many chunks in a row may differ before the scan ends, where the target is not known to hold
/// something similar. A power cut leaves gaps in what was written, but not such long ones.
const PATIENCE: usize = 64;

/// Whether the target holds a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    Unknown,
    Holds,
    Differs,
}

/// A scan of the target. The threads that do it share it with the writer. The bytes of a chunk are
/// read before the writer learns what was found, and the writer writes there only after that.
pub(crate) struct Scan {
    archive: Archive,
    plan: Arc<Plan>,
    target: Arc<dyn ReadAt>,
    /// Whether the scan goes on however many chunks differ.
    is_whole: bool,
    /// Hashes several chunks at once, if that is quicker.
    many: Option<ManyHasher>,
    stop: Cancel,
    /// One finding for each step of the plan.
    findings: Vec<AtomicU8>,
    /// The step that the next free thread looks at. Together the threads go through the target in
    /// the same order as the writer.
    next: AtomicUsize,
    differed_in_a_row: AtomicUsize,
    /// Steps from this one on are not looked at.
    end: AtomicUsize,
    /// Wakes the writer after a finding.
    bell: (Sender<()>, Receiver<()>),
    pool: ThreadPool,
}

impl Scan {
    pub(crate) fn new(
        archive: &Archive,
        plan: &Arc<Plan>,
        target: Arc<dyn ReadAt>,
        is_whole: bool,
        stop: &Cancel,
    ) -> Result<Scan> {
        let name = |number| format!("restore-scan-{number}");
        let pool = ThreadPoolBuilder::new().thread_name(name).build();
        let steps = plan.positions().len();
        Ok(Scan {
            archive: archive.clone(),
            plan: Arc::clone(plan),
            target,
            is_whole,
            many: None,
            stop: stop.clone(),
            findings: (0..steps).map(|_| AtomicU8::new(0)).collect(),
            next: AtomicUsize::new(0),
            differed_in_a_row: AtomicUsize::new(0),
            end: AtomicUsize::new(steps),
            bell: bounded(1),
            pool: pool.map_err(|error| {
                let message = "cannot start the threads that read what the target holds";
                Error::new(ErrorKind::Resources, message).because(error)
            })?,
        })
    }

    /// Lets the scan hash several chunks at once.
    pub(super) fn hashing_many(self, many: Option<ManyHasher>) -> Scan {
        Scan { many, ..self }
    }

    /// The bell rings after findings; after the last finding it rings once more at least.
    pub(crate) fn bell(&self) -> &Receiver<()> {
        &self.bell.1
    }

    pub(crate) fn finding(&self, position: usize) -> Finding {
        let step = position - self.plan.positions().start;
        match self.findings[step].load(Ordering::Acquire) {
            0 if step < self.end.load(Ordering::Acquire) => Finding::Unknown,
            1 => Finding::Holds,
            _ => Finding::Differs,
        }
    }

    /// Looks at all steps. Returns at the end, or when the restore stops.
    pub(crate) fn run(&self) {
        let _end = EndOnDrop(self);
        self.pool.broadcast(|thread| {
            let many = self.many.filter(|many| thread.index() < many.threads);
            let mut buffers: [Buffer; CHUNKS_AT_ONCE] = Default::default();
            loop {
                // A chunk that differs is hashed once more, which is too much where many do.
                let differed = self.differed_in_a_row.load(Ordering::Relaxed);
                let many = many.filter(|_| differed < CHUNKS_AT_ONCE);
                let Some(steps) = self.claim(many.map_or(1, |_| CHUNKS_AT_ONCE)) else {
                    return;
                };
                match many {
                    Some(many) => self.look_at_several(steps, many, &mut buffers),
                    None => steps.for_each(|step| self.look(step, buffers[0].space(PIECE))),
                }
            }
        });
    }

    /// The steps that the next free thread looks at: up to so many with chunks that the target may
    /// hold, and those before them. They follow each other, and are claimed before anything is read,
    /// so that no chunk that was read waits for a far one.
    fn claim(&self, chunks: usize) -> Option<Range<usize>> {
        let steps = self.findings.len();
        let mut end = steps;
        let next = |from: usize| {
            let mut with_chunk = (from..steps).filter(|step| self.chunk(*step).is_some());
            end = with_chunk.nth(chunks - 1).map_or(steps, |last| last + 1);
            (from < steps && !self.stop.is_cancelled()).then_some(end)
        };
        let from = (self.next).fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
        Some(from.ok()?..end)
    }

    /// The chunk of a step, if the target may hold it. Of some chunks the target holds only a part,
    /// and no digest is known for a part. Zeros are written anew, which is quicker than a look.
    fn chunk(&self, step: usize) -> Option<Chunk> {
        let position = self.plan.positions().start + step;
        let chunk = self.archive.index().chunk(position)?;
        let is_zero = self.plan.step(position) == Some(Step::Zero);
        (!is_zero && self.plan.is_whole(&chunk)).then_some(chunk)
    }

    fn look(&self, step: usize, piece: &mut [u8]) {
        match self.chunk(step) {
            Some(chunk) => self.looked(step, self.holds(&chunk, piece)),
            None => self.found(step, Finding::Differs),
        }
    }

    /// As [`look`](Scan::look) for each of the steps, but hashes their chunks together.
    fn look_at_several(
        &self,
        steps: Range<usize>,
        many: ManyHasher,
        buffers: &mut [Buffer; CHUNKS_AT_ONCE],
    ) {
        let mut free = buffers.iter_mut();
        let mut read = Vec::with_capacity(CHUNKS_AT_ONCE);
        for step in steps {
            let Some((chunk, buffer)) = self
                .chunk(step)
                .and_then(|chunk| Some((chunk, free.next()?)))
            else {
                self.found(step, Finding::Differs);
                continue;
            };
            if self.read(&chunk, buffer.space(chunk.len as usize)) {
                read.push((step, &*buffer, chunk.digest));
            } else {
                self.looked(step, false);
            }
        }
        let chunks: Vec<(&[u8], Digest)> = (read.iter())
            .map(|(_, data, digest)| (&***data, *digest))
            .collect();
        let right = many.are_right(&chunks, self.archive.key());
        for ((step, ..), right) in read.iter().zip(right) {
            self.looked(*step, right);
        }
    }

    /// Notes whether the target holds the chunk of a step, and ends the scan where it is in vain.
    fn looked(&self, step: usize, holds: bool) {
        if holds {
            self.differed_in_a_row.store(0, Ordering::Relaxed);
            return self.found(step, Finding::Holds);
        }
        let differed = self.differed_in_a_row.fetch_add(1, Ordering::Relaxed) + 1;
        self.found(step, Finding::Differs);
        if !self.is_whole && differed >= PATIENCE {
            // Other threads finish the steps that they have begun, since a finding never changes.
            let begun = self.next.swap(self.findings.len(), Ordering::AcqRel);
            self.end.fetch_min(begun, Ordering::AcqRel);
            self.ring();
        }
    }

    /// Whether the target may have data where a chunk belongs. Chunks of zeros are not looked for, so
    /// a hole can't be the chunk.
    fn has_data(&self, chunk: &Chunk) -> bool {
        let offset = self.plan.offset_in_target(chunk);
        let data = self.target.next_data(offset);
        matches!(data, Ok(Some(data)) if data < offset + u64::from(chunk.len))
    }

    /// Reads the bytes that the target has in a chunk's place. Gives `false` where it can't.
    fn read(&self, chunk: &Chunk, buffer: &mut [u8]) -> bool {
        let offset = self.plan.offset_in_target(chunk);
        let offsets = (offset..).step_by(PIECE);
        self.has_data(chunk)
            && (offsets.zip(buffer.chunks_mut(PIECE)))
                .all(|(offset, piece)| self.read_piece(offset, piece))
    }

    fn read_piece(&self, offset: u64, piece: &mut [u8]) -> bool {
        !self.stop.is_cancelled() && self.target.read_exact_at(piece, offset).is_ok()
    }

    /// Whether the target holds a chunk. Bytes that can't be read count as different.
    fn holds(&self, chunk: &Chunk, piece: &mut [u8]) -> bool {
        if !self.has_data(chunk) {
            return false;
        }
        let mut offset = self.plan.offset_in_target(chunk);
        let end = offset + u64::from(chunk.len);
        let mut hasher = Hasher::default();
        while offset < end {
            let len = (end - offset).min(PIECE as u64);
            let piece = &mut piece[..len as usize];
            if !self.read_piece(offset, piece) {
                return false;
            }
            hasher.update(piece);
            offset += len;
        }
        let digest = match self.archive.key() {
            Some(key) => key.digest_of(hasher),
            None => hasher.finish(),
        };
        digest == chunk.digest
    }

    fn found(&self, step: usize, finding: Finding) {
        let known = match finding {
            Finding::Holds => 1,
            _ => 2,
        };
        self.findings[step].store(known, Ordering::Release);
        self.ring();
    }

    fn ring(&self) {
        // If the bell still rings from an earlier finding, one ring is enough for both.
        let _ = self.bell.0.try_send(());
    }
}

/// When the threads have ended, or panicked, chunks that they did not look at count as different,
/// so that nobody waits for them.
struct EndOnDrop<'a>(&'a Scan);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.end.store(0, Ordering::Release);
        self.0.ring();
    }
}
