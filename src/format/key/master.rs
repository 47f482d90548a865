//! The master key: recovers the key of a snapshot that nobody has any more. Does no I/O.

use rsa::pkcs1::DecodeRsaPrivateKey;
use rsa::pkcs8::DecodePrivateKey;
use rsa::{Pkcs1v15Encrypt, RsaPrivateKey};
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind, Result};
use crate::format::key::{Key, KeyFile};

/// The key that a snapshot's `rsa-encrypted.key` wraps (read it with [`Snapshot::read`](crate::Snapshot::read)), by the
/// master key: an RSA private key as PEM, PKCS#8 or PKCS#1.
///
/// # Errors
/// [`ErrorKind::Key`] where the PEM is malformed or itself encrypted (decrypt it first: `openssl pkey -in master.pem`), or
/// the key was wrapped for another master key.
pub fn recover_key(wrapped: &[u8], master_pem: &str) -> Result<Key> {
    if master_pem.contains("ENCRYPTED") {
        return Err(Error::new(
            ErrorKind::Key,
            "the master key is locked; unlock it first, as with: openssl pkey -in master.pem",
        ));
    }
    // One parser, chosen by the label, so that the cause is about the key that was given; and as text, since these
    // errors repeat their own causes.
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
