//! HTTP/1.1 requests over our own connections, by ureq.
#![cfg_attr(
    not(all(feature = "https", feature = "s3")),
    allow(dead_code, reason = "each kind of place uses a part of it")
)]

mod answer;
mod page;
mod redact;
mod status;
mod transport;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use ureq::http::header::RANGE;
use ureq::typestate::WithoutBody;
use ureq::{Agent, RequestBuilder};

use crate::backend::FetchError;
use crate::backend::http::redact::{PLACEHOLDER, SecretQuery};
use crate::backend::http::transport::{Dial, NoResolver};
use crate::backend::secret::SecretValue;
use crate::cancel::Cancel;
use crate::error::{Error, ErrorKind, Scope};
use crate::format::blob::is_begun_as_blob;
use crate::net::Dialer;

#[cfg(feature = "s3")]
pub(crate) use answer::Refused;
pub(crate) use answer::{Answer, Unfit};

const USER_AGENT: &str = concat!("chunk-restore/", env!("CARGO_PKG_VERSION"));

/// Servers commonly keep an idle connection for a minute or so. If a server closed the connection
/// meanwhile, the client notices.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// How much of a file is requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    File,
    /// The first [`BEGINNING`] bytes of a file; a server may send more.
    Beginning,
}

/// How many bytes at the start of a file tell what it is.
const BEGINNING: usize = 4096;

/// A client for one thread at a time. It keeps one connection alive until it is dropped.
pub(crate) struct Client {
    agent: Agent,
    is_authorized: bool,
    query: SecretQuery,
    /// How many bytes of bodies were read so far.
    read: Arc<AtomicU64>,
}

impl Client {
    /// A client that sends the authorization with each request. Anything that the client waits for
    /// ends soon after `cancel` is cancelled.
    pub(crate) fn new(
        dialer: Dialer,
        authorization: Option<SecretValue>,
        cancel: Cancel,
    ) -> Client {
        Client::with(dialer, authorization, cancel, true)
    }

    /// A client for requests that are each signed, over TLS or, for `http://` URLs, without it.
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
        let query = SecretQuery::default();
        let read = Arc::new(AtomicU64::new(0));
        let dial = Dial {
            dialer,
            authorization,
            query: query.clone(),
            read: Arc::clone(&read),
            cancel,
        };
        Client {
            agent: Agent::with_parts(config, dial, NoResolver),
            is_authorized,
            query,
            read,
        }
    }

    /// Requests the file at a URL.
    ///
    /// # Errors
    /// [`FetchError::Missing`] and [`FetchError::Denied`] by the answer's status, the latter also
    /// for an untrusted certificate; [`FetchError::Unreachable`] if there is no connection, or it
    /// breaks or stalls; [`FetchError::Transient`] for answers that may pass; [`FetchError::Fatal`]
    /// for all other answers; [`FetchError::Cancelled`].
    pub(crate) fn get(&self, url: &str, want: Want) -> Result<Answer, Unfit> {
        let mut request = self.agent.get(url);
        if self.is_authorized {
            request = request.header("Authorization", PLACEHOLDER);
        }
        self.call(url, request, want)
    }

    /// Requests the file at a URL that has no query, and adds a secret query to the URL. A client
    /// makes one such request at a time.
    ///
    /// # Errors
    /// As [`get`](Client::get).
    #[cfg(feature = "s3")]
    pub(crate) fn get_signed(
        &mut self,
        url: &str,
        query: SecretValue,
        want: Want,
    ) -> Result<Answer, Unfit> {
        self.query.set(query);
        let request = self.agent.get(format!("{url}?{PLACEHOLDER}"));
        self.call(url, request, want)
    }

    fn call(
        &self,
        url: &str,
        request: RequestBuilder<WithoutBody>,
        want: Want,
    ) -> Result<Answer, Unfit> {
        let request = match want {
            Want::File => request,
            Want::Beginning => request.header(RANGE, format!("bytes=0-{}", BEGINNING - 1)),
        };
        let answer = Answer::of(url, request.call().map_err(sort)?, &self.read);
        match (want, answer.status().as_u16()) {
            // The server answers 416 for an empty file, since such a file has no first byte.
            (Want::Beginning, 206 | 416) => Ok(answer),
            _ => match answer.refusal() {
                None => Ok(answer),
                Some(error) => Err(answer.refused(error, Vec::new())),
            },
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

/// Judges the answer to a request for the beginning of a file that the place gave before: the
/// archive's index, or a chunk. Only if these files are still there can another chunk be missing or
/// damaged. Otherwise the place has changed, or something between here and the place answers
/// instead of it: then no chunk is lost, and the place may come back.
///
/// # Errors
/// [`FetchError::Transient`] if the file is gone, or something else came instead; else the reason
/// why the file could not be fetched.
pub(crate) fn check_still_there(
    name: &str,
    beginning: Result<Vec<u8>, FetchError>,
    is_right: fn(&[u8]) -> bool,
) -> Result<(), FetchError> {
    let message = match beginning {
        Ok(beginning) if is_right(&beginning) => return Ok(()),
        Ok(_) => format!(
            "something else comes in place of {name}, too; does a proxy or a sign-in page answer in the server's stead?"
        ),
        Err(FetchError::Missing) => format!(
            "{name} is no longer there either; was the datastore, or the snapshot, moved, unmounted or deleted?"
        ),
        Err(error) => return Err(error),
    };
    Err(FetchError::transient(Error::new(
        ErrorKind::Unavailable,
        message,
    )))
}

/// Whether the answer to a request for a chunk may be that of a proxy, a sign-in page or an empty cache: the answer does not
/// begin like a chunk, is too long for one, or says that the chunk is missing. A chunk's file that a power cut left empty looks
/// the same, so [`check_still_there`] tells the two apart.
pub(crate) fn is_dubious(read: &Result<(), FetchError>, blob: &[u8]) -> bool {
    match read {
        Ok(()) => !is_begun_as_blob(blob),
        Err(error) => error.scope() == Some(Scope::Chunk),
    }
}

/// Sorts an error of ureq. Errors of the connection are our own: ureq carries them through.
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
            // If this error held an `io::Error` again, ureq would have unwrapped it.
            Ok(error @ ureq::Error::Io(_)) => FetchError::unreachable(error),
            Ok(error) => sort(error),
            Err(error) if kind == io::ErrorKind::UnexpectedEof => {
                let message = "the server ended the connection before its answer was complete";
                FetchError::unreachable(Error::new(ErrorKind::Unavailable, message).because(error))
            }
            Err(error) => FetchError::unreachable(error),
        },
    }
}
