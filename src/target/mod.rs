//! Where restored bytes go. Knows nothing of chunks or of where they come from.

mod access;
pub(crate) mod device;
mod earlier;
pub(crate) mod file;
mod flush;
mod folder;
mod output;
mod partial;
pub(crate) mod poll;
mod space;
pub(crate) mod stream;
pub(crate) mod zeros;

use std::fmt;
use std::io;
use std::sync::Arc;

pub use device::DeviceTarget;
pub use file::FileTarget;
pub use poll::PollWriter;
pub use stream::StreamTarget;
pub use zeros::Zeros;

/// Where restored bytes go: implement it to restore into something new.
///
/// A target is used by one thread, and gets every byte exactly once, in order, without gaps: hence no offsets. Each
/// byte is either written, or one of a run of zeros, or [kept](Target::keep) as it is, or [copied](Target::copy) from
/// an earlier place. Only verified bytes reach it. [`finish`](Target::finish) is called once, after the last byte, and
/// not at all where a restore fails: what was not finished must not look complete.
pub trait Target {
    /// Gets ready for `len` bytes, of which at least `zeros` will be given as [zeros](Target::write_zeros).
    ///
    /// # Errors
    /// The target can't take them: it is too small, say, or there is no room.
    fn begin(&mut self, len: u64, zeros: u64) -> io::Result<()> {
        let _ = (len, zeros);
        Ok(())
    }

    /// What it holds already. Asked once, after [`begin`](Target::begin). The default says that it can't be read.
    fn existing(&self) -> Existing {
        Existing::WriteOnly
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// They could not be written.
    fn write(&mut self, data: &[u8]) -> io::Result<()>;

    /// Takes `len` zeros as the next bytes. The default writes them.
    ///
    /// It is called with at most some MiB at a time, so that a restore can be cancelled in between.
    ///
    /// # Errors
    /// They could not be written.
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

    /// Passes over the next `len` bytes, which are right already. Called only for what [`existing`](Target::existing)
    /// gave to be read, after it was verified.
    ///
    /// # Errors
    /// They can't be kept. The default says so.
    fn keep(&mut self, len: u64) -> io::Result<()> {
        let _ = len;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Takes as the next `len` bytes those that were committed at the offset `from`, where it has a quicker way than
    /// reading and writing them. `false`, as by default, where it has none, and then nothing was done. Called only
    /// where what is committed [can be read back](Target::existing).
    ///
    /// # Errors
    /// They could not be read or written.
    fn copy(&mut self, from: u64, len: u64) -> io::Result<bool> {
        let _ = (from, len);
        Ok(false)
    }

    /// Makes what was written durable, and complete for everyone to see. Where it is `damaged`, zeros stand in for
    /// chunks that could not be had, and it must not look like a whole one.
    ///
    /// # Errors
    /// It is not certain that every byte is safe.
    fn finish(&mut self, damaged: bool) -> io::Result<()>;
}

/// What a [`Target`] holds before it is written to. It is believed only as far as it is verified.
///
/// Each but the first can be read, from several threads and while it is written to elsewhere, and gives back what was
/// committed.
#[derive(Clone)]
#[non_exhaustive]
pub enum Existing {
    /// It can't be read, as a pipe can't.
    WriteOnly,
    /// Nothing that is worth a look.
    Blank(Arc<dyn ReadAt>),
    /// Anything: perhaps the start of the same restore, which was cut off. It is looked at from the start, for as
    /// long as it is right.
    Resume(Arc<dyn ReadAt>),
    /// Something similar: it is looked at whole.
    Similar(Arc<dyn ReadAt>),
}

/// Bytes that can be read at any place, by several threads at once.
pub trait ReadAt: Send + Sync {
    /// Fills the whole buffer with the bytes from `offset` on.
    ///
    /// # Errors
    /// They can't be read; [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) where it ends before.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Where, at `offset` or after it, the first bytes are that may not be zeros; `None` where only zeros follow. The
    /// default has no idea, and says `offset`.
    ///
    /// # Errors
    /// It can't be read.
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
