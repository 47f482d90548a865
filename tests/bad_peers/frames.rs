//! What a server may say that no server should, in frames. Knows nothing of what is made of it.

use std::time::Duration;

use testkit::Raw;
use testkit::raw::{self, kind};

/// The stream of the first chunk.
pub(crate) const STREAM: u32 = 5;

pub(crate) fn send(bytes: Vec<u8>) -> Raw {
    Raw::Send(bytes)
}

fn ok(len: &str) -> Vec<u8> {
    raw::headers(
        STREAM,
        &[(":status", "200"), ("content-length", len)],
        false,
    )
}

fn bare_ok() -> Vec<u8> {
    raw::headers(STREAM, &[(":status", "200")], false)
}

/// The start of a frame whose payload is still to come.
fn frame_of(len: u32, kind: u8, flags: u8, stream: u32) -> Vec<u8> {
    let mut frame = raw::frame(kind, flags, stream, &[]);
    frame[..3].copy_from_slice(&len.to_be_bytes()[1..]);
    frame
}

/// A header block in frames of 16 KiB, as long as it is.
fn long_headers(fields: &[(&str, &str)]) -> Vec<u8> {
    let block = raw::header_block(fields);
    let mut pieces = block.chunks(16_384).peekable();
    let mut frames = Vec::new();
    let mut kind = kind::HEADERS;
    while let Some(piece) = pieces.next() {
        let flags = if pieces.peek().is_none() {
            raw::END_HEADERS
        } else {
            0
        };
        frames.extend(raw::frame(kind, flags, STREAM, piece));
        kind = raw::kind::CONTINUATION;
    }
    frames
}

/// What ends the connection: the name, what is sent, and words of the error.
pub(crate) fn violations() -> Vec<(&'static str, (Vec<Raw>, &'static str))> {
    let bomb = "x".repeat(70_000);
    let many: Vec<(&str, &str)> = vec![("a", "b"); 3000];
    let push = [&[0, 0, 0, 2][..], &raw::header_block(&[(":path", "/")])].concat();
    let unfinished = raw::frame(
        kind::HEADERS,
        0,
        STREAM,
        &raw::header_block(&[(":status", "200")]),
    );
    let continuation = raw::frame(kind::CONTINUATION, 0, STREAM, b"");
    let flood = 1_000_000;
    vec![
        ("garbage", (vec![send(vec![0xff; 64])], "broken HTTP/2")),
        (
            "a frame larger than announced",
            (
                vec![
                    send(ok("8000000")),
                    send(frame_of((4 << 20) + 1, kind::DATA, 0, STREAM)),
                ],
                "longer than announced",
            ),
        ),
        (
            "more padding than payload",
            (
                vec![
                    send(bare_ok()),
                    send(raw::frame(kind::DATA, raw::PADDED, STREAM, &[9, 1, 2])),
                ],
                "padding",
            ),
        ),
        (
            "a window widened beyond its limit",
            (
                vec![send(raw::window_update(0, 0x7fff_ffff))],
                "FLOW_CONTROL_ERROR",
            ),
        ),
        (
            "a window of a stream widened beyond its limit",
            (
                vec![send(raw::window_update(STREAM, 0x7fff_ffff))],
                "FLOW_CONTROL_ERROR",
            ),
        ),
        (
            "a window widened by nothing",
            (vec![send(raw::window_update(0, 0))], "PROTOCOL_ERROR"),
        ),
        (
            "an initial window beyond the limit",
            (
                vec![send(raw::settings(&[(4, 0x8000_0000)]))],
                "FLOW_CONTROL_ERROR",
            ),
        ),
        (
            "a flood of CONTINUATION",
            (
                vec![send(unfinished.clone()), Raw::Repeat(flood, continuation)],
                "ENHANCE_YOUR_CALM",
            ),
        ),
        (
            "a flood of PING",
            (
                vec![Raw::Repeat(flood, raw::ping(false))],
                "ENHANCE_YOUR_CALM",
            ),
        ),
        (
            "a flood of answers to PING",
            (
                vec![Raw::Repeat(flood, raw::ping(true))],
                "ENHANCE_YOUR_CALM",
            ),
        ),
        (
            "a flood of SETTINGS",
            (
                vec![Raw::Repeat(flood, raw::settings(&[]))],
                "ENHANCE_YOUR_CALM",
            ),
        ),
        (
            "a flood of empty DATA",
            (
                vec![
                    send(bare_ok()),
                    Raw::Repeat(flood, raw::data(STREAM, b"", false)),
                ],
                "ENHANCE_YOUR_CALM",
            ),
        ),
        (
            "a flood of WINDOW_UPDATE",
            (
                vec![Raw::Repeat(flood, raw::window_update(STREAM, 1))],
                "ENHANCE_YOUR_CALM",
            ),
        ),
        (
            "a flood of interim answers",
            (
                vec![Raw::Repeat(
                    flood,
                    raw::headers(STREAM, &[(":status", "103")], false),
                )],
                "ENHANCE_YOUR_CALM",
            ),
        ),
        (
            "a header block beyond 64 KiB",
            (
                vec![send(long_headers(&[(":status", "200"), ("x", &bomb)]))],
                "header",
            ),
        ),
        (
            "a header list beyond 64 KiB",
            (vec![send(long_headers(&many))], "header"),
        ),
        (
            "a header frame beyond 64 KiB",
            (
                vec![send(frame_of(
                    70_000,
                    kind::HEADERS,
                    raw::END_HEADERS,
                    STREAM,
                ))],
                "too long",
            ),
        ),
        (
            "a header index that there is not",
            (
                vec![send(raw::frame(
                    kind::HEADERS,
                    raw::END_HEADERS,
                    STREAM,
                    &[0xff, 0x7f],
                ))],
                "COMPRESSION_ERROR",
            ),
        ),
        (
            "a header index of zero",
            (
                vec![send(raw::frame(
                    kind::HEADERS,
                    raw::END_HEADERS,
                    STREAM,
                    &[0x80],
                ))],
                "COMPRESSION_ERROR",
            ),
        ),
        (
            "a header number without an end",
            (
                vec![send(raw::frame(
                    kind::HEADERS,
                    raw::END_HEADERS,
                    STREAM,
                    &[0xff; 20],
                ))],
                "COMPRESSION_ERROR",
            ),
        ),
        (
            "an interrupted header block",
            (
                vec![send(unfinished), send(raw::ping(false))],
                "interrupted",
            ),
        ),
        (
            "a push",
            (
                vec![send(raw::frame(
                    kind::PUSH_PROMISE,
                    raw::END_HEADERS,
                    STREAM,
                    &push,
                ))],
                "push",
            ),
        ),
        (
            "an answer that nobody asked for",
            (
                vec![send(raw::headers(1001, &[(":status", "200")], true))],
                "not open",
            ),
        ),
        (
            "data on no stream",
            (vec![send(raw::data(0, b"x", false))], "PROTOCOL_ERROR"),
        ),
    ]
}

