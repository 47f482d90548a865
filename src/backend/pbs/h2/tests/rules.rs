//! Rules of the connection: each is broken once, and has its error.

use super::super::frame::{PADDED, PRIORITY as HAS_PRIORITY};
use super::*;

const PROTOCOL: ErrorCode = ErrorCode::PROTOCOL_ERROR;
const SIZE: ErrorCode = ErrorCode::FRAME_SIZE_ERROR;
const FLOW: ErrorCode = ErrorCode::FLOW_CONTROL_ERROR;
const CALM: ErrorCode = ErrorCode::ENHANCE_YOUR_CALM;
const COMPRESSION: ErrorCode = ErrorCode::COMPRESSION_ERROR;

#[test]
fn what_does_not_begin_with_settings_is_not_http2() {
    let starts: [&[u8]; 6] = [
        b"HTTP/1.1 400 Bad Request\r\n",
        &[0; 9],
        &[0xff; 9],
        &frame(SETTINGS, ACK, 0, &[]),
        &frame(SETTINGS, 0, 1, &[]),
        &frame(PING, 0, 0, &[0; 8]),
    ];
    for start in starts {
        let mut codec = Codec::new(Config::default());
        assert_eq!(codec.receive(start), Err(ConnectionError::NotHttp2));
    }
}

#[test]
fn the_client_begins_with_preface_settings_and_a_wide_window() {
    let codec = Codec::new(Config::default());
    let rest = codec.output().strip_prefix(frame::PREFACE).unwrap();
    let ours = settings(&[
        (1, 0),
        (2, 0),
        (4, (1 << 31) - 1),
        (5, 4 << 20),
        (6, 64 << 10),
    ]);
    let rest = rest.strip_prefix(&ours[..]).unwrap();
    let by = (1u32 << 31) - 1 - 65_535;
    assert_eq!(rest, super::frame(WINDOW_UPDATE, 0, 0, &by.to_be_bytes()));
}

#[test]
fn settings_and_pings_are_acknowledged() {
    let mut codec = asking(0);
    codec.receive(&settings(&[(99, 1)])).unwrap();
    codec.receive(&frame(PING, 0, 0, b"12345678")).unwrap();
    let acks = [
        frame(SETTINGS, ACK, 0, &[]),
        frame(PING, ACK, 0, b"12345678"),
    ];
    assert_eq!(codec.output(), acks.concat());
}

#[test]
fn a_ping_has_one_pong() {
    let mut codec = asking(0);
    codec.ping();
    codec.ping();
    let ping = codec.output().to_vec();
    assert_eq!(ping.len(), 17);
    let pong = frame(PING, ACK, 0, &ping[9..]);
    codec.receive(&frame(PING, ACK, 0, b"whatever")).unwrap();
    assert!(events(&mut codec).is_empty());
    codec.receive(&pong).unwrap();
    codec.receive(&pong).unwrap();
    assert!(matches!(events(&mut codec)[..], [Event::Pong]));
}

#[test]
fn frames_of_a_wrong_size() {
    for (kind, len) in [
        (PING, 7),
        (PING, 9),
        (RST_STREAM, 3),
        (RST_STREAM, 5),
        (PRIORITY, 4),
    ] {
        let stream = u32::from(kind != PING);
        assert_eq!(code(&[frame(kind, 0, stream, &vec![1; len])]), SIZE);
    }
    for len in [0, 3, 5] {
        assert_eq!(code(&[frame(WINDOW_UPDATE, 0, 1, &vec![1; len])]), SIZE);
    }
    assert_eq!(code(&[frame(GOAWAY, 0, 0, &[0; 7])]), SIZE);
    assert_eq!(code(&[frame(SETTINGS, 0, 0, &[0; 5])]), SIZE);
    assert_eq!(code(&[frame(SETTINGS, ACK, 0, &[0; 6])]), SIZE);
    assert_eq!(code(&[frame(DATA, PADDED, 1, &[])]), SIZE);
    assert_eq!(code(&[frame(HEADERS, PADDED, 1, &[])]), SIZE);
    assert_eq!(code(&[frame(HEADERS, HAS_PRIORITY, 1, &[0; 4])]), SIZE);
    // Longer than announced, of which the header alone is enough.
    assert_eq!(code(&[vec![0x40, 0, 1, DATA, 0, 0, 0, 0, 1]]), SIZE);
    assert_eq!(code(&[vec![0x20, 0, 0, HEADERS, 0, 0, 0, 0, 1]]), CALM);
}

