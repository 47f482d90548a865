//! Writes to a pipe or socket that nobody may read, and can be cancelled while it waits.

use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags, fcntl_getfl, fstat, open};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};

use crate::cancel::Cancel;

/// How long a write may wait before it checks again whether it was cancelled: 100 milliseconds.
const GLANCE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

/// A pipe that has room for anything takes this many bytes at once.
const PIPE_BUF: usize = 4096;

/// Writes to a descriptor, and fails within a second once it is cancelled, even where the reader of
/// a pipe, a socket or a terminal takes nothing.
///
/// It works with blocking and non-blocking descriptors, and does not change which they are, since
/// other programs may use the same ones.
///
/// ```
/// use std::io::Write;
/// use chunk_restore::target::PollWriter;
/// use chunk_restore::{Cancel, StreamTarget};
///
/// let (_reader, writer) = std::io::pipe()?;
/// let cancel = Cancel::new();
/// let mut target = StreamTarget::new(PollWriter::new(writer, &cancel)?);
/// # std::io::Result::Ok(())
/// ```
pub struct PollWriter {
    file: File,
    way: Way,
    /// Whether the last write took less than all its bytes. If so, the next write waits for room
    /// first.
    is_full: bool,
    cancel: Cancel,
}

/// How to write without blocking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// The descriptor is not blocking.
    Free,
    /// The descriptor is blocking: write a little at a time, when there is room.
    Little,
    Send,
    /// The descriptor waits for nobody but a disk or a device, so it is written to as usual.
    Plain,
}

impl PollWriter {
    /// A writer to a file, a pipe, a socket, or whatever the descriptor belongs to.
    ///
    /// # Errors
    /// The descriptor's state can't be read.
    pub fn new(descriptor: impl Into<OwnedFd>, cancel: &Cancel) -> io::Result<PollWriter> {
        let descriptor = descriptor.into();
        let file_type = FileType::from_raw_mode(fstat(&descriptor)?.st_mode);
        let is_free = fcntl_getfl(&descriptor)?.contains(OFlags::NONBLOCK);
        let (way, own) = match file_type {
            FileType::Socket => (Way::Send, None),
            _ if is_free => (Way::Free, None),
            FileType::Fifo => reopen(&descriptor).map_or((Way::Little, None), free),
            _ if descriptor.is_terminal() => reopen(&descriptor).map_or((Way::Little, None), free),
            _ => (Way::Plain, None),
        };
        Ok(PollWriter {
            file: own.unwrap_or(descriptor).into(),
            way,
            is_full: false,
            cancel: cancel.clone(),
        })
    }

    fn check_cancelled(&self) -> io::Result<()> {
        match self.cancel.is_cancelled() {
            true => Err(io::Error::other("cancelled")),
            false => Ok(()),
        }
    }

    /// Waits until there is room, or until a write would return an error.
    fn wait(&self) -> io::Result<()> {
        loop {
            self.check_cancelled()?;
            match poll(
                &mut [PollFd::new(&self.file, PollFlags::OUT)],
                Some(&GLANCE),
            ) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn try_write(&self, data: &[u8]) -> io::Result<usize> {
        match self.way {
            Way::Send => {
                let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
                Ok(send(&self.file, data, flags)?)
            }
            Way::Little => (&self.file).write(&data[..data.len().min(PIPE_BUF)]),
            Way::Free | Way::Plain => (&self.file).write(data),
        }
    }
}

/// Opens the descriptor's file again, non-blocking, for this writer alone. This needs `/proc`, and
/// permission.
fn reopen(descriptor: &OwnedFd) -> Option<OwnedFd> {
    let path = format!("/proc/self/fd/{}", descriptor.as_raw_fd());
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    open(path, flags, Mode::empty()).ok()
}

fn free(own: OwnedFd) -> (Way, Option<OwnedFd>) {
    (Way::Free, Some(own))
}

impl Write for PollWriter {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.check_cancelled()?;
        loop {
            if self.is_full || self.way == Way::Little {
                self.wait()?;
            }
            match self.try_write(data) {
                Ok(written) => {
                    self.is_full = written < data.len() && self.way != Way::Plain;
                    return Ok(written);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.is_full = true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    self.check_cancelled()?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for PollWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PollWriter")
            .field("way", &self.way)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::thread;

    use super::*;

    /// A pipe can't always be opened again, for example one that another user has made.
    #[test]
    fn a_pipe_that_blocks_is_never_waited_for() -> io::Result<()> {
        let (mut reader, writer) = io::pipe()?;
        let cancel = Cancel::new();
        let mut stream = PollWriter::new(writer.try_clone()?, &cancel)?;
        (stream.way, stream.file) = (Way::Little, OwnedFd::from(writer).into());
        let full = thread::spawn(move || {
            let error = stream.write_all(&[7; 200_000]).err();
            (stream, error)
        });
        let mut came = vec![0; 100_000];
        reader.read_exact(&mut came)?;
        cancel.cancel();
        let (stream, error) = full.join().expect("it does not panic");
        assert_eq!(error.map(|error| error.kind()), Some(io::ErrorKind::Other));
        drop(stream);
        reader.read_to_end(&mut came)?;
        assert!(came.len() < 200_000 && came.iter().all(|byte| *byte == 7));
        Ok(())
    }
}
