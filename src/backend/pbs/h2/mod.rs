//! The client's side of an HTTP/2 connection (RFC 9113): bytes in, answers out. Does no I/O and knows nothing of PBS.
//!
//! Only GET requests without a body are sent, and answers come into the buffers of their requests: each byte is copied
//! once, from what was received to where it belongs. Nothing that a server does makes it hold more than those buffers,
//! 512 KiB of headers and 256 KiB of frames to send. A stream is never reset, since servers end the connection when
//! many are: what comes of an answer that has failed is thrown away.

mod assembler;
mod connection;
mod error;
mod flood;
mod frame;
mod head;
mod hpack;
mod huffman;
mod output;
mod receiving;
mod settings;
mod stream;
mod window;

#[cfg(test)]
mod tests;

use std::fmt;

use crate::memory::Buffer;

use assembler::Assembler;
use connection::Connection;

pub(crate) use error::{ConnectionError, ErrorCode, StreamError, Unsent};
pub(crate) use head::Head;
pub(crate) use settings::Config;

/// One connection, from the client's preface on.
///
/// Whoever has it sends what [`output`](Codec::output) holds, feeds what comes to [`receive`](Codec::receive), and then
/// takes the events out. Every request that was taken is answered by exactly one `Finished` or `Failed` event, provided
/// that [`close`](Codec::close) is called in the end; it brings the request's buffer back.
pub(crate) struct Codec {
    assembler: Assembler,
    connection: Connection,
}

/// What happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// An answer is whole, whatever its status.
    Finished {
        /// The request.
        stream: u32,
        /// What the header says.
        head: Head,
        /// The request's buffer with the body, of which at most 64 KiB are kept where the status is an error.
        body: Buffer,
    },
    /// There will be no answer.
    Failed {
        /// The request.
        stream: u32,
        /// The request's buffer, empty.
        body: Buffer,
        /// Why.
        error: StreamError,
    },
    /// The server answered to a ping.
    Pong,
}

impl Codec {
    /// A new connection. The preface, the settings and the widening of the connection's window are the first output.
    pub(crate) fn new(config: Config) -> Codec {
        let config = config.clamped();
        Codec {
            assembler: Assembler::new(config.max_frame),
            connection: Connection::new(config),
        }
    }

    /// How many more requests may be made now.
    pub(crate) fn capacity(&self) -> usize {
        self.connection.capacity()
    }

    /// Asks for a path; the answer comes into `body`, of at most `limit` bytes. The stream's id is the request's name.
    ///
    /// # Errors
    /// The request was not made.
    pub(crate) fn request(
        &mut self,
        path: &str,
        authority: &str,
        body: Buffer,
        limit: usize,
    ) -> Result<u32, Unsent> {
        self.connection.request(path, authority, body, limit)
    }

    /// Asks for a sign of life, unless the last one that was asked for is still to come.
    pub(crate) fn ping(&mut self) {
        self.connection.ping();
    }

    /// Tells the server that there will be no more requests.
    pub(crate) fn go_away(&mut self) {
        self.connection.go_away();
    }

    /// What is to be sent now. Whoever must wait for room to send it should receive meanwhile: a server that waits for
    /// the same does not read.
    pub(crate) fn output(&self) -> &[u8] {
        self.connection.output.waiting()
    }

    /// The first `len` bytes of the output have been sent.
    pub(crate) fn sent(&mut self, len: usize) {
        self.connection.output.sent(len);
    }

    /// Takes what was received, any number of bytes.
    ///
    /// # Errors
    /// The server broke the rules, and every further call says so again. All requests fail, and a GOAWAY that says why
    /// is the last output.
    pub(crate) fn receive(&mut self, mut bytes: &[u8]) -> Result<(), ConnectionError> {
        if let Some(error) = self.connection.broken {
            return Err(error);
        }
        let result = self.advance(&mut bytes);
        if let Err(error) = result {
            self.connection.break_off(error);
        }
        result
    }

    fn advance(&mut self, bytes: &mut &[u8]) -> Result<(), ConnectionError> {
        while let Some(piece) = self.assembler.next(bytes)? {
            self.connection.take(piece)?;
        }
        Ok(())
    }

    /// The connection is over, in order or not: all requests that are open fail.
    pub(crate) fn close(&mut self) {
        self.connection.close();
    }

    /// Takes out what has come of one answer so far, so that a long one needs no long buffer.
    pub(crate) fn drain(&mut self, stream: u32, sink: &mut dyn FnMut(&[u8])) {
        let answer = self
            .connection
            .stream_mut(stream)
            .and_then(|stream| stream.answer.as_mut());
        if let Some(answer) = answer.filter(|answer| !answer.is_error()) {
            sink(&answer.body);
            answer.body.clear();
        }
    }

    /// What happened next, in the order of time.
    pub(crate) fn next_event(&mut self) -> Option<Event> {
        self.connection.events.pop_front()
    }

    /// How many bytes of answers have come in all.
    pub(crate) fn received(&self) -> u64 {
        self.connection.received
    }

    /// The oldest request that waits for its answer, and how many bytes of that have come.
    pub(crate) fn oldest(&self) -> Option<(u32, u64)> {
        let waiting = (self.connection.streams.iter())
            .filter_map(|stream| Some((stream.id, stream.answer.as_ref()?.received())));
        waiting.min()
    }

    /// Why the server takes no more requests, once it has said that it goes away. Those that have not failed are still
    /// answered.
    pub(crate) fn goodbye(&self) -> Option<ErrorCode> {
        self.connection.goodbye
    }
}

impl fmt::Debug for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Codec")
            .field("streams", &self.connection.streams.len())
            .field("received", &self.connection.received)
            .field("broken", &self.connection.broken)
            .finish_non_exhaustive()
    }
}
