//! A TLS connection over a socket: sends and receives plaintext.

use std::fmt;
use std::io;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use crate::cancel::Cancel;
use crate::error::FetchError;
use crate::net::acquaintance::Failure;
use crate::net::records::{Phase, Records};
use crate::net::socket::{SLICE, Socket, Wait, lost};
use crate::net::trouble::{broken, in_handshake, is_plain_http, plain_http};
#[cfg(feature = "pbs")]
use crate::rate_limit::RateLimit;

/// How long a web server may take to answer bytes that it takes for an empty request.
const PLAIN_ANSWER: Duration = Duration::from_secs(1);

/// A TLS connection whose handshake is done. It is closed properly when it is dropped.
pub(crate) struct TlsStream {
    socket: Socket,
    records: Records,
    /// Plaintext that came with the end of the handshake, before anybody asked for it.
    early: Vec<u8>,
}

/// The outcome of waiting for bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// At least one byte came, and was passed to the sink.
    Data,
    /// The peer closed the connection properly. Any other end of the connection is an error.
    Closed,
}

impl TlsStream {
    /// Does the TLS handshake over a socket that has just been connected.
    pub(super) fn shake_hands(
        socket: Socket,
        name: ServerName<'static>,
        config: Arc<ClientConfig>,
        wait: Wait<'_>,
    ) -> Result<TlsStream, Failure> {
        let begun = Instant::now();
        let deadline = wait.deadline();
        let records =
            Records::new(config, name).map_err(|error| in_handshake(socket.peer(), error))?;
        let mut stream = TlsStream {
            socket,
            records,
            early: Vec::new(),
        };
        let mut early = Vec::new();
        loop {
            let phase = stream.advance(&[], &mut |bytes| early.extend_from_slice(bytes));
            let phase = phase.map_err(|error| {
                if is_plain_http(stream.records.last_received()) {
                    return plain_http(stream.socket.peer(), begun.elapsed());
                }
                in_handshake(stream.socket.peer(), error).into()
            })?;
            stream.flush(wait)?;
            if let Phase::Traffic = phase {
                stream.early = early;
                return Ok(stream);
            }
            match stream.fill(deadline, wait.cancel)? {
                None => return Err(stream.unanswered(wait)),
                Some(0) => {
                    let cause = "it was closed during the TLS handshake";
                    return Err(lost(stream.socket.peer(), io::Error::other(cause)).into());
                }
                Some(_) => {}
            }
        }
    }

    /// The failure for a peer that does not answer. A peer that speaks plain HTTP may still wait
    /// for the end of the bytes that it takes for a request, so this sends such an end.
    fn unanswered(&mut self, wait: Wait<'_>) -> Failure {
        if self.records.last_received().is_empty() {
            self.socket.write_last(b"\r\n\r\n");
            let deadline = Instant::now() + PLAIN_ANSWER.min(wait.limit);
            match self.fill(deadline, wait.cancel) {
                Err(FetchError::Cancelled) => return FetchError::Cancelled.into(),
                Ok(Some(count)) if is_plain_http(&self.records.last_received()[..count]) => {
                    return plain_http(self.socket.peer(), Duration::ZERO);
                }
                _ => {}
            }
        }
        wait.timed_out(self.socket.peer()).into()
    }

    /// The name of the peer for messages.
    pub(crate) fn peer(&self) -> &str {
        self.socket.peer()
    }

    /// From now on, reads no faster than this throttle allows.
    #[cfg(feature = "pbs")]
    pub(crate) fn set_rate_limit(&mut self, rate_limit: &RateLimit) {
        self.socket.set_rate_limit(rate_limit);
    }

    /// The total time spent waiting for the peer to send something, without the time to handle the
    /// bytes.
    pub(crate) fn waited(&self) -> Duration {
        self.socket.waited()
    }

    /// Waits until plaintext has come, and passes it to the sink record by record: everything that
    /// one read brought. Returns `None` if no whole record has come at the deadline. If the
    /// deadline has passed already, this only takes the bytes that are there, and does not wait.
    ///
    /// # Errors
    /// [`FetchError::Unreachable`] if the connection breaks, or ends without the close that TLS
    /// requires; [`FetchError::Cancelled`].
    pub(crate) fn receive_until(
        &mut self,
        deadline: Instant,
        cancel: &Cancel,
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<Option<Received>, FetchError> {
        if !self.early.is_empty() {
            sink(&mem::take(&mut self.early));
            return Ok(Some(Received::Data));
        }
        loop {
            let mut came = false;
            let advanced = self.advance(&[], &mut |bytes| {
                came |= !bytes.is_empty();
                sink(bytes);
            });
            advanced.map_err(|error| broken(self.socket.peer(), error))?;
            if came {
                return Ok(Some(Received::Data));
            }
            if self.records.is_closed() {
                return Ok(Some(Received::Closed));
            }
            if !self.records.outgoing().is_empty() {
                // The peer asked for new keys. The answer is a few bytes that any socket takes.
                let left = deadline.saturating_duration_since(Instant::now());
                self.flush(Wait {
                    cancel,
                    limit: left.max(SLICE),
                    what: "room for an answer",
                })?;
            }
            match self.fill(deadline, cancel)? {
                None => return Ok(None),
                Some(0) => {
                    let cause = io::ErrorKind::UnexpectedEof;
                    return Err(lost(self.socket.peer(), cause.into()));
                }
                Some(_) => {}
            }
        }
    }

    /// Sends all bytes.
    ///
    /// # Errors
    /// [`FetchError::Unreachable`] if the peer takes nothing within the limit, or the connection
    /// breaks; [`FetchError::Cancelled`].
    pub(crate) fn send(&mut self, bytes: &[u8], wait: Wait<'_>) -> Result<(), FetchError> {
        let mut early = mem::take(&mut self.early);
        let advanced = self.advance(bytes, &mut |bytes| early.extend_from_slice(bytes));
        self.early = early;
        advanced.map_err(|error| broken(self.socket.peer(), error))?;
        self.flush(wait)
    }

    /// Decrypts everything that was read, then encrypts `plaintext`, if there is any, and appends
    /// it to the outgoing bytes. After an error the peer is told why the connection ends.
    fn advance(
        &mut self,
        plaintext: &[u8],
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<Phase, rustls::Error> {
        let advanced = self.records.advance(plaintext, sink);
        if let Some(alert) = self.records.take_alert() {
            self.end(&alert);
        }
        advanced
    }

    /// Reads from the socket once: `None` at the deadline, 0 at the end.
    fn fill(&mut self, deadline: Instant, cancel: &Cancel) -> Result<Option<usize>, FetchError> {
        let space = self.records.space();
        if space.is_empty() {
            let cause = io::Error::other("it sent a record that is too long");
            return Err(lost(self.socket.peer(), cause));
        }
        let count = self.socket.read(space, deadline, cancel)?;
        self.records.received(count.unwrap_or(0));
        Ok(count)
    }

    fn flush(&mut self, wait: Wait<'_>) -> Result<(), FetchError> {
        let written = self.socket.write_all(self.records.outgoing(), wait);
        self.records.sent();
        written
    }

    /// Writes a last record, as far as that is possible without waiting.
    fn end(&self, record: &[u8]) {
        if !record.is_empty() {
            self.socket.write_last(record);
        }
        self.socket.shut_down();
    }
}

impl Drop for TlsStream {
    /// Tells the peer that the connection is closed.
    fn drop(&mut self) {
        if let Some(goodbye) = self.records.goodbye() {
            self.end(&goodbye);
        }
    }
}

impl fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TlsStream({})", self.socket.peer())
    }
}
