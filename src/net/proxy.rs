//! Connects through an HTTP proxy, by CONNECT.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::error::FetchError;
use crate::error::{Error, ErrorKind, Result};
use crate::net::acquaintance::Failure;
use crate::net::body_text::readable;
use crate::net::socket::{Socket, Wait};
use crate::place::address::{Address, authority};

/// The port if none is given: curl and the official client use the same.
const DEFAULT_PORT: u16 = 1080;

/// The most bytes that are read of the head of an answer to CONNECT, and of a refusal's text.
const LONGEST_ANSWER: usize = 16 << 10;

/// How long to wait for the text of a refusal. The status alone would be enough.
const TEXT: Duration = Duration::from_millis(500);

/// An HTTP proxy that connections go through.
pub(crate) struct Proxy {
    pub(super) host: String,
    pub(super) port: u16,
    /// The value of the `Proxy-Authorization` header.
    authorization: Option<Zeroizing<String>>,
    /// The environment variable that names the proxy.
    variable: Option<&'static str>,
}

/// A proxy's answer to CONNECT.
struct Answer {
    status: u16,
    /// The words after the status.
    reason: String,
    /// The part of the body that has come.
    body: Vec<u8>,
}

impl Proxy {
    /// Reads `[http://][user:password@]host[:port]`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for anything else.
    pub(crate) fn parse(text: &str) -> Result<Proxy> {
        let place = match text.split_once("://") {
            Some((scheme, place)) if scheme.eq_ignore_ascii_case("http") => place,
            Some(_) => return Err(invalid("only http:// proxies are supported")),
            None => text,
        };
        let place = place.strip_suffix('/').unwrap_or(place);
        // The text may hold a password, so it is not shown.
        let address = Address::parse(place)
            .ok_or_else(|| invalid("a proxy is written as http://[user:password@]host:port"))?;
        Ok(Proxy {
            host: address.host,
            port: address.port.unwrap_or(DEFAULT_PORT),
            authorization: (address.user.as_ref()).map(|user| basic(&user.name, &user.password)),
            variable: None,
        })
    }

    /// Makes messages say which environment variable names the proxy.
    pub(super) fn named_by(mut self, variable: &'static str) -> Proxy {
        self.variable = Some(variable);
        self
    }

