//! What a file that is being filled holds, and what is on the way to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::format::blob::Verified;

/// How many chunks that were read may wait to be written. Others are fetched again when it is their
/// turn: a slow disk must not take the memory of those who read.
const WAITING_MAX: usize = 4;

/// The state of a fill, which its thread, the reader's thread and the workers share.
#[derive(Debug)]
pub(super) struct Filled {
    /// One bit for each position: whether the file holds the chunk.
    holds: Vec<AtomicU64>,
    bytes: AtomicU64,
    arrivals: Sender<Arrival>,
}

/// A chunk that was fetched for somebody, and its position in the archive.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) position: usize,
    pub(super) data: Arc<Verified>,
}

impl Filled {
    /// Of a file that holds none of so many chunks, with what will arrive.
    pub(super) fn new(count: usize) -> (Filled, Receiver<Arrival>) {
        let (arrivals, arrived) = bounded(WAITING_MAX);
        let words = count.div_ceil(64);
        let filled = Filled {
            holds: (0..words).map(|_| AtomicU64::new(0)).collect(),
            bytes: AtomicU64::new(0),
            arrivals,
        };
        (filled, arrived)
    }

    /// Whether the file holds the chunk at a position.
    pub(super) fn holds(&self, position: usize) -> bool {
        let word = self.holds.get(position / 64);
        word.is_some_and(|word| word.load(Ordering::Acquire) & (1 << (position % 64)) != 0)
    }

    /// From now on the file holds the chunk at a position, of so many bytes.
    pub(super) fn set_holds(&self, position: usize, len: u32) {
        if let Some(word) = self.holds.get(position / 64) {
            word.fetch_or(1 << (position % 64), Ordering::AcqRel);
            self.bytes.fetch_add(u64::from(len), Ordering::Relaxed);
        }
    }

    /// How many bytes the file holds, zeros included.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// A chunk has come for somebody. It is kept if the disk is not behind, and half of the memory, which
    /// is for so many chunks, is left to those who read.
    pub(super) fn arrived(&self, position: usize, data: &Arc<Verified>, slots: usize) {
        // One more chunk is being written.
        let is_behind = self.arrivals.len() >= slots.saturating_sub(1) / 2;
        if !is_behind && !self.holds(position) {
            let data = Arc::clone(data);
            let _ = self.arrivals.try_send(Arrival { position, data });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::format::blob::ChunkDecoder;
    use crate::format::index::Chunk;
    use crate::memory::Buffer;

    #[test]
    fn what_waits_for_the_disk_and_what_is_written_leave_memory_to_those_who_read() {
        let chunk = Chunk {
            digest: Digest::of(b""),
            offset: 0,
            len: 0,
        };
        let data = ChunkDecoder::new(None).recognise(&chunk, Buffer::new());
        let data = Arc::new(data.expect("it is the chunk's data"));
        for (slots, most) in [(1, 0), (2, 0), (3, 1), (8, 3), (1000, WAITING_MAX)] {
            let (filled, arrived) = Filled::new(100);
            (0..10).for_each(|position| filled.arrived(position, &data, slots));
            assert_eq!(arrived.len(), most, "{slots}");
        }
    }
}
