//! ureq's way to the network: our TLS connections. Knows nothing of requests.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

use crate::backend::FetchError;
use crate::backend::tls::{Dialer, Received, TlsStream, Wait};
use crate::buffer::Buffer;
use crate::cancel::Cancel;

const HTTPS_PORT: u16 = 443;

/// The longest piece of a request that is sent at once.
const OUTPUT: usize = 16 << 10;

/// Connects ureq. Time-outs and cancelling are all done below it, so ureq itself is told of no time-outs.
#[derive(Debug)]
pub(super) struct Dial {
    pub(super) dialer: Dialer,
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
        let port = details.uri.port_u16().unwrap_or(HTTPS_PORT);
        let stream = (self.dialer.dial(host, port, &self.cancel)).map_err(carry)?;
        Ok(Some(Line {
            stream,
            buffers: LineBuffers {
                input: Buffer::new(),
                consumed: 0,
                progress: false,
                output: vec![0; OUTPUT],
            },
            limit: self.dialer.progress(),
            cancel: self.cancel.clone(),
        }))
    }
}

/// Names are looked up where connections are made.
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
    stream: TlsStream,
    buffers: LineBuffers,
    limit: Duration,
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
        (self.stream.send(&self.buffers.output[..amount], wait)).map_err(carry)
    }

    fn await_input(&mut self, _timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let wait = Wait {
            cancel: &self.cancel,
            limit: self.limit,
            what: "an answer",
        };
        let input = &mut self.buffers.input;
        let received = (self.stream)
            .receive(wait, &mut |bytes| input.extend_from_slice(bytes))
            .map_err(carry)?;
        Ok(received == Received::Data)
    }

    /// Whether it may carry another request: nothing has come that was not asked for, not even an end.
    fn is_open(&mut self) -> bool {
        let now = Instant::now();
        let came = (self.stream).receive_until(now, &self.cancel, &mut |_| {});
        matches!(came, Ok(None))
    }

    fn is_tls(&self) -> bool {
        true
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.stream, f)
    }
}

struct LineBuffers {
    input: Buffer,
    /// How much of the input was used.
    consumed: usize,
    /// Whether the last look at the input used any of it.
    progress: bool,
    output: Vec<u8>,
}

impl Buffers for LineBuffers {
    fn output(&mut self) -> &mut [u8] {
        &mut self.output
    }

    fn input(&self) -> &[u8] {
        &self.input[self.consumed..]
    }

    // Input comes by `await_input` alone, so nobody is given room for it.
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

    // What is sent begins where the output does.
    fn tmp_and_output(&mut self) -> (&mut [u8], &mut [u8]) {
        let (output, scratch) = self.output.split_at_mut(OUTPUT / 2);
        (scratch, output)
    }

    fn can_use_input(&self) -> bool {
        self.progress && !self.input().is_empty()
    }
}

/// Sends an error of ours through ureq.
fn carry(error: FetchError) -> ureq::Error {
    ureq::Error::Io(io::Error::other(error))
}
