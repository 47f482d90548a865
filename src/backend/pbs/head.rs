//! Reads the head of an HTTP/1.1 answer.

use std::time::{Duration, Instant};

use crate::backend::FetchError;
use crate::error::{Error, ErrorKind};
use crate::net::{Received, TlsStream, Wait};

const MAX_HEAD: usize = 64 << 10;
const MAX_HEADERS: usize = 64;

/// The parts of an answer's head that matter here.
pub(super) struct Head {
    pub(super) status: u16,
    /// The words after the status.
    pub(super) reason: String,
    pub(super) framing: Framing,
    /// How long the server asks to be left alone. A date instead of a number of seconds is ignored.
    pub(super) retry_after: Option<Duration>,
    /// The protocol that the server switches to.
    pub(super) upgrade: Option<String>,
    /// The values of the `Set-Cookie` headers.
    pub(super) cookies: Vec<String>,
}

/// What marks the end of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// The body has this length in bytes.
    Length(u64),
    /// The body comes in chunks, of which the last one is empty.
    Chunked,
    /// The body ends with the connection.
    UntilClosed,
}

impl Head {
    /// Waits for a head until a deadline. Also returns the bytes of the body that came with it.
    ///
    /// # Errors
    /// [`FetchError::Fatal`] for bytes that are no head of HTTP/1; [`FetchError::Unreachable`] if
    /// no head comes; [`FetchError::Cancelled`].
    pub(super) fn receive(
        stream: &mut TlsStream,
        wait: Wait<'_>,
        deadline: Instant,
    ) -> Result<(Head, Vec<u8>), FetchError> {
        let mut bytes = Vec::new();
        loop {
            receive(stream, wait, deadline, &mut bytes)?;
            if let Some((head, len)) = Head::parse(&bytes)? {
                return Ok((head, bytes.split_off(len)));
            }
            if bytes.len() > MAX_HEAD {
                return Err(fatal("the server's answer has a head without an end"));
            }
        }
    }

    /// Parses the head at the beginning of these bytes. Returns it with its length; `None` if it is
    /// not complete.
    fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>, FetchError> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let len = match response.parse(bytes) {
            Ok(httparse::Status::Complete(len)) => len,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(error) => {
                let message = "the server's answer is not HTTP; is it a Proxmox Backup Server?";
                let error = Error::new(ErrorKind::Unavailable, message).because(error);
                return Err(FetchError::Fatal(error.into()));
            }
        };
        let values = |name: &'static str| {
            (response.headers.iter())
                .filter(move |header| header.name.eq_ignore_ascii_case(name))
                .filter_map(|header| std::str::from_utf8(header.value).ok())
                .map(str::trim)
        };
        let value = |name| values(name).next();
        let framing = match (value("transfer-encoding"), value("content-length")) {
            (Some(coding), _) if coding.eq_ignore_ascii_case("chunked") => Framing::Chunked,
            (Some(_), _) => {
                return Err(fatal(
                    "the server's answer comes in a transfer coding that nobody asked for",
                ));
            }
            (None, Some(len)) => Framing::Length(
                len.parse()
                    .map_err(|_| fatal("the length of the server's answer is no number"))?,
            ),
            (None, None) => Framing::UntilClosed,
        };
        let head = Head {
            status: response.code.unwrap_or_default(),
            reason: response.reason.unwrap_or_default().to_owned(),
            framing,
            retry_after: value("retry-after")
                .and_then(|seconds| seconds.parse().ok())
                .map(Duration::from_secs),
            upgrade: value("upgrade").map(str::to_owned),
            cookies: values("set-cookie").map(str::to_owned).collect(),
        };
        Ok(Some((head, len)))
    }
}

/// Waits for more of an answer until a deadline. The end of the connection is an error.
pub(super) fn receive(
    stream: &mut TlsStream,
    wait: Wait<'_>,
    deadline: Instant,
    bytes: &mut Vec<u8>,
) -> Result<(), FetchError> {
    let mut sink = |piece: &[u8]| bytes.extend_from_slice(piece);
    match stream.receive_until(deadline, wait.cancel, &mut sink)? {
        None => Err(wait.timed_out(stream.peer())),
        Some(Received::Data) => Ok(()),
        Some(Received::Closed) => {
            let message = "the server closed the connection before it answered";
            Err(FetchError::unreachable(Error::new(
                ErrorKind::Unavailable,
                message,
            )))
        }
    }
}

/// An error that another try will not solve.
pub(super) fn fatal(message: &str) -> FetchError {
    FetchError::Fatal(Error::new(ErrorKind::Unavailable, message).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<Head> {
        let parsed = Head::parse(text.as_bytes()).ok()?;
        let (head, len) = parsed.expect("it is complete");
        assert_eq!(len, text.len());
        Some(head)
    }

    #[test]
    fn a_head_says_what_follows_it() {
        let framing = |lines: &str| {
            parse(&format!("HTTP/1.1 200 OK\r\n{lines}\r\n")).map(|head| head.framing)
        };
        assert_eq!(framing(""), Some(Framing::UntilClosed));
        assert_eq!(framing("Content-Length: 5\r\n"), Some(Framing::Length(5)));
        assert_eq!(
            framing("transfer-encoding: Chunked\r\ncontent-length: 5\r\n"),
            Some(Framing::Chunked)
        );
        for bad in [
            "content-length: -1\r\n",
            "content-length: 99999999999999999999\r\n",
            "transfer-encoding: gzip\r\n",
            "no header\r\n",
        ] {
            assert_eq!(framing(bad), None, "{bad}");
        }
    }

    #[test]
    fn pauses_and_all_cookies_are_taken() {
        let head =
            parse("HTTP/1.1 503 \r\nRetry-After: 7\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\n\r\n");
        let head = head.expect("it is well formed");
        assert_eq!(head.status, 503);
        assert_eq!(head.retry_after, Some(Duration::from_secs(7)));
        assert_eq!(head.cookies, ["a=1", "b=2"]);
        assert!(matches!(
            Head::parse(b"HTTP/1.1 200 OK\r\na: b\r\n"),
            Ok(None)
        ));
    }
}
