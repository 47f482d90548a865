//! The server: its exports, its bounds, and the thread that accepts connections.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::panic::resume_unwind;
use std::thread::{self, Scope};
use std::time::Duration;

use super::codec::{ExportInfo, REQUEST_LEN_MAX, STRING_LEN_MAX};
use super::connection::serve;
use super::listener::{Listener, Pauses, is_unusable};
use super::peers::{Panic, Peers, Room};
use super::service::{FailureHook, Service};
use super::tally::{ServerReport, Tally};
use super::tls::Tls;
use crate::cancel::Cancel;
use crate::error::{Error, ErrorKind, Result};
use crate::read::Reader;

/// How many connections a server has at once unless it is told otherwise.
const CONNECTIONS_MAX: usize = 128;

/// How long a handshake may take unless the server is told otherwise.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// The lowest maximum of a read, in bytes.
const BLOCK_MAX_MIN: u64 = 1 << 20;
/// The maximum of a read is a multiple of this, in bytes.
const BLOCK_ALIGNMENT: u64 = 4096;

/// How often the cancel is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// How long outstanding requests may be answered after the cancel.
const LAST_ANSWERS: Duration = Duration::from_millis(400);

/// Serves archives over NBD. The [module's page](super) says how.
///
/// A server holds its readers, and with them their threads, for as long as it lives.
pub struct Server {
    service: Service,
    connections: usize,
}

impl Server {
    /// A server without exports and without TLS.
    #[must_use]
    pub fn new() -> Server {
        let service = Service {
            exports: Vec::new(),
            readers: Vec::new(),
            tls: None,
            handshake_limit: HANDSHAKE_LIMIT,
            block_max: REQUEST_LEN_MAX,
            tally: Tally::default(),
            failure_hook: FailureHook::default(),
        };
        Server {
            service,
            connections: CONNECTIONS_MAX,
        }
    }

