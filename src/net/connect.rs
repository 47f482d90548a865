//! Makes a TCP connection from a host's name, without ever blocking for long.
//!
//! Failures are told apart by their cause: nobody is at the host, the failure may pass, or this
//! machine lacks a resource.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::thread;
use std::time::Instant;

use crossbeam_channel::{RecvTimeoutError, bounded};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt};

use crate::cancel::Cancel;
use crate::error::{Error, ErrorKind};
use crate::error::{FetchError, is_ours};
use crate::net::acquaintance::Failure;
use crate::net::socket::{SLICE, Wait, check};

/// The most addresses that are tried, since each needs its share of the time.
const MOST_ADDRESSES: usize = 8;

/// Connects to a host, at the first of its addresses that answers. The limit is for all addresses
/// together: each address gets an equal share of the time that is left. `peer` names the host in
/// messages.
pub(super) fn open(
    host: &str,
    port: u16,
    peer: &str,
    wait: Wait<'_>,
) -> Result<TcpStream, Failure> {
    let deadline = wait.deadline();
    let addresses = resolve(host, port, peer, deadline, wait)?;
    let mut last = None;
    for (at, address) in addresses.iter().enumerate() {
        let others = addresses.len() - at;
        let left = deadline.saturating_duration_since(Instant::now());
        let share = Instant::now() + left / u32::try_from(others).unwrap_or(u32::MAX);
        match connect_to(address, share, wait.cancel)? {
            Ok(stream) => return Ok(stream),
            Err(error) if is_lack(&error, address) => {
                return Err(lacking(cannot_connect(peer), error));
            }
            Err(error) => last = Some(error),
        }
    }
    Err(match last {
        Some(error) if is_passing(&error) => {
            FetchError::unreachable(unavailable(cannot_connect(peer)).because(error)).into()
        }
        Some(error) => Failure::NobodyThere(unavailable(cannot_connect(peer)).because(error)),
        None => Failure::NobodyThere(
            unavailable(cannot_connect(peer)).because("the name has no address"),
        ),
    })
}

/// Whether a server may be there in spite of the error: a server that is busy, or about to restart,
/// is silent or hangs up.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::TimedOut
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::NotConnected
            | io::ErrorKind::BrokenPipe
    )
}

fn cannot_connect(peer: &str) -> String {
    format!("cannot connect to {peer}")
}

fn unavailable(message: String) -> Error {
    Error::new(ErrorKind::Unavailable, message)
}

/// Whether this machine lacks a resource that it needs to connect to an address.
fn is_lack(error: &io::Error, address: &SocketAddr) -> bool {
    // With IPv4 there is always a local address to connect from, so the error means that the ports
    // are used up.
    let no_port = address.is_ipv4() && error.kind() == io::ErrorKind::AddrNotAvailable;
    no_port || is_ours(error)
}

fn lacking(message: String, cause: io::Error) -> Failure {
    let error = Error::new(ErrorKind::Resources, message).because(cause);
    FetchError::Resources(error.into()).into()
}

/// Asks the system's resolver on a thread of its own, since nothing can interrupt the resolver. If
/// the caller stops waiting, that thread ends by itself when the resolver gives up.
fn resolve(
    host: &str,
    port: u16,
    peer: &str,
    deadline: Instant,
    wait: Wait<'_>,
) -> Result<Vec<SocketAddr>, Failure> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let name = host.to_owned();
    let look_up = move || {
        let found = (name.as_str(), port).to_socket_addrs();
        found.map(|found| found.take(MOST_ADDRESSES).collect())
    };
    wait_for(look_up, peer, deadline, wait)
}

