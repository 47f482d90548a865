//! HTTP/1.1 requests over our own connections, by ureq. Knows nothing of what the answers mean.
#![cfg_attr(
    not(all(feature = "https", feature = "s3")),
    allow(dead_code, reason = "each kind of place uses a part of it")
)]

mod hidden;
mod status;
mod transport;

use std::fmt;
use std::io::{self, Read};
use std::time::Duration;

use jiff::Timestamp;
use ureq::http::header::{HeaderMap, HeaderName};
use ureq::http::{Response, StatusCode};
use ureq::{Agent, Body};

use crate::backend::FetchError;
use crate::backend::http::hidden::{HiddenQuery, PLACEHOLDER};
use crate::backend::http::status::refusal;
use crate::backend::http::transport::{Dial, NoResolver};
use crate::backend::secret::SecretValue;
use crate::backend::tls::Dialer;
use crate::buffer::Buffer;
use crate::cancel::Cancel;
use crate::error::{Error, ErrorKind};

const USER_AGENT: &str = concat!("chunk-restore/", env!("CARGO_PKG_VERSION"));

/// Servers commonly keep an idle connection for a minute or so. One that was closed meanwhile is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// The most of a refusal's text that is read.
const REFUSAL: u64 = 64 << 10;

/// One client for one thread at a time: it keeps one connection alive, and drops it when it is dropped.
pub(crate) struct Client {
    agent: Agent,
    is_authorized: bool,
    query: HiddenQuery,
}

impl Client {
    /// Whatever it waits for ends soon after `cancel`. Each request carries the authorization.
    pub(crate) fn new(
        dialer: Dialer,
        authorization: Option<SecretValue>,
        cancel: Cancel,
    ) -> Client {
        Client::with(dialer, authorization, cancel, true)
    }

    /// One for requests that are each signed, over TLS or, for `http://` URLs, without.
    #[cfg(feature = "s3")]
    pub(crate) fn signing(dialer: Dialer, cancel: Cancel) -> Client {
        Client::with(dialer, None, cancel, false)
    }

    fn with(
        dialer: Dialer,
        authorization: Option<SecretValue>,
        cancel: Cancel,
        https_only: bool,
    ) -> Client {
        let config = Agent::config_builder()
            .https_only(https_only)
            .proxy(None)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_idle_age(KEEP_ALIVE)
            .user_agent(USER_AGENT)
            .accept_encoding("identity")
            .build();
        let is_authorized = authorization.is_some();
        let query = HiddenQuery::default();
        let dial = Dial {
            dialer,
            authorization,
            query: query.clone(),
            cancel,
        };
        Client {
            agent: Agent::with_parts(config, dial, NoResolver),
            is_authorized,
            query,
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
        Ok(Answer::of(response))
    }

    /// Asks for what lies at a URL that has no query, with a query that nobody may see. A client makes one such request
    /// at a time.
    ///
    /// # Errors
    /// As [`get`](Client::get), where the status does not come into it.
    #[cfg(feature = "s3")]
    pub(crate) fn get_signed(
        &mut self,
        url: &str,
        query: SecretValue,
    ) -> Result<Reply, FetchError> {
        self.query.set(query);
        let request = self.agent.get(format!("{url}?{PLACEHOLDER}"));
        let response = request.call().map_err(sort)?;
        let Some(error) = refusal(url, &response) else {
            return Ok(Reply::Found(Answer::of(response)));
        };
        let (head, body) = response.into_parts();
        let mut text = Vec::new();
        // What it says is missed where it does not come whole; the status is there.
        let _ = (body.into_reader().take(REFUSAL)).read_to_end(&mut text);
        Ok(Reply::Refused(Refused {
            error,
            status: head.status,
            date: status::date(&head.headers),
            headers: head.headers,
            text: String::from_utf8_lossy(&text).into_owned(),
        }))
    }
}

/// What a server says to a signed request.
#[derive(Debug)]
pub(crate) enum Reply {
    Found(Answer),
    Refused(Refused),
}

/// An answer of another status than 200.
#[derive(Debug)]
pub(crate) struct Refused {
    /// What its status means.
    pub(crate) error: FetchError,
    pub(crate) status: StatusCode,
    /// When it was given, by the server's clock.
    pub(crate) date: Option<Timestamp>,
    headers: HeaderMap,
    /// Its body, or the beginning of it.
    pub(crate) text: String,
}

impl Refused {
    /// A header for a message: printable, and not too long.
    pub(crate) fn header(&self, name: &'static str) -> Option<String> {
        status::text(&self.headers, HeaderName::from_static(name))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

/// An answer of status 200, whose body is still to be read. Read to its very end, the connection serves again.
#[derive(Debug)]
pub(crate) struct Answer {
    len: Option<u64>,
    body: Body,
}

impl Answer {
    fn of(response: Response<Body>) -> Answer {
        let body = response.into_body();
        Answer {
            len: body.content_length(),
            body,
        }
    }

    /// Reads the body into a buffer.
    ///
    /// # Errors
    /// [`FetchError::TooLong`] for one of more than `limit` bytes, which is not read;
    /// [`FetchError::Transient`] where it ends early or stalls; [`FetchError::Cancelled`].
    pub(crate) fn read_into(self, blob: &mut Buffer, limit: usize) -> Result<(), FetchError> {
        let most = self.most(limit as u64)?;
        let most = usize::try_from(most).map_err(|_| FetchError::TooLong)?;
        let mut reader = self.body.into_reader();
        blob.clear();
        blob.fill(most, |space| reader.read(space).map_err(sort_io))?;
        // Only a reader that has seen the end gives the connection back.
        if blob.len() == most && reader.read(&mut [0]).map_err(sort_io)? > 0 {
            return Err(FetchError::TooLong);
        }
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
