//! Where restored bytes go. Knows nothing of chunks or of where they come from.

pub(crate) mod file;
pub(crate) mod stream;

use std::io;

/// Where restored bytes go: implement it to restore into something new.
///
/// A target is used by one thread, and gets every byte exactly once, in order, without gaps: hence no offsets. Only
/// verified bytes reach it. [`finish`](Target::finish) is called once, after the last byte, and not at all where a
/// restore fails: what was not finished must not look complete.
pub trait Target {
    /// Gets ready for `len` bytes.
    ///
    /// # Errors
    /// The target can't take them.
    fn begin(&mut self, len: u64) -> io::Result<()> {
        let _ = len;
        Ok(())
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

    /// Makes what was written durable, and complete for everyone to see.
    ///
    /// # Errors
    /// It is not certain that every byte is safe.
    fn finish(&mut self) -> io::Result<()>;
}
