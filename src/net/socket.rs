//! A TCP connection that is read and written in short slices of time, until a deadline or a cancel.

use std::io::{self, ErrorKind::*, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::cancel::Cancel;
use crate::error::{Error, ErrorKind};
use crate::error::{FetchError, is_ours};
use crate::rate_limit::RateLimit;

/// The longest time that a call blocks before it looks at the cancel.
pub(super) const SLICE: Duration = Duration::from_millis(250);

/// How long to wait for something, and what may end it early.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait<'a> {
    pub(crate) cancel: &'a Cancel,
    pub(crate) limit: Duration,
    /// What is awaited, as messages name it: `the answer`.
    pub(crate) what: &'a str,
}

impl Wait<'_> {
    pub(crate) fn deadline(&self) -> Instant {
        let now = Instant::now();
        // A limit beyond the clock's range is as good as none, and so is a year.
        now.checked_add(self.limit)
            .unwrap_or(now + Duration::from_secs(365 * 86400))
    }

    pub(crate) fn timed_out(&self, peer: &str) -> FetchError {
        let message = format!(
            "waited {:?} for {} of {peer} in vain",
            self.limit, self.what
        );
        FetchError::unreachable(Error::new(ErrorKind::Unavailable, message))
    }
}

/// A connected socket in blocking mode.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    /// The time-out that is set on the socket.
    slice: Duration,
    peer: String,
    waited: Duration,
    rate_limit: RateLimit,
}

impl Socket {
    /// `peer` is the name of the peer in messages.
    pub(super) fn new(stream: TcpStream, peer: String) -> io::Result<Socket> {
        stream.set_read_timeout(Some(SLICE))?;
        stream.set_write_timeout(Some(SLICE))?;
        Ok(Socket {
            stream,
            slice: SLICE,
            peer,
            waited: Duration::ZERO,
            rate_limit: RateLimit::default(),
        })
    }

    pub(super) fn peer(&self) -> &str {
        &self.peer
    }

    /// The total time spent waiting for the peer to send something.
    pub(super) fn waited(&self) -> Duration {
        self.waited
    }

    /// Reads the bytes that are there, or else waits for the first ones: `None` at the deadline, 0
    /// at the end. This looks for bytes at least once, however late it is, so a delay of this
    /// machine is never blamed on the peer.
    pub(super) fn read(
        &mut self,
        space: &mut [u8],
        deadline: Instant,
        cancel: &Cancel,
    ) -> Result<Option<usize>, FetchError> {
        check(cancel)?;
        let allowed = self.rate_limit.may_read(space.len(), cancel)?;
        let read = self.read_some(&mut space[..allowed], deadline, cancel);
        let count = read.as_ref().ok().copied().flatten();
        self.rate_limit
            .record_read(allowed, count.unwrap_or_default());
        read
    }

    /// From now on, reads no faster than this throttle allows.
    pub(super) fn set_rate_limit(&mut self, rate_limit: &RateLimit) {
        self.rate_limit = rate_limit.clone();
    }

    fn read_some(
        &mut self,
        space: &mut [u8],
        deadline: Instant,
        cancel: &Cancel,
    ) -> Result<Option<usize>, FetchError> {
        loop {
            check(cancel)?;
            let left = deadline.saturating_duration_since(Instant::now());
            let outcome = if left.is_zero() {
                recv(&self.stream, &mut *space, RecvFlags::DONTWAIT)
                    .map(|(_, count)| count)
                    .map_err(io::Error::from)
            } else {
                self.block_for(left).and_then(|()| self.wait_for(space))
            };
            match outcome {
                Ok(count) => return Ok(Some(count)),
                Err(error) => match error.kind() {
                    WouldBlock | TimedOut if left <= SLICE => return Ok(None),
                    WouldBlock | TimedOut | Interrupted => {}
                    _ => return Err(self.broken(error)),
                },
            }
        }
    }

    /// Writes all bytes. It is an error if the peer does not take them within the limit.
    pub(super) fn write_all(&mut self, mut bytes: &[u8], wait: Wait<'_>) -> Result<(), FetchError> {
        let mut deadline = wait.deadline();
        while !bytes.is_empty() {
            check(wait.cancel)?;
            match self.stream.write(bytes) {
                Ok(count) => {
                    bytes = &bytes[count..];
                    deadline = wait.deadline();
                }
                Err(error) => match error.kind() {
                    WouldBlock | TimedOut if Instant::now() >= deadline => {
                        return Err(wait.timed_out(&self.peer));
                    }
                    WouldBlock | TimedOut | Interrupted => {}
                    _ => return Err(self.broken(error)),
                },
            }
        }
        Ok(())
    }

    /// Writes as many bytes as the kernel takes at once. A failure no longer matters.
    pub(super) fn write_last(&self, bytes: &[u8]) {
        let _ = send(
            &self.stream,
            bytes,
            SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
        );
    }

    /// Tells the peer that nothing follows, and reads the bytes that have come. If a socket is
    /// closed with unread bytes, the connection is reset, and the peer would log a failure.
    pub(super) fn shut_down(&self) {
        const MOST: usize = 64;
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
        let mut rest = [0; 4096];
        for _ in 0..MOST {
            match recv(&self.stream, &mut rest, RecvFlags::DONTWAIT) {
                Ok((_, count)) if count > 0 => {}
                _ => break,
            }
        }
    }

    fn wait_for(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let begun = Instant::now();
        let outcome = self.stream.read(space);
        // Time beyond the time-out was lost by this machine, so it does not count.
        self.waited += begun.elapsed().min(self.slice);
        outcome
    }

    fn block_for(&mut self, left: Duration) -> io::Result<()> {
        let slice = left.clamp(Duration::from_millis(1), SLICE);
        if slice != self.slice {
            self.stream.set_read_timeout(Some(slice))?;
            self.slice = slice;
        }
        Ok(())
    }

    fn broken(&self, error: io::Error) -> FetchError {
        lost(&self.peer, error)
    }
}

/// The error for a connection to a peer that broke, or that this machine could not go on with.
pub(super) fn lost(peer: &str, cause: io::Error) -> FetchError {
    let message = format!("lost the connection to {peer}");
    if is_ours(&cause) {
        let error = Error::new(ErrorKind::Resources, message).because(cause);
        return FetchError::Resources(error.into());
    }
    FetchError::unreachable(Error::new(ErrorKind::Unavailable, message).because(cause))
}

pub(super) fn check(cancel: &Cancel) -> Result<(), FetchError> {
    if cancel.is_cancelled() {
        return Err(FetchError::Cancelled);
    }
    Ok(())
}
