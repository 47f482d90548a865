//! Writes a file or a device from its start to its end.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustix::fs::{FallocateFlags, SeekFrom, copy_file_range, fallocate, seek};
use rustix::io::Errno;

use crate::target::ReadAt;
use crate::target::flush::Flush;
use crate::target::space;
use crate::target::zeros::{Run, Zeros, are_zeros, runs};

/// Zeros are read and written in pieces of this many bytes.
const PIECE: u64 = 64 << 10;

static ZEROS: [u8; PIECE as usize] = [0; PIECE as usize];

#[derive(Debug)]
pub(super) struct Output {
    file: Arc<File>,
    zeros: Zeros,
    /// Holes begin and end at multiples of this many bytes.
    block: u64,
    len: u64,
    offset: u64,
    /// Whether all bytes before the offset were written.
    is_in_order: bool,
    /// Before this offset the file may hold anything. From this offset on it reads as zeros.
    stale: u64,
    is_changed: bool,
    can_punch: bool,
    can_copy: bool,
    /// A range without holes, as the last search found it. It is kept because searching takes the
    /// longer, the longer a range without holes is.
    data: Range<u64>,
    flush: Flush,
}

impl Output {
    /// A file that can have holes of any length.
    pub(super) fn file(file: Arc<File>) -> Output {
        Output {
            file,
            zeros: Zeros::Auto,
            block: 1,
            len: 0,
            offset: 0,
            is_in_order: true,
            stale: 0,
            is_changed: false,
            can_punch: true,
            can_copy: true,
            data: 0..0,
            flush: Flush::default(),
        }
    }

    /// A device, in which only blocks of this length can be zeroed without being written.
    pub(super) fn device(file: Arc<File>, block: u64) -> Output {
        Output {
            block,
            can_copy: false,
            ..Output::file(file)
        }
    }

    pub(super) fn set_zeros(&mut self, zeros: Zeros) {
        self.zeros = zeros;
    }

    pub(super) fn zeros(&self) -> Zeros {
        self.zeros
    }

    /// Starts at offset 0. Everything from `stale` on must read as zeros.
    pub(super) fn begin(&mut self, len: u64, stale: u64) {
        (self.len, self.offset, self.stale) = (len, 0, stale);
        self.is_in_order = true;
        self.data = 0..0;
        self.flush = Flush::default();
    }

    /// Goes on at another offset. Whoever does so must write each byte once.
    pub(super) fn seek(&mut self, offset: u64) {
        self.flush.jump(&self.file, self.offset, offset);
        self.is_in_order = false;
        self.offset = offset;
    }

