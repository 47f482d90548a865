//! What TLS failures mean: whether another try may help, and what to tell people.

use std::io;
use std::time::Duration;

use rustls::AlertDescription;

use crate::error::FetchError;
use crate::error::{Error, ErrorKind};
use crate::net::acquaintance::Failure;
use crate::net::body_text::is_web_page;
use crate::net::socket::lost;
use crate::net::verify;

/// After less time than this, silence can't be why a server answers in plain HTTP: a Proxmox Backup
/// Server takes a connection for plain HTTP when the client was silent for a second.
const TAKEN_FOR_SILENT: Duration = Duration::from_millis(900);

/// Sorts an error of the handshake. An error that is due to a certificate is never tried again.
pub(super) fn in_handshake(peer: &str, error: rustls::Error) -> FetchError {
    if let Some(refused) = verify::refusal(&error) {
        return FetchError::Denied(refused);
    }
    let message = format!("cannot set up TLS with {peer}");
    match error {
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => {
            FetchError::Denied(Error::new(ErrorKind::Denied, message).because(error).into())
        }
        rustls::Error::AlertReceived(AlertDescription::InternalError) => {
            FetchError::transient(Error::new(ErrorKind::Unavailable, message).because(error))
        }
        rustls::Error::AlertReceived(
            AlertDescription::HandshakeFailure | AlertDescription::ProtocolVersion,
        ) => {
            let message = format!(
                "{message}: it has no version of TLS, no cipher or no kind of key that is supported here; P-521 is not"
            );
            FetchError::Fatal(Error::new(ErrorKind::Denied, message).because(error).into())
        }
        _ => FetchError::Fatal(Error::new(ErrorKind::Denied, message).because(error).into()),
    }
}

/// Sorts an error after the handshake: bytes that were damaged on the way, or a peer that gave up.
pub(super) fn broken(peer: &str, error: rustls::Error) -> FetchError {
    lost(peer, io::Error::other(error))
}

/// Whether bytes that came in place of TLS are the answer of a web server.
pub(super) fn is_plain_http(came: &[u8]) -> bool {
    came.starts_with(b"HTTP/") || is_web_page(came)
}

/// The failure for a peer that answered the first TLS message with an HTTP response, this long
/// after the connection was made. A late response may be due to a message that was lost on the way,
/// and is worth another try.
pub(super) fn plain_http(peer: &str, after: Duration) -> Failure {
    let message = format!("{peer} speaks plain HTTP, not TLS; is the port right?");
    let error = Error::new(ErrorKind::Denied, message);
    if after < TAKEN_FOR_SILENT {
        FetchError::Fatal(error.into()).into()
    } else {
        Failure::NobodyThere(error)
    }
}
