//! TLS records: encrypts and decrypts in memory, without a socket. This is the only file that uses
//! rustls's unbuffered interface.
//!
//! The unbuffered interface lets records be decrypted in place, in a page-aligned buffer that one read of the socket fills.
//! The buffered interface of rustls 0.23 reads at most 4 KiB at once, and copies the plaintext once more.
//!
//! On its development branch rustls has removed the unbuffered interface (pull request 2905). There the ordinary client
//! connection does the same work: it decrypts in place in a buffer of the caller's, which implements `TlsInputBuffer`, and gives
//! the plaintext piece by piece by a `MessageHandler` (pull requests 2940 and 3149), and it appends what is to be sent, alerts
//! too, to a `Vec<u8>`. The names of its methods are not settled yet. With such a version this file alone needs to change:
//! `incoming` with `start` and `end` implements `TlsInputBuffer`, `step` drives the `MessageHandler`, and `outgoing` is the vector.

use std::mem;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, UnbufferedStatus, WriteTraffic,
};

use crate::memory::Buffer;

/// The size of the buffer that the socket is read into, in bytes. It holds several of the longest
/// records, of a bit more than 16 KiB, and the longest handshake message that rustls accepts, of 64
/// KiB.
const INCOMING_LEN: usize = 128 << 10;

/// A guess at how many bytes encryption adds to a short message.
const RECORD_EXTRA_LEN: usize = 64;

/// The most bytes of an alert. An alert, such as the goodbye, is a record of a few bytes.
const ALERT_LEN_MAX: usize = 256;

/// The two ends of one TLS connection in memory: bytes that were received and are not decrypted
/// yet, and bytes that are encrypted and not sent yet.
pub(super) struct Records {
    tls: UnbufferedClientConnection,
    incoming: Buffer,
    /// Where in `incoming` the bytes begin that are not decrypted yet.
    start: usize,
    end: usize,
    /// Encrypted bytes that are not written to the socket yet.
    outgoing: Vec<u8>,
    /// The peer said that it will send nothing more.
    is_closed: bool,
    /// rustls reported an error. After an error, rustls must not be called again.
    is_broken: bool,
    /// The alert that tells the peer about that error, until it is taken.
    alert: Option<Vec<u8>>,
}

/// What the connection waits for.
pub(super) enum Phase {
    Handshake,
    Traffic,
}

impl Records {
    /// A connection whose handshake has not begun.
    ///
    /// # Errors
    /// The configuration can't be used.
    pub(super) fn new(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Records, rustls::Error> {
        let tls = UnbufferedClientConnection::new(config, name)?;
        let mut incoming = Buffer::new();
        incoming.space(INCOMING_LEN);
        Ok(Records {
            tls,
            incoming,
            start: 0,
            end: 0,
            outgoing: Vec::new(),
            is_closed: false,
            is_broken: false,
            alert: None,
        })
    }

    /// Room for the next bytes from the socket. The room is empty if the peer sent a record that is
    /// too long, but rustls refuses such a record before that.
    pub(super) fn space(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end > INCOMING_LEN - INCOMING_LEN / 4 {
            self.incoming
                .bytes_mut()
                .copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        &mut self.incoming.bytes_mut()[self.end..]
    }

    /// Notes that `count` bytes were put into the [`space`](Records::space).
    pub(super) fn received(&mut self, count: usize) {
        self.end += count;
    }

    /// The last bytes that were received, decrypted or not.
    pub(super) fn last_received(&self) -> &[u8] {
        &self.incoming[..self.end]
    }

    /// The bytes that must be written to the socket.
    pub(super) fn outgoing(&self) -> &[u8] {
        &self.outgoing
    }

    /// Notes that all outgoing bytes were written to the socket, or never will be.
    pub(super) fn sent(&mut self) {
        self.outgoing.clear();
    }

    /// Whether the peer said that it will send nothing more.
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Decrypts everything that was received, then encrypts `plaintext`, if there is any, and
    /// appends it to the outgoing bytes.
    ///
    /// # Errors
    /// The error of rustls, and an error on each later call; an [`alert`](Records::take_alert) is
    /// ready after the first error.
    pub(super) fn advance(
        &mut self,
        plaintext: &[u8],
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<Phase, rustls::Error> {
        if self.is_broken {
            // A session gets here when it says goodbye after an error.
            return Err(rustls::Error::General("it is broken already".to_owned()));
        }
        loop {
            match self.step(plaintext, sink) {
                Ok(None) => {}
                Ok(Some(phase)) => return Ok(phase),
                Err(error) => {
                    self.is_broken = true;
                    self.alert = Some(self.encode_alert());
                    return Err(error);
                }
            }
        }
    }

    /// Does the next thing that rustls asks for. Once nothing is left to do, returns what the
    /// connection waits for.
    fn step(
        &mut self,
        plaintext: &[u8],
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<Option<Phase>, rustls::Error> {
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
                // The caller sends the outgoing bytes before it waits for anything.
                transmit.done();
                Ok(())
            }
            Ok(ConnectionState::WriteTraffic(traffic)) => {
                phase = Some(Phase::Traffic);
                encrypt(traffic, plaintext, &mut self.outgoing)
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
                // Both sides have closed the connection.
                phase = Some(Phase::Traffic);
                Ok(())
            }
            Err(error) => Err(error),
        };
        self.start += discard;
        result.map(|()| phase)
    }

    /// The alert that tells the peer why the connection ends, as rustls prepared it after an error;
    /// empty if rustls prepared none. `None` if there was no error, or the alert was taken before.
    pub(super) fn take_alert(&mut self) -> Option<Vec<u8>> {
        mem::take(&mut self.alert)
    }

    fn encode_alert(&mut self) -> Vec<u8> {
        let records = &mut self.incoming.bytes_mut()[self.start..self.end];
        let mut alert = vec![0; ALERT_LEN_MAX];
        let len = match self.tls.process_tls_records(records).state {
            Ok(ConnectionState::EncodeTlsData(mut encode)) => encode.encode(&mut alert).ok(),
            _ => None,
        };
        alert.truncate(len.unwrap_or(0));
        alert
    }

    /// The record that tells the peer that nothing more will be sent; empty if rustls can't make
    /// one now. `None` after an error.
    pub(super) fn goodbye(&mut self) -> Option<Vec<u8>> {
        if self.is_broken {
            return None;
        }
        let records = &mut self.incoming.bytes_mut()[self.start..self.end];
        let mut goodbye = vec![0; ALERT_LEN_MAX];
        let len = match self.tls.process_tls_records(records).state {
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                traffic.queue_close_notify(&mut goodbye).ok()
            }
            _ => None,
        };
        goodbye.truncate(len.unwrap_or(0));
        Some(goodbye)
    }
}

fn encrypt<Data>(
    mut traffic: WriteTraffic<'_, Data>,
    plaintext: &[u8],
    outgoing: &mut Vec<u8>,
) -> Result<(), rustls::Error> {
    if plaintext.is_empty() {
        return Ok(());
    }
    append(outgoing, plaintext.len() + RECORD_EXTRA_LEN, |space| {
        traffic
            .encrypt(plaintext, space)
            .map_err(|error| match error {
                EncryptError::InsufficientSize(more) => Some(more.required_size),
                EncryptError::EncryptExhausted => None,
            })
    })
}

/// Calls `write` to write at the end of a buffer. If there is too little room, `write` returns how
/// much it needs; if it can't write at all, it returns `None`.
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
