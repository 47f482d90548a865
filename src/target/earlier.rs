//! A damaged file that an earlier restore has left: it is read, and never written to. Knows nothing of names.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::target::ReadAt;
use crate::target::zeros::are_zeros;

/// It is read in pieces of so many bytes.
const PIECE: u64 = 64 << 10;

#[derive(Debug)]
pub(super) struct Earlier {
    file: Arc<File>,
    /// Before it, the new file counts.
    held: Arc<AtomicU64>,
    /// Whether the new file lacks something of it.
    is_missed: bool,
}

impl Earlier {
    /// Of the new file, what is before `held` may be right.
    pub(super) fn new(file: Arc<File>, held: u64) -> Earlier {
        Earlier {
            file,
            held: Arc::new(AtomicU64::new(held)),
            is_missed: false,
        }
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Where the new file ends, and this one goes on.
    pub(super) fn held(&self) -> u64 {
        self.held.load(Ordering::Acquire)
    }

    /// The new file was written up to here.
    pub(super) fn passed(&self, offset: u64) {
        self.held.fetch_max(offset, Ordering::AcqRel);
    }

    /// Whether there is anything but zeros in it that the new file does not hold.
    pub(super) fn is_missed(&self) -> bool {
        self.is_missed
    }

    /// The new file holds something else at this offset, or the same, newly written.
    pub(super) fn differs(&mut self, offset: u64, len: u64, new: Option<&[u8]>) {
        if !self.is_missed {
            // What can't be read is nothing that could be missed, but nobody knows.
            self.is_missed = !self.holds_only(offset, len, new).unwrap_or(false);
        }
    }

    fn holds_only(&self, offset: u64, len: u64, new: Option<&[u8]>) -> io::Result<bool> {
        let end = offset + len;
        let mut held = vec![0; PIECE.min(len) as usize];
        let mut at = offset;
        while let Some(data) = self.file.next_data(at)?.filter(|data| *data < end) {
            let piece = &mut held[..PIECE.min(end - data) as usize];
            FileExt::read_exact_at(&*self.file, piece, data)?;
            let same = new.map(|new| &new[(data - offset) as usize..][..piece.len()]);
            if !are_zeros(piece) && same != Some(piece) {
                return Ok(false);
            }
            at = data + piece.len() as u64;
        }
        Ok(true)
    }

    /// Reads the new file as far as that counts, and this one behind it.
    pub(super) fn reader(&self, new: Arc<dyn ReadAt>) -> Arc<dyn ReadAt> {
        Arc::new(Joined {
            new,
            old: Arc::clone(&self.file),
            held: Arc::clone(&self.held),
        })
    }
}

struct Joined {
    new: Arc<dyn ReadAt>,
    old: Arc<File>,
    held: Arc<AtomicU64>,
}

impl ReadAt for Joined {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let held = self.held.load(Ordering::Acquire).saturating_sub(offset);
        let (new, old) = buffer.split_at_mut(held.min(buffer.len() as u64) as usize);
        if !new.is_empty() {
            self.new.read_exact_at(new, offset)?;
        }
        match old.is_empty() {
            true => Ok(()),
            false => FileExt::read_exact_at(&*self.old, old, offset + new.len() as u64),
        }
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<u64>> {
        let held = self.held.load(Ordering::Acquire);
        if offset < held
            && let Some(data) = self.new.next_data(offset)?.filter(|data| *data < held)
        {
            return Ok(Some(data));
        }
        self.old.next_data(offset.max(held))
    }
}
