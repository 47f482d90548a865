//! Copies bytes into the output: from another file, or from an earlier offset of the same one.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::fs::{SeekFrom, copy_file_range, seek};
use rustix::io::Errno;

use crate::target::holes::next_data;
use crate::target::zeros::Zeros;

use super::{Output, PIECE};

impl Output {
    /// Copies the next bytes from another file, in which they are at the same offset. Holes stay
    /// holes.
    pub(in crate::target) fn take(&mut self, from: &File, len: u64) -> io::Result<()> {
        self.expect(len)?;
        let end = self.offset + len;
        let mut piece = vec![0; PIECE.min(len) as usize];
        while self.offset < end {
            let data = next_data(from, self.offset).map_err(|error| self.fail(error))?;
            let data = data.unwrap_or(end).min(end);
            self.write_zeros(data - self.offset)?;
            let piece = &mut piece[..PIECE.min(end - data) as usize];
            FileExt::read_exact_at(from, piece, data).map_err(|error| self.fail(error))?;
            self.write(piece)?;
        }
        Ok(())
    }

    /// Copies earlier bytes of the same file as the next bytes. Holes stay holes, and blocks are
    /// shared where the file system can do that.
    pub(in crate::target) fn copy(&mut self, from: u64, len: u64) -> io::Result<bool> {
        self.expect(len)?;
        if from.checked_add(len).is_none_or(|end| end > self.offset) {
            let message = format!("offset {from} was not written for {len} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        self.wait_before(from + len)?;
        self.wait_for_shared_pages(self.offset, self.offset + len);
        let mut done = 0;
        while self.can_copy && done < len {
            let (hole, data) = self.hole_and_data(from + done, from + len)?;
            self.zero(self.offset + done, hole)?;
            done += hole;
            let copied = self.copy_data(from + done, self.offset + done, data)?;
            done += copied;
            self.can_copy = copied == data;
        }
        if done < len {
            // These bytes will be written again, and must then not be taken for blank.
            self.stale = self.stale.max(self.offset + done);
            return Ok(false);
        }
        self.advance(len);
        Ok(true)
    }

    /// The length of the hole at an offset, and of the data after it. A file without holes is all
    /// data.
    fn hole_and_data(&mut self, from: u64, end: u64) -> io::Result<(u64, u64)> {
        if self.zeros == Zeros::Write {
            return Ok((0, end - from));
        }
        if !self.data.contains(&from) {
            let data = next_data(&self.file, from);
            let data = data.map_err(|error| self.fail(error))?;
            let data = data.unwrap_or(end).min(end);
            let hole = match seek(&self.file, SeekFrom::Hole(data)) {
                Ok(hole) if hole > data => hole,
                _ => end,
            };
            // Bytes that were written stay as they are; what lies behind them may still change, so
            // it is not kept.
            self.data = data..hole.min(self.offset);
            return Ok((data - from, hole.min(end) - data));
        }
        Ok((0, self.data.end.min(end) - from))
    }

    /// Copies data, and returns how much it copied. That is less than `len` where the file system
    /// can't copy.
    fn copy_data(&mut self, from: u64, to: u64, len: u64) -> io::Result<u64> {
        let (mut from, mut to, mut left) = (from, to, len);
        while left > 0 {
            self.is_changed = true;
            let most = usize::try_from(left).unwrap_or(usize::MAX);
            match copy_file_range(&self.file, Some(&mut from), &self.file, Some(&mut to), most) {
                Ok(0) | Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::XDEV) => break,
                Ok(copied) => left -= copied as u64,
                Err(Errno::INTR) => {}
                Err(error) => return Err(self.fail(error.into())),
            }
        }
        // The kernel copies through the page cache, where the file system can't share blocks.
        self.flush
            .forget(&self.file, from - (len - left), len - left);
        Ok(len - left)
    }
}
