//! What becomes of a request, whatever its answer; and that other requests go on.

use super::super::frame::{PADDED, PRIORITY as HAS_PRIORITY};
use super::*;

fn malformed(frames: &[Vec<u8>]) {
    match outcome(frames) {
        Err(StreamError::Malformed(_)) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_answer_comes_in_pieces_into_its_own_buffer() {
    let mut codec = asking(2);
    let mut buffer = Buffer::new();
    buffer.reserve(10_000);
    let memory = buffer.as_ptr();
    let stream = codec.request("/x", "y", buffer, LIMIT).unwrap();
    let fields = [
        (":status", "200"),
        ("content-length", "5000"),
        ("content-encoding", "deflate"),
        ("retry-after", "17"),
    ];
    codec.receive(&headers(stream, 0, &fields)).unwrap();
    codec.receive(&data(stream, 0, &[1; 4000])).unwrap();
    assert_eq!(codec.received(), 4000);
    codec.receive(&data(stream, 0, &[2; 1000])).unwrap();
    codec.receive(&data(stream, END, &[])).unwrap();
    assert_eq!(codec.received(), 5000);
    let events = events(&mut codec);
    let [
        Event::Finished {
            stream: 5,
            head,
            body,
        },
    ] = &events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!((head.status, head.content_length), (200, Some(5000)));
    assert_eq!((head.is_encoded, head.retry_after), (true, Some(17)));
    assert_eq!(body[..], [[1; 4000].as_slice(), &[2; 1000]].concat());
    assert_eq!(body.as_ptr(), memory);
}

#[test]
fn a_request_is_a_get_without_compression_state() {
    let mut codec = asking(0);
    codec
        .request("/chunk?digest=00", "pbs", Buffer::new(), 1)
        .unwrap();
    let block = [
        b"\x20\x82\x87\x01\x03pbs\x04\x10".as_slice(),
        b"/chunk?digest=00",
    ]
    .concat();
    assert_eq!(codec.output(), frame(HEADERS, END_HEADERS | END, 1, &block));
    codec.sent(codec.output().len());
    codec
        .request(&"p".repeat(300), "pbs", Buffer::new(), 1)
        .unwrap();
    let block = [
        b"\x82\x87\x01\x03pbs\x04\x7f\xad\x01".to_vec(),
        vec![b'p'; 300],
    ]
    .concat();
    assert_eq!(codec.output(), frame(HEADERS, END_HEADERS | END, 3, &block));
}

#[test]
fn padding_and_priority_are_no_part_of_anything() {
    let fields = block(&[(":status", "200"), ("content-length", "2")]);
    let payload = [&[2, 0, 0, 0, 0, 9], &fields[..], &[0, 0]].concat();
    let head = frame(HEADERS, END_HEADERS | PADDED | HAS_PRIORITY, 1, &payload);
    let body = frame(DATA, PADDED | END, 1, &[3, b'h', b'i', 0, 0, 0]);
    assert_eq!(outcome(&[head, body]), Ok(b"hi".to_vec()));
}

#[test]
fn interim_headers_and_trailers_are_passed_over() {
    let answer = [
        headers(1, 0, &[(":status", "103"), ("link", "x")]),
        ok(1),
        data(1, 0, b"body"),
        headers(1, END, &[("checksum", "x")]),
    ];
    assert_eq!(outcome(&answer), Ok(b"body".to_vec()));
}

#[test]
fn malformed_headers_fail_the_request_alone() {
    let good = (":status", "200");
    let wrong: [&[(&str, &str)]; 17] = [
        &[],
        &[("a", "b")],
        &[(":status", "20")],
        &[(":status", "2000")],
        &[(":status", "+20")],
        &[(":status", "099")],
        &[good, good],
        &[good, (":path", "/")],
        &[("a", "b"), good],
        &[good, ("Upper", "x")],
        &[good, ("", "x")],
        &[good, ("a b", "x")],
        &[good, ("a", "x\r\ny")],
        &[good, ("connection", "close")],
        &[good, ("content-length", "+1")],
        &[good, ("content-length", "99999999999999999999")],
        &[good, ("content-length", "1"), ("content-length", "2")],
    ];
    for fields in wrong {
        malformed(&[headers(1, 0, fields)]);
        malformed(&[headers(1, END, fields)]);
    }
    malformed(&[headers(1, 0, &[(":status", "101")])]);
    malformed(&[headers(1, END, &[(":status", "100")])]);
    malformed(&[ok(1), headers(1, 0, &[("a", "b")])]);
    malformed(&[ok(1), headers(1, END, &[good])]);
    malformed(&[ok(1), headers(1, END, &[("A", "b")])]);
    malformed(&[data(1, 0, b"early")]);
    malformed(&[data(1, END, b"")]);
}

#[test]
fn a_body_must_be_as_long_as_stated() {
    let head = |flags, len| headers(1, flags, &[(":status", "200"), ("content-length", len)]);
    let wrong = |received| {
        Err(StreamError::ContentLength {
            stated: 3,
            received,
        })
    };
    assert_eq!(outcome(&[head(0, "3"), data(1, 0, b"abcd")]), wrong(4));
    assert_eq!(outcome(&[head(0, "3"), data(1, END, b"ab")]), wrong(2));
    assert_eq!(outcome(&[head(END, "3")]), wrong(0));
    assert_eq!(
        outcome(&[head(0, "3"), data(1, 0, b"ab"), headers(1, END, &[])]),
        wrong(2)
    );
    assert_eq!(
        outcome(&[head(0, "3"), data(1, END, b"abc")]),
        Ok(b"abc".to_vec())
    );
    assert_eq!(outcome(&[head(END, "0")]), Ok(Vec::new()));
}

#[test]
fn an_answer_beyond_the_limit_is_read_and_thrown_away() {
    let mut codec = asking(1);
    let small = codec.request("/", "", Buffer::new(), 4).unwrap();
    let request = codec.output().len();
    codec
        .receive(&[ok(small), data(small, 0, b"12345")].concat())
        .unwrap();
    let too_long = Err(StreamError::TooLong(4));
    assert_eq!(answers(&mut codec), [(small, too_long.clone())]);
    assert_eq!(codec.capacity(), 98, "the stream is still open");
    codec
        .receive(
            &[
                data(small, END, &[0; 100_000]),
                ok(1),
                data(1, END, b"other"),
            ]
            .concat(),
        )
        .unwrap();
    assert_eq!(answers(&mut codec), [(1, Ok(b"other".to_vec()))]);
    assert_eq!(codec.capacity(), 100);
    assert_eq!(codec.received(), 5);
    codec.sent(request);
    assert!(codec.output().is_empty(), "no stream is reset");

    let small = codec.request("/", "", Buffer::new(), 4).unwrap();
    codec
        .receive(&headers(
            small,
            0,
            &[(":status", "200"), ("content-length", "5")],
        ))
        .unwrap();
    assert_eq!(answers(&mut codec), [(small, too_long)]);
}

#[test]
fn the_message_of_an_error_is_kept_up_to_a_bound() {
    let mut codec = asking(0);
    for len in [100, 70_000] {
        let stream = codec.request("/", "", Buffer::new(), 4).unwrap();
        let len_text = len.to_string();
        let head = headers(
            stream,
            0,
            &[(":status", "400"), ("content-length", &len_text)],
        );
        codec
            .receive(&[head, data(stream, END, &vec![b'e'; len])].concat())
            .unwrap();
        let kept = len.min(64 << 10);
        assert_eq!(answers(&mut codec), [(stream, Ok(vec![b'e'; kept]))]);
    }
}

#[test]
fn waste_without_end_breaks_the_connection() {
    let mut codec = asking(1);
    codec
        .receive(&headers(1, 0, &[(":status", "500")]))
        .unwrap();
    let waste = data(1, 0, &vec![0; 4 << 20]);
    let error = (0..100).find_map(|_| codec.receive(&waste).err()).unwrap();
    assert_eq!(error.code(), ErrorCode::ENHANCE_YOUR_CALM);
    assert_eq!(codec.received(), 64 << 10);
}

#[test]
fn a_reset_stream_fails_alone() {
    let mut codec = asking(3);
    codec
        .receive(&frame(RST_STREAM, 0, 1, &[0, 0, 0, 7]))
        .unwrap();
    codec
        .receive(&frame(RST_STREAM, 0, 3, &[0, 0, 0, 2]))
        .unwrap();
    codec
        .receive(&[ok(5), data(5, END, b"!")].concat())
        .unwrap();
    let reset = StreamError::Reset(ErrorCode(2));
    let expected = [
        (1, Err(StreamError::Refused)),
        (3, Err(reset)),
        (5, Ok(b"!".to_vec())),
    ];
    assert_eq!(answers(&mut codec), expected);
    assert_eq!(codec.capacity(), 100);
}

#[test]
fn a_server_that_goes_away_finishes_what_it_has_seen() {
    let mut codec = asking(3);
    let goaway = |last: u8| {
        frame(
            GOAWAY,
            0,
            0,
            &[0, 0, 0, last, 0, 0, 0, 11, b'b', b'y', b'e'],
        )
    };
    codec.receive(&goaway(3)).unwrap();
    let calm = ErrorCode::ENHANCE_YOUR_CALM;
    let events = events(&mut codec);
    let [
        Event::Failed {
            stream: 5,
            error: StreamError::Refused,
            ..
        },
    ] = &events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!(codec.goodbye(), Some(calm));
    let unsent = codec.request("/", "", Buffer::new(), 1).unwrap_err();
    assert_eq!(unsent, Unsent::Closed);
    codec
        .receive(&[goaway(1), ok(1), data(1, END, b"last")].concat())
        .unwrap();
    let expected = [(3, Err(StreamError::Refused)), (1, Ok(b"last".to_vec()))];
    assert_eq!(answers(&mut codec), expected);
}

#[test]
fn the_client_goes_away_once() {
    let mut codec = asking(1);
    codec.go_away();
    codec.go_away();
    assert_eq!(codec.output(), frame(GOAWAY, 0, 0, &[0; 8]));
    assert_eq!(codec.capacity(), 0);
    codec
        .receive(&[ok(1), data(1, END, b"x")].concat())
        .unwrap();
    assert_eq!(answers(&mut codec), [(1, Ok(b"x".to_vec()))]);
}

#[test]
fn a_broken_connection_says_why_even_after_a_goodbye() {
    let mut codec = asking(0);
    codec.go_away();
    codec.receive(&frame(PING, 0, 0, &[])).unwrap_err();
    let why = frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 6]);
    assert_eq!(codec.output(), [frame(GOAWAY, 0, 0, &[0; 8]), why].concat());
}

