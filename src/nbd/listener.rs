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
            // A client that went away again is nobody's failure.
            Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED | Errno::PROTO) => Ok(None),
            Err(error) => Err(error.into()),
        }
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
