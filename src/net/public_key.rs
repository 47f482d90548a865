//! Finds the public key in a certificate, and tells whether signatures by this key can be checked.
//!
//! The certificate library only accepts certificates of version 3. If a fingerprint vouches for a
//! certificate, only the certificate's key matters, and the key lies at the same place in every
//! version.

use rustls::DigitallySignedStruct;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{AlgorithmIdentifier, alg_id};

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
/// The tag `[0] EXPLICIT` of the version, which certificates of version 1 leave out.
const VERSION: u8 = 0xa0;

/// The lengths of RSA keys, in bits, that ring can verify with.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

const ED448: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x71];
const RSA_PSS: &[u8] = &[
    0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a,
];
const ELLIPTIC: &[u8] = &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];

/// A certificate's `subjectPublicKeyInfo`.
pub(super) struct PublicKey<'a> {
    /// The content of the `AlgorithmIdentifier`.
    algorithm: &'a [u8],
    /// The content of the bit string.
    key: &'a [u8],
}

impl<'a> PublicKey<'a> {
    /// `None` if the bytes are no certificate of any version.
    pub(super) fn of(certificate: &'a [u8]) -> Option<PublicKey<'a>> {
        let (certificate, _) = expect(SEQUENCE, certificate)?;
        let (mut fields, _) = expect(SEQUENCE, certificate)?;
        if fields.first() == Some(&VERSION) {
            (_, fields) = element(fields)?;
        }
        // Skips the serial number, signature algorithm, issuer, validity and subject.
        for _ in 0..5 {
            (_, fields) = element(fields)?;
        }
        let (info, _) = expect(SEQUENCE, fields)?;
        let (algorithm, rest) = expect(SEQUENCE, info)?;
        let (bits, _) = expect(BIT_STRING, rest)?;
        let (0, key) = bits.split_first()? else {
            return None;
        };
        Some(PublicKey { algorithm, key })
    }

    /// The kind of the key, if signatures by this key can't be checked.
    pub(super) fn unsupported_kind(&self, supported: WebPkiSupportedAlgorithms) -> Option<String> {
        let known = |identifier: AlgorithmIdentifier| identifier.as_ref() == self.algorithm;
        if !(supported.all.iter()).any(|algorithm| known(algorithm.public_key_alg_id())) {
            let kind = match self.algorithm {
                _ if known(alg_id::ECDSA_P521) => "a P-521 key",
                other if other.starts_with(ELLIPTIC) => "a key on an elliptic curve",
                other if other.starts_with(ED448) => "an Ed448 key",
                other if other.starts_with(RSA_PSS) => "an RSA key for PSS alone",
                _ => "a key of an unknown kind",
            };
            return Some(kind.to_owned());
        }
        let bits = self.rsa_bits().filter(|_| known(alg_id::RSA_ENCRYPTION))?;
        (!RSA_BITS.contains(&bits)).then(|| format!("an RSA key of {bits} bits"))
    }

    /// Whether a message of the handshake was signed by this key.
    pub(super) fn has_signed(
        &self,
        message: &[u8],
        signed: &DigitallySignedStruct,
        supported: WebPkiSupportedAlgorithms,
    ) -> bool {
        let mut schemes = supported.mapping.iter();
        let Some((_, algorithms)) = schemes.find(|(scheme, _)| *scheme == signed.scheme) else {
            return false;
        };
        algorithms.iter().any(|algorithm| {
            algorithm.public_key_alg_id().as_ref() == self.algorithm
                && (algorithm.verify_signature(self.key, message, signed.signature())).is_ok()
        })
    }

    fn rsa_bits(&self) -> Option<usize> {
        let (numbers, _) = expect(SEQUENCE, self.key)?;
        let (modulus, _) = expect(INTEGER, numbers)?;
        let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
        let first = modulus.get(zeros)?;
        Some((modulus.len() - zeros) * 8 - first.leading_zeros() as usize)
    }
}

/// The content of the first element of DER, which must have this tag, and the bytes after the
/// element.
fn expect(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    (bytes.first() == Some(&tag)).then(|| element(bytes))?
}

/// The content of the first element of DER, and the bytes after the element. Tags have one byte,
/// and lengths at most three.
fn element(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (_tag, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x83 => {
            let (len, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let len = len
                .iter()
                .fold(0, |len, byte| len << 8 | usize::from(*byte));
            (len, rest)
        }
        _ => return None,
    };
    rest.split_at_checked(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_found_and_no_part_of_a_certificate_makes_it_panic() {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]);
        let made = made.expect("a certificate can be made");
        let der: &[u8] = made.cert.der();
        let key = PublicKey::of(der).expect("it is a certificate");
        assert_eq!(key.algorithm, alg_id::ECDSA_P256.as_ref());
        let supported = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        assert_eq!(key.unsupported_kind(supported), None);
        for len in 0..der.len() {
            assert!(PublicKey::of(&der[..len]).is_none(), "{len}");
            let mut bytes = der.to_vec();
            bytes[len] ^= 0xff;
            let _ = PublicKey::of(&bytes).map(|key| key.unsupported_kind(supported));
        }
    }
}
