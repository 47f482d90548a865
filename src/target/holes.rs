//! Holes in files and devices: makes them, and finds them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::fs::{FallocateFlags, SeekFrom, fallocate, seek};
use rustix::io::Errno;

use crate::target::ReadAt;

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
pub(super) fn next_data(file: &File, offset: u64) -> io::Result<Option<u64>> {
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
