//! HTTP/1.1 requests over our own TLS connections, by ureq. Knows nothing of what the answers mean.

mod status;
mod transport;

use std::fmt;
use std::io::{self, Read};
use std::time::Duration;

use ureq::{Agent, Body};

use crate::backend::FetchError;
use crate::backend::http::status::refusal;
use crate::backend::http::transport::{Dial, NoResolver, PLACEHOLDER};
use crate::backend::secret::SecretValue;
use crate::backend::tls::Dialer;
use crate::buffer::Buffer;
use crate::cancel::Cancel;
use crate::error::{Error, ErrorKind};

const USER_AGENT: &str = concat!("chunk-restore/", env!("CARGO_PKG_VERSION"));

/// Servers commonly keep an idle connection for a minute or so. One that was closed meanwhile is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// One client for one thread at a time: it keeps one connection alive, and drops it when it is dropped.
pub(crate) struct Client {
    agent: Agent,
    is_authorized: bool,
}

impl Client {
    /// Whatever it waits for ends soon after `cancel`. Each request carries the authorization.
    pub(crate) fn new(
        dialer: Dialer,
        authorization: Option<SecretValue>,
        cancel: Cancel,
    ) -> Client {
        let config = Agent::config_builder()
            .https_only(true)
            .proxy(None)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_idle_age(KEEP_ALIVE)
            .user_agent(USER_AGENT)
            .accept_encoding("identity")
            .build();
        let is_authorized = authorization.is_some();
        let dial = Dial {
            dialer,
            authorization,
            cancel,
        };
        Client {
            agent: Agent::with_parts(config, dial, NoResolver),
            is_authorized,
        }
    }

    /// Asks for what lies at a URL.
    ///
    /// # Errors
    /// [`FetchError::Missing`] and [`FetchError::Denied`] by the answer's status, and for an untrusted certificate;
    /// [`FetchError::Transient`] for what may pass; [`FetchError::Fatal`] for all other answers;
    /// [`FetchError::Cancelled`].
    pub(crate) fn get(&self, url: &str) -> Result<Answer, FetchError> {
        let mut request = self.agent.get(url);
        if self.is_authorized {
            request = request.header("Authorization", PLACEHOLDER);
        }
        let response = request.call().map_err(sort)?;
        if let Some(error) = refusal(url, &response) {
            drain(response.into_body());
            return Err(error);
        }
        let body = response.into_body();
        Ok(Answer {
            len: body.content_length(),
            body,
        })
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

/// An answer of status 200, whose body is still to be read. Read to its very end, the connection serves again.
pub(crate) struct Answer {
    len: Option<u64>,
    body: Body,
}

impl Answer {
    /// Reads the body into a buffer.
    ///
    /// # Errors
    /// [`FetchError::TooLong`] for one of more than `limit` bytes, which is not read;
    /// [`FetchError::Transient`] where it ends early or stalls; [`FetchError::Cancelled`].
    pub(crate) fn read_into(self, blob: &mut Buffer, limit: usize) -> Result<(), FetchError> {
        let most = self.most(limit as u64)?;
        let most = usize::try_from(most).map_err(|_| FetchError::TooLong)?;
        let mut reader = self.body.into_reader();
        let space = blob.space(most);
        let mut filled = 0;
        while filled < most {
            match reader.read(&mut space[filled..]).map_err(sort_io)? {
                0 => break,
                count => filled += count,
            }
        }
        // Only a reader that has seen the end gives the connection back.
        if filled == most && reader.read(&mut [0]).map_err(sort_io)? > 0 {
            return Err(FetchError::TooLong);
        }
        blob.truncate(filled);
        Ok(())
    }

    /// Reads the body into memory that grows as it comes.
    ///
    /// # Errors
    /// As [`read_into`](Answer::read_into).
    pub(crate) fn read(self, limit: u64) -> Result<Vec<u8>, FetchError> {
        self.most(limit)?;
        let mut bytes = Vec::new();
        let mut reader = self.body.into_reader().take(limit.saturating_add(1));
        reader.read_to_end(&mut bytes).map_err(sort_io)?;
        if bytes.len() as u64 > limit {
            return Err(FetchError::TooLong);
        }
        Ok(bytes)
    }

    fn most(&self, limit: u64) -> Result<u64, FetchError> {
        match self.len {
            Some(len) if len > limit => Err(FetchError::TooLong),
            Some(len) => Ok(len),
            None => Ok(limit),
        }
    }
}

/// Reads what a server says along with an error, so that the connection can serve again; but only a little of it.
fn drain(body: Body) {
    const MOST: usize = 16;
    let mut reader = body.into_reader();
    let mut piece = [0; 4096];
    for _ in 0..MOST {
        if !matches!(reader.read(&mut piece), Ok(1..)) {
            return;
        }
    }
}

/// Sorts what ureq says: errors of the connection are our own, carried through it.
fn sort(error: ureq::Error) -> FetchError {
    match error {
        ureq::Error::Io(error) => sort_io(error),
        error => {
            let message = "the server's answer is not proper HTTP";
            FetchError::Fatal(
                Error::new(ErrorKind::Unavailable, message)
                    .because(error)
                    .into(),
            )
        }
    }
}

fn sort_io(error: io::Error) -> FetchError {
    let kind = error.kind();
    match error.downcast::<FetchError>() {
        Ok(ours) => ours,
        Err(error) => match error.downcast::<ureq::Error>() {
            // One that is an `io::Error` again would have been unwrapped by ureq.
            Ok(error @ ureq::Error::Io(_)) => FetchError::transient(error),
            Ok(error) => sort(error),
            Err(error) if kind == io::ErrorKind::UnexpectedEof => {
                let message = "the server ended the connection before its answer was complete";
                FetchError::transient(Error::new(ErrorKind::Unavailable, message).because(error))
            }
            Err(error) => FetchError::transient(error),
        },
    }
}
