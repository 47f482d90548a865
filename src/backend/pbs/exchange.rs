//! One request over HTTP/1.1 and its answer, each over a connection of its own. Knows nothing of what is asked for.
//!
//! Libraries for HTTP log what they send, and here that is passwords and tickets.

use std::time::Duration;

use zeroize::Zeroizing;

use crate::backend::FetchError;
use crate::backend::pbs::body::Body;
use crate::backend::pbs::head::{Framing, Head};
use crate::backend::pbs::login::Proof;
use crate::backend::pbs::repository::Repository;
use crate::backend::tls::{Dialer, Patience, Received, TlsStream, Wait};
use crate::cancel::Cancel;
use crate::error::{Error, ErrorKind};

const USER_AGENT: &str = concat!("chunk-restore/", env!("CARGO_PKG_VERSION"));

/// A server to ask, until somebody cancels.
#[derive(Clone, Copy)]
pub(super) struct Server<'a> {
    pub(super) repository: &'a Repository,
    pub(super) dialer: &'a Dialer,
    pub(super) cancel: &'a Cancel,
}

/// An answer of any status.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    /// The values of `Set-Cookie`.
    pub(super) cookies: Vec<String>,
    pub(super) body: Vec<u8>,
}

impl Server<'_> {
    /// A new connection.
    ///
    /// # Errors
    /// As [`Dialer::dial`].
    pub(super) fn dial(&self) -> Result<TlsStream, FetchError> {
        let Repository { host, port, .. } = self.repository;
        self.dialer.dial(host, *port, self.cancel)
    }

    /// Asks for what lies at a path.
    ///
    /// # Errors
    /// [`FetchError::TooLong`] for an answer of more than `limit` bytes; [`FetchError::Fatal`] for one that is not
    /// HTTP; as [`dial`](Server::dial), and [`FetchError::Unreachable`] where the connection breaks or stalls.
    pub(super) fn get(&self, path: &str, proof: &Proof, limit: usize) -> Result<Reply, FetchError> {
        let header = [proof.name, ": ", proof.value.reveal(), "\r\n"];
        self.exchange(["GET ", path], &header, &[], limit)
    }

    /// Posts JSON to a path.
    ///
    /// # Errors
    /// As [`get`](Server::get).
    pub(super) fn post(&self, path: &str, json: &[u8], limit: usize) -> Result<Reply, FetchError> {
        let len = json.len().to_string();
        let headers = [
            "content-type: application/json\r\ncontent-length: ",
            &len,
            "\r\n",
        ];
        self.exchange(["POST ", path], &headers, json, limit)
    }

    /// The headers are those that not every request has.
    fn exchange(
        &self,
        start: [&str; 2],
        headers: &[&str],
        json: &[u8],
        limit: usize,
    ) -> Result<Reply, FetchError> {
        let authority = self.repository.authority();
        let common = [
            " HTTP/1.1\r\nhost: ",
            &authority,
            "\r\nuser-agent: ",
            USER_AGENT,
            "\r\nconnection: close\r\n",
        ];
        // Each is one allocation, so that no copy of a secret is left behind.
        let head = [&start[..], &common, headers, &["\r\n"]].concat().concat();
        let head = Zeroizing::new(head);
        let request = Zeroizing::new([head.as_bytes(), json].concat());
        let mut stream = self.dial()?;
        let wait = Wait {
            cancel: self.cancel,
            limit: self.dialer.progress(),
            what: "the answer",
        };
        stream.send(&request, wait)?;
        let (head, came) = Head::receive(&mut stream, wait, wait.deadline())?;
        let framing = match head.status {
            // These have no body, whatever else they say.
            204 | 304 => Framing::Length(0),
            _ => head.framing,
        };
        let mut body = Body::new(framing, limit)?;
        body.push(&came)?;
        let mut patience = Patience::new(wait.limit);
        while !body.is_complete() {
            let left = patience.left(body.len() as u64);
            let limit = left.ok_or_else(|| wait.timed_out(stream.peer()))?;
            let deadline = Wait { limit, ..wait }.deadline();
            let (before, mut pushed) = (stream.waited(), Ok(()));
            let received = stream.receive_until(deadline, self.cancel, &mut |piece| {
                if pushed.is_ok() {
                    pushed = body.push(piece);
                }
            })?;
            pushed?;
            patience.waited(stream.waited() - before);
            if received == Some(Received::Closed) {
                if body.may_end_here() {
                    break;
                }
                let message = "the server ended the connection before its answer was complete";
                return Err(FetchError::unreachable(Error::new(
                    ErrorKind::Unavailable,
                    message,
                )));
            }
        }
        Ok(Reply {
            status: head.status,
            retry_after: head.retry_after,
            cookies: head.cookies,
            body: body.into_bytes(),
        })
    }
}