#[test]
fn frames_on_wrong_streams() {
    let block = block(&[(":status", "200")]);
    for stream in [0, 2, 3] {
        for kind in [DATA, HEADERS] {
            assert_eq!(code(&[frame(kind, END_HEADERS, stream, &block)]), PROTOCOL);
        }
        assert_eq!(code(&[frame(RST_STREAM, 0, stream, &[0; 4])]), PROTOCOL);
    }
    assert_eq!(code(&[frame(WINDOW_UPDATE, 0, 3, &[0, 0, 0, 1])]), PROTOCOL);
    assert_eq!(code(&[frame(PRIORITY, 0, 0, &[0; 5])]), PROTOCOL);
    assert_eq!(code(&[frame(SETTINGS, 0, 1, &[])]), PROTOCOL);
    assert_eq!(code(&[frame(PING, 0, 1, &[0; 8])]), PROTOCOL);
    assert_eq!(code(&[frame(GOAWAY, 0, 1, &[0; 8])]), PROTOCOL);
    // Priorities of streams to come are allowed, and mean nothing.
    assert_eq!(verdict(&[frame(PRIORITY, 0, 7, &[0; 5])]), Ok(()));
}

#[test]
fn pushes_are_refused() {
    assert_eq!(
        code(&[frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2])]),
        PROTOCOL
    );
}

#[test]
fn settings_that_can_not_be() {
    assert_eq!(code(&[settings(&[(2, 1)])]), PROTOCOL);
    assert_eq!(code(&[settings(&[(4, 1 << 31)])]), FLOW);
    assert_eq!(code(&[settings(&[(5, 16_383)])]), PROTOCOL);
    assert_eq!(code(&[settings(&[(5, 1 << 24)])]), PROTOCOL);
    assert_eq!(
        verdict(&[settings(&[(1, 0), (2, 0), (4, 0), (5, 16_384), (6, 0)])]),
        Ok(())
    );
}

#[test]
fn windows_can_not_be_wider_than_wide() {
    let most = |stream| frame(WINDOW_UPDATE, 0, stream, &[0x7f, 0xff, 0, 0]);
    let one = |stream| frame(WINDOW_UPDATE, 0, stream, &[0, 0, 0, 1]);
    for stream in [0, 1] {
        assert_eq!(verdict(&[most(stream)]), Ok(()));
        assert_eq!(code(&[most(stream), one(stream)]), FLOW);
        assert_eq!(code(&[frame(WINDOW_UPDATE, 0, stream, &[0; 4])]), PROTOCOL);
    }
    // The initial size is a part of the windows that are open.
    assert_eq!(code(&[most(1), settings(&[(4, 65_536)])]), FLOW);
    assert_eq!(verdict(&[settings(&[(4, 0)]), most(1), one(1)]), Ok(()));
}

#[test]
fn nothing_comes_between_the_frames_of_a_header_block() {
    let block = block(&[(":status", "200")]);
    let (start, end) = block.split_at(3);
    let begin = frame(HEADERS, 0, 1, start);
    assert_eq!(
        outcome(&[
            begin.clone(),
            frame(CONTINUATION, END_HEADERS, 1, end),
            data(1, END, b"x")
        ]),
        Ok(b"x".to_vec())
    );
    for between in [
        frame(CONTINUATION, END_HEADERS, 3, end),
        data(1, 0, b"x"),
        frame(PING, 0, 0, &[0; 8]),
        frame(99, 0, 0, &[]),
        frame(HEADERS, END_HEADERS, 1, &block),
    ] {
        assert_eq!(code(&[begin.clone(), between]), PROTOCOL);
    }
    assert_eq!(code(&[frame(CONTINUATION, END_HEADERS, 1, end)]), PROTOCOL);
}

#[test]
fn header_blocks_are_bounded() {
    let begin = frame(HEADERS, 0, 1, &[]);
    let empty = frame(CONTINUATION, 0, 1, &[]);
    let long = frame(CONTINUATION, 0, 1, &[0x88; 16_384]);
    assert_eq!(
        code(&[vec![begin.clone()], vec![empty; 200]].concat()),
        CALM
    );
    assert_eq!(code(&[vec![begin], vec![long; 5]].concat()), CALM);
    // Short where it is encoded, long as a list.
    assert_eq!(code(&[frame(HEADERS, END_HEADERS, 1, &[0x88; 3000])]), CALM);
}

