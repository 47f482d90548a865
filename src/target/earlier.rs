//! A damaged file that an earlier restore has left. It is read, and never written to.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::target::ReadAt;
use crate::target::zeros::are_zeros;

/// The file is read in pieces of this many bytes.
const PIECE: u64 = 64 << 10;

#[derive(Debug)]
pub(super) struct Earlier {
    file: Arc<File>,
    /// Before this offset the new file counts, from it on the damaged one.
    held: Arc<AtomicU64>,
    /// Whether the damaged file has data that the new file lacks.
    is_missed: bool,
}

impl Earlier {
    /// Before the offset `held`, the new file may hold the right bytes.
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

    /// The offset up to which the new file counts. From it on the damaged file counts.
    pub(super) fn held(&self) -> u64 {
        self.held.load(Ordering::Acquire)
    }

    /// Notes that the new file was written up to this offset.
    pub(super) fn passed(&self, offset: u64) {
        self.held.fetch_max(offset, Ordering::AcqRel);
    }

    /// Whether the damaged file holds anything but zeros that the new file does not hold.
    pub(super) fn is_missed(&self) -> bool {
        self.is_missed
    }

    /// Compares the damaged file at this offset with the bytes that were newly written to the new
    /// file.
    pub(super) fn differs(&mut self, offset: u64, len: u64, new: Option<&[u8]>) {
        if !self.is_missed {
            // Where the damaged file can't be read, nobody knows whether something is missed, so it
            // counts as missed.
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

    /// A reader of the new file up to `held`, and of the damaged file behind it.
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
