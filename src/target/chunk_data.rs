//! The data of a chunk, handed over to a target.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

use crate::memory::Buffer;

/// The data of a chunk, or the wanted part of it, which a target gets for good.
///
/// It reads as a slice. Dropping it gives its memory back to the restore, so a target keeps it no
/// longer than it must.
pub struct ChunkData {
    buffer: Buffer,
    range: Range<usize>,
    /// The restore counts its clones of this, and so knows how much data is in the hands of targets.
    _loan: Option<Arc<()>>,
}

impl ChunkData {
    /// A part of a buffer, which counts as lent out until it is dropped.
    pub(crate) fn lend(buffer: Buffer, range: Range<usize>, loan: &Arc<()>) -> ChunkData {
        let end = range.end.min(buffer.len());
        ChunkData {
            range: range.start.min(end)..end,
            buffer,
            _loan: Some(Arc::clone(loan)),
        }
    }
}

impl From<Buffer> for ChunkData {
    fn from(buffer: Buffer) -> ChunkData {
        ChunkData {
            range: 0..buffer.len(),
            buffer,
            _loan: None,
        }
    }
}

impl Deref for ChunkData {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buffer[self.range.clone()]
    }
}

impl fmt::Debug for ChunkData {
    // The bytes are never shown: they are part of somebody's disk.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChunkData({} bytes)", self.len())
    }
}
