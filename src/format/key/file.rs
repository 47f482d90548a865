//! Key files, as the official client writes them.

use std::fmt;

use aes_gcm::KeyInit;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::digest::Fingerprint;
use crate::error::{Error, ErrorKind, Result};
use crate::format::key::{Cipher, Key, decrypt, text};

/// The most memory that scrypt may take, in bytes; the official client asks for 64 MiB.
const MAX_SCRYPT_MEMORY: u64 = 1 << 30;

/// The most that scrypt may compute, in bytes mixed: about 10 s. The official client asks for 64
/// MiB.
const MAX_SCRYPT_WORK: u64 = 4 << 30;

/// The most rounds of PBKDF2: about 10 s. The official client asks for 65,535 rounds.
pub(super) const MAX_ROUNDS: u64 = 20_000_000;

const MAX_SALT: usize = 1024;

/// A key file: it holds a key, which a passphrase protects in most cases.
///
/// ```
/// use chunk_restore::format::KeyFile;
///
/// let file = KeyFile::parse(br#"{"kdf": null, "data": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}"#)?;
/// assert!(!file.is_protected());
/// assert_eq!(file.unlock(None)?.fingerprint().short(), "0e:ab:d4:46:0b:6e:b9:ca");
/// # Ok::<(), chunk_restore::Error>(())
/// ```
pub struct KeyFile {
    kdf: Kdf,
    data: Zeroizing<Vec<u8>>,
    fingerprint: Option<Fingerprint>,
    hint: Option<String>,
}

/// The function that derives a key from the passphrase; the derived key encrypts the key in the
/// file.
enum Kdf {
    None,
    Scrypt {
        params: scrypt::Params,
        salt: Vec<u8>,
    },
    Pbkdf2 {
        rounds: u32,
        salt: Vec<u8>,
    },
}

impl KeyFile {
    /// Reads the JSON of a key file. The text may also be that of a paper key, on which the JSON
    /// stands between a line that begins it and a line that ends it.
    ///
    /// # Errors
    /// [`ErrorKind::Key`] where the text is not a key file, or asks for more memory or time than
    /// any honest key file does.
    pub fn parse(text: &[u8]) -> Result<KeyFile> {
        let decoded = text::decode(text)?;
        let value: Value = serde_json::from_str(text::json(&decoded)?)
            // The parser's message can quote the text, which is secret.
            .map_err(|error| invalid(&format!("it is not JSON (line {})", error.line())))?;
        let text = |name: &str| value.get(name).and_then(Value::as_str);
        let data = text("data").and_then(base64).map(Zeroizing::new);
        let data = data.ok_or_else(|| invalid("it has no base64 member \"data\""))?;
        let fingerprint = match value.get("fingerprint") {
            None | Some(Value::Null) => None,
            Some(_) => {
                let parsed = text("fingerprint").and_then(|text| text.parse().ok());
                Some(parsed.ok_or_else(|| invalid("its fingerprint is malformed"))?)
            }
        };
        let kdf = match value.get("kdf") {
            None | Some(Value::Null) => Kdf::None,
            Some(kdf) => parse_kdf(kdf)?,
        };
        let expected = if matches!(kdf, Kdf::None) { 32 } else { 64 };
        if data.len() != expected {
            return Err(invalid(&format!(
                "its data has {} bytes instead of {expected}",
                data.len()
            )));
        }
        Ok(KeyFile {
            kdf,
            data,
            fingerprint,
            hint: text("hint").map(str::to_owned),
        })
    }

    /// Whether a passphrase is needed to use the key.
    #[must_use]
    pub fn is_protected(&self) -> bool {
        !matches!(self.kdf, Kdf::None)
    }

