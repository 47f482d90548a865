//! A way through an HTTP proxy, by CONNECT. Knows nothing of what goes through it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::backend::FetchError;
use crate::backend::tls::address::{Address, authority};
use crate::backend::tls::socket::{Socket, Wait};
use crate::error::{Error, ErrorKind, Result};

/// What curl and the official client take where no port is given.
const DEFAULT_PORT: u16 = 1080;

/// The longest answer to CONNECT that is read.
const LONGEST_ANSWER: usize = 16 << 10;

/// An HTTP proxy that lets connections through.
pub(crate) struct Proxy {
    pub(super) host: String,
    pub(super) port: u16,
    /// What `Proxy-Authorization` says.
    authorization: Option<Zeroizing<String>>,
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
        })
    }

    /// Has the proxy connect to a host; what is written to the socket from then on goes there.
    pub(super) fn pass(
        &self,
        socket: &mut Socket,
        host: &str,
        port: u16,
        wait: Wait<'_>,
    ) -> Result<(), FetchError> {
        let target = authority(host, port);
        let mut request =
            Zeroizing::new(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n"));
        if let Some(authorization) = &self.authorization {
            // One allocation, so that no copy of the secret is left behind.
            request.reserve_exact(authorization.len() + 32);
            request.push_str("Proxy-Authorization: ");
            request.push_str(authorization);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        socket.write_all(request.as_bytes(), wait)?;
        let answer = self.read_answer(socket, wait)?;
        let status = status_of(&answer);
        let message = match status {
            Some(200..=299) => return Ok(()),
            Some(status) => format!("the proxy {self} answered {status} for {target}"),
            None => format!("the proxy {self} does not answer as an HTTP proxy does"),
        };
        let unavailable = Error::new(ErrorKind::Unavailable, message.as_str());
        Err(match status {
            Some(401 | 403 | 407) => {
                FetchError::Denied(Error::new(ErrorKind::Denied, message).into())
            }
            Some(408 | 429 | 500..=599) => FetchError::transient(unavailable),
            _ => FetchError::Fatal(unavailable.into()),
        })
    }

    /// Nothing follows the answer until we speak, so what was read ends with it.
    fn read_answer(&self, socket: &mut Socket, wait: Wait<'_>) -> Result<Vec<u8>, FetchError> {
        let deadline = wait.deadline();
        let mut answer = Vec::new();
        let mut piece = [0; 1024];
        while !answer.ends_with(b"\r\n\r\n") {
            match socket.read(&mut piece, deadline, wait.cancel)? {
                None => return Err(wait.timed_out(&format!("the proxy {self}"))),
                Some(0) => {
                    let message = format!("the proxy {self} closed the connection");
                    return Err(FetchError::transient(Error::new(
                        ErrorKind::Unavailable,
                        message,
                    )));
                }
                Some(count) => answer.extend_from_slice(&piece[..count]),
            }
            if answer.len() > LONGEST_ANSWER {
                break;
            }
        }
        Ok(answer)
    }
}

/// What an `Authorization` header says for a user.
pub(crate) fn basic(name: &str, password: &str) -> Zeroizing<String> {
    let plain = Zeroizing::new(format!("{name}:{password}"));
    let encoded = Zeroizing::new(STANDARD.encode(plain.as_bytes()));
    Zeroizing::new(format!("Basic {}", *encoded))
}

fn status_of(answer: &[u8]) -> Option<u16> {
    if !answer.ends_with(b"\r\n\r\n") {
        return None;
    }
    let line = answer.strip_prefix(b"HTTP/1.")?.get(1..5)?;
    let digits = std::str::from_utf8(line).ok()?.strip_prefix(' ')?;
    digits.parse().ok()
}

fn invalid(message: &str) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&authority(&self.host, self.port))
    }
}

impl fmt::Debug for Proxy {
    // Never the credentials.
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
    fn only_a_whole_answer_has_a_status() {
        assert_eq!(
            status_of(b"HTTP/1.1 200 Connection established\r\n\r\n"),
            Some(200)
        );
        assert_eq!(status_of(b"HTTP/1.0 407\r\n\r\n"), Some(407));
        for bad in [
            "HTTP/1.1 200 OK\r\n",
            "HTTP/2 200\r\n\r\n",
            "\r\n\r\n",
            "SSH-2.0\r\n\r\n",
        ] {
            assert_eq!(status_of(bad.as_bytes()), None, "{bad}");
        }
    }
}
