//! Finds out what the target holds already: hashes its bytes chunk by chunk, ahead of the writer,
//! on all cores. A chunk counts as held only if its digest is right.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded};
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::cancel::Cancel;
use crate::datastore::snapshot::Archive;
use crate::digest::Hasher;
use crate::error::{Error, ErrorKind, Result};
use crate::format::index::Chunk;
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
        self.pool.broadcast(|_| {
            let mut piece = vec![0; PIECE];
            while let Some(step) = self.next_step() {
                self.look(step, &mut piece);
            }
        });
    }

    fn next_step(&self) -> Option<usize> {
        let step = self.next.fetch_add(1, Ordering::AcqRel);
        (step < self.findings.len() && !self.stop.is_cancelled()).then_some(step)
    }

    fn look(&self, step: usize, piece: &mut [u8]) {
        let position = self.plan.positions().start + step;
        let Some(chunk) = self.archive.index().chunk(position) else {
            return;
        };
        // The target holds only a part of this chunk, and no digest is known for a part. Zeros are
        // written anew, which is quicker than a look.
        if self.plan.step(position) == Some(Step::Zero) || !self.plan.is_whole(&chunk) {
            return self.found(step, Finding::Differs);
        }
        if self.holds(&chunk, piece) {
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

    /// Whether the target holds a chunk. Bytes that can't be read count as different.
    fn holds(&self, chunk: &Chunk, piece: &mut [u8]) -> bool {
        let mut offset = self.plan.offset_in_target(chunk);
        let end = offset + u64::from(chunk.len);
        // Chunks of zeros are not looked for, so a hole can't be the chunk.
        if !matches!(self.target.next_data(offset), Ok(Some(data)) if data < end) {
            return false;
        }
        let mut hasher = Hasher::default();
        while offset < end {
            let len = (end - offset).min(PIECE as u64);
            let piece = &mut piece[..len as usize];
            if self.stop.is_cancelled() || self.target.read_exact_at(piece, offset).is_err() {
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
