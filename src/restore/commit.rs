//! The ways in which the writer commits a chunk: it is written as zeros, kept in the target,
//! fetched, repeated, or lost.

use std::io;
use std::time::Instant;

use crate::error::Result;
use crate::format::index::Chunk;
use crate::report::{Damage, Event};
use crate::restore::plan::Step;
use crate::restore::window::{Settled, Window};
use crate::restore::writer::{Writer, target_error};
use crate::target::Target;
use crate::target::chunk_data::ChunkData;

/// Zeros are given to the target in pieces of this many bytes, so that the restore can be cancelled
/// between them.
const ZEROS_AT_ONCE: u64 = 4 << 20;

impl Writer<'_> {
    /// Commits a run of zero chunks at once, and returns the position after the run.
    pub(super) fn commit_zeros(&mut self, first: usize, window: &mut Window<'_>) -> Result<usize> {
        let mut end = first;
        let mut left = 0;
        while let (Some(Step::Zero), Some(chunk)) =
            (self.plan.step(end), self.archive.index().chunk(end))
        {
            left += self.plan.piece(&chunk).len() as u64;
            end += 1;
        }
        while left > 0 {
            self.check_cancelled()?;
            window.fill()?;
            let piece = left.min(ZEROS_AT_ONCE);
            self.give(piece, |target| target.write_zeros(piece))?;
            left -= piece;
            self.report.zeros += piece;
            self.tell_progress(window);
            self.take_answers(window)?;
        }
        Ok(end)
    }

    pub(super) fn keep(&mut self, chunk: &Chunk) -> Result<()> {
        let len = u64::from(chunk.len);
        self.give(len, |target| target.keep(len))?;
        self.report.kept += len;
        Ok(())
    }

    /// Waits for the chunk of a position, and commits it.
    pub(super) fn commit_next(
        &mut self,
        position: usize,
        chunk: &Chunk,
        window: &mut Window<'_>,
    ) -> Result<()> {
        let settled = loop {
            if let Some(settled) = window.take_next() {
                break settled;
            }
            self.wait(window)?;
        };
        let is_fetched = matches!(settled, Settled::Fetched(_));
        let verified = match settled {
            Settled::Fetched(verified) => {
                self.report.chunks += 1;
                verified
            }
            Settled::Seeded(verified) => {
                self.report.seeded += self.plan.piece(chunk).len() as u64;
                verified
            }
            Settled::Lost(damage) => return self.lose(chunk, damage),
        };
        let piece = self.plan.piece(chunk);
        let len = piece.len() as u64;
        if let Some(loan) = self.loans.lend() {
            let (buffer, start) = verified.into_parts();
            let data = ChunkData::lend(buffer, start + piece.start..start + piece.end, loan);
            self.give(len, |target| target.write_behind(data))?;
        } else {
            let data = &verified.data()[piece];
            self.give(len, |target| target.write(data))?;
            self.cache.keep(position, verified);
        }
        if is_fetched {
            (self.observe)(Event::Fetched(&chunk.digest));
        }
        Ok(())
    }

    /// Commits a chunk that occurred before.
    pub(super) fn commit_repeat(
        &mut self,
        position: usize,
        chunk: &Chunk,
        window: &Window<'_>,
    ) -> Result<()> {
        self.check_cancelled()?;
        let origin = self.plan.origin(position);
        if let Some(lost) = origin.and_then(|origin| self.lost.binary_search(&origin).ok()) {
            let damage = Damage {
                position,
                offset: chunk.offset,
                ..self.report.damage[lost].clone()
            };
            return self.lose(chunk, damage);
        }
        let len = u64::from(chunk.len);
        if let Some(verified) = self.cache.take(position) {
            self.give(len, |target| target.write(verified.data()))?;
            self.cache.keep(position, verified);
        } else {
            let from = (origin.and_then(|origin| self.archive.index().chunk(origin)))
                .map(|origin| self.plan.offset_in_target(&origin))
                .expect("a repeat has a chunk that it repeats");
            self.copy(chunk, from, window)?;
        }
        self.report.repeated += len;
        Ok(())
    }

    /// Copies a chunk that the target holds at another offset.
    fn copy(&mut self, chunk: &Chunk, from: u64, window: &Window<'_>) -> Result<()> {
        let readable = self.readable.clone();
        let archive = self.archive;
        let len = u64::from(chunk.len);
        self.give(len, |target| {
            if target.copy(from, len)? {
                return Ok(());
            }
            let unreadable = || io::Error::from(io::ErrorKind::Unsupported);
            let readable = readable.ok_or_else(unreadable)?;
            let mut buffer = window.pool().buffer();
            readable.read_exact_at(buffer.space(chunk.len as usize), from)?;
            // Another program, or a failing disk, may have changed these bytes since they were
            // written.
            if archive.digest_of(&buffer) != chunk.digest {
                let message = format!("what was written at offset {from} has changed since");
                return Err(io::Error::other(message));
            }
            target.write(&buffer)
        })
    }

    /// Commits zeros in place of a chunk that can't be fetched.
    fn lose(&mut self, chunk: &Chunk, damage: Damage) -> Result<()> {
        let len = self.plan.piece(chunk).len() as u64;
        self.give(len, |target| target.write_zeros(len))?;
        (self.observe)(Event::Lost(&damage));
        self.lost.push(damage.position);
        self.report.damage.push(damage);
        Ok(())
    }

    /// Gives the target its next `len` bytes.
    fn give(
        &mut self,
        len: u64,
        write: impl FnOnce(&mut dyn Target) -> io::Result<()>,
    ) -> Result<()> {
        let begun = Instant::now();
        let written = write(self.target);
        self.report.writing += begun.elapsed();
        if let Err(error) = written {
            // A target that waits for somebody may have stopped because of the cancel.
            self.check_cancelled()?;
            self.record_written();
            return Err(target_error("write", self.report.committed, error));
        }
        self.given += len;
        self.record_written();
        Ok(())
    }
}
