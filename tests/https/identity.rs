//! Certificates for the test server: right ones, and ones with something wrong.

use std::sync::Arc;

use chunk_restore::{Digest, Fingerprint};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Who the server is.
pub(crate) struct Identity {
    certificate: CertificateDer<'static>,
    key: KeyPair,
    /// The certificate of whoever signed it.
    pub(crate) ca_pem: String,
}

impl Identity {
    /// A certificate for `localhost`, signed by a CA.
    pub(crate) fn new() -> Identity {
        Identity::signed("localhost", 2999)
    }

    pub(crate) fn expired() -> Identity {
        Identity::signed("localhost", 2001)
    }

    pub(crate) fn of_another_host() -> Identity {
        Identity::signed("elsewhere.example", 2999)
    }

    fn signed(host: &str, until: i32) -> Identity {
        let ca_key = KeyPair::generate().expect("a key can be made");
        let mut ca = CertificateParams::new([]).expect("no names are fine");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_certificate = ca.self_signed(&ca_key).expect("it can be signed");
        let key = KeyPair::generate().expect("a key can be made");
        let mut params = CertificateParams::new([host.to_owned()]).expect("the name is one");
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let issuer = Issuer::new(ca, ca_key);
        let certificate = params.signed_by(&key, &issuer).expect("it can be signed");
        Identity {
            certificate: certificate.der().clone(),
            key,
            ca_pem: ca_certificate.pem(),
        }
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::from(*Digest::of(&self.certificate).as_bytes())
    }

    pub(crate) fn server_config(&self) -> Arc<ServerConfig> {
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).expect("rcgen writes PKCS#8");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring knows all of them")
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], key)
            .expect("the key is the certificate's");
        Arc::new(config)
    }
}
