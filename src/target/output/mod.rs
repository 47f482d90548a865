//! Writes a file or a device from its start to its end.

mod copy;

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use crate::target::ReadAt;
use crate::target::behind::Behind;
use crate::target::chunk_data::ChunkData;
use crate::target::flush::Flush;
use crate::target::handle::Handle;
use crate::target::holes::punch;
use crate::target::space;
use crate::target::zeros::{Run, Zeros, are_zeros, runs};

/// Bytes are read in pieces of this many.
const PIECE: u64 = 64 << 10;

/// Zeros are written in pieces of at most this many bytes.
const ZEROS_MAX: u64 = 1 << 20;

/// Zeros that start on a page, so that they can be written past the page cache.
#[repr(align(4096))]
struct Zeroed([u8; ZEROS_MAX as usize]);

static ZEROS: Zeroed = Zeroed([0; ZEROS_MAX as usize]);

#[derive(Debug)]
pub(super) struct Output {
    /// This comes first, so that all writes have ended before the file is closed.
    behind: Behind,
    file: Arc<File>,
    handle: Arc<Handle>,
    /// Whether the page cache keeps what is written.
    is_buffered: bool,
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
            behind: Behind::default(),
            handle: Arc::new(Handle::cached(Arc::clone(&file))),
            is_buffered: false,
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

    /// Whether everything goes through the page cache, which keeps it.
    pub(super) fn set_buffered(&mut self, yes: bool) {
        self.is_buffered = yes;
    }

    /// Starts at offset 0. Everything from `stale` on must read as zeros.
    pub(super) fn begin(&mut self, len: u64, stale: u64) {
        let file = Arc::clone(&self.file);
        self.handle = Arc::new(match self.is_buffered {
            true => Handle::cached(file),
            false => Handle::uncached(file),
        });
        (self.len, self.offset, self.stale) = (len, 0, stale);
        self.is_in_order = true;
        self.data = 0..0;
        self.flush = Flush::new(!self.is_buffered);
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
        Arc::clone(&self.handle) as _
    }

    /// Whether the contents may have been changed.
    pub(super) fn is_changed(&self) -> bool {
        self.is_changed
    }

    pub(super) fn set_changed(&mut self) {
        self.is_changed = true;
    }

    /// Of the first `given` bytes, how many are written without a gap.
    pub(super) fn written(&mut self, given: u64) -> u64 {
        self.behind.written(given)
    }

    /// Writes the next bytes on a thread of its own, if they fill whole pages and can be written
    /// directly; else now.
    pub(super) fn write_behind(&mut self, data: ChunkData) -> io::Result<()> {
        self.expect(data.len() as u64)?;
        self.check()?;
        if !self.handle.takes_directly(&data, self.offset) {
            return self.write(&data);
        }
        let start = self.offset;
        let mut pieces = Vec::new();
        if self.finds_holes() {
            let mut at = 0;
            for run in runs(&data, start) {
                match run {
                    Run::Data(run) => {
                        pieces.push(at..at + run.len());
                        at += run.len();
                    }
                    Run::Zeros(len) => {
                        self.zero(start + at as u64, len)?;
                        at += len as usize;
                    }
                }
            }
        } else {
            pieces.push(0..data.len());
        }
        let len = data.len() as u64;
        if !pieces.is_empty() {
            self.is_changed = true;
            self.behind.write(data, pieces, start, &self.handle);
        }
        self.advance(len);
        Ok(())
    }