    /// Adds an export. If there is only one, clients also get it by the empty name.
    ///
    /// Give the [`Cancel`] of [`run`](Server::run) to the reader too
    /// ([`Restore::cancel`](crate::Restore::cancel)): a read that waits for a place ends only with
    /// the reader's own cancel.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if the name is empty, longer than 4096 bytes, holds a NUL,
    /// or is taken.
    pub fn export(mut self, name: impl Into<String>, reader: Reader) -> Result<Server> {
        let name = name.into();
        let exports = &mut self.service.exports;
        let is_taken = exports.iter().any(|export| export.name == name);
        if name.is_empty() || name.len() > STRING_LEN_MAX || name.contains('\0') || is_taken {
            let reason = if is_taken {
                "is taken"
            } else {
                "is not allowed"
            };
            let message = format!("the export name {name:?} {reason}");
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        exports.push(ExportInfo {
            name,
            len: reader.len(),
        });
        self.service.readers.push(reader);
        Ok(self)
    }

    /// Forces clients to use TLS: before its start, a client learns nothing, not even the names of
    /// the exports.
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Server {
        self.service.tls = Some(tls);
        self
    }

    /// How many connections may be open at once; 128 by default, at least 1. If there are more, the
    /// oldest one whose handshake is not over yet is closed, or else the new one.
    #[must_use]
    pub fn connections(self, connections: usize) -> Server {
        Server {
            connections: connections.max(1),
            ..self
        }
    }

    /// How long a handshake may take, that of TLS included; 10 seconds by default.
    #[must_use]
    pub fn handshake_limit(mut self, limit: Duration) -> Server {
        self.service.handshake_limit = limit;
        self
    }

    /// The longest read that clients are told of, in bytes; 32 MiB by default and at the most, 1
    /// MiB at the least, and rounded down to a multiple of 4096. A fraction of the memory for
    /// chunks ([`Restore::memory`](crate::Restore::memory)) is a good choice. A client that does
    /// not ask for the maximum may read 32 MiB at once.
    #[must_use]
    pub fn block_max(mut self, bytes: u64) -> Server {
        let bytes = bytes.clamp(BLOCK_MAX_MIN, u64::from(REQUEST_LEN_MAX));
        let bytes = bytes - bytes % BLOCK_ALIGNMENT;
        self.service.block_max = u32::try_from(bytes).unwrap_or(REQUEST_LEN_MAX);
        self
    }

    /// Calls `hook` with the name of the export and the reason whenever the reader fails a read, since
    /// many clients show their users only that there was an I/O error. The threads of connections
    /// call the hook, several at once, and before the client hears of the failure. Reads that fail
    /// because of the cancel are among them.
    #[must_use]
    pub fn on_failure(mut self, hook: impl Fn(&str, &Error) + Send + Sync + 'static) -> Server {
        self.service.failure_hook = FailureHook::new(hook);
        self
    }

    /// Serves clients until `cancel` is cancelled, and returns within a second after that: then
    /// outstanding requests fail with `ESHUTDOWN`, all connections are closed, and all threads have
    /// ended. Several threads may run the same server, each with a listener of its own; each has
    /// [`connections`](Server::connections) of its own.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if there is no export;
    /// [`Unavailable`](ErrorKind::Unavailable) if the listener is of no use. The cancel is not an
    /// error, and nothing that a client does is. A client that can't be accepted, since the machine
    /// lacks something or a firewall refuses the client, is tried again after a pause of up to a second.
    ///
    /// # Panics
    /// Only where a reader panics.
    pub fn run(&self, listener: impl Into<Listener>, cancel: &Cancel) -> Result<()> {
        let listener = listener.into();
        if self.service.exports.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, "there is nothing to serve"));
        }
        let unusable = |error: io::Error| {
            let message = "cannot accept connections";
            Error::new(ErrorKind::Unavailable, message).because(error)
        };
        listener.prepare().map_err(unusable)?;
        let ended = thread::scope(|scope| {
            let mut peers = Peers::new(self.connections);
            let accepted = self.accept(scope, &listener, cancel, &mut peers);
            // Also after a failure or a panic: the scope waits for all threads.
            peers.end(LAST_ANSWERS).and(accepted)
        });
        match ended {
            Ok(result) => result.map_err(unusable),
            Err(panic) => resume_unwind(panic),
        }
    }

    /// What the server has done so far.
    #[must_use]
    pub fn report(&self) -> ServerReport {
        self.service.tally.report()
    }

    fn accept<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        listener: &Listener,
        cancel: &'scope Cancel,
        peers: &mut Peers<'scope>,
    ) -> Result<io::Result<()>, Panic> {
        let mut pauses = Pauses::new();
        while !cancel.is_cancelled() {
            let accepted = listener.accept(LOOK);
            if accepted.is_ok() {
                pauses = Pauses::new();
            }
            match accepted {
                Ok(None) => peers.reap()?,
                Ok(Some(socket)) => self.admit(scope, socket, cancel, peers)?,
                Err(error) if is_unusable(&error) => return Ok(Err(error)),
                Err(_) => {
                    // Connections that end make room.
                    peers.reap()?;
                    cancel.wait(pauses.next());
                }
            }
        }
        Ok(Ok(()))
    }

    fn admit<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        socket: OwnedFd,
        cancel: &'scope Cancel,
        peers: &mut Peers<'scope>,
    ) -> Result<(), Panic> {
        let room = peers.make_room()?;
        if room != Room::Free {
            self.service.tally.record_turned_away();
        }
        if room != Room::None {
            let service = &self.service;
            // If this machine has no threads left, the client is turned away.
            let started = peers.start(scope, socket, move |peer| serve(service, peer, cancel));
            if started.is_err() {
                self.service.tally.record_turned_away();
            }
        }
        Ok(())
    }
}

impl Default for Server {
    fn default() -> Server {
        Server::new()
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("exports", &self.service.exports)
            .field("tls", &self.service.tls)
            .field("connections", &self.connections)
            .field("handshake_limit", &self.service.handshake_limit)
            .field("block_max", &self.service.block_max)
            .field("report", &self.report())
            .finish()
    }
}
