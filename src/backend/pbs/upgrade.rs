//! Switches a connection from HTTP/1.1 to the reader protocol: the request for a session, and the
//! server's answer.

use std::time::Instant;

use zeroize::Zeroizing;

use crate::backend::FetchError;
use crate::backend::pbs::body::Body;
use crate::backend::pbs::head::{Framing, Head, fatal, receive};
use crate::backend::pbs::listing::namespace_parameter;
use crate::backend::pbs::login::Proof;
use crate::backend::pbs::refusal::{Asked, Refusal};
use crate::format::name::SnapshotPath;
use crate::net::body_text::is_web_page;
use crate::net::{TlsStream, Wait};
use crate::place::Repository;

const PROTOCOL: &str = "proxmox-backup-reader-protocol-v1";

/// The most bytes of a refusal, which is one line.
const MAX_MESSAGE: usize = 16 << 10;

/// The request that turns a connection into a session for a snapshot.
pub(super) fn request(
    repository: &Repository,
    snapshot: &SnapshotPath,
    proof: &Proof,
) -> Zeroizing<String> {
    let SnapshotPath {
        namespace,
        snapshot,
    } = snapshot;
    let group = snapshot.group();
    let start = format!(
        "GET /api2/json/reader?store={}&backup-type={}&backup-id={}&backup-time={}{} HTTP/1.1\r\n\
         host: {}\r\nconnection: upgrade\r\nupgrade: {PROTOCOL}\r\n",
        repository.datastore(),
        group.backup_type(),
        group.id(),
        snapshot.time(),
        namespace_parameter('&', namespace),
        repository.authority(),
    );
    let header = [proof.name, ": ", proof.value.reveal(), "\r\n\r\n"];
    // There is one allocation, so that no copy of the secret is left behind.
    Zeroizing::new([&[&*start][..], &header].concat().concat())
}

/// Waits for the answer. If the server agrees, the bytes that came after its answer are HTTP/2.
pub(super) fn response(stream: &mut TlsStream, wait: Wait<'_>) -> Result<Vec<u8>, FetchError> {
    // The limit is for the whole answer, which is short: a server that sends it in a trickle must
    // not hold the client up.
    let deadline = wait.deadline();
    let (head, body) = Head::receive(stream, wait, deadline)?;
    if head.status == 101 {
        let is_ours =
            (head.upgrade.as_ref()).is_some_and(|protocol| protocol.eq_ignore_ascii_case(PROTOCOL));
        if !is_ours {
            return Err(fatal(
                "the server switched to another protocol than the one that was asked for",
            ));
        }
        return Ok(body);
    }
    let message = message(stream, wait, deadline, head.framing, body)?;
    if (200..300).contains(&head.status) && !is_web_page(&message) {
        return Err(fatal(
            "the server did not switch to the reader protocol; is a proxy in between?",
        ));
    }
    let refusal = Refusal {
        asked: Asked::Session,
        status: head.status,
        reason: &head.reason,
        message: &message,
        retry_after: head.retry_after,
    };
    Err(refusal.sort())
}

/// The body of a refusal, as far as it matters. If the rest does not come, the part that came is
/// used.
fn message(
    stream: &mut TlsStream,
    wait: Wait<'_>,
    deadline: Instant,
    framing: Framing,
    start: Vec<u8>,
) -> Result<Vec<u8>, FetchError> {
    // The beginning of a long message is enough.
    let framing = match framing {
        Framing::Length(len) => Framing::Length(len.min(MAX_MESSAGE as u64)),
        other => other,
    };
    let mut body = Body::new(framing, MAX_MESSAGE)?;
    let mut pushed = body.push(&start);
    while pushed.is_ok() && !body.is_complete() {
        let mut piece = Vec::new();
        pushed = match receive(stream, wait, deadline, &mut piece) {
            Err(FetchError::Cancelled) => return Err(FetchError::Cancelled),
            received => received.and_then(|()| body.push(&piece)),
        };
    }
    Ok(body.take_bytes())
}
