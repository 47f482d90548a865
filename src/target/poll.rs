//! Writes to a pipe or socket that nobody may read, and can be cancelled meanwhile. Knows nothing of targets.

use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags, fcntl_getfl, fstat, open};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};

use crate::cancel::Cancel;

/// How long it may wait without looking whether it was cancelled: 100 milliseconds.
const GLANCE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

/// So many bytes go into a pipe at once that has room for anything.
const PIPE_BUF: usize = 4096;

/// Writes to a descriptor, and fails within a second once it is cancelled, also where the other end of a pipe, a socket or
/// a terminal takes nothing.
///
/// It takes blocking and non-blocking descriptors, and leaves them as they are: others may have them too.
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
    /// The last write took less than all: it is polled before the next.
    is_full: bool,
    cancel: Cancel,
}

/// How to write without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// It is not blocking.
    Free,
    /// A little at a time, when there is room.
    Little,
    Send,
    /// It waits for nobody but a disk or a device.
    Plain,
}

impl PollWriter {
    /// Writes to a file, a pipe, a socket, or whatever the descriptor is of.
    ///
    /// # Errors
    /// It can't be looked at.
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

    /// Waits until there is room, or an error to be told.
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

/// The same once more, not blocking, for this writer alone. Only where `/proc` is there, and permission.
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

    /// Where it can't be opened once more, as a pipe that another user has made.
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
