//! A TLS connection: plaintext in and out, over a socket. Knows nothing of what is said.

use std::fmt;
use std::io;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};

use crate::cancel::Cancel;
use crate::error::FetchError;
use crate::memory::Buffer;
use crate::net::acquaintance::Failure;
use crate::net::socket::{SLICE, Socket, Wait, lost};
use crate::net::trouble::{broken, in_handshake, is_plain_http, plain_http};
#[cfg(feature = "pbs")]
use crate::rate_limit::RateLimit;

/// How much is read from the socket at once. It holds several of the longest records, 16 KiB and some, and the
/// longest handshake message that rustls takes, 64 KiB.
const INCOMING: usize = 128 << 10;

/// How long a web server may take to answer what it sees as an empty request.
const PLAIN_ANSWER: Duration = Duration::from_secs(1);

/// A TLS connection whose handshake is done. Closed politely when it is dropped.
///
/// It uses rustls's unbuffered interface: records are read into one page-aligned buffer and decrypted in place there.
/// The buffered one reads at most 4 KiB at once.
pub(crate) struct TlsStream {
    socket: Socket,
    tls: UnbufferedClientConnection,
    incoming: Buffer,
    /// Where in `incoming` the bytes lie that are not decrypted yet.
    start: usize,
    end: usize,
    /// Encrypted, and not yet written to the socket.
    outgoing: Vec<u8>,
    /// Plaintext that came before anybody asked, with the end of the handshake.
    early: Vec<u8>,
    /// The peer said that it will send nothing more.
    is_closed: bool,
    /// rustls reported an error, after which it is not to be asked for anything.
    is_broken: bool,
}

/// What came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// At least one byte, which the sink has got.
    Data,
    /// The proper end of everything. An improper one is an error.
    Closed,
}

/// What the connection waits for.
enum Phase {
    Handshake,
    Traffic,
}

