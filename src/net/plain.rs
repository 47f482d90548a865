//! A connection without TLS, for callers that ask for one.

use std::fmt;
use std::time::{Duration, Instant};

use crate::cancel::Cancel;
use crate::error::FetchError;
use crate::net::socket::{Socket, Wait};
use crate::net::stream::Received;

/// The most bytes that are read from the socket at once.
const INCOMING: usize = 128 << 10;

/// A plain TCP connection, with the same methods as a [`TlsStream`](super::TlsStream).
pub(crate) struct PlainStream {
    socket: Socket,
    incoming: Vec<u8>,
}

impl PlainStream {
    pub(super) fn new(socket: Socket) -> PlainStream {
        PlainStream {
            socket,
            incoming: vec![0; INCOMING],
        }
    }

    /// The name of the peer for messages.
    pub(crate) fn peer(&self) -> &str {
        self.socket.peer()
    }

    /// The total time spent waiting for the peer to send something.
    pub(crate) fn waited(&self) -> Duration {
        self.socket.waited()
    }

    /// Waits until bytes have come, and passes them to the sink. Returns `None` at the deadline.
    ///
    /// # Errors
    /// [`FetchError::Unreachable`] if the connection breaks; [`FetchError::Cancelled`].
    pub(crate) fn receive_until(
        &mut self,
        deadline: Instant,
        cancel: &Cancel,
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<Option<Received>, FetchError> {
        let count = self.socket.read(&mut self.incoming, deadline, cancel)?;
        Ok(count.map(|count| {
            if count == 0 {
                return Received::Closed;
            }
            sink(&self.incoming[..count]);
            Received::Data
        }))
    }

    /// Sends all bytes.
    ///
    /// # Errors
    /// [`FetchError::Unreachable`] if the peer takes nothing within the limit, or the connection
    /// breaks; [`FetchError::Cancelled`].
    pub(crate) fn send(&mut self, bytes: &[u8], wait: Wait<'_>) -> Result<(), FetchError> {
        self.socket.write_all(bytes, wait)
    }
}

impl Drop for PlainStream {
    fn drop(&mut self) {
        self.socket.shut_down();
    }
}

impl fmt::Debug for PlainStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PlainStream({})", self.socket.peer())
    }
}
