//! The master key: it recovers a snapshot's key when nobody has that key any more. Does no I/O.

use rsa::pkcs1::DecodeRsaPrivateKey;
use rsa::pkcs8::DecodePrivateKey;
use rsa::{Pkcs1v15Encrypt, RsaPrivateKey};
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind, Result};
use crate::format::key::{Key, KeyFile};

/// Recovers the key of a snapshot from `wrapped`, its `rsa-encrypted.key` (read it with
/// [`Snapshot::read`](crate::Snapshot::read)), with the master key: an RSA private key as PEM, in
/// PKCS#8 or PKCS#1.
///
/// # Errors
/// [`ErrorKind::Key`] where the PEM is malformed or is encrypted itself (decrypt it first: `openssl
/// pkey -in master.pem`), or the snapshot's key was wrapped for another master key.
pub fn recover_key(wrapped: &[u8], master_pem: &str) -> Result<Key> {
    if master_pem.contains("ENCRYPTED") {
        return Err(Error::new(
            ErrorKind::Key,
            "the master key is locked; unlock it first, as with: openssl pkey -in master.pem",
        ));
    }
    // Only the parser that the label names is tried, so that the cause is about the key that was
    // given. The cause is kept as text, since these errors repeat their own causes.
    let master = if master_pem.contains("BEGIN RSA PRIVATE KEY") {
        RsaPrivateKey::from_pkcs1_pem(master_pem).map_err(|error| error.to_string())
    } else {
        RsaPrivateKey::from_pkcs8_pem(master_pem).map_err(|error| error.to_string())
    };
    let master = master.map_err(|error| {
        Error::new(
            ErrorKind::Key,
            "the master key is not an RSA private key in PEM",
        )
        .because(error)
    })?;
    let json = master.decrypt(Pkcs1v15Encrypt, wrapped).map_err(|error| {
        Error::new(
            ErrorKind::Key,
            "the key was not wrapped for this master key",
        )
        .because(error)
    })?;
    KeyFile::parse(&Zeroizing::new(json))?.unlock(None)
}
