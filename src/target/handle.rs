//! Reads and writes a file or a device, past the page cache where that can be done.
//!
//! Bytes that fill whole pages are written with `O_DIRECT`. All others go through the page cache;
//! `flush` lets the kernel forget them once they are on the disk. The kernel keeps the two consistent as long as no
//! page is written both ways at the same time, and nobody maps the file: a direct write first writes
//! back and drops the cached pages of its range, and drops them once more when it has ended, since
//! somebody may have read them meanwhile. So pages are the unit here, whatever smaller blocks the
//! disk has, and `output` lets no two writes to one page be under way.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::num::NonZeroU64;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Advice, IFlags, Mode, OFlags, fadvise, fstatfs, ioctl_getflags, open};
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use rustix::param::page_size;

use crate::target::ReadAt;
use crate::target::holes::next_data;

/// Tells the kernel to forget the pages that a read has brought into the page cache (`RWF_DONTCACHE`,
/// since Linux 6.14). Pages that were there before stay. Writes don't use it: until Linux 6.15 the
/// kernel could forget a page that was written again meanwhile, before it was on the disk.
const DONTCACHE: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x80);

/// Buffers start on pages of this size on every machine; disks want at most this.
const ALIGNMENT_MIN: usize = 4096;

/// Fewer bytes than this go through the page cache: a disk takes many small direct writes one after
/// the other, and file systems find room for each.
pub(super) const DIRECT_LEN_MIN: usize = 256 << 10;

/// File systems that accept `O_DIRECT` and keep the data in memory all the same, or copy it.
const TMPFS: u32 = 0x0102_1994;
const RAMFS: u32 = 0x8584_58f6;
const ZFS: u32 = 0x2fc1_2fc1;
/// This file system copies the data too, unless the file has no checksums.
const BTRFS: u32 = 0x9123_683e;

/// A file or a device.
#[derive(Debug)]
pub(super) struct Handle {
    file: Arc<File>,
    /// The same file, opened for direct writes.
    direct: Option<File>,
    /// Offset, length and address of a direct write are multiples of this many bytes. No page is
    /// longer.
    unit: usize,
    /// Whether the file has taken all direct writes so far.
    is_direct: AtomicBool,
    /// Whether the kernel is told to forget what was read.
    is_uncached: AtomicBool,
}

impl Handle {
    /// Reads and writes through the page cache, which keeps the pages.
    pub(super) fn cached(file: Arc<File>) -> Handle {
        Handle {
            file,
            direct: None,
            unit: page_size().max(ALIGNMENT_MIN),
            is_direct: AtomicBool::new(false),
            is_uncached: AtomicBool::new(false),
        }
    }

    /// Leaves the page cache alone, as far as the file system can.
    pub(super) fn uncached(file: Arc<File>) -> Handle {
        let direct = open_direct(&file);
        Handle {
            is_direct: AtomicBool::new(direct.is_some()),
            direct,
            is_uncached: AtomicBool::new(true),
            ..Handle::cached(file)
        }
    }

    /// Whether all bytes of these pages are written directly.
    pub(super) fn takes_directly(&self, data: &[u8], offset: u64) -> bool {
        self.direct_for(data, offset).is_some() && data.len().is_multiple_of(self.unit)
    }

    /// Whether an offset lies between two pages.
    pub(super) fn is_between_pages(&self, offset: u64) -> bool {
        offset.is_multiple_of(self.unit as u64)
    }

    /// Writes all bytes: whole pages directly, if data and offset allow it, and the others through
    /// the page cache.
    pub(super) fn write_all(&self, data: &[u8], offset: u64) -> io::Result<()> {
        let mut done = 0;
        if let Some(direct) = self.direct_for(data, offset) {
            let whole = data.len() - data.len() % self.unit;
            done = self.write_directly(direct, &data[..whole], offset)?;
        }
        self.write_to_cache(&data[done..], offset + done as u64)
    }

    /// Writes all bytes into the page cache, from where they get to the disk after
    /// [`pass_on`](Handle::pass_on).
    pub(super) fn write_to_cache(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(data, offset)
    }

