//! From a host's name to a TCP connection, without ever blocking for long. Knows nothing of what is spoken over it.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::thread;
use std::time::Instant;

use crossbeam_channel::{RecvTimeoutError, bounded};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt};

use crate::backend::FetchError;
use crate::backend::tls::address::authority;
use crate::backend::tls::socket::{SLICE, Wait, check};
use crate::cancel::Cancel;
use crate::error::{Error, ErrorKind};

/// More addresses than this are not tried: each needs its share of the time.
const MOST_ADDRESSES: usize = 8;

/// Connects to a host, by the first of its addresses that answers. The limit is for everything together: each address
/// gets an equal share of what is left of it.
pub(super) fn open(host: &str, port: u16, wait: Wait<'_>) -> Result<TcpStream, FetchError> {
    let deadline = wait.deadline();
    let peer = authority(host, port);
    let addresses = resolve(host, port, deadline, wait)?;
    let mut last = None;
    for (at, address) in addresses.iter().enumerate() {
        let others = addresses.len() - at;
        let left = deadline.saturating_duration_since(Instant::now());
        let share = Instant::now() + left / u32::try_from(others).unwrap_or(u32::MAX);
        match connect_to(address, share, wait.cancel)? {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Some(error),
        }
    }
    let cannot = Error::new(ErrorKind::Unavailable, format!("cannot connect to {peer}"));
    Err(FetchError::transient(match last {
        Some(error) => cannot.because(error),
        None => cannot.because("the name has no address"),
    }))
}

/// Asks the system's resolver on a thread of its own, since nothing can interrupt it: where it is not waited for any
/// longer, that thread ends by itself when the resolver gives up.
fn resolve(
    host: &str,
    port: u16,
    deadline: Instant,
    wait: Wait<'_>,
) -> Result<Vec<SocketAddr>, FetchError> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let name = host.to_owned();
    let look_up = move || {
        let found = (name.as_str(), port).to_socket_addrs();
        found.map(|found| found.take(MOST_ADDRESSES).collect())
    };
    wait_for(look_up, host, deadline, wait)
}

fn wait_for(
    look_up: impl FnOnce() -> io::Result<Vec<SocketAddr>> + Send + 'static,
    host: &str,
    deadline: Instant,
    wait: Wait<'_>,
) -> Result<Vec<SocketAddr>, FetchError> {
    let (sender, receiver) = bounded(1);
    let cannot = |cause: io::Error| {
        let message = format!("cannot find the address of {host}");
        FetchError::transient(Error::new(ErrorKind::Unavailable, message).because(cause))
    };
    let resolver = thread::Builder::new().name("resolve".to_owned());
    let spawned = resolver.spawn(move || {
        let _ = sender.send(look_up());
    });
    spawned.map_err(cannot)?;
    loop {
        check(wait.cancel)?;
        let left = deadline.saturating_duration_since(Instant::now());
        match receiver.recv_timeout(left.min(SLICE)) {
            Ok(found) => return found.map_err(cannot),
            Err(RecvTimeoutError::Timeout) if left.is_zero() => {
                return Err(cannot(io::ErrorKind::TimedOut.into()));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(cannot(io::Error::other("the resolver panicked")));
            }
        }
    }
}

/// The outer error ends the whole attempt, the inner one concerns this address.
fn connect_to(
    address: &SocketAddr,
    deadline: Instant,
    cancel: &Cancel,
) -> Result<io::Result<TcpStream>, FetchError> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = match socket_with(family, SocketType::STREAM, flags, None) {
        Ok(socket) => socket,
        Err(error) => return Ok(Err(error.into())),
    };
    match connect(&socket, address) {
        Ok(()) => {}
        Err(Errno::INPROGRESS | Errno::INTR) => loop {
            check(cancel)?;
            let left = deadline.saturating_duration_since(Instant::now());
            let slice = Timespec::try_from(left.min(SLICE)).expect("a slice is less than a second");
            match poll(&mut [PollFd::new(&socket, PollFlags::OUT)], Some(&slice)) {
                Ok(0) if left.is_zero() => return Ok(Err(io::ErrorKind::TimedOut.into())),
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => match sockopt::socket_error(&socket) {
                    Ok(Ok(())) => break,
                    Ok(Err(error)) | Err(error) => return Ok(Err(error.into())),
                },
                Err(error) => return Ok(Err(error.into())),
            }
        },
        Err(error) => return Ok(Err(error.into())),
    }
    let stream = TcpStream::from(socket);
    let ready = (stream.set_nonblocking(false)).and_then(|()| stream.set_nodelay(true));
    Ok(ready.map(|()| stream))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::Duration;

    use super::*;

    fn wait(cancel: &Cancel) -> Wait<'_> {
        Wait {
            cancel,
            limit: Duration::from_secs(10),
            what: "a connection",
        }
    }

    #[test]
    fn every_address_of_a_name_is_tried() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has ports");
        let port = listener.local_addr().expect("it is bound").port();
        // It may also stand for ::1, where nobody listens.
        open("localhost", port, wait(&Cancel::new())).expect("one of its addresses listens");
    }

    #[test]
    fn a_refused_connection_may_work_later() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has ports");
        let port = listener.local_addr().expect("it is bound").port();
        drop(listener);
        let refused = open("127.0.0.1", port, wait(&Cancel::new()));
        assert!(
            matches!(refused, Err(FetchError::Transient { .. })),
            "{refused:?}"
        );
    }

    /// What comes of waiting for a lookup that does not end before it was given up; then it must end.
    fn hanging_lookup(limit: Duration, meanwhile: impl FnOnce(&Cancel)) -> FetchError {
        let cancel = Cancel::new();
        let (begin, begun) = bounded::<()>(1);
        let (end, ended) = bounded::<()>(0);
        let look_up = move || {
            let _ = begin.send(());
            let _ = ended.recv();
            Ok(Vec::new())
        };
        thread::scope(|scope| {
            let wait = wait(&cancel);
            let deadline = Instant::now() + limit;
            let waiting = scope.spawn(move || wait_for(look_up, "pbs", deadline, wait));
            begun.recv().expect("the lookup begins");
            meanwhile(&cancel);
            let result = waiting.join().expect("it does not panic");
            drop(end);
            result.expect_err("there is no answer")
        })
    }

    #[test]
    fn a_lookup_that_hangs_is_left_behind_on_cancel_and_at_the_deadline() {
        let cancelled = hanging_lookup(Duration::from_secs(3600), Cancel::cancel);
        assert!(matches!(cancelled, FetchError::Cancelled), "{cancelled:?}");
        let late = hanging_lookup(Duration::from_millis(20), |_| {});
        assert!(matches!(late, FetchError::Transient { .. }), "{late:?}");
    }

    #[test]
    fn a_cancelled_connect_is_not_begun() {
        let cancel = Cancel::new();
        cancel.cancel();
        let cancelled = open("localhost", 1, wait(&cancel));
        assert!(
            matches!(cancelled, Err(FetchError::Cancelled)),
            "{cancelled:?}"
        );
    }
}
