//! Connections to servers: name lookup, TCP, proxy, TLS, certificate.
#![cfg_attr(
    not(feature = "pbs"),
    allow(dead_code, reason = "without a PBS only ureq uses it")
)]

mod acquaintance;
pub(crate) mod body_text;
mod connect;
#[cfg(feature = "s3")]
mod plain;
pub(crate) mod proxy;
mod public_key;
mod records;
mod route;
mod socket;
mod stall;
mod stream;
#[cfg(test)]
mod tests;
mod trouble;
mod verify;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;

use crate::cancel::Cancel;
use crate::digest::Fingerprint;
use crate::error::FetchError;
use crate::error::{Error, ErrorKind, Result};
use crate::net::acquaintance::{Acquaintance, Failure};
use crate::net::socket::Socket;
use crate::net::verify::Verifier;
use crate::place::address::authority;
use crate::rate_limit::RateLimit;

#[cfg(feature = "s3")]
pub(crate) use plain::PlainStream;
pub(crate) use route::Route;
pub(crate) use socket::Wait;
pub(crate) use stall::StallTimer;
pub(crate) use stream::{Received, TlsStream};
pub use verify::UntrustedCertificate;

/// How long to wait for each step of a connection. Nothing limits all steps together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// The limit for finding a host's addresses and connecting to one of them, and for the proxy to
    /// do so.
    pub(crate) connect: Duration,
    /// The limit for the TLS handshake.
    pub(crate) tls: Duration,
    /// The limit for the next bytes of an answer.
    pub(crate) progress: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            connect: Duration::from_secs(10),
            tls: Duration::from_secs(10),
            progress: Duration::from_secs(30),
        }
    }
}

/// Makes connections that all trust the same certificates. Cheap to clone; clones can resume each
/// other's TLS sessions.
#[derive(Clone)]
pub(crate) struct Dialer {
    config: Arc<ClientConfig>,
    timeouts: Timeouts,
    route: Route,
    rate_limit: RateLimit,
    acquaintance: Acquaintance,
}

impl Dialer {
    /// Trusts the system's roots, the roots in a PEM file, and the certificate with a fingerprint.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a PEM file that holds no usable certificate; [`ErrorKind::Resources`].
    pub(crate) fn new(
        pinned: Option<Fingerprint>,
        ca_pem: Option<&[u8]>,
        timeouts: Timeouts,
        route: Route,
    ) -> Result<Dialer> {
        let provider = Arc::new(ring::default_provider());
        let verifier = Verifier::new(&provider, pinned, ca_pem)?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::new(ErrorKind::Invalid, "TLS can't be set up").because(error))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Ok(Dialer {
            config: Arc::new(config),
            timeouts,
            route,
            rate_limit: RateLimit::default(),
            acquaintance: Acquaintance::default(),
        })
    }

    /// The same dialer, for connections that read no faster than a throttle allows.
    pub(crate) fn rate_limited(&self, rate_limit: &RateLimit) -> Dialer {
        Dialer {
            rate_limit: rate_limit.clone(),
            ..self.clone()
        }
    }

    /// The limit for the next bytes of an answer.
    pub(crate) fn progress(&self) -> Duration {
        self.timeouts.progress
    }

    /// Connects to a host (an IPv6 address without brackets) and shakes hands at once: a Proxmox Backup Server gives a
    /// client one second for its first message.
    ///
    /// # Errors
    /// [`FetchError::Denied`], with an [`UntrustedCertificate`], for a peer that can't prove its
    /// identity; [`FetchError::Fatal`] for one that does not speak TLS, and for one that is not
    /// there and was never reached; [`FetchError::Unreachable`] and [`FetchError::Transient`] for
    /// failures that may pass; [`FetchError::Resources`]; [`FetchError::Cancelled`].
    pub(crate) fn dial(
        &self,
        host: &str,
        port: u16,
        cancel: &Cancel,
    ) -> Result<TlsStream, FetchError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|error| {
            let message = format!("{host} is not the name of a host");
            FetchError::Fatal(
                Error::new(ErrorKind::Invalid, message)
                    .because(error)
                    .into(),
            )
        })?;
        let wait = Wait {
            cancel,
            limit: self.timeouts.tls,
            what: "the TLS handshake",
        };
        self.acquaintance.meet(cancel, || {
            let socket = self.connect(host, port, cancel)?;
            TlsStream::shake_hands(socket, name.clone(), Arc::clone(&self.config), wait)
        })
    }

    /// Connects to a host without TLS: anyone on the way can read and change what is sent.
    ///
    /// # Errors
    /// As [`dial`](Dialer::dial), except for the errors of TLS; [`FetchError::Denied`] from a
    /// proxy.
    #[cfg(feature = "s3")]
    pub(crate) fn dial_plain(
        &self,
        host: &str,
        port: u16,
        cancel: &Cancel,
    ) -> Result<PlainStream, FetchError> {
        let connect = || self.connect(host, port, cancel);
        (self.acquaintance.meet(cancel, connect)).map(PlainStream::new)
    }

    /// Makes a TCP connection to a host, through the proxy if there is one for the host.
    fn connect(&self, host: &str, port: u16, cancel: &Cancel) -> Result<Socket, Failure> {
        let wait = Wait {
            cancel,
            limit: self.timeouts.connect,
            what: "a connection",
        };
        let peer = authority(host, port);
        let proxy = self.route.proxy_to(host, port)?;
        let stream = match proxy {
            Some(proxy) => {
                connect::open(&proxy.host, proxy.port, &format!("the proxy {proxy}"), wait)?
            }
            None => connect::open(host, port, &peer, wait)?,
        };
        let mut socket =
            Socket::new(stream, peer.clone()).map_err(|error| socket::lost(&peer, error))?;
        socket.set_rate_limit(&self.rate_limit);
        if let Some(proxy) = proxy {
            let what = "the answer";
            proxy.pass(&mut socket, host, port, Wait { what, ..wait })?;
        }
        Ok(socket)
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer")
            .field("timeouts", &self.timeouts)
            .field("route", &self.route)
            .finish_non_exhaustive()
    }
}
