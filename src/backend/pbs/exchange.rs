//! One HTTP/1.1 request and its answer, over a connection of its own.
//!
//! No HTTP library is used here, since such libraries log what they send, and these requests hold
//! passwords and tickets.

use std::time::Duration;

use zeroize::Zeroizing;

use crate::backend::FetchError;
use crate::backend::pbs::body::Body;
use crate::backend::pbs::head::{Framing, Head};
use crate::backend::pbs::login::Proof;
use crate::backend::pbs::refusal::{Asked, Refusal};
use crate::cancel::Cancel;
use crate::error::{Error, ErrorKind};
use crate::net::{Dialer, Received, StallTimer, TlsStream, Wait};
use crate::place::Repository;

const USER_AGENT: &str = concat!("chunk-restore/", env!("CARGO_PKG_VERSION"));

/// A server that requests are sent to, until the cancel is cancelled.
#[derive(Clone, Copy)]
pub(super) struct Server<'a> {
    pub(super) repository: &'a Repository,
    pub(super) dialer: &'a Dialer,
    pub(super) cancel: &'a Cancel,
}

/// An answer with any status.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) reason: String,
    pub(super) retry_after: Option<Duration>,
    /// The values of the `Set-Cookie` headers.
    pub(super) cookies: Vec<String>,
    pub(super) body: Vec<u8>,
}

impl Reply {
    /// What an answer means whose status is not one of success.
    pub(super) fn refusal(&self, asked: Asked) -> FetchError {
        let refusal = Refusal {
            asked,
            status: self.status,
            reason: &self.reason,
            message: &self.body,
            retry_after: self.retry_after,
        };
        refusal.sort()
    }
}

/// The most bytes that are read of a refusal.
const MAX_MESSAGE: usize = 16 << 10;

/// An answer whose body, or a part of it, is still to come.
pub(super) struct Incoming<'a> {
    pub(super) head: Head,
    body: Body,
    limit: usize,
    stream: TlsStream,
    wait: Wait<'a>,
    patience: StallTimer,
}

impl<'a> Server<'a> {
    /// Opens a new connection.
    ///
    /// # Errors
    /// As [`Dialer::dial`].
    pub(super) fn dial(&self) -> Result<TlsStream, FetchError> {
        let (host, port) = (self.repository.host(), self.repository.port());
        self.dialer.dial(host, port, self.cancel)
    }

    /// Sends a GET request for a path.
    ///
    /// # Errors
    /// [`FetchError::Fatal`] for an answer that is announced to be longer than `limit` bytes, or
    /// turns out to be when it comes, and for one that is not HTTP; the errors of
    /// [`dial`](Server::dial); [`FetchError::Unreachable`] if the connection breaks or stalls.
    pub(super) fn get(
        &self,
        path: &str,
        proof: &Proof,
        limit: usize,
    ) -> Result<Incoming<'a>, FetchError> {
        let header = [proof.name, ": ", proof.value.reveal(), "\r\n"];
        self.ask(["GET ", path], &header, &[], limit)
    }

    /// Sends a POST request with JSON to a path.
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
        self.ask(["POST ", path], &headers, json, limit)?.read()
    }

    /// Sends a request. `headers` are those that not every request has.
    fn ask(
        &self,
        start: [&str; 2],
        headers: &[&str],
        json: &[u8],
        limit: usize,
    ) -> Result<Incoming<'a>, FetchError> {
        let authority = self.repository.authority();
        let common = [
            " HTTP/1.1\r\nhost: ",
            &authority,
            "\r\nuser-agent: ",
            USER_AGENT,
            "\r\nconnection: close\r\n",
        ];
        // There is one allocation for each text, so that no copy of a secret is left behind.
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
            // Answers with these statuses have no body, whatever their headers say.
            204 | 304 => Framing::Length(0),
            _ => head.framing,
        };
        let mut body = Body::new(framing, limit).map_err(|error| of_place(error, limit))?;
        body.push(&came).map_err(|error| of_place(error, limit))?;
        Ok(Incoming {
            head,
            body,
            limit,
            stream,
            wait,
            patience: StallTimer::new(wait.limit),
        })
    }
}

impl Incoming<'_> {
    /// Waits for more of the body. Returns nothing at its end.
    ///
    /// # Errors
    /// As [`Server::get`].
    pub(super) fn more(&mut self) -> Result<Vec<u8>, FetchError> {
        loop {
            let came = self.body.take_bytes();
            if !came.is_empty() || self.body.is_complete() {
                return Ok(came);
            }
            if !self.receive()? {
                return Ok(Vec::new());
            }
        }
    }

    /// Waits for the whole answer.
    ///
    /// # Errors
    /// As [`Server::get`].
    pub(super) fn read(mut self) -> Result<Reply, FetchError> {
        while !self.body.is_complete() && self.receive()? {}
        Ok(self.into_reply())
    }

    /// Waits for the whole refusal, or only its beginning if its message is long.
    ///
    /// # Errors
    /// As [`Server::get`].
    pub(super) fn read_message(mut self) -> Result<Reply, FetchError> {
        while self.body.len() < MAX_MESSAGE && !self.body.is_complete() && self.receive()? {}
        Ok(self.into_reply())
    }

    /// Receives the next bytes. Returns whether more may follow.
    fn receive(&mut self) -> Result<bool, FetchError> {
        let left = self.patience.left(self.body.len() as u64);
        let limit = left.ok_or_else(|| self.wait.timed_out(self.stream.peer()))?;
        let deadline = Wait { limit, ..self.wait }.deadline();
        let (before, mut pushed) = (self.stream.waited(), Ok(()));
        let body = &mut self.body;
        let received = (self.stream).receive_until(deadline, self.wait.cancel, &mut |piece| {
            if pushed.is_ok() {
                pushed = body.push(piece);
            }
        })?;
        pushed.map_err(|error| of_place(error, self.limit))?;
        self.patience.waited(self.stream.waited() - before);
        if received != Some(Received::Closed) {
            return Ok(true);
        }
        if self.body.may_end_here() {
            return Ok(false);
        }
        let message = "the server ended the connection before its answer was complete";
        Err(FetchError::unreachable(Error::new(
            ErrorKind::Unavailable,
            message,
        )))
    }

    fn into_reply(mut self) -> Reply {
        Reply {
            body: self.body.take_bytes(),
            status: self.head.status,
            reason: self.head.reason,
            retry_after: self.head.retry_after,
            cookies: self.head.cookies,
        }
    }
}

/// Turns an answer that is too long into an error of the place: no answer here is a file of a
/// snapshot.
fn of_place(error: FetchError, limit: usize) -> FetchError {
    match error {
        FetchError::TooLong => {
            let message = format!("the server's answer is longer than {limit} bytes");
            FetchError::Fatal(Error::new(ErrorKind::Unavailable, message).into())
        }
        error => error,
    }
}
