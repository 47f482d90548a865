//! ureq's way to the network: our TLS connections. Knows nothing of requests.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};
use zeroize::Zeroizing;

use crate::backend::FetchError;
use crate::backend::secret::SecretValue;
use crate::backend::tls::{Dialer, Received, TlsStream, Wait};
use crate::buffer::Buffer;
use crate::cancel::Cancel;

const HTTPS_PORT: u16 = 443;

/// The longest piece of a request that is sent at once.
const OUTPUT: usize = 16 << 10;

/// What ureq takes for the authorization. ureq logs what it sends, so the real one is put in behind its back.
pub(super) const PLACEHOLDER: &str = "chunk-restore-authorization";

/// Connects ureq. Time-outs and cancelling are all done below it, so ureq itself is told of no time-outs.
#[derive(Debug)]
pub(super) struct Dial {
    pub(super) dialer: Dialer,
    pub(super) authorization: Option<SecretValue>,
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
            authorization: self.authorization.clone(),
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
    authorization: Option<SecretValue>,
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
        let output = &self.buffers.output[..amount];
        let authorized = (self.authorization.as_ref()).and_then(|value| authorize(output, value));
        let output = authorized.as_ref().map_or(output, |bytes| bytes);
        self.stream.send(output, wait).map_err(carry)
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

/// Puts the authorization where its placeholder is, if it is there. ureq writes a header at once, never half of it.
fn authorize(output: &[u8], value: &SecretValue) -> Option<Zeroizing<Vec<u8>>> {
    // A URL can hold the placeholder too, but neither a space before it nor a line end behind it.
    let header = format!(": {PLACEHOLDER}\r\n");
    let at = (output.windows(header.len())).position(|window| window == header.as_bytes())?;
    let (before, rest) = output.split_at(at);
    let rest = &rest[header.len()..];
    let value = value.reveal().as_bytes();
    Some(Zeroizing::new(
        [before, b": ", value, b"\r\n", rest].concat(),
    ))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authorization_goes_into_its_header_and_nowhere_else() {
        let value = SecretValue::new(Zeroizing::new("Bearer x".to_owned())).expect("it is ASCII");
        let put_in = |head: &str| {
            let bytes = authorize(head.as_bytes(), &value)?;
            Some(String::from_utf8(bytes.to_vec()).expect("it is ASCII"))
        };
        let path = "GET /:%20chunk-restore-authorization HTTP/1.1\r\nhost: a\r\n";
        let head = format!("{path}authorization: {PLACEHOLDER}\r\n\r\n");
        let expected = format!("{path}authorization: Bearer x\r\n\r\n");
        assert_eq!(put_in(&head), Some(expected));
        assert_eq!(put_in(path), None);
    }
}
