//! Any `io::Write` as a target: a pipe, a socket, memory.

use std::fmt;
use std::io::{self, Write};
use std::os::fd::AsFd;

use rustix::fs::{OFlags, fcntl_getfl, fstat, makedev};

use crate::cancel::Cancel;
use crate::target::Target;
use crate::target::poll::PollWriter;

/// Restores into any [`Write`]; zeros are written out.
///
/// A restore can't be cancelled while a write waits: where nobody may read a pipe or a socket, wrap
/// it in a [`PollWriter`]. Don't use [`Stdout`](std::io::Stdout) as the stream, since it looks for
/// line ends in the data: use [`StreamTarget::stdout`].
///
/// ```
/// use chunk_restore::StreamTarget;
/// use chunk_restore::target::Target;
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
    /// A target that writes to `stream`, and flushes the stream at the end of the restore.
    pub fn new(stream: W) -> StreamTarget<W> {
        StreamTarget { stream }
    }

    /// The stream, after everything that was written to it so far.
    pub fn into_inner(self) -> W {
        self.stream
    }
}

impl StreamTarget<PollWriter> {
    /// This program's standard output, without the buffer that Rust keeps before it. Once the
    /// restore is cancelled, the target no longer waits for the reader: hand the same [`Cancel`] to
    /// [`Restore::cancel`](crate::Restore::cancel).
    ///
    /// # Errors
    /// Standard output is closed. Where it is, Rust opens `/dev/null` for reading and writing in
    /// its place when a program starts. So a `/dev/null` that somebody else opened for reading and
    /// writing counts as closed too.
    pub fn stdout(cancel: &Cancel) -> io::Result<StreamTarget<PollWriter>> {
        let stdout = io::stdout().as_fd().try_clone_to_owned()?;
        let is_null = fstat(&stdout)?.st_rdev == makedev(1, 3);
        if is_null && fcntl_getfl(&stdout)?.contains(OFlags::RDWR) {
            return Err(io::Error::other(
                "it is closed, or /dev/null opened for reading too",
            ));
        }
        Ok(StreamTarget::new(PollWriter::new(stdout, cancel)?))
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
