//! Where a server listens: on a unix socket, on a TCP port, or on a socket that was handed over.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use chunk_restore::nbd::Listener;
use listenfd::ListenFd;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rustix::net::{AddressFamily, SocketType};
use serde_json::json;

use crate::arguments::Serve;
use crate::failure::Failure;
use crate::output::Output;
use crate::serve::socket::{self, Socket};

/// The characters that stand for themselves in each part of a URI.
const PLAIN: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// The same in a path.
const PATH: AsciiSet = PLAIN.remove(b'/');

/// Where a server is to listen, as the command line or the environment says.
#[derive(Debug)]
pub(crate) enum Wish {
    NewFolder,
    Socket { path: PathBuf, group: Option<u32> },
    Port(SocketAddr),
    Given(Given),
}

/// A socket that a service manager or a client handed over (socket activation).
#[derive(Debug)]
pub(crate) enum Given {
    Unix(UnixListener),
    Tcp(TcpListener, SocketAddr),
}

/// Where a server listens.
#[derive(Debug)]
pub(crate) enum Endpoint {
    Socket(Socket),
    Port(SocketAddr),
    /// A unix socket that was handed over. Whoever made it knows its path.
    Given,
}

impl Wish {
    /// Reads the wish, and refuses it if it would let strangers in.
    pub(crate) fn of(serve: &Serve) -> Result<Wish, Failure> {
        let given = Given::take()?;
        let is_said = serve.socket.is_some() || serve.listen.is_some();
        let wish = match (given, &serve.socket, serve.listen) {
            (Some(_), ..) if is_said => {
                return Err(Failure::usage(
                    "a socket was handed over (LISTEN_FDS), so --socket and --listen have no place",
                ));
            }
            (Some(given), ..) => Wish::Given(given),
            (None, Some(path), _) => Wish::Socket {
                path: path.clone(),
                group: serve
                    .socket_group
                    .as_deref()
                    .map(socket::group)
                    .transpose()?,
            },
            (None, None, Some(address)) => Wish::Port(address),
            (None, None, None) => Wish::NewFolder,
        };
        match wish.address() {
            Some(address) => check(address, serve)?,
            None if serve.allow_unauthenticated => {
                return Err(Failure::usage(
                    "--allow-unauthenticated has no place without --listen",
                ));
            }
            None => {}
        }
        Ok(wish)
    }

    fn address(&self) -> Option<SocketAddr> {
        match self {
            Wish::Port(address) | Wish::Given(Given::Tcp(_, address)) => Some(*address),
            _ => None,
        }
    }

    /// Begins to listen.
    pub(crate) fn listen(self) -> Result<(Listener, Endpoint), Failure> {
        let (listener, socket) = match self {
            Wish::NewFolder => Socket::in_new_folder()?,
            Wish::Socket { path, group } => Socket::at(&path, group)?,
            Wish::Port(address) => {
                let failed = |error| Failure::target(format!("cannot listen on {address}"), &error);
                let listener = TcpListener::bind(address).map_err(failed)?;
                let address = listener.local_addr().map_err(failed)?;
                return Ok((listener.into(), Endpoint::Port(address)));
            }
            Wish::Given(Given::Tcp(listener, address)) => {
                return Ok((listener.into(), Endpoint::Port(address)));
            }
            Wish::Given(Given::Unix(listener)) => return Ok((listener.into(), Endpoint::Given)),
        };
        Ok((listener.into(), Endpoint::Socket(socket)))
    }
}

impl Given {
    /// The socket that was handed over to this process, if one was.
    fn take() -> Result<Option<Given>, Failure> {
        let mut given = ListenFd::from_env();
        if given.len() > 1 {
            return Err(Failure::usage(format!(
                "{} sockets were handed over (LISTEN_FDS), and this program serves on one",
                given.len()
            )));
        }
        let unusable = |error: io::Error| {
            let message = "the socket that was handed over (LISTEN_FDS) is of no use";
            Failure::usage(message).because(&error)
        };
        if let Ok(Some(listener)) = given.take_unix_listener(0) {
            return Ok(Some(Given::Unix(listener)));
        }
        let tcp = given.take_tcp_listener(0).or_else(|_| {
            let (family, sort) = (AddressFamily::INET6, SocketType::STREAM);
            given.take_custom(
                0,
                family.as_raw().into(),
                sort.as_raw() as i32,
                "tcp socket",
            )
        });
        match tcp.map_err(unusable)? {
            Some(listener) => {
                let address = listener.local_addr().map_err(unusable)?;
                Ok(Some(Given::Tcp(listener, address)))
            }
            None => Ok(None),
        }
    }
}

/// Refuses an address that others than this machine's users could reach, unless clients must show a
/// certificate or the user wants it so.
fn check(address: SocketAddr, serve: &Serve) -> Result<(), Failure> {
    let is_open = serve.tls_client_ca.is_none() && !serve.allow_unauthenticated;
    if is_open && !is_loopback(address) {
        return Err(Failure::usage(format!(
            "everybody who reaches {address} could read the disks, since NBD has no passwords"
        ))
        .advises(
            "have clients show a certificate, by --tls-cert, --tls-key and --tls-client-ca; or let everybody in, by --allow-unauthenticated",
        ));
    }
    Ok(())
}

fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

impl Endpoint {
    /// Says who can read the disks, where it is more than this user.
    pub(crate) fn warn(&self, asks_clients: bool, output: &Output) {
        let Endpoint::Port(address) = self else {
            return;
        };
        if asks_clients {
            return;
        }
        let whoever = match is_loopback(*address) {
            true => "all users of this machine",
            false => "everybody who reaches this address",
        };
        output.warn(
            format!("{whoever} can read the disks at {address}: NBD has no passwords"),
            &json!({ "event": "unauthenticated", "address": address.to_string() }),
        );
    }

    /// The URI of an export; `None` if only the client knows where the server is.
    pub(crate) fn uri(&self, export: &str, has_tls: bool) -> Option<String> {
        let scheme = if has_tls { "nbds" } else { "nbd" };
        let export = percent_encode(export.as_bytes(), &PLAIN);
        match self {
            Endpoint::Socket(socket) => {
                let path = percent_encode(socket.path().as_os_str().as_bytes(), &PATH);
                Some(format!("{scheme}+unix:///{export}?socket={path}"))
            }
            Endpoint::Port(address) => Some(format!("{scheme}://{address}/{export}")),
            Endpoint::Given => None,
        }
    }
}
