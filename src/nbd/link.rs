//! A connected socket whose reads and writes can be ended by another thread.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};

/// The longest time that a blocked write does not notice that it is to end.
const WRITE_SLICE: Duration = Duration::from_millis(100);

/// How many unread bytes are taken before a connection is closed.
const LEFTOVER_MAX: usize = 256 << 10;

const OPEN: u8 = 0;
const DRAINING: u8 = 1;
const STOPPED: u8 = 2;

/// One connection's socket. Any number of threads may use it.
#[derive(Debug)]
pub(super) struct Link {
    socket: OwnedFd,
    /// Becomes readable when reads are to end, and stays so.
    wake: OwnedFd,
    state: AtomicU8,
}

impl Link {
    pub(super) fn new(socket: OwnedFd) -> io::Result<Link> {
        Ok(Link {
            socket,
            wake: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            state: AtomicU8::new(OPEN),
        })
    }

    /// Waits for bytes. Returns 0 at the end of the connection, and after [`drain`](Link::drain) or
    /// [`stop`](Link::stop).
    ///
    /// # Errors
    /// The connection is broken, or nothing came until the deadline.
    pub(super) fn receive(&self, space: &mut [u8], deadline: Option<Instant>) -> io::Result<usize> {
        loop {
            if self.state.load(SeqCst) != OPEN {
                return Ok(0);
            }
            match recv(&self.socket, &mut *space, RecvFlags::DONTWAIT) {
                Ok((_, count)) => return Ok(count),
                Err(Errno::AGAIN) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            let mut awaited = [
                PollFd::new(&self.socket, PollFlags::IN),
                PollFd::new(&self.wake, PollFlags::IN),
            ];
            wait(&mut awaited, left(deadline)?)?;
        }
    }

    /// Writes all bytes, and waits for the peer to take them.
    ///
    /// # Errors
    /// The connection is broken, the peer did not take the bytes until the deadline, or somebody
    /// called [`stop`](Link::stop).
    pub(super) fn send(&self, mut bytes: &[u8], deadline: Option<Instant>) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.state.load(SeqCst) == STOPPED {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match send(&self.socket, bytes, flags) {
                Ok(count) => {
                    bytes = &bytes[count..];
                    continue;
                }
                Err(Errno::AGAIN) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            let slice = left(deadline)?.map_or(WRITE_SLICE, |left| left.min(WRITE_SLICE));
            wait(
                &mut [PollFd::new(&self.socket, PollFlags::OUT)],
                Some(slice),
            )?;
        }
        Ok(())
    }

    /// Ends all reads, now and later. Writes go on.
    pub(super) fn drain(&self) {
        let changed = self.state.compare_exchange(OPEN, DRAINING, SeqCst, SeqCst);
        if changed.is_ok() {
            self.wake();
        }
    }

    /// Ends all reads and writes, now and later.
    pub(super) fn stop(&self) {
        self.state.store(STOPPED, SeqCst);
        self.wake();
        // The peer may be gone already.
        let _ = shutdown(&self.socket, Shutdown::Both);
    }

    /// Whether somebody called [`stop`](Link::stop).
    pub(super) fn is_stopped(&self) -> bool {
        self.state.load(SeqCst) == STOPPED
    }

    /// Tells the peer that nothing follows, and takes the bytes that have come. If a socket is
    /// closed with unread bytes, the connection is reset, and the peer may lose the last replies.
    pub(super) fn finish(&self) {
        let _ = shutdown(&self.socket, Shutdown::Write);
        let mut rest = [0; 4096];
        for _ in 0..LEFTOVER_MAX / rest.len() {
            match recv(&self.socket, &mut rest, RecvFlags::DONTWAIT) {
                Ok((_, count)) if count > 0 => {}
                _ => break,
            }
        }
    }

    fn wake(&self) {
        // It fails only if it is readable already.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }
}

/// The time until the deadline.
fn left(deadline: Option<Instant>) -> io::Result<Option<Duration>> {
    let Some(deadline) = deadline else {
        return Ok(None);
    };
    match deadline.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
        left => Ok(Some(left)),
    }
}

/// Waits until something happens, or the time is up.
pub(super) fn wait(awaited: &mut [PollFd<'_>], limit: Option<Duration>) -> io::Result<()> {
    let limit = limit.map(|limit| Timespec::try_from(limit).unwrap_or(Timespec::default()));
    match poll(awaited, limit.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;
    use std::thread;

    use super::*;

    fn pair() -> (Link, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (Link::new(ours.into()).unwrap(), theirs)
    }

    #[test]
    fn bytes_go_both_ways_and_the_end_is_seen() {
        let (link, mut peer) = pair();
        peer.write_all(b"hello").unwrap();
        let mut space = [0; 16];
        assert_eq!(link.receive(&mut space, None).unwrap(), 5);
        link.send(b"world", None).unwrap();
        link.finish();
        let mut received = Vec::new();
        peer.read_to_end(&mut received).unwrap();
        assert_eq!(received, b"world");
        drop(peer);
        assert_eq!(link.receive(&mut space, None).unwrap(), 0);
    }

    #[test]
    fn a_deadline_ends_a_read_and_a_write() {
        let (link, _peer) = pair();
        let soon = || Some(Instant::now() + Duration::from_millis(10));
        let error = link.receive(&mut [0; 16], soon()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let error = link.send(&vec![0; 16 << 20], soon()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn draining_ends_a_read_that_waits_and_lets_writes_go_on() {
        let (link, mut peer) = pair();
        thread::scope(|scope| {
            let reading = scope.spawn(|| link.receive(&mut [0; 16], None).unwrap());
            link.drain();
            assert_eq!(reading.join().unwrap(), 0);
        });
        link.send(b"last", None).unwrap();
        let mut received = [0; 4];
        peer.read_exact(&mut received).unwrap();
        assert_eq!(&received, b"last");
    }

    #[test]
    fn stopping_ends_a_write_that_the_peer_does_not_take() {
        let (link, _peer) = pair();
        thread::scope(|scope| {
            let writing = scope.spawn(|| link.send(&vec![0; 16 << 20], None).unwrap_err());
            link.stop();
            writing.join().unwrap();
        });
        assert_eq!(link.receive(&mut [0; 16], None).unwrap(), 0);
    }
}