    /// The hint that the owner noted about the passphrase.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The fingerprint of the key, where the file states it. It is checked when the key is
    /// unlocked.
    #[must_use]
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        self.fingerprint
    }

    /// Unlocks the key with its passphrase. A file that isn't protected needs none.
    ///
    /// This takes about a quarter of a second, as it should.
    ///
    /// # Errors
    /// [`ErrorKind::Key`] for a passphrase that is missing or wrong, with the hint; and where the
    /// key does not have the fingerprint that the file states.
    pub fn unlock(&self, passphrase: Option<&[u8]>) -> Result<Key> {
        let mut bytes = Zeroizing::new([0; 32]);
        if self.is_protected() {
            let Some(passphrase) = passphrase else {
                return Err(self.refused("the key file is locked, and no passphrase was given"));
            };
            let cipher = self.key_of_key(passphrase)?;
            let (iv, rest) = self
                .data
                .split_first_chunk()
                .expect("parse asked for 64 bytes");
            let (tag, locked) = rest.split_first_chunk().expect("parse asked for 64 bytes");
            bytes.copy_from_slice(locked);
            decrypt(&cipher, iv, tag, &mut *bytes)
                .map_err(|_| self.refused("wrong passphrase for the key file"))?;
        } else {
            bytes.copy_from_slice(&self.data);
        }
        let key = Key::from_bytes(*bytes);
        match self.fingerprint {
            Some(stated) if stated != key.fingerprint() => Err(invalid(&format!(
                "it states the fingerprint {}, and holds the key {}",
                stated.short(),
                key.fingerprint().short()
            ))),
            _ => Ok(key),
        }
    }

    fn key_of_key(&self, passphrase: &[u8]) -> Result<Cipher> {
        let mut derived = Zeroizing::new([0; 32]);
        match &self.kdf {
            Kdf::None => {}
            Kdf::Scrypt { params, salt } => scrypt::scrypt(passphrase, salt, params, &mut *derived)
                .map_err(|_| invalid("its scrypt parameters are impossible"))?,
            Kdf::Pbkdf2 { rounds, salt } => {
                pbkdf2::pbkdf2_hmac::<Sha256>(passphrase, salt, *rounds, &mut *derived);
            }
        }
        Ok(Cipher::new((&*derived).into()))
    }

    fn refused(&self, why: &str) -> Error {
        let hint = self.hint.as_ref();
        let hint = hint.map_or(String::new(), |hint| {
            format!(" (hint: {})", hint.escape_debug())
        });
        Error::new(ErrorKind::Key, format!("{why}{hint}"))
    }
}

fn parse_kdf(kdf: &Value) -> Result<Kdf> {
    let salt_of = |value: &Value| {
        let salt = value.get("salt").and_then(Value::as_str).and_then(base64);
        salt.filter(|salt| salt.len() <= MAX_SALT)
            .ok_or_else(|| invalid("its salt is malformed"))
    };
    if let Some(scrypt) = kdf.get("Scrypt") {
        let number = |name: &str| scrypt.get(name).and_then(Value::as_u64);
        let params = match (number("n"), number("r"), number("p")) {
            (Some(n), Some(r), Some(p)) => scrypt_params(n, r, p),
            _ => None,
        };
        let params = params.ok_or_else(|| invalid("its scrypt parameters are absurd"))?;
        let salt = salt_of(scrypt)?;
        return Ok(Kdf::Scrypt { params, salt });
    }
    if let Some(pbkdf2) = kdf.get("PBKDF2") {
        let rounds = pbkdf2.get("iter").and_then(Value::as_u64);
        let rounds = rounds
            .filter(|rounds| (1..=MAX_ROUNDS).contains(rounds))
            .and_then(|rounds| u32::try_from(rounds).ok())
            .ok_or_else(|| invalid("its PBKDF2 rounds are absurd"))?;
        let salt = salt_of(pbkdf2)?;
        return Ok(Kdf::Pbkdf2 { rounds, salt });
    }
    Err(invalid("it is locked in a way that is not known here"))
}

/// Checks the parameters before scrypt runs: it allocates p blocks of 128 * r bytes and n more, and
/// mixes these n blocks p times.
pub(super) fn scrypt_params(n: u64, r: u64, p: u64) -> Option<scrypt::Params> {
    let block = r.checked_mul(128)?;
    let memory = n.checked_add(p)?.checked_mul(block)?;
    let work = n.checked_mul(p)?.checked_mul(block)?;
    if n < 2 || !n.is_power_of_two() || memory > MAX_SCRYPT_MEMORY || work > MAX_SCRYPT_WORK {
        return None;
    }
    let log_n = u8::try_from(n.ilog2()).ok()?;
    let (r, p) = (u32::try_from(r).ok()?, u32::try_from(p).ok()?);
    // The scrypt crate multiplies r and p in 32 bits.
    r.checked_mul(p)?;
    scrypt::Params::new(log_n, r, p).ok()
}

fn base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

pub(super) fn invalid(why: &str) -> Error {
    Error::new(ErrorKind::Key, format!("the key file can't be used: {why}"))
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyFile")
            .field("is_protected", &self.is_protected())
            .field("fingerprint", &self.fingerprint)
            .field("hint", &self.hint)
            .finish_non_exhaustive()
    }
}
