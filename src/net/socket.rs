//! A TCP connection that is read and written in short slices, until a deadline or a cancel. Knows nothing of TLS.

use std::io::{self, ErrorKind::*, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::cancel::Cancel;
use crate::error::{Error, ErrorKind};
use crate::error::{FetchError, is_ours};
use crate::rate_limit::RateLimit;

/// The longest time that anything blocks without a look at the cancel.
pub(super) const SLICE: Duration = Duration::from_millis(250);

/// How long to wait for something, and what may end it early.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait<'a> {
    pub(crate) cancel: &'a Cancel,
    pub(crate) limit: Duration,
    /// What is waited for, for the message: `the answer`.
    pub(crate) what: &'a str,
}

impl Wait<'_> {
    pub(crate) fn deadline(&self) -> Instant {
        let now = Instant::now();
        // A limit beyond the clock's range is as good as none; a year is too.
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
    /// What the socket's time-outs are set to.
    slice: Duration,
    peer: String,
    waited: Duration,
    throttle: RateLimit,
}

impl Socket {
    /// `peer` is its name in messages.
    pub(super) fn new(stream: TcpStream, peer: String) -> io::Result<Socket> {
        stream.set_read_timeout(Some(SLICE))?;
        stream.set_write_timeout(Some(SLICE))?;
        Ok(Socket {
            stream,
            slice: SLICE,
            peer,
            waited: Duration::ZERO,
            throttle: RateLimit::default(),
        })
    }

    pub(super) fn peer(&self) -> &str {
        &self.peer
    }

    /// How much time was spent with waiting for the peer to send something.
    pub(super) fn waited(&self) -> Duration {
        self.waited
    }

    /// Reads what is there, or else what comes first: `None` at the deadline, 0 at the end. Looks at least once,
    /// however late it is, so time that this machine lost is never blamed on the peer.
    pub(super) fn read(
        &mut self,
        space: &mut [u8],
        deadline: Instant,
        cancel: &Cancel,
    ) -> Result<Option<usize>, FetchError> {
        check(cancel)?;
        let allowed = self.throttle.may_read(space.len(), cancel)?;
        let read = self.read_some(&mut space[..allowed], deadline, cancel);
        let count = read.as_ref().ok().copied().flatten();
        self.throttle.came(allowed, count.unwrap_or_default());
        read
    }

    /// Of what comes after this no more is read than this lets.
    pub(super) fn heed(&mut self, throttle: &RateLimit) {
        self.throttle = throttle.clone();
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

    /// Writes everything. What the peer does not take within the limit is an error.
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

    /// Writes what the kernel takes at once; a failure concerns nobody any more.
    pub(super) fn write_last(&self, bytes: &[u8]) {
        let _ = send(
            &self.stream,
            bytes,
            SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
        );
    }

    /// Says that nothing follows, and takes what has come, since a socket that is closed over unread bytes resets the
    /// connection, and the peer would log a failure.
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
        // Whatever was longer than it should be was time that this machine lost.
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

/// The connection to a peer broke, or this machine could not go on with it.
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
