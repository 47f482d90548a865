//! A socket that waits for clients.

use std::fmt;
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with, sockopt};

use super::link::wait;

/// How long a TCP connection is silent before the system asks whether the peer is still there.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
/// How long the system waits between such questions.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// How many such questions may stay unanswered.
const KEEPALIVE_COUNT: u32 = 6;

/// The errors of a listening socket that can never accept a client. All others are of one client, or
/// of the machine, and pass.
const UNUSABLE: [Errno; 5] = [
    Errno::BADF,
    Errno::FAULT,
    Errno::INVAL,
    Errno::NOTSOCK,
    Errno::OPNOTSUPP,
];

/// How long a server waits after the first failure to accept a client; then twice as long each time.
const PAUSE_MIN: Duration = Duration::from_millis(1);
/// The longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// A listening socket, made from a [`UnixListener`] or a [`TcpListener`].
///
/// For a socket that a service manager hands over (socket activation), make one of these from its
/// descriptor: `UnixListener::from(descriptor)`.
pub struct Listener {
    socket: OwnedFd,
    is_tcp: bool,
}

impl Listener {
    /// Calls that would wait return at once from now on.
    pub(super) fn prepare(&self) -> io::Result<()> {
        let flags = fcntl_getfl(&self.socket)?;
        Ok(fcntl_setfl(&self.socket, flags | OFlags::NONBLOCK)?)
    }

    /// Waits for a client, at most for `limit`.
    pub(super) fn accept(&self, limit: Duration) -> io::Result<Option<OwnedFd>> {
        wait(&mut [PollFd::new(&self.socket, PollFlags::IN)], Some(limit))?;
        match accept_with(&self.socket, SocketFlags::CLOEXEC) {
            Ok(socket) => {
                if self.is_tcp {
                    // Without these options the connection works too.
                    let _ = tune(&socket);
                }
                Ok(Some(socket))
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether a failure to accept a client means that no client can ever be accepted.
pub(super) fn is_unusable(error: &io::Error) -> bool {
    Errno::from_io_error(error).is_some_and(|errno| UNUSABLE.contains(&errno))
}

/// The pauses after failures to accept a client, which grow with each failure in a row.
#[derive(Debug)]
pub(super) struct Pauses {
    next: Duration,
}

impl Pauses {
    /// Before the first failure.
    pub(super) fn new() -> Pauses {
        Pauses { next: PAUSE_MIN }
    }

    /// How long to wait after one more failure.
    pub(super) fn next(&mut self) -> Duration {
        let pause = self.next;
        self.next = (2 * pause).min(PAUSE_MAX);
        pause
    }
}

/// Sends replies at once, and notices a peer whose machine is gone.
fn tune(socket: &OwnedFd) -> rustix::io::Result<()> {
    sockopt::set_tcp_nodelay(socket, true)?;
    sockopt::set_socket_keepalive(socket, true)?;
    sockopt::set_tcp_keepidle(socket, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(socket, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(socket, KEEPALIVE_COUNT)
}

impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Listener {
        Listener {
            socket: listener.into(),
            is_tcp: false,
        }
    }
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Listener {
        Listener {
            socket: listener.into(),
            is_tcp: true,
        }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener")
            .field("is_tcp", &self.is_tcp)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_listener_of_no_use_is_given_up() {
        for errno in [Errno::BADF, Errno::INVAL, Errno::NOTSOCK, Errno::OPNOTSUPP] {
            assert!(is_unusable(&errno.into()), "{errno}");
        }
        let passing = [
            // A firewall refuses the client; the client or its network went away.
            Errno::PERM,
            Errno::CONNABORTED,
            Errno::PROTO,
            Errno::NETDOWN,
            Errno::HOSTUNREACH,
            Errno::TIMEDOUT,
            // The machine lacks something.
            Errno::MFILE,
            Errno::NFILE,
            Errno::NOBUFS,
            Errno::NOMEM,
        ];
        for errno in passing {
            assert!(!is_unusable(&errno.into()), "{errno}");
        }
        assert!(!is_unusable(&io::Error::other("of no system call")));
    }

    #[test]
    fn pauses_grow_up_to_a_bound() {
        let mut pauses = Pauses::new();
        let first: Vec<_> = (0..3).map(|_| pauses.next().as_millis()).collect();
        assert_eq!(first, [1, 2, 4]);
        assert_eq!((0..20).map(|_| pauses.next()).last(), Some(PAUSE_MAX));
    }
}
