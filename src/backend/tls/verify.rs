//! Whether a server is who it should be. Knows nothing of sockets.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};
use rustls::{CertificateError, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};

use crate::digest::{Digest, Fingerprint};
use crate::error::{Error, ErrorKind, Result};

/// Whom to trust, by the rule of Proxmox Backup's own client: a chain that the roots accept is enough, whatever the
/// fingerprint; else the certificate itself must have the fingerprint, and then neither its names nor its dates matter.
#[derive(Debug)]
pub(super) struct Verifier {
    /// `None` where there are no roots at all.
    chain: Option<Arc<WebPkiServerVerifier>>,
    pinned: Option<Fingerprint>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    /// Takes the system's roots, and those of a PEM file where one is given.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a PEM file without a usable certificate.
    pub(super) fn new(
        provider: &Arc<CryptoProvider>,
        pinned: Option<Fingerprint>,
        ca_pem: Option<&[u8]>,
    ) -> Result<Verifier> {
        let mut roots = RootCertStore::empty();
        // A system without roots, or with unreadable ones, can still pin.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(pem) = ca_pem {
            add_pem(&mut roots, pem)?;
        }
        let chain = if roots.is_empty() {
            None
        } else {
            let roots = Arc::new(roots);
            let builder = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider));
            Some(builder.build().map_err(|error| {
                Error::new(ErrorKind::Invalid, "the root certificates can't be used").because(error)
            })?)
        };
        Ok(Verifier {
            chain,
            pinned,
            algorithms: provider.signature_verification_algorithms,
        })
    }
}

fn add_pem(roots: &mut RootCertStore, pem: &[u8]) -> Result<()> {
    let invalid = |message: &str| Error::new(ErrorKind::Invalid, message);
    let before = roots.len();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate =
            certificate.map_err(|error| invalid("it is not a PEM file").because(error))?;
        (roots.add(certificate))
            .map_err(|error| invalid("it holds a certificate that can't be used").because(error))?;
    }
    if roots.len() == before {
        return Err(invalid("there is no certificate in it"));
    }
    Ok(())
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain = match &self.chain {
            Some(chain) => {
                chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            }
            None => Err(CertificateError::UnknownIssuer.into()),
        };
        let Err(cause) = chain else {
            return Ok(ServerCertVerified::assertion());
        };
        let fingerprint = Fingerprint::from(*Digest::of(end_entity).as_bytes());
        if self.pinned == Some(fingerprint) {
            return Ok(ServerCertVerified::assertion());
        }
        let untrusted = UntrustedCertificate {
            host: server_name.to_str().into_owned(),
            fingerprint,
            expected: self.pinned,
            cause,
        };
        Err(CertificateError::Other(OtherError(Arc::new(untrusted))).into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// A server showed a certificate that is not trusted: the cause, by [`source`](StdError::source) and `downcast_ref`,
/// of an error of kind [`ErrorKind::Denied`]. A program may show the fingerprint and ask.
#[derive(Clone, Debug)]
pub struct UntrustedCertificate {
    host: String,
    fingerprint: Fingerprint,
    expected: Option<Fingerprint>,
    cause: rustls::Error,
}

impl UntrustedCertificate {
    /// The server's name as it was asked for.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The fingerprint of the certificate that it showed: the SHA-256 of its DER form.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The fingerprint that was given for it.
    #[must_use]
    pub fn expected(&self) -> Option<Fingerprint> {
        self.expected
    }

    /// Finds it in what rustls says.
    pub(super) fn find(error: &rustls::Error) -> Option<&UntrustedCertificate> {
        match error {
            rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) => {
                inner.downcast_ref()
            }
            _ => None,
        }
    }
}

impl fmt::Display for UntrustedCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let UntrustedCertificate {
            host, fingerprint, ..
        } = self;
        match self.expected {
            Some(expected) => write!(
                f,
                "the certificate of {host} has the fingerprint {fingerprint}, not {expected}, which was given for it"
            ),
            None => write!(
                f,
                "the certificate of {host} is not trusted; if the server itself shows the fingerprint {fingerprint}, give that"
            ),
        }
    }
}

impl StdError for UntrustedCertificate {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.cause)
    }
}
