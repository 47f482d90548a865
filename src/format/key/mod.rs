//! Keys: they decrypt chunks, compute the digests of encrypted chunks, and sign manifests.

mod file;
#[cfg(feature = "master-key")]
mod master;
mod text;

use std::fmt;
use std::sync::Arc;

use aes_gcm::aead::AeadInOut;
use aes_gcm::aead::consts::U16;
use aes_gcm::aes::Aes256;
use aes_gcm::{AesGcm, KeyInit};
use hmac::{Hmac, Mac};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroize;

use crate::digest::{Digest, Fingerprint, Hasher};

pub use file::KeyFile;
#[cfg(feature = "master-key")]
pub use master::{MasterKey, MasterKeyFile};

/// AES-256-GCM with the 16-byte IV that PBS uses, in place of the usual 12.
type Cipher = AesGcm<Aes256, U16>;

/// The secret key that encrypted backups are made with. Cheap to clone; `Debug` shows only its
/// fingerprint.
#[derive(Clone)]
pub struct Key(Arc<Secrets>);

struct Secrets {
    cipher: Cipher,
    /// A key that is derived from the secret: it goes into the digests of chunks, and signs
    /// manifests.
    id_key: [u8; 32],
    fingerprint: Fingerprint,
}

/// Wipes the secrets. The cipher wipes its key schedule itself.
impl Drop for Secrets {
    fn drop(&mut self) {
        self.id_key.zeroize();
    }
}

/// The tag shows that the data was encrypted with another key, or was changed since.
#[derive(Debug)]
pub(super) struct WrongTag;

impl Key {
    /// Makes a key of its 32 bytes.
    #[must_use]
    pub fn from_bytes(mut bytes: [u8; 32]) -> Key {
        let mut id_key = [0; 32];
        // PBS sets this salt and this number of rounds. Few rounds are enough, since the input is
        // random already.
        pbkdf2::pbkdf2_hmac::<Sha256>(&bytes, b"_id_key", 10, &mut id_key);
        let cipher = Cipher::new((&bytes).into());
        bytes.zeroize();
        let context = Sha256::digest(b"Proxmox Backup Encryption Key Fingerprint");
        let fingerprint: [u8; 32] = Sha256::new()
            .chain_update(context)
            .chain_update(id_key)
            .finalize()
            .into();
        Key(Arc::new(Secrets {
            cipher,
            id_key,
            fingerprint: fingerprint.into(),
        }))
    }

    /// The fingerprint that names the key in manifests and key files.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.0.fingerprint
    }

    /// The digest of an encrypted chunk, computed from its decoded data.
    #[must_use]
    pub fn digest(&self, data: &[u8]) -> Digest {
        let mut hasher = Hasher::default();
        hasher.update(data);
        self.digest_of(hasher)
    }

    /// The digest of an encrypted chunk whose decoded data was hashed in pieces.
    pub(crate) fn digest_of(&self, mut data: Hasher) -> Digest {
        data.update(&self.0.id_key);
        data.finish()
    }

    /// What follows the decoded data of an encrypted chunk where its digest is computed.
    #[cfg(feature = "hash-many")]
    pub(crate) fn digest_secret(&self) -> &[u8] {
        &self.0.id_key
    }

    /// Decrypts data in place. Where the tag is wrong, the data stays as it was.
    pub(super) fn decrypt(
        &self,
        iv: &[u8; 16],
        tag: &[u8; 16],
        data: &mut [u8],
    ) -> Result<(), WrongTag> {
        decrypt(&self.0.cipher, iv, tag, data)
    }

    /// Whether a signature was made with this key. The comparison takes the same time for wrong and
    /// right signatures.
    pub(super) fn has_signed(&self, text: &[u8], signature: &[u8; 32]) -> bool {
        let mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(&self.0.id_key)
            .expect("HMAC takes keys of any length");
        mac.chain_update(text).verify_slice(signature).is_ok()
    }
}

fn decrypt(
    cipher: &Cipher,
    iv: &[u8; 16],
    tag: &[u8; 16],
    data: &mut [u8],
) -> Result<(), WrongTag> {
    cipher
        .decrypt_inout_detached(iv.into(), b"", data.into(), tag.into())
        .map_err(|_| WrongTag)
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.0.fingerprint.short())
    }
}
