//! The master key: it recovers a snapshot's key when nobody has that key any more. Does no I/O.

use std::fmt;
use std::sync::Arc;

use rsa::pkcs1::DecodeRsaPrivateKey;
use rsa::pkcs8::pkcs5::{EncryptionScheme, Error as Unlocking, pbes2::Kdf};
use rsa::pkcs8::{DecodePrivateKey, EncryptedPrivateKeyInfoRef, SecretDocument};
use rsa::{Pkcs1v15Encrypt, RsaPrivateKey};
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind, Result};
use crate::format::key::file::{MAX_ROUNDS, scrypt_params};
use crate::format::key::{Key, KeyFile, text};

const LOCKED: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
const OF_RSA: &str = "-----BEGIN RSA PRIVATE KEY-----";

/// How OpenSSL locked private keys before PKCS#8.
const LOCKED_OF_OLD: &str = "Proc-Type: 4,ENCRYPTED";

/// A file with a master key: an RSA private key as PEM, in PKCS#8 or PKCS#1, which a passphrase
/// protects in most cases.
pub struct MasterKeyFile {
    pem: Zeroizing<String>,
}

/// A master key. Backups that are made with its public half hold their own encryption key, which only
/// the master key recovers. Cheap to clone; `Debug` shows nothing of it.
#[derive(Clone)]
pub struct MasterKey(Arc<RsaPrivateKey>);

impl MasterKeyFile {
    /// Takes the text of a master key. All but its kind is checked when it is unlocked.
    ///
    /// # Errors
    /// [`ErrorKind::Key`] where the text is not a private key in PEM, or is locked in a way that is not
    /// known here.
    pub fn parse(pem: &[u8]) -> Result<MasterKeyFile> {
        let pem = text::decode(pem).ok();
        let pem = pem.filter(|text| text.contains("PRIVATE KEY-----"));
        let pem = pem.ok_or_else(|| invalid("it is not a private key in PEM"))?;
        if pem.contains(LOCKED_OF_OLD) {
            return Err(locked_otherwise());
        }
        Ok(MasterKeyFile { pem })
    }

    /// Whether a passphrase is needed to use the key.
    #[must_use]
    pub fn is_protected(&self) -> bool {
        self.pem.contains(LOCKED)
    }

    /// Unlocks the key with its passphrase. A file that isn't protected needs none.
    ///
    /// # Errors
    /// [`ErrorKind::Key`] for a passphrase that is missing or wrong, for a key that is locked in a way
    /// that is not known here or that would take too long, and for one that is not an RSA key.
    pub fn unlock(&self, passphrase: Option<&[u8]>) -> Result<MasterKey> {
        // Only the parser that the label names is tried, so that the cause is about the key that was
        // given. The cause is kept as text, since these errors repeat their own causes.
        let key = if self.is_protected() {
            let passphrase = passphrase.ok_or_else(|| {
                let message = "the master key is locked, and no passphrase was given";
                Error::new(ErrorKind::Key, message)
            })?;
            let document = self.decrypt(passphrase)?;
            RsaPrivateKey::from_pkcs8_der(document.as_bytes()).map_err(|error| error.to_string())
        } else if self.pem.contains(OF_RSA) {
            RsaPrivateKey::from_pkcs1_pem(&self.pem).map_err(|error| error.to_string())
        } else {
            RsaPrivateKey::from_pkcs8_pem(&self.pem).map_err(|error| error.to_string())
        };
        let key = key.map_err(|error| invalid("it is not an RSA private key").because(error))?;
        Ok(MasterKey(Arc::new(key)))
    }

    fn decrypt(&self, passphrase: &[u8]) -> Result<SecretDocument> {
        let document = SecretDocument::from_pem(&self.pem);
        let (_, document) =
            document.map_err(|error| invalid("it is malformed").because(error.to_string()))?;
        // The parser knows only the ciphers that it can decrypt.
        let locked = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes())
            .map_err(|error| locked_otherwise().because(error.to_string()))?;
        let EncryptionScheme::Pbes2(scheme) = &locked.encryption_algorithm else {
            return Err(locked_otherwise());
        };
        let is_bounded = match &scheme.kdf {
            Kdf::Pbkdf2(params) => u64::from(params.iteration_count) <= MAX_ROUNDS,
            Kdf::Scrypt(params) => {
                let (r, p) = (params.block_size.into(), params.parallelization.into());
                scrypt_params(params.cost_parameter, r, p).is_some()
            }
            _ => return Err(locked_otherwise()),
        };
        if !is_bounded {
            return Err(invalid("it asks for too much work to unlock it"));
        }
        locked.decrypt(passphrase).map_err(|error| match error {
            rsa::pkcs8::Error::EncryptedPrivateKey(Unlocking::UnsupportedAlgorithm { .. }) => {
                locked_otherwise().because(error.to_string())
            }
            error => {
                let wrong = Error::new(ErrorKind::Key, "wrong passphrase for the master key");
                wrong.because(error.to_string())
            }
        })
    }
}

impl MasterKey {
    /// Recovers the key of a snapshot from `wrapped`, its `rsa-encrypted.key` (read it with
    /// [`Snapshot::read`](crate::Snapshot::read)). A datastore that is opened with
    /// [`OpenOptions::master_key`](crate::OpenOptions::master_key) does so by itself.
    ///
    /// # Errors
    /// [`ErrorKind::Key`] where the snapshot's key was wrapped for another master key.
    pub fn recover(&self, wrapped: &[u8]) -> Result<Key> {
        let json = self.0.decrypt(Pkcs1v15Encrypt, wrapped).map_err(|error| {
            let message = "the key was not wrapped for this master key";
            Error::new(ErrorKind::Key, message).because(error)
        })?;
        KeyFile::parse(&Zeroizing::new(json))?.unlock(None)
    }
}

fn invalid(why: &str) -> Error {
    let message = format!("the master key can't be used: {why}");
    Error::new(ErrorKind::Key, message)
}

fn locked_otherwise() -> Error {
    invalid(
        "it is damaged, or locked in a way that is not known here; lock it in another way, as with: \
         openssl pkcs8 -topk8 -v2 aes-256-cbc -in master.pem",
    )
}

impl fmt::Debug for MasterKeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterKeyFile")
            .field("is_protected", &self.is_protected())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(..)")
    }
}
