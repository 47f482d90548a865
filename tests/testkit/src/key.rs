//! A key whose secrets are in the open, and what PBS derives from it. Knows nothing of blobs and manifests.

use std::fmt;

use aes_gcm::aead::AeadInOut;
use aes_gcm::aead::consts::U16;
use aes_gcm::aes::Aes256;
use aes_gcm::{AesGcm, KeyInit};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// A PBS encryption key for tests.
#[derive(Clone)]
pub struct TestKey {
    enc_key: [u8; 32],
    id_key: [u8; 32],
    fingerprint: String,
}

/// How a key file is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kdf<'a> {
    /// Not at all: the file holds the key.
    None,
    /// Scrypt with r 8 and p 1. PBS takes n 65536; a test may take fewer. It must be a power of two.
    Scrypt {
        /// The passphrase of the file.
        passphrase: &'a str,
        /// The cost.
        n: u32,
    },
    /// PBKDF2 with HMAC-SHA-256. PBS takes 65535 iterations; a test may take fewer.
    Pbkdf2 {
        /// The passphrase of the file.
        passphrase: &'a str,
        /// How many iterations.
        iter: u32,
    },
}

impl TestKey {
    /// The key with these bytes.
    pub fn from_bytes(enc_key: [u8; 32]) -> TestKey {
        let mut id_key = [0; 32];
        pbkdf2::pbkdf2_hmac::<Sha256>(&enc_key, b"_id_key", 10, &mut id_key);
        let context = sha256(b"Proxmox Backup Encryption Key Fingerprint");
        let fingerprint = colons(&keyed(&context, &id_key));
        TestKey {
            enc_key,
            id_key,
            fingerprint,
        }
    }

    /// A key that no other seed gives.
    pub fn from_seed(seed: u64) -> TestKey {
        TestKey::from_bytes(keyed(b"testkit key", &seed.to_le_bytes()))
    }

    /// The key of a key file that has no passphrase (kdf null).
    ///
    /// # Panics
    /// The file is not such a file.
    pub fn from_key_file(text: &str) -> TestKey {
        let file: Value = serde_json::from_str(text).expect("a key file is JSON");
        assert!(file["kdf"].is_null(), "the key file has a passphrase");
        let data = file["data"].as_str().expect("a key file has data");
        let bytes = STANDARD.decode(data).expect("its data is base64");
        TestKey::from_bytes(bytes.try_into().expect("a key has 32 bytes"))
    }

    /// The key file of this key, as `proxmox-backup-client key create` writes it.
    pub fn key_file(&self, kdf: Kdf<'_>) -> String {
        let salt = keyed(b"testkit salt", &self.id_key);
        let salt_text = STANDARD.encode(salt);
        let mut derived = [0; 32];
        let (kdf, data) = match kdf {
            Kdf::None => (Value::Null, self.enc_key.to_vec()),
            Kdf::Scrypt { passphrase, n } => {
                assert!(n.is_power_of_two(), "n of scrypt is a power of two");
                let params = scrypt::Params::new(n.ilog2() as u8, 8, 1).expect("n is in range");
                scrypt::scrypt(passphrase.as_bytes(), &salt, &params, &mut derived)
                    .expect("32 bytes can be derived");
                let kdf = json!({"Scrypt": {"n": n, "r": 8, "p": 1, "salt": salt_text}});
                (kdf, self.wrapped(&derived))
            }
            Kdf::Pbkdf2 { passphrase, iter } => {
                pbkdf2::pbkdf2_hmac::<Sha256>(passphrase.as_bytes(), &salt, iter, &mut derived);
                let kdf = json!({"PBKDF2": {"iter": iter, "salt": salt_text}});
                (kdf, self.wrapped(&derived))
            }
        };
        let time = "2026-01-02T03:04:05+00:00";
        json!({
            "kdf": kdf,
            "created": time,
            "modified": time,
            "data": STANDARD.encode(data),
            "fingerprint": self.fingerprint,
        })
        .to_string()
    }

    /// The key as it lies in a key file with a passphrase: IV, tag, ciphertext.
    fn wrapped(&self, derived: &[u8; 32]) -> Vec<u8> {
        let iv = iv_of(&self.enc_key);
        let mut secret = self.enc_key;
        let tag = encrypt(derived, &iv, &mut secret);
        [&iv[..], &tag, &secret].concat()
    }

    /// What data is encrypted with.
    pub fn enc_key(&self) -> &[u8; 32] {
        &self.enc_key
    }

    /// What goes into digests and signs manifests.
    pub fn id_key(&self) -> &[u8; 32] {
        &self.id_key
    }

