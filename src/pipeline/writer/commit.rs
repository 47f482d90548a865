//! The ways in which the writer commits: zeros, what the target holds, what came, what came before, and what is lost.

use std::io;
use std::time::Instant;

use crate::error::Result;
use crate::format::index::Chunk;
use crate::pipeline::arrivals::Arrived;
use crate::pipeline::plan::Step;
use crate::pipeline::writer::{Line, Writer, ZEROS_AT_ONCE, target_error};
use crate::report::{Damage, Event};
use crate::target::Target;

impl Writer<'_> {
    /// Commits a run of zero chunks as one, and says where it ends.
    pub(super) fn commit_zeros(
        &mut self,
        first: usize,
        line: &mut Line<'_, '_, '_>,
    ) -> Result<usize> {
        let mut end = first;
        let mut left = 0;
        while let (Some(Step::Zero), Some(chunk)) = (self.plan.step(end), self.index.chunk(end)) {
            left += self.plan.piece(&chunk).len() as u64;
            end += 1;
        }
        while left > 0 {
            self.check_cancelled()?;
            self.ask(line)?;
            let piece = left.min(ZEROS_AT_ONCE);
            self.give(piece, |target| target.write_zeros(piece))?;
            left -= piece;
            self.report.zeros += piece;
            self.tell_progress();
            self.hear(line)?;
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
    pub(super) fn commit_arrival(
        &mut self,
        position: usize,
        chunk: &Chunk,
        line: &mut Line<'_, '_, '_>,
    ) -> Result<()> {
        let arrived = loop {
            if let Some(arrived) = self.arrivals.take_next() {
                break arrived;
            }
            self.wait(line)?;
        };
        let verified = match arrived {
            Arrived::Fetched(verified) => {
                self.report.chunks += 1;
                verified
            }
            Arrived::Seeded(verified) => {
                self.report.seeded += self.plan.piece(chunk).len() as u64;
                verified
            }
            Arrived::Lost(damage) => return self.lose(chunk, damage),
        };
        let data = &verified.data()[self.plan.piece(chunk)];
        self.give(data.len() as u64, |target| target.write(data))?;
        self.cache.keep(position, verified);
        Ok(())
    }

    /// Commits a chunk that occurred before.
    pub(super) fn commit_repeat(&mut self, position: usize, chunk: &Chunk) -> Result<()> {
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
            let from = (origin.and_then(|origin| self.index.chunk(origin)))
                .map(|origin| self.plan.offset_in_target(&origin))
                .expect("a repeat has a chunk that it repeats");
            self.copy(chunk, from)?;
        }
        self.report.repeated += len;
        Ok(())
    }

    /// Copies a chunk that the target holds at another offset.
    fn copy(&mut self, chunk: &Chunk, from: u64) -> Result<()> {
        let readable = self.readable.clone();
        let common = self.common;
        let len = u64::from(chunk.len);
        self.give(len, |target| {
            if target.copy(from, len)? {
                return Ok(());
            }
            let unreadable = || io::Error::from(io::ErrorKind::Unsupported);
            let readable = readable.ok_or_else(unreadable)?;
            let mut buffer = common.spares.buffer();
            readable.read_exact_at(buffer.space(chunk.len as usize), from)?;
            // Somebody else, or a failing disk, may have changed it since it was written there.
            if common.archive.digest_of(&buffer) != chunk.digest {
                let message = format!("what was written at offset {from} has changed since");
                return Err(io::Error::other(message));
            }
            target.write(&buffer)
        })
    }

    /// Commits zeros in place of a chunk that can't be had.
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
            return Err(target_error("write", self.report.committed, error));
        }
        self.report.committed += len;
        Ok(())
    }
}
