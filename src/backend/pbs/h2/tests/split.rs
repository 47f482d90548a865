//! It does not matter where what was received is cut.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::frame::PADDED;
use super::*;

/// What a server says that answers four requests in all ways there are.
fn traffic() -> Vec<u8> {
    let head = block(&[(":status", "200"), ("content-length", "300")]);
    let (start, rest) = head.split_at(4);
    let (middle, end) = rest.split_at(9);
    let padded: Vec<u8> = [&[7], &[b'p'; 100][..], &[0; 7]].concat();
    [
        settings(&[(3, 10), (4, 1 << 20)]),
        frame(SETTINGS, ACK, 0, &[]),
        headers(3, 0, &[(":status", "103")]),
        frame(HEADERS, 0, 1, start),
        frame(CONTINUATION, 0, 1, middle),
        frame(CONTINUATION, END_HEADERS, 1, end),
        ok(3),
        data(1, 0, &[b'a'; 200]),
        frame(DATA, PADDED, 3, &padded),
        frame(99, 3, 9, b"extension"),
        data(1, END, &[b'b'; 100]),
        frame(PING, 0, 0, b"01234567"),
        frame(RST_STREAM, 0, 5, &[0, 0, 0, 8]),
        frame(DATA, PADDED, 3, &[3, 0, 0, 0]),
        frame(WINDOW_UPDATE, 0, 3, &[0, 0, 0, 1]),
        data(3, 0, b""),
        headers(3, END, &[("trailer", "x")]),
        frame(GOAWAY, 0, 0, &[0, 0, 0, 7, 0, 0, 0, 0, b'b', b'y', b'e']),
        headers(7, END, &[(":status", "404"), ("content-length", "0")]),
    ]
    .concat()
}

/// The events and the output that pieces of that length lead to, the last one over and over.
fn heard(bytes: &[u8], mut pieces: impl Iterator<Item = usize>) -> (String, Vec<u8>) {
    let mut codec = Codec::new(Config::default());
    for _ in 0..4 {
        codec.request("/", "", Buffer::new(), 1000).unwrap();
    }
    let mut rest = bytes;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(pieces.next().unwrap_or(1).min(rest.len()));
        codec.receive(piece).unwrap();
        rest = after;
    }
    assert!(codec.connection.streams.is_empty());
    let said: Vec<String> = (events(&mut codec).iter())
        .map(|event| match event {
            Event::Finished { stream, head, body } => {
                let body = String::from_utf8(body.to_vec()).unwrap();
                format!("{stream} {head:?} {body}")
            }
            other => format!("{other:?}"),
        })
        .collect();
    assert!(said.len() >= 4, "{said:#?}");
    assert_eq!(codec.goodbye(), Some(ErrorCode::NO_ERROR));
    (said.join("\n"), codec.output().to_vec())
}

#[test]
fn one_byte_at_a_time_is_as_good_as_all_at_once() {
    let bytes = traffic();
    let whole = heard(&bytes, std::iter::once(bytes.len()));
    assert_eq!(heard(&bytes, std::iter::repeat(1)), whole);
    // A read may bring nothing.
    assert_eq!(heard(&bytes, std::iter::once(0)), whole);
    for cut in 1..bytes.len() {
        assert_eq!(heard(&bytes, [cut, bytes.len()].into_iter()), whole);
    }
}

proptest! {
    #[test]
    fn any_pieces_are_as_good_as_all_at_once(pieces in vec(0usize..200, 1..100)) {
        let bytes = traffic();
        let whole = heard(&bytes, std::iter::once(bytes.len()));
        prop_assert_eq!(heard(&bytes, pieces.into_iter()), whole);
    }
}
