//! From HTTP/1.1 to the reader protocol: the request for a session, and the server's answer. Knows nothing of HTTP/2.

use std::time::{Duration, Instant};

use crate::backend::FetchError;
use crate::backend::pbs::listing::namespace_parameter;
use crate::backend::pbs::login::Proof;
use crate::backend::pbs::refusal::{self, Asked};
use crate::backend::pbs::repository::Repository;
use crate::backend::tls::{Received, TlsStream, Wait};
use crate::error::{Error, ErrorKind};
use crate::format::name::SnapshotPath;

const PROTOCOL: &str = "proxmox-backup-reader-protocol-v1";

const MAX_HEAD: usize = 64 << 10;
const MAX_HEADERS: usize = 64;
/// A refusal is one line.
const MAX_MESSAGE: usize = 16 << 10;

/// The request that turns a connection into a session for a snapshot.
pub(super) fn request(repository: &Repository, snapshot: &SnapshotPath, proof: &Proof) -> Vec<u8> {
    let SnapshotPath {
        namespace,
        snapshot,
    } = snapshot;
    let group = snapshot.group();
    let mut request = format!(
        "GET /api2/json/reader?store={}&backup-type={}&backup-id={}&backup-time={}{} HTTP/1.1\r\n\
         host: {}\r\nconnection: upgrade\r\nupgrade: {PROTOCOL}\r\n{}: ",
        repository.store,
        group.backup_type(),
        group.id(),
        snapshot.time(),
        namespace_parameter('&', namespace),
        repository.authority(),
        proof.name,
    )
    .into_bytes();
    request.extend_from_slice(proof.value.as_bytes());
    request.extend_from_slice(b"\r\n\r\n");
    request
}

/// Waits for the answer. The bytes that came behind a good one are HTTP/2.
pub(super) fn response(stream: &mut TlsStream, wait: Wait<'_>) -> Result<Vec<u8>, FetchError> {
    // The limit is for the whole answer, which is short: a trickle must not hold it up.
    let deadline = wait.deadline();
    let mut bytes = Vec::new();
    let head = loop {
        receive(stream, wait, deadline, &mut bytes)?;
        if let Some(head) = Head::parse(&bytes)? {
            break head;
        }
        if bytes.len() > MAX_HEAD {
            return Err(fatal(
                "the server's answer to the upgrade has a head without an end",
            ));
        }
    };
    let body = bytes.split_off(head.len);
    if head.status == 101 {
        if !head.is_ours {
            return Err(fatal(
                "the server switched to another protocol than the one that was asked for",
            ));
        }
        return Ok(body);
    }
    let message = message(stream, wait, deadline, &head, body)?;
    if (200..300).contains(&head.status) {
        return Err(fatal(
            "the server did not switch to the reader protocol; is a proxy in between?",
        ));
    }
    Err(refusal::sort(
        Asked::Ordinary,
        head.status,
        &message,
        head.retry_after,
    ))
}

/// What matters of the head of an HTTP/1.1 answer.
struct Head {
    len: usize,
    status: u16,
    content_length: Option<usize>,
    /// How long the server wants to be left alone. A date instead of seconds counts as nothing.
    retry_after: Option<Duration>,
    /// It names the protocol that was asked for.
    is_ours: bool,
}

impl Head {
    fn parse(bytes: &[u8]) -> Result<Option<Head>, FetchError> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let len = match response.parse(bytes) {
            Ok(httparse::Status::Complete(len)) => len,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(error) => {
                let message = "the server's answer to the upgrade is not HTTP; is it a Proxmox Backup Server?";
                let error = Error::new(ErrorKind::Unavailable, message).because(error);
                return Err(FetchError::Fatal(error.into()));
            }
        };
        let header = |name: &str| {
            let mut found = response
                .headers
                .iter()
                .filter(|header| header.name.eq_ignore_ascii_case(name));
            found
                .next()
                .and_then(|header| std::str::from_utf8(header.value).ok())
                .map(str::trim)
        };
        Ok(Some(Head {
            len,
            status: response.code.unwrap_or_default(),
            content_length: header("content-length").and_then(|len| len.parse().ok()),
            retry_after: header("retry-after")
                .and_then(|seconds| seconds.parse().ok())
                .map(Duration::from_secs),
            is_ours: header("upgrade")
                .is_some_and(|protocol| protocol.eq_ignore_ascii_case(PROTOCOL)),
        }))
    }
}

/// The body of a refusal, as far as it matters: what has come is message enough when the rest does not.
fn message(
    stream: &mut TlsStream,
    wait: Wait<'_>,
    deadline: Instant,
    head: &Head,
    mut body: Vec<u8>,
) -> Result<Vec<u8>, FetchError> {
    let len = head.content_length.unwrap_or(MAX_MESSAGE).min(MAX_MESSAGE);
    let is_endless = head.content_length.is_none();
    while body.len() < len && !(is_endless && body.ends_with(b"0\r\n\r\n")) {
        match receive(stream, wait, deadline, &mut body) {
            Ok(()) => {}
            Err(FetchError::Cancelled) => return Err(FetchError::Cancelled),
            Err(_) => break,
        }
    }
    body.truncate(len);
    Ok(body)
}

fn receive(
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
            Err(FetchError::transient(Error::new(
                ErrorKind::Unavailable,
                message,
            )))
        }
    }
}

fn fatal(message: &str) -> FetchError {
    FetchError::Fatal(Error::new(ErrorKind::Unavailable, message).into())
}