    /// Writes the next bytes.
    pub(super) fn write(&mut self, data: &[u8]) -> io::Result<()> {
        self.expect(data.len() as u64)?;
        self.check()?;
        if !self.finds_holes() {
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

    /// Whether blocks of zeros within the next bytes become holes.
    fn finds_holes(&self) -> bool {
        // Where a device holds old data, single blocks of zeros are written and not punched.
        let is_blank = self.offset >= self.stale;
        let has_holes = is_blank || (self.block == 1 && self.can_punch);
        self.zeros != Zeros::Write && has_holes
    }

    pub(super) fn write_zeros(&mut self, len: u64) -> io::Result<()> {
        self.expect(len)?;
        self.check()?;
        self.zero(self.offset, len)?;
        self.advance(len);
        Ok(())
    }

    pub(super) fn keep(&mut self, len: u64) -> io::Result<()> {
        self.expect(len)?;
        self.check()?;
        self.flush.pass_over(&self.file, self.offset, len);
        self.offset += len;
        Ok(())
    }

    /// Waits until all bytes before an offset are written.
    pub(super) fn wait_before(&mut self, offset: u64) -> io::Result<()> {
        self.behind.wait_before(offset);
        self.check()
    }

    /// Waits for all writes, and ends their threads.
    pub(super) fn end_writes(&mut self) {
        self.behind.end();
    }

    /// Waits for all writes, and makes them durable.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.end_writes();
        self.check()?;
        let synced = self.file.sync_all();
        synced.map_err(|error| self.fail(error))?;
        self.flush.forget_rest(&self.file, self.offset);
        Ok(())
    }

    /// Waits for all writes, so that it is known how much is written. Returns the failure of the
    /// first of them that has failed; else that of the next bytes, which have this error.
    pub(super) fn fail(&mut self, error: io::Error) -> io::Error {
        match self.wait_before(u64::MAX) {
            Ok(()) => self.explain_at(error, self.offset),
            Err(earlier) => earlier,
        }
    }

    fn explain_at(&self, error: io::Error, offset: u64) -> io::Error {
        let left = self.len - offset;
        space::explain(error, self.is_in_order.then_some(left), self.len)
    }

    /// Fails where an earlier write has failed.
    fn check(&mut self) -> io::Result<()> {
        self.behind.check().map_err(|error| {
            let failed = self.behind.written(self.offset);
            self.explain_at(error, failed)
        })
    }

    /// Waits for all writes, if a range shares a page with bytes that they may be writing.
    fn wait_for_shared_pages(&mut self, from: u64, end: u64) {
        if !self.handle.is_between_pages(from) || !self.handle.is_between_pages(end) {
            self.behind.wait_before(u64::MAX);
        }
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
        self.wait_for_shared_pages(offset, offset + data.len() as u64);
        let written = self.handle.write_all(data, offset);
        written.map_err(|error| self.fail(error))
    }

    /// Makes sure that these bytes are zeros.
    fn zero(&mut self, from: u64, len: u64) -> io::Result<()> {
        let end = from + len;
        if self.zeros == Zeros::Write {
            return self.put_zeros(from, end);
        }
        let end = end.min(self.stale);
        if from >= end {
            return Ok(());
        }
        self.wait_for_shared_pages(from, end);
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
            let punched = punch(&self.file, from, end - from);
            self.can_punch = punched.map_err(|error| self.fail(error))?;
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
        let is_blind = self.zeros == Zeros::Write;
        let most = if is_blind { ZEROS_MAX } else { PIECE };
        let mut offset = from;
        while offset < end {
            let len = most.min(end - offset) as usize;
            if !is_blind {
                let read = self.handle.read_exact_at(&mut held[..len], offset);
                read.map_err(|error| self.fail(error))?;
            }
            if is_blind || !are_zeros(&held[..len]) {
                self.put_at(&ZEROS.0[..len], offset)?;
            }
            offset += len as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn what_is_left_is_told_only_where_it_is_known() {
        let mut output = Output::file(Arc::new(tempfile::tempfile().unwrap()));
        let full = |output: &mut Output| output.fail(Errno::NOSPC.into()).to_string();
        output.begin(100, 0);
        output.write(&[1; 60]).unwrap();
        assert_eq!(
            full(&mut output),
            "no space is left, and 40 of 100 bytes were still to come"
        );
        // Which bytes before the offset were written is not known any more.
        output.seek(90);
        let told = full(&mut output);
        assert_eq!(told, "no space is left for all of the 100 bytes");
    }

    #[test]
    fn a_failure_comes_after_the_end_of_all_writes_and_behind_what_they_have_written() {
        const LEN: usize = 16 << 20;
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(3 * LEN as u64).unwrap();
        // Direct writes have a file of their own, so that all others fail.
        let mut output = Output::file(Arc::new(File::open(file.path()).unwrap()));
        output.begin(3 * LEN as u64, 3 * LEN as u64);
        let mut given = 0;
        for _ in 0..2 {
            let mut buffer = crate::memory::Buffer::new();
            buffer.space(LEN).fill(7);
            let data = ChunkData::from(buffer);
            if output.handle.takes_directly(&data, given) {
                output.write_behind(data).unwrap();
                given += LEN as u64;
            }
        }
        let error = output.write_zeros(LEN as u64).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::BADF.raw_os_error()));
        assert_eq!(output.written(given), given);
    }
}