/// What ends one answer and leaves the connection as it is.
pub(crate) fn bad_answers() -> Vec<(&'static str, (Vec<Raw>, &'static str))> {
    vec![
        (
            "more data than the content-length",
            (
                vec![send(ok("10")), send(raw::data(STREAM, &[1; 20], true))],
                "should have 10 bytes",
            ),
        ),
        (
            "less data than the content-length",
            (
                vec![send(ok("10")), send(raw::data(STREAM, &[1; 9], true))],
                "should have 10 bytes",
            ),
        ),
        (
            "data before the header",
            (
                vec![send(raw::data(STREAM, b"x", false))],
                "before the header",
            ),
        ),
        (
            "a header without a status",
            (
                vec![send(raw::headers(STREAM, &[("a", "b")], false))],
                "no status",
            ),
        ),
        (
            "a content-length that is no number",
            (vec![send(ok("1e9"))], "no number"),
        ),
        (
            "a header in upper case",
            (
                vec![send(raw::headers(
                    STREAM,
                    &[(":status", "200"), ("Date", "x")],
                    false,
                ))],
                "lower case",
            ),
        ),
        (
            "RST_STREAM with REFUSED_STREAM",
            (vec![send(raw::rst(STREAM, 7))], "refused"),
        ),
        (
            "RST_STREAM with INTERNAL_ERROR",
            (vec![send(raw::rst(STREAM, 2))], "INTERNAL_ERROR"),
        ),
        (
            "RST_STREAM with an unknown code",
            (vec![send(raw::rst(STREAM, 999))], "0x3e7"),
        ),
        (
            "GOAWAY before the request",
            (vec![send(raw::goaway(3, 0)), Raw::Close], "refused"),
        ),
        ("silence", (vec![], "in vain")),
        (
            "silence after the header",
            (vec![send(ok("10"))], "in vain"),
        ),
        (
            "signs of life without an answer",
            (
                vec![
                    Raw::Wait(Duration::from_millis(500)),
                    send(raw::ping(false)),
                    Raw::Wait(Duration::from_millis(500)),
                    send(raw::ping(false)),
                ],
                "in vain",
            ),
        ),
        (
            "a proper end of the connection",
            (vec![Raw::Close], "closed the session"),
        ),
        (
            "an improper end of the connection",
            (vec![Raw::Cut], "lost the connection"),
        ),
        (
            "a reset of the connection",
            (vec![Raw::Reset], "lost the connection"),
        ),
    ]
}
