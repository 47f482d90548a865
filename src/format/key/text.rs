//! The text around a key: its encoding, and what is printed before and after a paper key.

use zeroize::Zeroizing;

use crate::error::Result;
use crate::format::key::file::invalid;

/// The label of the lines around a paper key.
const PAPER_KEY: &str = "PROXMOX BACKUP KEY";
const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";

/// Decodes the text of a file, from UTF-8 or, since some shells write it, from UTF-16. A byte order
/// mark is left out.
pub(super) fn decode(bytes: &[u8]) -> Result<Zeroizing<String>> {
    let no_text = || invalid("it is not text");
    let utf16 = |number: fn([u8; 2]) -> u16, bytes: &[u8]| {
        let (pairs, rest) = bytes.as_chunks::<2>();
        let units = Zeroizing::new(pairs.iter().map(|pair| number(*pair)).collect::<Vec<_>>());
        match rest {
            [] => String::from_utf16(&units).map_err(|_| no_text()),
            _ => Err(no_text()),
        }
    };
    let text = match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(u16::from_le_bytes, rest)?,
        [0xfe, 0xff, rest @ ..] => utf16(u16::from_be_bytes, rest)?,
        [0xef, 0xbb, 0xbf, rest @ ..] | rest => {
            str::from_utf8(rest).map_err(|_| no_text())?.to_owned()
        }
    };
    Ok(Zeroizing::new(text))
}

/// Finds the JSON in a text. It is the whole text, or, on a paper key, what stands between the
/// lines that begin and end the key; anything around these lines is ignored.
pub(super) fn json(text: &str) -> Result<&str> {
    if text.trim_start().starts_with('{') {
        return Ok(text);
    }
    let begin = label(text);
    let Some((label, rest)) = begin else {
        return Ok(text);
    };
    if label != PAPER_KEY {
        return Err(foreign(label));
    }
    let end = format!("{DASHES}END {PAPER_KEY}{DASHES}");
    match rest.find(&end) {
        Some(end) => Ok(&rest[..end]),
        None => Err(invalid(&format!("it is cut short: there is no line {end}"))),
    }
}

/// The label of the first line that begins something, and the text that follows that line.
fn label(text: &str) -> Option<(&str, &str)> {
    let (_, rest) = text.split_once(BEGIN)?;
    rest.split_once(DASHES)
}

/// The error for a text with another label, which says what such texts hold.
fn foreign(label: &str) -> crate::error::Error {
    let found = match label {
        "PRIVATE KEY" | "RSA PRIVATE KEY" | "ENCRYPTED PRIVATE KEY" => {
            "a private key in PEM, perhaps the RSA master key"
        }
        "PUBLIC KEY" | "RSA PUBLIC KEY" => {
            "a public key in PEM, perhaps the master key's, which decrypts nothing"
        }
        "CERTIFICATE" => "a certificate in PEM",
        _ => "something else in PEM",
    };
    invalid(&format!("it holds {found}, and no backup encryption key"))
}