    /// The offset of the next byte.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn reader(&self) -> Arc<dyn ReadAt> {
        Arc::clone(&self.file) as _
    }

    /// Whether the contents may have been changed.
    pub(super) fn is_changed(&self) -> bool {
        self.is_changed
    }

    pub(super) fn set_changed(&mut self) {
        self.is_changed = true;
    }

    pub(super) fn write(&mut self, data: &[u8]) -> io::Result<()> {
        self.expect(data.len() as u64)?;
        // Where a device holds old data, single blocks of zeros are written and not punched.
        let is_blank = self.offset >= self.stale;
        let has_holes = is_blank || (self.block == 1 && self.can_punch);
        if self.zeros == Zeros::Write || !has_holes {
            return self.put(data);
        }
        for run in runs(data, self.offset) {
            match run {
                Run::Data(data) => self.put(data)?,
                Run::Zeros(len) => self.write_zeros(len)?,
            }
        }
        Ok(())
    }

    pub(super) fn write_zeros(&mut self, len: u64) -> io::Result<()> {
        self.expect(len)?;
        self.zero(self.offset, len)?;
        self.advance(len);
        Ok(())
    }

    pub(super) fn keep(&mut self, len: u64) -> io::Result<()> {
        self.expect(len)?;
        self.flush.pass_over(&self.file, self.offset, len);
        self.offset += len;
        Ok(())
    }

    /// Copies the next bytes from another file, in which they are at the same offset. Holes stay
    /// holes.
    pub(super) fn take(&mut self, from: &File, len: u64) -> io::Result<()> {
        self.expect(len)?;
        let end = self.offset + len;
        let mut piece = vec![0; PIECE.min(len) as usize];
        while self.offset < end {
            let data = next_data(from, self.offset)?.unwrap_or(end).min(end);
            self.write_zeros(data - self.offset)?;
            let piece = &mut piece[..PIECE.min(end - data) as usize];
            FileExt::read_exact_at(from, piece, data)?;
            self.write(piece)?;
        }
        Ok(())
    }

    /// Copies earlier bytes of the same file as the next bytes. Holes stay holes, and blocks are
    /// shared where the file system can do that.
    pub(super) fn copy(&mut self, from: u64, len: u64) -> io::Result<bool> {
        self.expect(len)?;
        if from.checked_add(len).is_none_or(|end| end > self.offset) {
            let message = format!("offset {from} was not written for {len} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
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

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_all().map_err(|error| self.explain(error))
    }

    pub(super) fn explain(&self, error: io::Error) -> io::Error {
        let left = self.len - self.offset;
        space::explain(error, self.is_in_order.then_some(left), self.len)
    }

    /// Fails where more bytes come than were announced: nothing beyond the end is ever touched.
    fn expect(&self, len: u64) -> io::Result<()> {
        if len > self.len - self.offset {
            let message = format!("more than the {} bytes that were announced", self.len);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        Ok(())
    }

    fn advance(&mut self, len: u64) {
        self.offset += len;
        self.flush.up_to(&self.file, self.offset);
    }

    fn put(&mut self, data: &[u8]) -> io::Result<()> {
        self.put_at(data, self.offset)?;
        self.advance(data.len() as u64);
        Ok(())
    }

    fn put_at(&mut self, data: &[u8], offset: u64) -> io::Result<()> {
        self.is_changed = true;
        let written = self.file.write_all_at(data, offset);
        written.map_err(|error| self.explain(error))
    }

    /// Makes sure that these bytes are zeros.
    fn zero(&mut self, from: u64, len: u64) -> io::Result<()> {
        let end = from + len;
        if self.zeros == Zeros::Write {
            return self.put_zeros(from, end);
        }
        let end = end.min(self.stale);
        let first = from.next_multiple_of(self.block);
        let last = end - end % self.block;
        if first >= last || !self.punch(first, last)? {
            return self.put_zeros(from, end);
        }
        self.put_zeros(from, first)?;
        self.put_zeros(last, end)
    }

    /// Punches a hole. Returns `false` where holes can't be made.
    fn punch(&mut self, from: u64, end: u64) -> io::Result<bool> {
        if self.can_punch {
            self.is_changed = true;
            self.can_punch =
                punch(&self.file, from, end - from).map_err(|error| self.explain(error))?;
        }
        if !self.can_punch && self.zeros == Zeros::Punch {
            let message = "it can make no holes: choose another way for zeros";
            return Err(io::Error::new(io::ErrorKind::Unsupported, message));
        }
        Ok(self.can_punch)
    }

    /// Writes zeros. Unless zeros must be written everywhere, bytes that are zeros already are left
    /// as they are.
    fn put_zeros(&mut self, from: u64, end: u64) -> io::Result<()> {
        let mut held = [0; PIECE as usize];
        let mut offset = from;
        while offset < end {
            let len = PIECE.min(end - offset) as usize;
            if self.zeros != Zeros::Write {
                FileExt::read_exact_at(&*self.file, &mut held[..len], offset)?;
            }
            if self.zeros == Zeros::Write || !are_zeros(&held[..len]) {
                self.put_at(&ZEROS[..len], offset)?;
            }
            offset += len as u64;
        }
        Ok(())
    }

    /// The length of the hole at an offset, and of the data after it. A file without holes is all
    /// data.
    fn hole_and_data(&mut self, from: u64, end: u64) -> io::Result<(u64, u64)> {
        if self.zeros == Zeros::Write {
            return Ok((0, end - from));
        }
        if !self.data.contains(&from) {
            let data = next_data(&self.file, from)?.unwrap_or(end).min(end);
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
                Err(error) => return Err(self.explain(error.into())),
            }
        }
        Ok(len - left)
    }
}

/// Punches a hole, which then reads as zeros; `false` where that can't be done. A device that can
/// do it guarantees zeros.
pub(super) fn punch(file: &File, from: u64, len: u64) -> io::Result<bool> {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    loop {
        match fallocate(file, flags, from, len) {
            Ok(()) => return Ok(true),
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(false),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The offset of the first data from `offset` on, as far as the file system can tell.
fn next_data(file: &File, offset: u64) -> io::Result<Option<u64>> {
    match seek(file, SeekFrom::Data(offset)) {
        Ok(data) => Ok(Some(data)),
        Err(Errno::NXIO) => Ok(None),
        Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(Some(offset)),
        Err(error) => Err(error.into()),
    }
}

/// The offset at which the last data before `end` ends, as far as the file system can tell.
pub(super) fn data_end(file: &File, end: u64) -> io::Result<u64> {
    let (mut data_end, mut offset) = (0, 0);
    while let Some(data) = next_data(file, offset)?.filter(|data| *data < end) {
        data_end = match seek(file, SeekFrom::Hole(data)) {
            Ok(hole) if hole > data => hole.min(end),
            _ => end,
        };
        offset = data_end;
    }
    Ok(data_end)
}

impl ReadAt for File {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, buffer, offset)
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<u64>> {
        next_data(self, offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_told_only_where_it_is_known() {
        let mut output = Output::file(Arc::new(tempfile::tempfile().unwrap()));
        let full = |output: &Output| output.explain(Errno::NOSPC.into()).to_string();
        output.begin(100, 0);
        output.write(&[1; 60]).unwrap();
        assert_eq!(
            full(&output),
            "no space is left, and 40 of 100 bytes were still to come"
        );
        // Which bytes before the offset were written is not known any more.
        output.seek(90);
        assert_eq!(full(&output), "no space is left for all of the 100 bytes");
    }
}
