//! The bytes of a connection, in the clear or over TLS. One thread receives, while any number of
//! threads send.

use std::io::{self, Read as _, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use rustls::{ServerConfig, ServerConnection};

use super::link::Link;

/// The most bytes that are received at once.
const RECEIVE_MAX: usize = 16 << 10;

/// The most bytes that are encrypted before they are sent.
const ENCRYPT_MAX: usize = 64 << 10;

/// How long a peer may take for the last bytes of a connection.
const FAREWELL: Duration = Duration::from_millis(250);

/// Sends and receives plaintext.
pub(super) struct Channel<'a> {
    link: &'a Link,
    /// Never locked while something waits for the peer: the thread that receives needs it too.
    tls: Option<Mutex<ServerConnection>>,
    /// Held while a message is sent, so that messages of different threads don't mix. Holds bytes
    /// that are encrypted and not yet sent.
    sending: Mutex<Vec<u8>>,
}

/// The right to send one message.
pub(super) struct Sending<'a> {
    channel: &'a Channel<'a>,
    encrypted: MutexGuard<'a, Vec<u8>>,
}

impl<'a> Channel<'a> {
    /// A connection in the clear.
    pub(super) fn plain(link: &'a Link) -> Channel<'a> {
        Channel {
            link,
            tls: None,
            sending: Mutex::default(),
        }
    }

    /// Does the server's part of a TLS handshake.
    ///
    /// # Errors
    /// The client does not speak TLS, lacks a certificate that is trusted, or is not done at the
    /// deadline.
    pub(super) fn secure(
        link: &'a Link,
        config: &Arc<ServerConfig>,
        deadline: Option<Instant>,
    ) -> io::Result<Channel<'a>> {
        let mut tls = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
        // No more than `ENCRYPT_MAX` is given to it at once.
        tls.set_buffer_limit(None);
        let mut encrypted = Vec::new();
        let mut space = [0; RECEIVE_MAX];
        loop {
            take_encrypted(&mut tls, &mut encrypted)?;
            link.send(&encrypted, deadline)?;
            encrypted.clear();
            if !tls.is_handshaking() {
                break;
            }
            let count = link.receive(&mut space, deadline)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let mut received = &space[..count];
            while !received.is_empty() {
                tls.read_tls(&mut received)?;
                if let Err(error) = tls.process_new_packets() {
                    // The alert says why.
                    take_encrypted(&mut tls, &mut encrypted)?;
                    link.send(&encrypted, deadline)?;
                    return Err(io::Error::other(error));
                }
            }
        }
        Ok(Channel {
            link,
            tls: Some(Mutex::new(tls)),
            sending: Mutex::new(encrypted),
        })
    }

    /// Waits for bytes, and appends them to `into`. Returns 0 at the end of the connection. Only
    /// one thread may call this at a time.
    ///
    /// # Errors
    /// The connection is broken, or nothing came until the deadline.
    pub(super) fn receive(
        &self,
        into: &mut Vec<u8>,
        deadline: Option<Instant>,
    ) -> io::Result<usize> {
        let before = into.len();
        let mut space = [0; RECEIVE_MAX];
        let Some(tls) = &self.tls else {
            let count = self.link.receive(&mut space, deadline)?;
            into.extend_from_slice(&space[..count]);
            return Ok(count);
        };
        // Plaintext may have come with the end of the handshake.
        let mut is_closed = decrypt(&mut tls.lock(), &[], into)?;
        while into.len() == before && !is_closed {
            let count = self.link.receive(&mut space, deadline)?;
            if count == 0 {
                break;
            }
            is_closed = decrypt(&mut tls.lock(), &space[..count], into)?;
        }
        Ok(into.len() - before)
    }

    /// Waits until no other thread sends.
    pub(super) fn begin(&self) -> Sending<'_> {
        Sending {
            channel: self,
            encrypted: self.sending.lock(),
        }
    }

    /// Sends one message.
    ///
    /// # Errors
    /// The connection is broken, or the peer did not take the message until the deadline.
    pub(super) fn send(&self, message: &[u8], deadline: Option<Instant>) -> io::Result<()> {
        self.begin().send(message, deadline)
    }

    /// Tells the peer that the connection ends.
    pub(super) fn close(&self) {
        if let Some(tls) = &self.tls {
            let mut encrypted = self.sending.lock();
            let mut tls = tls.lock();
            tls.send_close_notify();
            if take_encrypted(&mut tls, &mut encrypted).is_ok() {
                // The connection ends in either case.
                let deadline = Instant::now() + FAREWELL;
                let _ = self.link.send(&encrypted, Some(deadline));
            }
        }
        self.link.finish();
    }

    /// Ends the connection at once, for all threads.
    pub(super) fn abort(&self) {
        self.link.stop();
    }

    /// Whether the connection was ended at once.
    pub(super) fn is_aborted(&self) -> bool {
        self.link.is_stopped()
    }
}

impl Sending<'_> {
    /// Sends a part of the message.
    ///
    /// # Errors
    /// The connection is broken, or the peer did not take the bytes until the deadline.
    pub(super) fn send(&mut self, bytes: &[u8], deadline: Option<Instant>) -> io::Result<()> {
        let Some(tls) = &self.channel.tls else {
            return self.channel.link.send(bytes, deadline);
        };
        for part in bytes.chunks(ENCRYPT_MAX) {
            {
                let mut tls = tls.lock();
                tls.writer().write_all(part)?;
                take_encrypted(&mut tls, &mut self.encrypted)?;
            }
            self.channel.link.send(&self.encrypted, deadline)?;
            self.encrypted.clear();
        }
        Ok(())
    }
}

/// Appends what is to be sent to `encrypted`.
fn take_encrypted(tls: &mut ServerConnection, encrypted: &mut Vec<u8>) -> io::Result<()> {
    while tls.wants_write() {
        tls.write_tls(encrypted)?;
    }
    Ok(())
}

/// Appends the plaintext of the received bytes to `into`, and says whether the peer closed the
/// connection.
fn decrypt(
    tls: &mut ServerConnection,
    mut received: &[u8],
    into: &mut Vec<u8>,
) -> io::Result<bool> {
    loop {
        let state = tls.process_new_packets().map_err(io::Error::other)?;
        let before = into.len();
        into.resize(before + state.plaintext_bytes_to_read(), 0);
        tls.reader().read_exact(&mut into[before..])?;
        if state.peer_has_closed() || received.is_empty() {
            return Ok(state.peer_has_closed());
        }
        tls.read_tls(&mut received)?;
    }
}
