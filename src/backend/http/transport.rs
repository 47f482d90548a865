//! Connects ureq to the network by our own connections.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

use crate::backend::FetchError;
use crate::backend::http::redact::{EchoFilter, SecretQuery, authorize};
use crate::backend::secret::SecretValue;
use crate::cancel::Cancel;
use crate::error::{Error, ErrorKind};
use crate::memory::Buffer;
#[cfg(feature = "s3")]
use crate::net::PlainStream;
use crate::net::{Dialer, Received, StallTimer, TlsStream, Wait};

const HTTPS_PORT: u16 = 443;
#[cfg(feature = "s3")]
const HTTP_PORT: u16 = 80;

/// The most bytes of a request that are sent at once.
const OUTPUT: usize = 16 << 10;

/// The most bytes that may come without a byte of any body among them: the bytes of a head, or of
/// the framing around the pieces of a body. ureq accepts no longer heads.
const MOST_AROUND: u64 = 64 << 10;

/// Makes connections for ureq. The connections do all time-outs and cancelling themselves, so ureq
/// is told of no time-outs.
#[derive(Debug)]
pub(super) struct Dial {
    pub(super) dialer: Dialer,
    pub(super) authorization: Option<SecretValue>,
    pub(super) query: SecretQuery,
    /// How many bytes of bodies were read so far.
    pub(super) read: Arc<AtomicU64>,
    pub(super) cancel: Cancel,
}

impl Connector for Dial {
    type Out = Line;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _chained: Option<()>,
    ) -> Result<Option<Line>, ureq::Error> {
        let host = details.uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let stream = match details.uri.scheme_str() {
            #[cfg(feature = "s3")]
            Some("http") => {
                let port = details.uri.port_u16().unwrap_or(HTTP_PORT);
                (self.dialer.dial_plain(host, port, &self.cancel)).map(Stream::Plain)
            }
            _ => {
                let port = details.uri.port_u16().unwrap_or(HTTPS_PORT);
                (self.dialer.dial(host, port, &self.cancel)).map(Stream::Tls)
            }
        };
        let stream = stream.map_err(carry)?;
        Ok(Some(Line {
            stream,
            buffers: LineBuffers {
                input: Buffer::new(),
                consumed: 0,
                progress: false,
                output: vec![0; OUTPUT],
            },
            authorization: self.authorization.clone(),
            query: self.query.clone(),
            echo: EchoFilter::default(),
            limit: self.dialer.progress(),
            patience: StallTimer::new(self.dialer.progress()),
            read: Arc::clone(&self.read),
            read_before: 0,
            around: 0,
            cancel: self.cancel.clone(),
        }))
    }
}

/// Resolves no names: names are looked up when a connection is made.
#[derive(Debug)]
pub(super) struct NoResolver;

impl Resolver for NoResolver {
    fn resolve(
        &self,
        _uri: &Uri,
        _config: &Config,
        _timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        Ok(self.empty())
    }
}

/// One connection, with the buffers that ureq reads and writes.
pub(super) struct Line {
    stream: Stream,
    buffers: LineBuffers,
    authorization: Option<SecretValue>,
    query: SecretQuery,
    echo: EchoFilter,
    limit: Duration,
    /// How long the server may take for its answer to the last request.
    patience: StallTimer,
    /// How many bytes of bodies were read so far. Only these bytes count as progress.
    read: Arc<AtomicU64>,
    /// The value of `read` when it was last looked at.
    read_before: u64,
    /// How many bytes came since then.
    around: u64,
    cancel: Cancel,
}

impl Transport for Line {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _timeout: NextTimeout) -> Result<(), ureq::Error> {
        let wait = Wait {
            cancel: &self.cancel,
            limit: self.limit,
            what: "room for a request",
        };
        let output = &self.buffers.output[..amount];
        let mut filled = (self.authorization.as_ref()).and_then(|value| authorize(output, value));
        if let Some((signed, echo)) = self.query.put_into(output) {
            (filled, self.echo) = (Some(signed), echo);
        }
        let output = filled.as_ref().map_or(output, |bytes| bytes);
        self.patience.renew(self.read.load(Ordering::Relaxed));
        self.around = 0;
        self.stream.send(output, wait).map_err(carry)
    }

    fn await_input(&mut self, _timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let wait = Wait {
            cancel: &self.cancel,
            limit: self.limit,
            what: "an answer",
        };
        // ureq reads all of a body that has come before it waits for more.
        let read = self.read.load(Ordering::Relaxed);
        if read != self.read_before {
            (self.read_before, self.around) = (read, 0);
        }
        if self.around > MOST_AROUND {
            return Err(carry(endless(self.stream.peer())));
        }
        self.buffers.forget_consumed();
        let input = &mut self.buffers.input;
        let known = input.len();
        loop {
            let Some(limit) = self.patience.left(read) else {
                return Err(carry(wait.timed_out(self.stream.peer())));
            };
            let before = self.stream.waited();
            let deadline = Wait { limit, ..wait }.deadline();
            let received = self
                .stream
                .receive_until(deadline, &self.cancel, &mut |bytes| {
                    input.extend_from_slice(bytes);
                });
            self.patience.waited(self.stream.waited() - before);
            match received.map_err(carry)? {
                None => {}
                Some(Received::Closed) if known > 0 => return Err(carry(cut())),
                Some(received) => {
                    self.around += (input.len() - known) as u64;
                    self.echo.blot(&mut input.bytes_mut()[known..]);
                    return Ok(received == Received::Data);
                }
            }
        }
    }

    /// Whether the connection can carry another request: nothing has come that was not asked for,
    /// not even the end of the connection.
    fn is_open(&mut self) -> bool {
        matches!(self.stream.receive_now(&self.cancel), Ok(None))
    }

    fn is_tls(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.stream, f)
    }
}

