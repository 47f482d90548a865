//! Targets: the files, devices and streams that restored bytes are written to, and the traits that
//! they implement.

mod access;
mod behind;
pub(crate) mod chunk_data;
pub(crate) mod device;
mod earlier;
pub(crate) mod file;
mod flush;
mod folder;
mod handle;
mod holes;
mod output;
mod partial;
pub(crate) mod poll;
mod space;
pub(crate) mod stream;
pub(crate) mod zeros;

use std::fmt;
use std::io;
use std::sync::Arc;

pub use chunk_data::ChunkData;
pub use device::DeviceTarget;
pub use file::FileTarget;
pub use poll::PollWriter;
pub use stream::StreamTarget;
pub use zeros::Zeros;

/// Where restored bytes go. Implement this trait to restore into a new kind of place.
///
/// Only one thread uses a target. The target gets every byte exactly once, in order and without
/// gaps, so no method is told the offset of the bytes that it gets. Each byte is written, or
/// belongs to a run of zeros, or is [kept](Target::keep) as it is, or is [copied](Target::copy)
/// from an earlier offset. The bytes that a target gets are verified. [`finish`](Target::finish) is
/// called once, after the last byte. It is not called at all where a restore fails, so a target
/// that was not finished must not look complete.
pub trait Target {
    /// Gets ready for `len` bytes. At least `zeros` of them will be given as
    /// [zeros](Target::write_zeros).
    ///
    /// # Errors
    /// The target can't take so many bytes: for example, it is too small, or there is no room.
    fn begin(&mut self, len: u64, zeros: u64) -> io::Result<()> {
        let _ = (len, zeros);
        Ok(())
    }

    /// Says what the target holds already. This is asked once, after [`begin`](Target::begin). By
    /// default the answer is that the target can't be read.
    fn existing(&self) -> Existing {
        Existing::WriteOnly
    }

    /// Writes the next bytes.
    ///
    /// # Errors
    /// The bytes could not be written.
    fn write(&mut self, data: &[u8]) -> io::Result<()>;

    /// Writes the next bytes, which the target gets for good, so that it may return before they are
    /// written. The default passes them to [`write`](Target::write).
    ///
    /// A target that implements this also implements [`written`](Target::written). It waits for all
    /// bytes in [`finish`](Target::finish), and reads back what was not written yet only after that.
    /// A restore lends a target at most 4 chunks at a time. While it has so many, the restore calls
    /// [`write`](Target::write).
    ///
    /// # Errors
    /// The bytes, or earlier ones, could not be written. Bytes that turn out later not to be written
    /// are the error of a later call, or of [`finish`](Target::finish).
    fn write_behind(&mut self, data: ChunkData) -> io::Result<()> {
        self.write(&data)
    }

    /// Of the first `given` bytes, which the target was given so far, how many are written without a
    /// gap: the restore counts these as committed. Where a write has failed, this is the offset of
    /// that write. The default is `given`.
    fn written(&mut self, given: u64) -> u64 {
        given
    }

    /// Writes `len` zeros as the next bytes. The default passes zeros to [`write`](Target::write).
    ///
    /// Each call is for at most some MiB, so that a restore can be cancelled between two calls.
    ///
    /// # Errors
    /// The zeros could not be written.
    fn write_zeros(&mut self, len: u64) -> io::Result<()> {
        const ZEROS: &[u8] = &[0; 64 << 10];
        let mut left = len;
        while left > 0 {
            let piece = left.min(ZEROS.len() as u64);
            self.write(&ZEROS[..piece as usize])?;
            left -= piece;
        }
        Ok(())
    }

    /// Leaves the next `len` bytes as they are, since the target holds the right bytes there
    /// already. Called only for bytes that were read through [`existing`](Target::existing) and
    /// verified.
    ///
    /// # Errors
    /// The bytes can't be kept. The default always returns this error.
    fn keep(&mut self, len: u64) -> io::Result<()> {
        let _ = len;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Copies `len` bytes that were committed at the offset `from`, as the next bytes, if the
    /// target has a quicker way to do so than reading and writing them. If it has none, it does
    /// nothing and returns `false`, as the default does. Called only where committed bytes [can be
    /// read back](Target::existing).
    ///
    /// # Errors
    /// The bytes could not be read or written.
    fn copy(&mut self, from: u64, len: u64) -> io::Result<bool> {
        let _ = (from, len);
        Ok(false)
    }

    /// Makes the written bytes durable, and shows the result to everyone as complete. If it is
    /// `damaged`, zeros stand in for chunks that could not be fetched, and the result must not look
    /// like a whole one.
    ///
    /// # Errors
    /// It is not certain that every byte is stored safely.
    fn finish(&mut self, damaged: bool) -> io::Result<()>;
}

/// What a [`Target`] holds before a restore writes to it. A restore relies on these bytes only
/// after it has verified them.
///
/// All variants but the first carry a reader. Several threads may use it at once, also while other
/// parts of the target are written to, and it returns the bytes that were committed.
#[derive(Clone)]
#[non_exhaustive]
pub enum Existing {
    /// The target can't be read: it is a pipe, for example.
    WriteOnly,
    /// The target holds nothing that is worth reading.
    Blank(Arc<dyn ReadAt>),
    /// The target may hold anything, perhaps the start of the same restore, which was cut off. The
    /// restore reads it from the start, until too many chunks in a row differ.
    Resume(Arc<dyn ReadAt>),
    /// The target holds something similar. The restore reads all of it.
    Similar(Arc<dyn ReadAt>),
}

/// Bytes that several threads can read at once, at any offset.
pub trait ReadAt: Send + Sync {
    /// Fills the whole buffer with the bytes from `offset` on.
    ///
    /// # Errors
    /// The bytes can't be read; [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) where they end
    /// before the buffer is full.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// The first offset from `offset` on at which there may be other bytes than zeros; `None` where
    /// only zeros follow. The default does not look, and returns `offset`.
    ///
    /// # Errors
    /// The bytes can't be read.
    fn next_data(&self, offset: u64) -> io::Result<Option<u64>> {
        Ok(Some(offset))
    }
}

impl fmt::Debug for Existing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Existing::WriteOnly => "WriteOnly",
            Existing::Blank(_) => "Blank",
            Existing::Resume(_) => "Resume",
            Existing::Similar(_) => "Similar",
        })
    }
}