    /// Makes the proxy connect to a host. Everything that is written to the socket from then on
    /// goes to that host.
    pub(super) fn pass(
        &self,
        socket: &mut Socket,
        host: &str,
        port: u16,
        wait: Wait<'_>,
    ) -> Result<(), Failure> {
        let target = authority(host, port);
        let mut request =
            Zeroizing::new(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n"));
        if let Some(authorization) = &self.authorization {
            // There is one allocation, so that no copy of the secret is left behind.
            request.reserve_exact(authorization.len() + 32);
            request.push_str("Proxy-Authorization: ");
            request.push_str(authorization);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        socket.write_all(request.as_bytes(), wait)?;
        let mut answer = self.read_answer(socket, wait)?;
        if (200..300).contains(&answer.status) {
            return Ok(());
        }
        read_text(socket, &mut answer.body, wait)?;
        Err(self.refusal(&answer, &target))
    }

    fn refusal(&self, answer: &Answer, target: &str) -> Failure {
        let Answer { status, reason, .. } = answer;
        let mut message = format!("the proxy {self} answered {status}");
        if !reason.is_empty() {
            message += &format!(" ({reason})");
        }
        message += &format!(" for {target}");
        let text = readable(&answer.body);
        if !text.is_empty() {
            message += &format!(": {text}");
        }
        let unavailable = || Error::new(ErrorKind::Unavailable, message.as_str());
        match status {
            401 | 403 | 407 => {
                FetchError::Denied(Error::new(ErrorKind::Denied, message).into()).into()
            }
            408 | 429 => FetchError::transient(unavailable()).into(),
            500..=599 => Failure::BeyondProxy(unavailable()),
            _ => FetchError::Fatal(unavailable().into()).into(),
        }
    }

    /// Waits for the head of the answer. Bytes after the head are the body of a refusal: after an
    /// agreement the host sends nothing until the client speaks.
    fn read_answer(&self, socket: &mut Socket, wait: Wait<'_>) -> Result<Answer, FetchError> {
        let deadline = wait.deadline();
        let mut came = Vec::new();
        let mut piece = [0; 1024];
        loop {
            let end = came.windows(4).position(|bytes| bytes == b"\r\n\r\n");
            if let Some(end) = end.map(|end| end + 4) {
                let body = came.split_off(end);
                return Answer::parse(&came, body).ok_or_else(|| self.is_none());
            }
            let starts_well = came.starts_with(&b"HTTP/1."[..came.len().min(7)]);
            if !starts_well || came.len() > LONGEST_ANSWER {
                return Err(self.is_none());
            }
            match socket.read(&mut piece, deadline, wait.cancel)? {
                None => return Err(wait.timed_out(&format!("the proxy {self}"))),
                Some(0) => {
                    let message = format!("the proxy {self} closed the connection");
                    return Err(FetchError::unreachable(Error::new(
                        ErrorKind::Unavailable,
                        message,
                    )));
                }
                Some(count) => came.extend_from_slice(&piece[..count]),
            }
        }
    }

    /// The error for a peer that is no HTTP proxy.
    fn is_none(&self) -> FetchError {
        let message = format!("the proxy {self} does not answer as an HTTP proxy does");
        FetchError::Fatal(Error::new(ErrorKind::Unavailable, message).into())
    }
}

/// Reads the text of a refusal as far as it comes. The answer may announce a longer text than
/// comes, or no length.
fn read_text(socket: &mut Socket, text: &mut Vec<u8>, wait: Wait<'_>) -> Result<(), FetchError> {
    let deadline = Wait {
        limit: TEXT.min(wait.limit),
        ..wait
    }
    .deadline();
    let mut piece = [0; 1024];
    while text.len() < LONGEST_ANSWER {
        match socket.read(&mut piece, deadline, wait.cancel) {
            Ok(Some(count)) if count > 0 => text.extend_from_slice(&piece[..count]),
            Err(FetchError::Cancelled) => return Err(FetchError::Cancelled),
            _ => break,
        }
    }
    Ok(())
}

impl Answer {
    /// `None` for bytes that are no head of HTTP/1.
    fn parse(head: &[u8], body: Vec<u8>) -> Option<Answer> {
        let line = head.split(|byte| *byte == b'\r').next()?;
        let rest = line.strip_prefix(b"HTTP/1.")?.get(1..)?;
        let (status, reason) = rest.strip_prefix(b" ")?.split_at_checked(3)?;
        if !reason.is_empty() && !reason.starts_with(b" ") {
            return None;
        }
        Some(Answer {
            status: std::str::from_utf8(status).ok()?.parse().ok()?,
            reason: readable(reason),
            body,
        })
    }
}

/// The value of an `Authorization` header for a user and a password.
pub(crate) fn basic(name: &str, password: &str) -> Zeroizing<String> {
    let plain = Zeroizing::new(format!("{name}:{password}"));
    let encoded = Zeroizing::new(STANDARD.encode(plain.as_bytes()));
    Zeroizing::new(format!("Basic {}", *encoded))
}

fn invalid(message: &str) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&authority(&self.host, self.port))?;
        match self.variable {
            Some(variable) => write!(f, " (from {variable})"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Proxy {
    // The credentials are never shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_read_and_its_password_never_shown() {
        let proxy =
            Proxy::parse("http://me:s3cret@proxy.example:3128/").expect("it is well formed");
        assert_eq!(format!("{proxy:?}"), "Proxy(proxy.example:3128)");
        let authorization = proxy.authorization.expect("it has a user");
        assert_eq!(*authorization, "Basic bWU6czNjcmV0");
        let proxy = Proxy::parse("proxy.example").expect("the scheme and the port may be missing");
        assert_eq!((&*proxy.host, proxy.port), ("proxy.example", 1080));
        for bad in [
            "socks5://me:s3cret@proxy",
            "http://me:s3cret@",
            "http://me:s3cret@a:b",
        ] {
            let error = Proxy::parse(bad).expect_err(bad);
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        }
    }

    #[test]
    fn only_an_answer_of_http_has_a_status() {
        let status = |head: &str| {
            let answer = Answer::parse(head.as_bytes(), Vec::new())?;
            Some((answer.status, answer.reason))
        };
        let established = "Connection established".to_owned();
        assert_eq!(
            status("HTTP/1.1 200 Connection established\r\n\r\n"),
            Some((200, established))
        );
        assert_eq!(status("HTTP/1.0 407\r\n\r\n"), Some((407, String::new())));
        for bad in [
            "HTTP/2 200\r\n\r\n",
            "HTTP/1.1 2000\r\n\r\n",
            "HTTP/1.1 2\r\n\r\n",
            "\r\n\r\n",
            "SSH-2.0\r\n\r\n",
        ] {
            assert_eq!(status(bad), None, "{bad}");
        }
    }
}
