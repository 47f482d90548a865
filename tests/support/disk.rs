//! A target in memory that can be read back, and holds something already.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use chunk_restore::target::{Existing, ReadAt, Target};

/// How it answers when it is asked what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    Unreadable,
    Nothing,
    Perhaps,
    Similar,
}

/// Memory of a fixed length that is written over.
pub(crate) struct Disk {
    pub(crate) memory: Arc<DiskMemory>,
    pub(crate) says: Says,
    /// Whether it copies by itself.
    pub(crate) copies: bool,
    /// Refuses what would pass this offset.
    pub(crate) room: usize,
    offset: usize,
    pub(crate) kept: usize,
    pub(crate) copied: usize,
    pub(crate) written: usize,
    /// Whether it was finished, and as damaged.
    pub(crate) finished: Option<bool>,
}

#[derive(Default)]
pub(crate) struct DiskMemory {
    bytes: Mutex<Vec<u8>>,
    /// Calls of `read_exact_at`.
    pub(crate) reads: AtomicUsize,
    /// Is asked before a read at an offset.
    pub(crate) before_read: Option<Box<dyn Fn(u64) -> io::Result<()> + Send + Sync>>,
}

impl DiskMemory {
    pub(crate) fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.bytes.lock().expect("nobody panics while holding it")
    }
}

impl Disk {
    pub(crate) fn holding(bytes: Vec<u8>, says: Says) -> Disk {
        Disk::over(
            DiskMemory {
                bytes: Mutex::new(bytes),
                ..DiskMemory::default()
            },
            says,
        )
    }

    pub(crate) fn over(memory: DiskMemory, says: Says) -> Disk {
        Disk {
            memory: Arc::new(memory),
            says,
            copies: true,
            room: usize::MAX,
            offset: 0,
            kept: 0,
            copied: 0,
            written: 0,
            finished: None,
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.memory.bytes().clone()
    }

    fn take(&mut self, len: u64) -> io::Result<usize> {
        assert_eq!(self.finished, None, "written after its end");
        let offset = self.offset;
        if offset + len as usize > self.room {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.offset += len as usize;
        Ok(offset)
    }
}

impl Target for Disk {
    fn begin(&mut self, len: u64, _zeros: u64) -> io::Result<()> {
        self.memory.bytes().resize(len as usize, 0xff);
        Ok(())
    }

    fn existing(&self) -> Existing {
        let memory = Arc::clone(&self.memory);
        match self.says {
            Says::Unreadable => Existing::WriteOnly,
            Says::Nothing => Existing::Blank(memory),
            Says::Perhaps => Existing::Resume(memory),
            Says::Similar => Existing::Similar(memory),
        }
    }

    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        let offset = self.take(data.len() as u64)?;
        self.written += data.len();
        self.memory.bytes()[offset..][..data.len()].copy_from_slice(data);
        Ok(())
    }

    fn write_zeros(&mut self, len: u64) -> io::Result<()> {
        let offset = self.take(len)?;
        self.memory.bytes()[offset..][..len as usize].fill(0);
        Ok(())
    }

    fn keep(&mut self, len: u64) -> io::Result<()> {
        self.take(len)?;
        self.kept += len as usize;
        Ok(())
    }

    fn copy(&mut self, from: u64, len: u64) -> io::Result<bool> {
        if !self.copies {
            return Ok(false);
        }
        let offset = self.take(len)?;
        assert!(
            from as usize + len as usize <= offset,
            "copied from what is not committed"
        );
        self.copied += len as usize;
        (self.memory.bytes()).copy_within(from as usize..from as usize + len as usize, offset);
        Ok(true)
    }

    fn finish(&mut self, damaged: bool) -> io::Result<()> {
        assert_eq!(
            self.offset,
            self.memory.bytes().len(),
            "finished before the end"
        );
        assert_eq!(self.finished.replace(damaged), None, "finished twice");
        Ok(())
    }
}

impl ReadAt for DiskMemory {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        if let Some(before) = &self.before_read {
            before(offset)?;
        }
        let bytes = self.bytes();
        let there = bytes
            .get(offset as usize..)
            .and_then(|rest| rest.get(..buffer.len()));
        buffer.copy_from_slice(there.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// A seed that a test can change meanwhile.
pub(crate) struct Shared(pub(crate) Arc<DiskMemory>);

impl ReadAt for Shared {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }
}