    /// 32 pairs of hex digits, with colons.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The digest of a chunk that is encrypted with this key, from its data.
    pub fn digest(&self, data: &[u8]) -> [u8; 32] {
        keyed(data, &self.id_key)
    }

    /// HMAC-SHA-256 with the id key: the signature of a manifest.
    pub fn sign(&self, text: &[u8]) -> [u8; 32] {
        let mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(&self.id_key);
        let mac = mac.expect("HMAC takes keys of any length");
        mac.chain_update(text).finalize().into_bytes().into()
    }
}

impl fmt::Debug for TestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TestKey({})", self.fingerprint)
    }
}

/// The digest of a chunk: keyed where a key is given.
pub fn chunk_digest(data: &[u8], key: Option<&TestKey>) -> [u8; 32] {
    match key {
        Some(key) => key.digest(data),
        None => sha256(data),
    }
}

/// SHA-256.
pub fn sha256(data: &[u8]) -> [u8; 32] {
    Sha256::digest(data).into()
}

/// Lower-case hex digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An IV that follows from the data, so that the same snapshot always has the same bytes. Only tests may do that.
pub(crate) fn iv_of(data: &[u8]) -> [u8; 16] {
    let digest = keyed(data, b"testkit iv");
    *digest.first_chunk().expect("a digest has 32 bytes")
}

/// AES-256-GCM in place, with the 16-byte IV of PBS; gives the tag.
pub(crate) fn encrypt(key: &[u8; 32], iv: &[u8; 16], data: &mut [u8]) -> [u8; 16] {
    AesGcm::<Aes256, U16>::new(key.into())
        .encrypt_inout_detached(iv.into(), b"", data.into())
        .expect("the data is shorter than 64 GiB")
        .into()
}

/// The opposite of [`encrypt`].
///
/// # Panics
/// The tag is wrong.
pub(crate) fn decrypt(key: &[u8; 32], iv: &[u8; 16], tag: &[u8; 16], data: &mut [u8]) {
    AesGcm::<Aes256, U16>::new(key.into())
        .decrypt_inout_detached(iv.into(), b"", data.into(), tag.into())
        .expect("the tag is that of the data");
}

fn keyed(data: &[u8], key: &[u8]) -> [u8; 32] {
    let hash = Sha256::new().chain_update(data).chain_update(key);
    hash.finalize().into()
}

pub(crate) fn colons(bytes: &[u8]) -> String {
    let pairs: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    pairs.join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprint_is_that_of_the_test_vector() {
        let key = TestKey::from_bytes(std::array::from_fn(|i| i as u8));
        assert_eq!(
            key.fingerprint(),
            "0e:ab:d4:46:0b:6e:b9:ca:34:50:23:de:e2:b7:78:c7:90:e5:4a:16:83:b9:65:9c:0a:57:ae:19:90:90:15:9b"
        );
    }

    #[test]
    fn key_file_gives_the_key_back() {
        let key = TestKey::from_seed(1);
        let again = TestKey::from_key_file(&key.key_file(Kdf::None));
        assert_eq!(again.enc_key(), key.enc_key());
        assert_ne!(TestKey::from_seed(2).enc_key(), key.enc_key());
    }

    #[test]
    fn golden_key_file_has_the_fingerprint_that_pbs_wrote() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../golden/keys/plain.key");
        let text = std::fs::read_to_string(path).expect("the golden key is there");
        let file: Value = serde_json::from_str(&text).expect("it is JSON");
        assert_eq!(
            TestKey::from_key_file(&text).fingerprint(),
            file["fingerprint"]
        );
    }

    #[test]
    fn wrapped_key_opens_with_the_passphrase() {
        let key = TestKey::from_seed(3);
        let passphrase = "secret";
        let file = key.key_file(Kdf::Pbkdf2 {
            passphrase,
            iter: 7,
        });
        let file: Value = serde_json::from_str(&file).expect("it is JSON");
        let bytes = |value: &Value| {
            let text = value.as_str().expect("it is a string");
            STANDARD.decode(text).expect("it is base64")
        };
        let mut derived = [0; 32];
        let salt = bytes(&file["kdf"]["PBKDF2"]["salt"]);
        pbkdf2::pbkdf2_hmac::<Sha256>(passphrase.as_bytes(), &salt, 7, &mut derived);
        let data = bytes(&file["data"]);
        let (iv, rest) = data.split_first_chunk().expect("an IV");
        let (tag, secret) = rest.split_first_chunk().expect("a tag");
        let mut secret = secret.to_vec();
        decrypt(&derived, iv, tag, &mut secret);
        assert_eq!(secret, key.enc_key());
    }
}