    /// Begins to write the cached pages of a range to the disk.
    pub(super) fn pass_on(&self, offset: u64, len: u64) {
        let _ = fadvise(&self.file, offset, NonZeroU64::new(len), Advice::DontNeed);
    }

    fn direct_for(&self, data: &[u8], offset: u64) -> Option<&File> {
        let is_aligned = data.len() >= DIRECT_LEN_MIN
            && self.is_between_pages(offset)
            && data.as_ptr().align_offset(ALIGNMENT_MIN) == 0
            && self.is_direct.load(Ordering::Relaxed);
        self.direct.as_ref().filter(|_| is_aligned)
    }

    /// Writes directly, and returns how many bytes were written. If not all were, the rest is to be
    /// written through the page cache.
    fn write_directly(&self, direct: &File, data: &[u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        // A disk that is full, or a limit of the file's length, may leave a part of a page.
        while done < data.len() && done.is_multiple_of(self.unit) {
            match direct.write_at(&data[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_refusal(&error) => {
                    self.is_direct.store(false, Ordering::Relaxed);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn read_some(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        if self.is_uncached.load(Ordering::Relaxed) {
            match preadv2(
                &self.file,
                &mut [IoSliceMut::new(buffer)],
                offset,
                DONTCACHE,
            ) {
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => self.be_cached(),
                read => return Ok(read?),
            }
        }
        self.file.read_at(buffer, offset)
    }

    /// The kernel or the file system can't forget pages by itself.
    fn be_cached(&self) {
        self.is_uncached.store(false, Ordering::Relaxed);
    }
}

impl ReadAt for Handle {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let mut done = 0;
        while done < buffer.len() {
            match self.read_some(&mut buffer[done..], offset + done as u64) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<u64>> {
        next_data(&self.file, offset)
    }
}

/// Opens the same file once more; `None` where direct writes can't be had, or gain nothing. This
/// needs `/proc`.
fn open_direct(file: &File) -> Option<File> {
    let is_device = file.metadata().ok()?.file_type().is_block_device();
    if !is_device && !writes_directly(file) {
        return None;
    }
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let flags = OFlags::WRONLY | OFlags::DIRECT | OFlags::CLOEXEC | OFlags::NOCTTY;
    Some(open(path, flags, Mode::empty()).ok()?.into())
}

/// Whether the file system does not copy what it is told to write directly, as far as it is known.
fn writes_directly(file: &File) -> bool {
    let Ok(found) = fstatfs(file) else {
        return false;
    };
    match found.f_type as u32 {
        TMPFS | RAMFS | ZFS => false,
        BTRFS => ioctl_getflags(file).is_ok_and(|flags| flags.contains(IFlags::NOCOW)),
        _ => true,
    }
}

/// Whether the file system can't write these bytes directly, but may be able to write them through
/// the page cache.
fn is_refusal(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOTBLK)
    )
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_direct_write_that_is_refused_goes_through_the_page_cache() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("disk.raw");
        let options = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path);
        let mut handle = Handle::uncached(Arc::new(options.unwrap()));
        let len = DIRECT_LEN_MIN as u32 + 1000;
        let data: Vec<u8> = (0..len).map(|at| at as u8 | 1).collect();
        let mut buffer = crate::memory::Buffer::new();
        buffer.extend_from_slice(&data);
        handle.write_all(&buffer, 0).unwrap();
        // No file system on a disk takes this.
        handle.unit = 1;
        let (second, third) = (len as usize + 1, 4 * DIRECT_LEN_MIN);
        handle.write_all(&buffer, second as u64).unwrap();
        handle.write_all(&buffer, third as u64).unwrap();
        let hole = vec![0; third - second - data.len()];
        let expected = [&data[..], &[0], &data, &hole, &data].concat();
        assert!(fs::read(&path).unwrap() == expected);
        let mut back = vec![0; data.len()];
        handle.read_exact_at(&mut back, second as u64).unwrap();
        assert!(back == data);
    }
}