impl TlsStream {
    /// Shakes hands over a socket that has just been connected.
    pub(super) fn shake_hands(
        socket: Socket,
        name: ServerName<'static>,
        config: Arc<ClientConfig>,
        wait: Wait<'_>,
    ) -> Result<TlsStream, Failure> {
        let begun = Instant::now();
        let deadline = wait.deadline();
        let tls = UnbufferedClientConnection::new(config, name)
            .map_err(|error| in_handshake(socket.peer(), error))?;
        let mut incoming = Buffer::new();
        incoming.space(INCOMING);
        let mut stream = TlsStream {
            socket,
            tls,
            incoming,
            start: 0,
            end: 0,
            outgoing: Vec::new(),
            early: Vec::new(),
            is_closed: false,
            is_broken: false,
        };
        let mut early = Vec::new();
        loop {
            let phase = stream.advance(&[], &mut |bytes| early.extend_from_slice(bytes));
            let phase = phase.map_err(|error| {
                if is_plain_http(&stream.incoming[..stream.end]) {
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

    /// For a peer that does not answer. One that speaks plain HTTP may still wait for the end of what it takes for a
    /// request.
    fn unanswered(&mut self, wait: Wait<'_>) -> Failure {
        if self.end == 0 {
            self.socket.write_last(b"\r\n\r\n");
            let deadline = Instant::now() + PLAIN_ANSWER.min(wait.limit);
            match self.fill(deadline, wait.cancel) {
                Err(FetchError::Cancelled) => return FetchError::Cancelled.into(),
                Ok(Some(count)) if is_plain_http(&self.incoming[..count]) => {
                    return plain_http(self.socket.peer(), Duration::ZERO);
                }
                _ => {}
            }
        }
        wait.timed_out(self.socket.peer()).into()
    }

    /// The peer, as messages name it.
    pub(crate) fn peer(&self) -> &str {
        self.socket.peer()
    }

    /// Reads no more from here on than a throttle lets it.
    #[cfg(feature = "pbs")]
    pub(crate) fn heed(&mut self, throttle: &RateLimit) {
        self.socket.heed(throttle);
    }

    /// How much time was spent in all with waiting for the peer to send something, and not with what came.
    pub(crate) fn waited(&self) -> Duration {
        self.socket.waited()
    }

    /// Waits until plaintext has come, and gives it to the sink record by record: all that one read brought; `None` at the
    /// deadline, which is for one record at the least to come whole. A deadline that has passed means: take what is
    /// there, and don't wait.
    ///
    /// # Errors
    /// [`FetchError::Unreachable`] where the connection breaks, or ends without the close that TLS wants;
    /// [`FetchError::Cancelled`].
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
            if self.is_closed {
                return Ok(Some(Received::Closed));
            }
            if !self.outgoing.is_empty() {
                // New keys, which the peer asked for: some bytes that any socket takes.
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

    /// Sends all of it.
    ///
    /// # Errors
    /// [`FetchError::Unreachable`] where the peer takes nothing within the limit, or the connection breaks;
    /// [`FetchError::Cancelled`].
    pub(crate) fn send(&mut self, bytes: &[u8], wait: Wait<'_>) -> Result<(), FetchError> {
        let mut early = mem::take(&mut self.early);
        let advanced = self.advance(bytes, &mut |bytes| early.extend_from_slice(bytes));
        self.early = early;
        advanced.map_err(|error| broken(self.socket.peer(), error))?;
        self.flush(wait)
    }

    /// Decrypts all that was read, then encrypts `plaintext`, if any, behind what is outgoing.
    fn advance(
        &mut self,
        plaintext: &[u8],
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<Phase, rustls::Error> {
        if self.is_broken {
            // As for the goodbye of a session.
            return Err(rustls::Error::General("it is broken already".to_owned()));
        }
        loop {
            let records = &mut self.incoming.bytes_mut()[self.start..self.end];
            let UnbufferedStatus { mut discard, state } = self.tls.process_tls_records(records);
            let mut phase = None;
            let result = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
                    match traffic.next_record() {
                        None => break Ok(()),
                        Some(Err(error)) => break Err(error),
                        Some(Ok(record)) => {
                            discard += record.discard;
                            sink(record.payload);
                        }
                    }
                },
                Ok(ConnectionState::EncodeTlsData(mut encode)) => {
                    append(&mut self.outgoing, 0, |space| {
                        encode.encode(space).map_err(|error| match error {
                            EncodeError::InsufficientSize(more) => Some(more.required_size),
                            EncodeError::AlreadyEncoded => None,
                        })
                    })
                }
                Ok(ConnectionState::TransmitTlsData(transmit)) => {
                    // What is outgoing is sent before anything is waited for.
                    transmit.done();
                    Ok(())
                }
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    phase = Some(Phase::Traffic);
                    if plaintext.is_empty() {
                        Ok(())
                    } else {
                        append(
                            &mut self.outgoing,
                            plaintext.len() + RECORD_EXTRA,
                            |space| {
                                traffic
                                    .encrypt(plaintext, space)
                                    .map_err(|error| match error {
                                        EncryptError::InsufficientSize(more) => {
                                            Some(more.required_size)
                                        }
                                        EncryptError::EncryptExhausted => None,
                                    })
                            },
                        )
                    }
                }
                Ok(ConnectionState::BlockedHandshake) => {
                    phase = Some(Phase::Handshake);
                    Ok(())
                }
                Ok(ConnectionState::PeerClosed) => {
                    self.is_closed = true;
                    Ok(())
                }
                Ok(_) => {
                    // Closed by both sides.
                    phase = Some(Phase::Traffic);
                    Ok(())
                }
                Err(error) => Err(error),
            };
            self.start += discard;
            if let Err(error) = result {
                self.is_broken = true;
                self.write_alert();
                return Err(error);
            }
            if let Some(phase) = phase {
                return Ok(phase);
            }
        }
    }

    /// One read from the socket: `None` at the deadline, 0 at the end.
    fn fill(&mut self, deadline: Instant, cancel: &Cancel) -> Result<Option<usize>, FetchError> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end > INCOMING - INCOMING / 4 {
            self.incoming
                .bytes_mut()
                .copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let space = &mut self.incoming.bytes_mut()[self.end..];
        if space.is_empty() {
            // rustls refuses whatever is too long before that.
            let cause = io::Error::other("it sent a record that is too long");
            return Err(lost(self.socket.peer(), cause));
        }
        let count = self.socket.read(space, deadline, cancel)?;
        self.end += count.unwrap_or(0);
        Ok(count)
    }

    fn flush(&mut self, wait: Wait<'_>) -> Result<(), FetchError> {
        let written = self.socket.write_all(&self.outgoing, wait);
        self.outgoing.clear();
        written
    }

    /// Tells the peer why the connection ends, as rustls has prepared it after an error.
    fn write_alert(&mut self) {
        let records = &mut self.incoming.bytes_mut()[self.start..self.end];
        let state = self.tls.process_tls_records(records).state;
        if let Ok(ConnectionState::EncodeTlsData(mut encode)) = state {
            let mut alert = [0; 256];
            if let Ok(len) = encode.encode(&mut alert) {
                self.socket.write_last(&alert[..len]);
            }
        }
        self.socket.shut_down();
    }
}

impl Drop for TlsStream {
    /// Says goodbye, as far as that can be done without waiting.
    fn drop(&mut self) {
        if self.is_broken {
            return;
        }
        let records = &mut self.incoming.bytes_mut()[self.start..self.end];
        let state = self.tls.process_tls_records(records).state;
        if let Ok(ConnectionState::WriteTraffic(mut traffic)) = state {
            let mut goodbye = [0; 256];
            if let Ok(len) = traffic.queue_close_notify(&mut goodbye) {
                self.socket.write_last(&goodbye[..len]);
            }
        }
        self.socket.shut_down();
    }
}

impl fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TlsStream({})", self.socket.peer())
    }
}

/// A guess at what encryption adds to a short message.
const RECORD_EXTRA: usize = 64;

/// Has something write itself at the end of a buffer; where there is too little room it says how much it needs, and
/// where it can't be written at all, nothing.
fn append(
    buffer: &mut Vec<u8>,
    mut room: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, Option<usize>>,
) -> Result<(), rustls::Error> {
    let len = buffer.len();
    loop {
        buffer.resize(len + room, 0);
        match write(&mut buffer[len..]) {
            Ok(written) => {
                buffer.truncate(len + written);
                return Ok(());
            }
            Err(Some(needed)) if needed > room => room = needed,
            Err(_) => {
                buffer.truncate(len);
                return Err(rustls::Error::EncryptError);
            }
        }
    }
}
