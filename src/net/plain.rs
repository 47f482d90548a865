//! A connection without TLS, for those who ask for one. Knows nothing of what is said.

use std::fmt;
use std::time::{Duration, Instant};

use crate::cancel::Cancel;
use crate::error::FetchError;
use crate::net::socket::{Socket, Wait};
use crate::net::stream::Received;

/// How much is read from the socket at once.
const INCOMING: usize = 128 << 10;

/// A plain TCP connection, with the face of a [`TlsStream`](super::TlsStream).
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

    /// The peer, as messages name it.
    pub(crate) fn peer(&self) -> &str {
        self.socket.peer()
    }

    /// How much time was spent in all with waiting for the peer to send something.
    pub(crate) fn waited(&self) -> Duration {
        self.socket.waited()
    }

    /// Waits until bytes have come, and gives them to the sink; `None` at the deadline.
    ///
    /// # Errors
    /// [`FetchError::Unreachable`] where the connection breaks; [`FetchError::Cancelled`].
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

    /// Sends all of it.
    ///
    /// # Errors
    /// [`FetchError::Unreachable`] where the peer takes nothing within the limit, or the connection breaks;
    /// [`FetchError::Cancelled`].
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