fn wait_for(
    look_up: impl FnOnce() -> io::Result<Vec<SocketAddr>> + Send + 'static,
    peer: &str,
    deadline: Instant,
    wait: Wait<'_>,
) -> Result<Vec<SocketAddr>, Failure> {
    let (sender, receiver) = bounded(1);
    let message = format!("cannot find the address of {peer}");
    let resolver = thread::Builder::new().name("resolve".to_owned());
    let spawned = resolver.spawn(move || {
        let _ = sender.send(look_up());
    });
    if let Err(error) = spawned {
        return Err(lacking(message, error));
    }
    loop {
        check(wait.cancel)?;
        let left = deadline.saturating_duration_since(Instant::now());
        match receiver.recv_timeout(left.min(SLICE)) {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(error)) => {
                return Err(match lack_of_sockets(&error) {
                    Some(lack) => lacking(message, lack),
                    None => Failure::NobodyThere(unavailable(message).because(error)),
                });
            }
            Err(RecvTimeoutError::Timeout) if left.is_zero() => {
                let cause = io::Error::from(io::ErrorKind::TimedOut);
                return Err(FetchError::unreachable(unavailable(message).because(cause)).into());
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                let error = unavailable(message).because("the resolver panicked");
                return Err(FetchError::unreachable(error).into());
            }
        }
    }
}

/// The shortage that made the resolver fail, if there was one. The resolver does not report it: if
/// it can't open a socket or a file, it reports an unknown name.
fn lack_of_sockets(error: &io::Error) -> Option<io::Error> {
    if let Some(code) = error.raw_os_error().filter(|_| is_ours(error)) {
        return Some(io::Error::from_raw_os_error(code));
    }
    let socket = socket_with(
        AddressFamily::INET,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    );
    let error = io::Error::from(socket.err()?);
    is_ours(&error).then_some(error)
}

/// Connects to one address. The outer error ends the whole attempt, the inner one concerns this
/// address only.
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
        // The name may also stand for ::1, where nobody listens.
        let opened = open("localhost", port, "localhost", wait(&Cancel::new()));
        assert!(opened.is_ok(), "one of its addresses listens");
    }

    fn why<T>(result: Result<T, Failure>) -> FetchError {
        match result {
            Ok(_) => panic!("it should fail"),
            Err(Failure::Other(error)) => error,
            Err(Failure::NobodyThere(error) | Failure::BeyondProxy(error)) => {
                FetchError::Fatal(error.into())
            }
        }
    }

    #[test]
    fn nobody_is_where_a_connection_is_refused() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has ports");
        let port = listener.local_addr().expect("it is bound").port();
        drop(listener);
        let refused = open("127.0.0.1", port, "the peer", wait(&Cancel::new()));
        assert!(matches!(refused, Err(Failure::NobodyThere(_))));
    }

    #[test]
    fn a_lookup_that_fails_for_want_of_something_is_not_an_unknown_name() {
        let cancel = Cancel::new();
        let wait = wait(&cancel);
        let deadline = wait.deadline();
        let look_up = || Err(io::Error::from(Errno::MFILE));
        let lacking = why(wait_for(look_up, "pbs", deadline, wait));
        assert!(matches!(lacking, FetchError::Resources(_)), "{lacking:?}");
        let look_up = || Err(io::Error::other("no such name"));
        let unknown = wait_for(look_up, "pbs", deadline, wait);
        assert!(matches!(unknown, Err(Failure::NobodyThere(_))));
    }

    /// The error from waiting for a lookup that hangs until the caller has given up.
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
            why(result)
        })
    }

    #[test]
    fn a_lookup_that_hangs_is_left_behind_on_cancel_and_at_the_deadline() {
        let cancelled = hanging_lookup(Duration::from_secs(3600), Cancel::cancel);
        assert!(matches!(cancelled, FetchError::Cancelled), "{cancelled:?}");
        let late = hanging_lookup(Duration::from_millis(20), |_| {});
        assert!(matches!(late, FetchError::Unreachable(_)), "{late:?}");
    }

    #[test]
    fn a_cancelled_connect_is_not_begun() {
        let cancel = Cancel::new();
        cancel.cancel();
        let cancelled = why(open("localhost", 1, "localhost", wait(&cancel)));
        assert!(matches!(cancelled, FetchError::Cancelled), "{cancelled:?}");
    }
}