#[test]
fn malformed_compression_breaks_the_connection() {
    let wrong: [&[u8]; 9] = [
        &[0x80],                                           // index 0
        &[0xff, 0x00], // beyond the static table, and there is no other
        &[0x3f, 0x01], // a table larger than announced
        &[0x88, 0x20], // a table resized in the middle
        &[0x00, 0x85, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00], // the end of a Huffman string
        &[0x00, 0x05, b'a'], // a string that is cut off
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00], // a number without end
        &[0xff],       // a number that is cut off
        &[0x08],       // a value that is not there
    ];
    for block in wrong {
        assert_eq!(
            code(&[frame(HEADERS, END_HEADERS, 1, block)]),
            COMPRESSION,
            "{block:x?}"
        );
    }
    // What is kept in a table of no size is gone.
    let kept = b"\x40\x01a\x01b";
    assert_eq!(
        code(&[frame(
            HEADERS,
            END_HEADERS,
            1,
            &[&kept[..], &[0xbe]].concat()
        )]),
        COMPRESSION
    );
}

#[test]
fn more_padding_than_payload() {
    assert_eq!(code(&[ok(1), frame(DATA, PADDED, 1, &[3, 0, 0])]), PROTOCOL);
    assert_eq!(
        code(&[frame(HEADERS, END_HEADERS | PADDED, 1, &[2, 0x88])]),
        PROTOCOL
    );
}

#[test]
fn floods_end_the_connection() {
    let floods = [
        frame(PING, 0, 0, &[0; 8]),
        frame(PING, ACK, 0, &[0; 8]),
        frame(SETTINGS, 0, 0, &[]),
        frame(SETTINGS, ACK, 0, &[]),
        frame(PRIORITY, 0, 1, &[0; 5]),
        frame(99, 0, 0, b"?"),
        frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
        frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]),
        headers(1, 0, &[(":status", "103")]),
        data(1, 0, b""),
        frame(DATA, PADDED, 1, &[1, 0]),
        frame(GOAWAY, 0, 0, &[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]),
    ];
    for flood in floods {
        assert_eq!(code(&vec![flood.clone(); 9000]), CALM, "{flood:x?}");
        assert_eq!(verdict(&vec![flood; 1000]), Ok(()));
    }
}

#[test]
fn frames_on_closed_streams_are_let_be_for_a_while() {
    let done = vec![ok(1), data(1, END, b"whole")];
    for late in [
        data(1, 0, b"late"),
        data(1, END, b"late"),
        headers(1, END, &[(":status", "200")]),
        frame(RST_STREAM, 0, 1, &[0; 4]),
        frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]),
    ] {
        let some = [done.clone(), vec![late.clone(); 1000]].concat();
        assert_eq!(outcome(&some), Ok(b"whole".to_vec()));
        assert_eq!(code(&[done.clone(), vec![late; 9000]].concat()), CALM);
    }
}

#[test]
fn output_is_bounded_where_the_server_does_not_read() {
    let mut codec = asking(1);
    codec.receive(&ok(1)).unwrap();
    // Data pays for the pings, so that the budget is not what ends it.
    let pings = [data(1, 0, &[7; 1000]), frame(PING, 0, 0, &[0; 8]).repeat(5)].concat();
    let error = (0..10_000).find_map(|_| codec.receive(&pings).err());
    assert_eq!(error.map(ConnectionError::code), Some(CALM));
    assert!(codec.output().len() < 300 << 10);
}

#[test]
fn more_data_than_the_window_breaks_the_connection() {
    let mut codec = asking(1);
    codec.connection.window.take((1 << 31) - 2).unwrap();
    codec.connection.streams[0]
        .window
        .take((1 << 31) - 2)
        .unwrap();
    // The windows are topped up as soon as the server keeps to them.
    assert_eq!(
        codec
            .receive(&[ok(1), data(1, 0, b"ab")].concat())
            .unwrap_err()
            .code(),
        FLOW
    );

    let mut codec = asking(1);
    codec.connection.window.take(1 << 30).unwrap();
    codec.connection.streams[0]
        .window
        .take((1 << 30) - 1)
        .unwrap();
    codec.receive(&[ok(1), data(1, 0, b"a")].concat()).unwrap();
    let update = |stream, by: u32| frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes());
    assert_eq!(
        codec.output(),
        [update(0, (1 << 30) + 1), update(1, 1 << 30)].concat()
    );
}
