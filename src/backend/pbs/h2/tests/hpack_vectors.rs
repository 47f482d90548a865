//! The examples of RFC 7541, appendix C, and what an encoder may do beside them.

use super::super::hpack::Decoder;
use super::*;

type Fields = Vec<(String, String)>;

fn decoded(decoder: &mut Decoder, block: &[u8]) -> Result<Fields, ConnectionError> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut fields = Vec::new();
    decoder.decode(block, |name, value| fields.push((text(name), text(value))))?;
    Ok(fields)
}

fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits.bytes().filter(|byte| *byte != b' ').collect();
    (digits.chunks(2))
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// Blocks of one connection, and what they say.
fn sequence(table: usize, steps: &[(&str, &[(&str, &str)])]) {
    let mut decoder = Decoder::new(table, 64 << 10);
    for (block, expected) in steps {
        let fields = decoded(&mut decoder, &hex(block)).unwrap();
        let expected: Fields = (expected.iter())
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        assert_eq!(fields, expected);
    }
}

#[test]
fn single_fields() {
    let custom = "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572";
    sequence(4096, &[(custom, &[("custom-key", "custom-header")])]);
    sequence(
        4096,
        &[(
            "040c 2f73 616d 706c 652f 7061 7468",
            &[(":path", "/sample/path")],
        )],
    );
    sequence(
        4096,
        &[(
            "1008 7061 7373 776f 7264 0673 6563 7265 74",
            &[("password", "secret")],
        )],
    );
    sequence(4096, &[("82", &[(":method", "GET")])]);
}

#[test]
fn requests() {
    let first = [
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "www.example.com"),
    ];
    let second = [&first[..], &[("cache-control", "no-cache")]].concat();
    let third = [
        (":method", "GET"),
        (":scheme", "https"),
        (":path", "/index.html"),
        (":authority", "www.example.com"),
        ("custom-key", "custom-value"),
    ];
    let plain = [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ];
    let huffman = [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ];
    for [a, b, c] in [plain, huffman] {
        sequence(4096, &[(a, &first), (b, &second), (c, &third)]);
    }
}

#[test]
fn responses_with_a_table_of_256_bytes() {
    let location = ("location", "https://www.example.com");
    let date = |value| ("date", value);
    let (early, late) = (
        date("Mon, 21 Oct 2013 20:13:21 GMT"),
        date("Mon, 21 Oct 2013 20:13:22 GMT"),
    );
    let private = ("cache-control", "private");
    let cookie = "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";
    let first = [(":status", "302"), private, early, location];
    let second = [(":status", "307"), private, early, location];
    let third = [
        (":status", "200"),
        private,
        late,
        location,
        ("content-encoding", "gzip"),
        ("set-cookie", cookie),
    ];
    let plain = [
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d \
         546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f \
         6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b \
         2076 6572 7369 6f6e 3d31",
    ];
    let huffman = [
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 \
         8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 \
         dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
    ];
    for [a, b, c] in [plain, huffman] {
        sequence(256, &[(a, &first), (b, &second), (c, &third)]);
    }
}

#[test]
fn a_table_may_be_made_smaller_and_larger_up_to_the_limit() {
    let mut decoder = Decoder::new(100, 64 << 10);
    let kept = b"\x40\x01a\x01b";
    decoded(&mut decoder, kept).unwrap();
    assert_eq!(decoded(&mut decoder, &[0xbe]).unwrap()[0].0, "a");
    // To nothing and back: what was kept is gone.
    assert!(decoded(&mut decoder, &[0x20, 0x3f, 100 - 31, 0xbe]).is_err());
    decoded(&mut decoder, kept).unwrap();
    assert_eq!(decoded(&mut decoder, &[0xbe]).unwrap()[0].0, "a");
    assert!(decoded(&mut decoder, &[0x3f, 101 - 31]).is_err());
}

#[test]
fn an_entry_larger_than_the_table_empties_it() {
    let mut decoder = Decoder::new(40, 64 << 10);
    decoded(&mut decoder, b"\x40\x01a\x01b").unwrap();
    decoded(&mut decoder, b"\x40\x01a\x0912345678x").unwrap();
    assert!(decoded(&mut decoder, &[0xbe]).is_err());
}

#[test]
fn a_list_is_bounded_however_short_its_block() {
    let mut decoder = Decoder::new(4096, 64 << 10);
    let mut block = b"\x40\x01a\x7f\x80\x10".to_vec();
    block.extend([b'v'; 127 + 2048]);
    block.extend([0xbe; 100]);
    let error = decoded(&mut decoder, &block).unwrap_err();
    assert_eq!(error.code(), ErrorCode::ENHANCE_YOUR_CALM);
}
