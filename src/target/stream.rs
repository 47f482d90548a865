//! Any `io::Write` as a target: a pipe, a socket, memory. Knows nothing of files.

use std::fmt;
use std::io::{self, Write};

use crate::target::Target;

/// Restores into any [`Write`]; zeros are written out.
///
/// Don't hand it [`Stdout`](std::io::Stdout), which looks for line ends in what it is given: see
/// [`StreamTarget::stdout`].
///
/// ```
/// use chunk_restore::{StreamTarget, Target};
///
/// let mut target = StreamTarget::new(Vec::new());
/// target.write(b"chunk")?;
/// target.write_zeros(2)?;
/// target.finish(false)?;
/// assert_eq!(target.into_inner(), b"chunk\0\0");
/// # std::io::Result::Ok(())
/// ```
pub struct StreamTarget<W> {
    stream: W,
}

impl<W: Write> StreamTarget<W> {
    /// A target that writes to `stream`, and flushes it when it is finished.
    pub fn new(stream: W) -> StreamTarget<W> {
        StreamTarget { stream }
    }

    /// The stream, with all that was written to it so far.
    pub fn into_inner(self) -> W {
        self.stream
    }
}

#[cfg(unix)]
impl StreamTarget<std::fs::File> {
    /// This program's standard output, without the buffer that Rust keeps before it.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn stdout() -> io::Result<StreamTarget<std::fs::File>> {
        use std::os::fd::AsFd;
        let stdout = io::stdout().as_fd().try_clone_to_owned()?;
        Ok(StreamTarget::new(stdout.into()))
    }
}

impl<W: Write> Target for StreamTarget<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        self.stream.write_all(data)
    }

    fn finish(&mut self, _damaged: bool) -> io::Result<()> {
        self.stream.flush()
    }
}

impl<W> fmt::Debug for StreamTarget<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamTarget").finish_non_exhaustive()
    }
}
