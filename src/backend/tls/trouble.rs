//! What TLS failures mean: whether another try may help, and what to tell people. Knows nothing of sockets.

use std::io;
use std::time::Duration;

use rustls::AlertDescription;

use crate::backend::FetchError;
use crate::backend::tls::socket::lost;
use crate::backend::tls::verify::UntrustedCertificate;
use crate::error::{Error, ErrorKind};

/// A Proxmox Backup Server takes a connection for plain HTTP when it was silent for a second.
const TAKEN_FOR_SILENT: Duration = Duration::from_millis(900);

/// Sorts an error of the handshake. Nothing that is wrong with a certificate is tried again.
pub(super) fn in_handshake(peer: &str, error: rustls::Error) -> FetchError {
    if let Some(untrusted) = UntrustedCertificate::find(&error) {
        return FetchError::Denied(untrusted.clone().into());
    }
    let message = format!("cannot set up TLS with {peer}");
    match error {
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => {
            FetchError::Denied(Error::new(ErrorKind::Denied, message).because(error).into())
        }
        rustls::Error::AlertReceived(AlertDescription::InternalError) => {
            FetchError::transient(Error::new(ErrorKind::Unavailable, message).because(error))
        }
        _ => FetchError::Fatal(
            Error::new(ErrorKind::Unavailable, message)
                .because(error)
                .into(),
        ),
    }
}

/// Sorts an error after the handshake: bytes that were damaged on the way, or a peer that gave up.
pub(super) fn broken(peer: &str, error: rustls::Error) -> FetchError {
    lost(peer, io::Error::other(error))
}

/// The peer answered the first TLS message with an HTTP response, so many seconds after the connection stood. A late
/// one may be due to a message that was lost on the way, and is worth another try.
pub(super) fn plain_http(peer: &str, after: Duration) -> FetchError {
    let message = format!("{peer} speaks plain HTTP, not TLS; is the port right?");
    let error = Error::new(ErrorKind::Unavailable, message);
    if after < TAKEN_FOR_SILENT {
        FetchError::Fatal(error.into())
    } else {
        FetchError::transient(error)
    }
}