/// A connection, with TLS unless the URL begins with `http://`.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "plain ones are few, and each lives long"
)]
enum Stream {
    Tls(TlsStream),
    #[cfg(feature = "s3")]
    Plain(PlainStream),
}

impl Stream {
    fn send(&mut self, bytes: &[u8], wait: Wait<'_>) -> Result<(), FetchError> {
        match self {
            Stream::Tls(stream) => stream.send(bytes, wait),
            #[cfg(feature = "s3")]
            Stream::Plain(stream) => stream.send(bytes, wait),
        }
    }

    fn receive_until(
        &mut self,
        deadline: Instant,
        cancel: &Cancel,
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<Option<Received>, FetchError> {
        match self {
            Stream::Tls(stream) => stream.receive_until(deadline, cancel, sink),
            #[cfg(feature = "s3")]
            Stream::Plain(stream) => stream.receive_until(deadline, cancel, sink),
        }
    }

    fn waited(&self) -> Duration {
        match self {
            Stream::Tls(stream) => stream.waited(),
            #[cfg(feature = "s3")]
            Stream::Plain(stream) => stream.waited(),
        }
    }

    fn peer(&self) -> &str {
        match self {
            Stream::Tls(stream) => stream.peer(),
            #[cfg(feature = "s3")]
            Stream::Plain(stream) => stream.peer(),
        }
    }

    /// Receives what has come by now, without waiting.
    fn receive_now(&mut self, cancel: &Cancel) -> Result<Option<Received>, FetchError> {
        let now = Instant::now();
        self.receive_until(now, cancel, &mut |_| {})
    }
}

/// The error for a peer that keeps sending bytes that belong to no body.
fn endless(peer: &str) -> FetchError {
    let message =
        format!("the answer of {peer} has a head, or something around its body, without an end");
    FetchError::Fatal(Error::new(ErrorKind::Unavailable, message).into())
}

/// The error for a connection that ended, properly, in the middle of a line.
fn cut() -> FetchError {
    let message = "the server ended the connection before its answer was complete";
    FetchError::unreachable(Error::new(ErrorKind::Unavailable, message))
}

struct LineBuffers {
    input: Buffer,
    /// How many bytes of the input were used.
    consumed: usize,
    /// Whether ureq used any of the input when it last looked at it.
    progress: bool,
    output: Vec<u8>,
}

impl LineBuffers {
    /// Moves the unused bytes to the front: they are no more than a part of a line.
    fn forget_consumed(&mut self) {
        if self.consumed > 0 {
            let rest = self.input.len() - self.consumed;
            self.input.bytes_mut().copy_within(self.consumed.., 0);
            self.input.truncate(rest);
            self.consumed = 0;
        }
    }
}

impl Buffers for LineBuffers {
    fn output(&mut self) -> &mut [u8] {
        &mut self.output
    }

    fn input(&self) -> &[u8] {
        &self.input[self.consumed..]
    }

    // Only `await_input` adds input, so ureq gets no room to add any.
    fn input_append_buf(&mut self) -> &mut [u8] {
        &mut []
    }

    fn input_appended(&mut self, _amount: usize) {}

    fn input_consume(&mut self, amount: usize) {
        self.progress = amount > 0;
        self.consumed += amount;
        if self.consumed == self.input.len() {
            self.input.clear();
            self.consumed = 0;
        }
    }

    // The bytes to send begin where the output begins.
    fn tmp_and_output(&mut self) -> (&mut [u8], &mut [u8]) {
        let (output, scratch) = self.output.split_at_mut(OUTPUT / 2);
        (scratch, output)
    }

    fn can_use_input(&self) -> bool {
        self.progress && !self.input().is_empty()
    }
}

/// Wraps an error of ours so that ureq carries it through.
fn carry(error: FetchError) -> ureq::Error {
    ureq::Error::Io(io::Error::other(error))
}