#[test]
fn a_lost_connection_gives_all_buffers_back() {
    let mut codec = asking(2);
    codec
        .receive(&[ok(1), data(1, 0, b"half")].concat())
        .unwrap();
    codec.close();
    codec.close();
    let lost = Err(StreamError::Lost);
    assert_eq!(answers(&mut codec), [(1, lost.clone()), (3, lost)]);
    assert_eq!(codec.capacity(), 0);
}

#[test]
fn no_more_requests_than_the_server_allows() {
    let mut codec = asking(2);
    codec.receive(&settings(&[(3, 2)])).unwrap();
    let reason =
        |codec: &mut Codec, path: &str| codec.request(path, "", Buffer::new(), 1).unwrap_err();
    assert_eq!(reason(&mut codec, "/"), Unsent::Full);
    codec
        .receive(&headers(1, END, &[(":status", "200")]))
        .unwrap();
    assert_eq!(codec.capacity(), 1);
    codec.receive(&settings(&[(6, 170)])).unwrap();
    assert_eq!(reason(&mut codec, "/much/too/long"), Unsent::TooLong);
    codec.receive(&settings(&[(6, u32::MAX)])).unwrap();
    assert_eq!(reason(&mut codec, &"x".repeat(17_000)), Unsent::TooLong);
    codec
        .request(&"x".repeat(16_000), "", Buffer::new(), 1)
        .unwrap();
}

#[test]
fn used_up_ids_end_the_requests() {
    let mut codec = asking(0);
    codec.connection.next_id = (1 << 31) - 1;
    let last = codec.request("/", "", Buffer::new(), 1).unwrap();
    assert_eq!(last, (1 << 31) - 1);
    let unsent = codec.request("/", "", Buffer::new(), 1).unwrap_err();
    assert_eq!(unsent, Unsent::Closed);
    codec
        .receive(&headers(last, END, &[(":status", "204")]))
        .unwrap();
    assert_eq!(answers(&mut codec), [(last, Ok(Vec::new()))]);
}
