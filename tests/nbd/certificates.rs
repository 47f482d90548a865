//! An authority, with certificates for a server and its clients, as PEM files.

use std::fs;
use std::path::{Path, PathBuf};

use chunk_restore::nbd::Tls;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use tempfile::TempDir;

/// A folder with an authority's `ca-cert.pem`, a server's `server-cert.pem` and `server-key.pem`,
/// and a client's `client-cert.pem` and `client-key.pem`: the names that QEMU and libnbd expect.
pub(crate) struct Certificates(TempDir);

impl Certificates {
    pub(crate) fn new() -> Certificates {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        fs::write(folder.path().join("ca-cert.pem"), issuer.pem()).unwrap();
        let purposes = [
            ("server", ExtendedKeyUsagePurpose::ServerAuth),
            ("client", ExtendedKeyUsagePurpose::ClientAuth),
        ];
        for (name, purpose) in purposes {
            let key = KeyPair::generate().unwrap();
            let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
            let mut params = CertificateParams::new(names).unwrap();
            params.key_usages = vec![
                KeyUsagePurpose::DigitalSignature,
                KeyUsagePurpose::KeyEncipherment,
            ];
            params.extended_key_usages = vec![purpose];
            let certificate = params.signed_by(&key, &issuer).unwrap();
            let file = |part: &str| folder.path().join(format!("{name}-{part}.pem"));
            fs::write(file("cert"), certificate.pem()).unwrap();
            fs::write(file("key"), key.serialize_pem()).unwrap();
        }
        Certificates(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Removes the client's certificate.
    pub(crate) fn without_client(self) -> Certificates {
        fs::remove_file(self.file("client-cert.pem")).unwrap();
        fs::remove_file(self.file("client-key.pem")).unwrap();
        self
    }

    /// The server's side; it may demand certificates of clients.
    pub(crate) fn tls(&self, asks_clients: bool) -> Tls {
        let authority = self.file("ca-cert.pem");
        let authority = asks_clients.then_some(authority.as_path());
        Tls::from_pem_files(
            self.file("server-cert.pem"),
            self.file("server-key.pem"),
            authority,
        )
        .unwrap()
    }
}
