//! The certificate of a server, and whose certificates it trusts.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind, Result};
use crate::reading::read_small;

/// The longest file of certificates or keys, in bytes.
const PEM_LEN_MAX: u64 = 4 << 20;

/// The certificate of a [`Server`](super::Server) with its key, and the authorities that must vouch
/// for clients, if clients need a certificate.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ServerConfig>,
    asks_clients: bool,
}

impl Tls {
    /// Reads PEM files: the server's certificate with those of the authorities between it and the
    /// root, the private key of the certificate, and the certificates of the authorities that must
    /// vouch for clients. With `client_ca`, a client without such a certificate is turned away.
    ///
    /// # Errors
    /// [`Unreadable`](ErrorKind::Unreadable) or [`NotFound`](ErrorKind::NotFound) for a file that
    /// can't be read, [`Invalid`](ErrorKind::Invalid) for one that holds no certificate or key, or
    /// if the key does not belong to the certificate.
    pub fn from_pem_files(
        certificate: impl AsRef<Path>,
        key: impl AsRef<Path>,
        client_ca: Option<&Path>,
    ) -> Result<Tls> {
        let (certificate, key) = (certificate.as_ref(), key.as_ref());
        let chain = certificates(certificate)?;
        let private = PrivateKeyDer::from_pem_slice(&read(key)?)
            .map_err(|error| invalid(key, "holds no private key").because(error))?;
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::new(ErrorKind::Invalid, "cannot use TLS").because(error))?;
        let builder = match client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(roots(path)?, provider)
                    .build()
                    .map_err(|error| invalid(path, "is of no use").because(error))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let config = builder.with_single_cert(chain, private).map_err(|error| {
            let message = format!(
                "cannot use the certificate {} with the key {}",
                certificate.display(),
                key.display()
            );
            Error::new(ErrorKind::Invalid, message).because(error)
        })?;
        Ok(Tls {
            config: Arc::new(config),
            asks_clients: client_ca.is_some(),
        })
    }

    pub(super) fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let pem = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.map_err(|error| invalid(path, "is not a PEM file").because(error))?;
    if found.is_empty() {
        return Err(invalid(path, "holds no certificate"));
    }
    Ok(found)
}

fn roots(path: &Path) -> Result<Arc<RootCertStore>> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots
            .add(certificate)
            .map_err(|error| invalid(path, "holds an unusable certificate").because(error))?;
    }
    Ok(Arc::new(roots))
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    read_small(path, PEM_LEN_MAX).map_err(|error| {
        let kind = match error.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            _ => ErrorKind::Unreadable,
        };
        let message = format!("cannot read {}", path.display());
        Error::new(kind, message).because(error)
    })
}

fn invalid(path: &Path, what: &str) -> Error {
    Error::new(ErrorKind::Invalid, format!("{} {what}", path.display()))
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("asks_clients", &self.asks_clients)
            .finish_non_exhaustive()
    }
}
