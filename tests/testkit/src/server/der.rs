//! Changes certificates in ways that tools for making them don't offer. Knows nothing of who shows them.

const SEQUENCE: u8 = 0x30;

/// Without its version and its extensions.
pub(crate) fn as_version_1(certificate: &[u8]) -> Vec<u8> {
    change(certificate, |fields| {
        fields.retain(|field| field[0] != 0xa0 && field[0] != 0xa3);
    })
}

pub(crate) fn with_p521_key(certificate: &[u8]) -> Vec<u8> {
    let ec_public_key = [0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
    let secp521r1 = [0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23];
    let algorithm = wrap(SEQUENCE, &[&ec_public_key[..], &secp521r1].concat());
    with_key(
        certificate,
        &algorithm,
        &[[4].as_slice(), &[1; 132]].concat(),
    )
}

pub(crate) fn with_short_rsa_key(certificate: &[u8]) -> Vec<u8> {
    let rsa = [
        0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01,
    ];
    let null = [0x05, 0x00];
    let algorithm = wrap(SEQUENCE, &[&rsa[..], &null].concat());
    let modulus = wrap(0x02, &[[0].as_slice(), &[0xff; 128]].concat());
    let exponent = [0x02, 0x03, 0x01, 0x00, 0x01];
    let key = wrap(SEQUENCE, &[modulus, exponent.to_vec()].concat());
    with_key(certificate, &algorithm, &key)
}

fn with_key(certificate: &[u8], algorithm: &[u8], key: &[u8]) -> Vec<u8> {
    let bits = wrap(0x03, &[[0].as_slice(), key].concat());
    let info = wrap(SEQUENCE, &[algorithm, &bits].concat());
    change(certificate, |fields| {
        // Version, serial number, signature algorithm, issuer, validity, subject, and then the key.
        fields[6] = info;
    })
}

/// The certificate with other fields.
fn change(certificate: &[u8], edit: impl FnOnce(&mut Vec<Vec<u8>>)) -> Vec<u8> {
    let mut parts = elements(content(certificate));
    let mut fields = elements(content(&parts[0]));
    edit(&mut fields);
    parts[0] = wrap(SEQUENCE, &fields.concat());
    wrap(SEQUENCE, &parts.concat())
}

fn elements(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut elements = Vec::new();
    while !bytes.is_empty() {
        let (header, len) = header(bytes);
        let (element, rest) = bytes.split_at(header + len);
        elements.push(element.to_vec());
        bytes = rest;
    }
    elements
}

fn content(element: &[u8]) -> &[u8] {
    &element[header(element).0..]
}

/// How long the tag and the length are, and the content.
fn header(element: &[u8]) -> (usize, usize) {
    let first = usize::from(element[1]);
    if first < 0x80 {
        return (2, first);
    }
    let digits = &element[2..2 + (first & 0x7f)];
    let len = digits
        .iter()
        .fold(0, |len, digit| len << 8 | usize::from(*digit));
    (2 + digits.len(), len)
}

fn wrap(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = u16::try_from(content.len()).expect("a certificate is short");
    let [high, low] = len.to_be_bytes();
    let header = match len {
        0..=0x7f => vec![tag, low],
        0x80..=0xff => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [&header, content].concat()
}
