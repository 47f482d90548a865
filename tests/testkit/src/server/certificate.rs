//! Certificates of test servers, good and bad ones. Knows nothing of the servers.

use std::fmt;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::TLS12;
use rustls::{ALL_VERSIONS, ServerConfig};

use super::der;
use crate::key::{colons, sha256};

/// A certificate and its key.
#[derive(Clone)]
pub struct Identity {
    der: CertificateDer<'static>,
    pem: String,
    key: Arc<KeyPair>,
}

/// A certificate authority that no system knows.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

const MADE: &str = "the certificate can be made";

impl Identity {
    /// Signed by itself, as that of a PBS that was just installed; for `localhost` and `127.0.0.1`.
    pub fn self_signed() -> Identity {
        Identity::of_itself(params(&["localhost", "127.0.0.1"]))
    }

    /// Signed by itself, for this host alone.
    pub fn for_host(host: &str) -> Identity {
        Identity::of_itself(params(&[host]))
    }

    /// Signed by itself, and valid until 2001.
    pub fn expired() -> Identity {
        let mut params = params(&["localhost", "127.0.0.1"]);
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(2001, 1, 1);
        Identity::of_itself(params)
    }

    /// Signed by itself, and marked as an authority's, as `openssl req -x509` makes it; for `localhost` and `127.0.0.1`.
    pub fn of_its_own_authority() -> Identity {
        Identity::authority(params(&["localhost", "127.0.0.1"]))
    }

    /// The same for another host.
    pub fn of_its_own_authority_for(host: &str) -> Identity {
        Identity::authority(params(&[host]))
    }

    /// The same, and valid until 2001.
    pub fn of_its_own_expired_authority() -> Identity {
        let mut params = params(&["localhost", "127.0.0.1"]);
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(2001, 1, 1);
        Identity::authority(params)
    }

    /// A certificate of X.509 version 1, which has no extensions, and so no names of hosts.
    pub fn of_version_1() -> Identity {
        Identity::self_signed().with_certificate(der::as_version_1)
    }

    /// A certificate with a key on the curve P-521. The server could not sign with it.
    pub fn with_p521_key() -> Identity {
        Identity::self_signed().with_certificate(der::with_p521_key)
    }

    /// A certificate with an RSA key of 1024 bits. The server could not sign with it.
    pub fn with_short_rsa_key() -> Identity {
        Identity::self_signed().with_certificate(der::with_short_rsa_key)
    }

    /// SHA-256 of the certificate, as PBS writes it: `aa:bb:..`.
    pub fn fingerprint(&self) -> String {
        colons(&sha256(&self.der))
    }

    /// The certificate.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The private key of the certificate.
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    fn authority(mut params: CertificateParams) -> Identity {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Identity::of_itself(params)
    }

    /// The same key with another certificate, whose signature is wrong then: nobody checks that of a pinned one.
    fn with_certificate(self, change: fn(&[u8]) -> Vec<u8>) -> Identity {
        Identity {
            der: change(&self.der).into(),
            ..self
        }
    }

    fn of_itself(params: CertificateParams) -> Identity {
        let key = KeyPair::generate().expect(MADE);
        let certificate = params.self_signed(&key).expect(MADE);
        Identity {
            der: certificate.der().clone(),
            pem: certificate.pem(),
            key: Arc::new(key),
        }
    }

    pub(crate) fn server_config(&self, only_tls12: bool) -> Arc<ServerConfig> {
        let key = PrivatePkcs8KeyDer::from(self.key.serialize_der());
        let versions = if only_tls12 { &[&TLS12] } else { ALL_VERSIONS };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = (provider
            .key_provider
            .load_private_key(PrivateKeyDer::from(key)))
        .expect(MADE);
        // Not checked: the certificate may be one that rustls can't read.
        let shown = CertifiedKey::new(vec![self.der.clone()], key);
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("ring has these versions")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Always(Arc::new(shown))));
        Arc::new(config)
    }
}

/// Shows one certificate to everyone.
#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity")
            .field(&self.fingerprint())
            .finish()
    }
}

impl Authority {
    /// A new one.
    pub fn new() -> Authority {
        let mut params = params(&[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect(MADE);
        Authority {
            issuer: CertifiedIssuer::self_signed(params, key).expect(MADE),
        }
    }

    /// A certificate for this host, signed by the authority.
    pub fn identity_for(&self, host: &str) -> Identity {
        let key = KeyPair::generate().expect(MADE);
        let certificate = params(&[host]).signed_by(&key, &self.issuer).expect(MADE);
        Identity {
            der: certificate.der().clone(),
            pem: certificate.pem(),
            key: Arc::new(key),
        }
    }

    /// The certificate of the authority, as it is in a CA file.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }
}

impl Default for Authority {
    fn default() -> Authority {
        Authority::new()
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

fn params(hosts: &[&str]) -> CertificateParams {
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    CertificateParams::new(hosts).expect("the hosts are names or addresses")
}
