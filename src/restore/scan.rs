//! What the target holds already: its bytes are hashed chunk by chunk, ahead of the writer, on all cores. Believes nothing
//! but digests.

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

/// Small enough to stay in a core's cache between reading and hashing.
const PIECE: usize = 256 << 10;

/// How many chunks in a row may differ before the rest is not worth a look, where nothing says that it is. A power cut leaves
/// gaps in what was written, but not such long ones.
const PATIENCE: usize = 64;

/// Whether the target holds a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    Unknown,
    Holds,
    Differs,
}

/// A scan of the target, shared by the threads that do it and the writer. A chunk's bytes are read only before the writer
/// knows what was found, and it writes only after.
pub(super) struct Scan {
    archive: Archive,
    plan: Arc<Plan>,
    target: Arc<dyn ReadAt>,
    /// Whether to go on however much differs.
    is_whole: bool,
    stop: Cancel,
    /// For each step of the plan.
    findings: Vec<AtomicU8>,
    /// The step that the next free thread looks at. Together they go through the target in the order that the writer does.
    next: AtomicUsize,
    differed_in_a_row: AtomicUsize,
    /// From this step on nothing is looked at.
    end: AtomicUsize,
    /// Rings when something was found.
    bell: (Sender<()>, Receiver<()>),
    pool: ThreadPool,
}

impl Scan {
    pub(super) fn new(
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

    /// Rings after a finding, at least once after the last one.
    pub(super) fn bell(&self) -> &Receiver<()> {
        &self.bell.1
    }

    pub(super) fn finding(&self, position: usize) -> Finding {
        let step = position - self.plan.positions().start;
        match self.findings[step].load(Ordering::Acquire) {
            0 if step < self.end.load(Ordering::Acquire) => Finding::Unknown,
            1 => Finding::Holds,
            _ => Finding::Differs,
        }
    }

    /// Looks at everything, and returns then, or when the restore stops.
    pub(super) fn run(&self) {
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
        // Of a chunk that the target is to have a part of, no digest is known. Zeros are made anew: that is quicker.
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
            // What other threads have begun to look at they finish: a finding never changes.
            let begun = self.next.swap(self.findings.len(), Ordering::AcqRel);
            self.end.fetch_min(begun, Ordering::AcqRel);
            self.ring();
        }
    }

    /// What can't be read is not there.
    fn holds(&self, chunk: &Chunk, piece: &mut [u8]) -> bool {
        let mut offset = self.plan.offset_in_target(chunk);
        let end = offset + u64::from(chunk.len);
        // A hole is no chunk: those of zeros are not asked for.
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
        // One that was not heard yet does for both.
        let _ = self.bell.0.try_send(());
    }
}

/// What was not found out when the threads have ended, or panicked, counts as different: nobody waits for it.
struct EndOnDrop<'a>(&'a Scan);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.end.store(0, Ordering::Release);
        self.0.ring();
    }
}
