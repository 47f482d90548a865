//! What stands in URLs: encoded text, digests. Knows nothing of where.

/// Undoes percent-encoding; a `+` stays one.
pub(crate) fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after
            .get(..2)
            .and_then(|digits| str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The digest with this name, which must be in lower case.
pub(crate) fn parse_digest(name: &str) -> Option<[u8; 32]> {
    let name = name.as_bytes();
    let is_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if name.len() != 64 || !name.iter().all(is_hex) {
        return None;
    }
    let mut digest = [0; 32];
    for (byte, pair) in digest.iter_mut().zip(name.chunks_exact(2)) {
        *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_text_is_decoded_and_the_rest_stays() {
        assert_eq!(percent_decoded("a%2Fb+c%%4"), "a/b+c%%4");
    }

    #[test]
    fn only_lower_case_names_a_chunk() {
        assert_eq!(parse_digest(&"0a".repeat(32)), Some([10; 32]));
        assert_eq!(parse_digest(&"0A".repeat(32)), None);
        assert_eq!(parse_digest(&"0a".repeat(31)), None);
    }
}
