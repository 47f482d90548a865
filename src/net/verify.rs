//! Checks whether a server's certificate proves the server's identity.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};

use crate::digest::{Digest, Fingerprint};
use crate::error::is_ours;
use crate::error::{BoxError, Error, ErrorKind, Result};
use crate::net::public_key::PublicKey;

/// Decides which certificates to trust, by the rule of Proxmox Backup's own client. A chain that
/// the roots accept is enough, whatever the fingerprint. Otherwise the certificate itself must have
/// the fingerprint, and then neither its names, nor its dates, nor its version matter.
#[derive(Debug)]
pub(super) struct Verifier {
    /// Checks a chain up to the roots; `None` if there are no roots at all.
    chain: Option<Arc<WebPkiServerVerifier>>,
    /// The certificates that the caller gave. A server may show one of them as its own.
    given: Vec<CertificateDer<'static>>,
    pinned: Option<Fingerprint>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    /// Takes the system's roots, and the roots in a PEM file if one is given.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a PEM file without a usable certificate; [`ErrorKind::Resources`]
    /// if this machine lacks a resource to read its own roots.
    pub(super) fn new(
        provider: &Arc<CryptoProvider>,
        pinned: Option<Fingerprint>,
        ca_pem: Option<&[u8]>,
    ) -> Result<Verifier> {
        let mut roots = RootCertStore::empty();
        let system = rustls_native_certs::load_native_certs();
        let lack = system.errors.into_iter().find(|error| match &error.kind {
            rustls_native_certs::ErrorKind::Io { inner, .. } => is_ours(inner),
            _ => false,
        });
        if let Some(error) = lack {
            let message = "cannot read the system's root certificates";
            return Err(Error::new(ErrorKind::Resources, message).because(error));
        }
        // On a system without roots, or with unreadable ones, a fingerprint can still be used.
        roots.add_parsable_certificates(system.certs);
        let given = ca_pem.map(|pem| add_pem(&mut roots, pem)).transpose()?;
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
            given: given.unwrap_or_default(),
            pinned,
            algorithms: provider.signature_verification_algorithms,
        })
    }

    fn verify_chain(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let Some(chain) = &self.chain else {
            return Err(CertificateError::UnknownIssuer.into());
        };
        let verified =
            chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            Ok(_) => Ok(()),
            // A server's self-signed certificate is often marked as that of an authority, too. The
            // caller gave it as trusted, and rustls checks its dates before it finds the
            // certificate to be an authority's.
            Err(error)
                if is_authority(&error) && self.given.iter().any(|own| own == end_entity) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)
            }
            Err(error) => Err(error),
        }
    }

    fn is_pinned(&self, certificate: &CertificateDer<'_>) -> bool {
        self.pinned == Some(fingerprint_of(certificate))
    }

    /// Whether the key of a pinned certificate has signed a message. This is for certificates that
    /// rustls can't read; `error` is the error of rustls.
    fn verify_pinned(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
        error: rustls::Error,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let has_signed = |key: PublicKey<'_>| key.has_signed(message, signed, self.algorithms);
        let is_unreadable = matches!(error, rustls::Error::InvalidCertificate(_))
            && ParsedCertificate::try_from(certificate).is_err();
        let is_valid = is_unreadable
            && self.is_pinned(certificate)
            && PublicKey::of(certificate).is_some_and(has_signed);
        if is_valid {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(error)
        }
    }
}

/// Whether a server's certificate was refused because it is that of an authority. rustls has no
/// name for this error.
fn is_authority(error: &rustls::Error) -> bool {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(cause))) => {
            cause.to_string() == "CaUsedAsEndEntity"
        }
        _ => false,
    }
}

fn fingerprint_of(certificate: &CertificateDer<'_>) -> Fingerprint {
    Fingerprint::from(*Digest::of(certificate).as_bytes())
}

/// Adds the certificates of a PEM file to the roots, and returns them.
fn add_pem(roots: &mut RootCertStore, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let invalid = |message: &str| Error::new(ErrorKind::Invalid, message);
    let mut given = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate =
            certificate.map_err(|error| invalid("it is not a PEM file").because(error))?;
        (roots.add(certificate.clone()))
            .map_err(|error| invalid("it holds a certificate that can't be used").because(error))?;
        given.push(certificate);
    }
    if given.is_empty() {
        return Err(invalid("there is no certificate in it"));
    }
    Ok(given)
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
        let host = || server_name.to_str().into_owned();
        let key = PublicKey::of(end_entity);
        if let Some(kind) = key.and_then(|key| key.unsupported_kind(self.algorithms)) {
            let host = host();
            return Err(refuse(UnusableKey { host, kind }));
        }
        let chain = self.verify_chain(end_entity, intermediates, server_name, ocsp_response, now);
        let Err(cause) = chain else {
            return Ok(ServerCertVerified::assertion());
        };
        if self.is_pinned(end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        Err(refuse(UntrustedCertificate {
            host: host(),
            fingerprint: fingerprint_of(end_entity),
            expected: self.pinned,
            cause,
        }))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
            .or_else(|error| self.verify_pinned(message, cert, dss, error))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
            .or_else(|error| self.verify_pinned(message, cert, dss, error))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let mut schemes = self.algorithms.supported_schemes();
        // These schemes come last, so that a server that can choose takes another one. A server
        // that can't choose still shows its certificate, and the error can say what is wrong with
        // it; without these schemes, the server would just hang up.
        schemes.extend([
            SignatureScheme::ECDSA_NISTP521_SHA512,
            SignatureScheme::ED448,
        ]);
        schemes
    }
}

/// Wraps an error of ours so that rustls carries it through.
fn refuse(error: impl StdError + Send + Sync + 'static) -> rustls::Error {
    CertificateError::Other(OtherError(Arc::new(error))).into()
}

/// Our own error, if rustls carried one through.
pub(super) fn refusal(error: &rustls::Error) -> Option<BoxError> {
    let rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) = error
    else {
        return None;
    };
    if let Some(untrusted) = inner.downcast_ref::<UntrustedCertificate>() {
        return Some(untrusted.clone().into());
    }
    let unusable = inner.downcast_ref::<UnusableKey>()?;
    Some(Error::new(ErrorKind::Denied, unusable.to_string()).into())
}

/// The error for a certificate whose key can't be used here, whether the certificate is trusted or
/// not.
#[derive(Debug)]
struct UnusableKey {
    host: String,
    kind: String,
}

impl fmt::Display for UnusableKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let UnusableKey { host, kind } = self;
        write!(
            f,
            "the certificate of {host} has {kind}, which can't be used here, fingerprint or not; \
             it takes an RSA key of 2048 to 8192 bits, or a P-256, P-384 or Ed25519 key"
        )
    }
}

impl StdError for UnusableKey {}

/// A server showed a certificate that is not trusted. This is the cause of an error of kind
/// [`ErrorKind::Denied`]: find it by [`source`](StdError::source) and `downcast_ref`. A program may
/// show the fingerprint and ask the user.
#[derive(Clone, Debug)]
pub struct UntrustedCertificate {
    host: String,
    fingerprint: Fingerprint,
    expected: Option<Fingerprint>,
    cause: rustls::Error,
}

impl UntrustedCertificate {
    /// The server's name, as the client asked for it.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The fingerprint of the certificate that the server showed: the SHA-256 of its DER form.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The fingerprint that the caller gave for the server, if any.
    #[must_use]
    pub fn expected(&self) -> Option<Fingerprint> {
        self.expected
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
