//! Servers whose answers have a beginning and no end.

use std::time::{Duration, Instant};

use chunk_restore::{Cancel, ErrorKind, Restore};

use crate::server::{Fault, Server};
use crate::{Identity, chain, is_chunk, pinned, restore, within};

const LIMIT: Duration = Duration::from_secs(60);

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
const TRAILER: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n";

#[test]
fn what_is_around_a_body_and_has_no_end_is_given_up_with_bounded_memory() {
    let cases = [
        // The line with a piece's length.
        (CHUNKED, "1".repeat(1000)),
        (CHUNKED, "1;a=b".repeat(1000)),
        // A line behind the last piece, and many of them.
        (TRAILER, "a".repeat(1000)),
        (TRAILER, "a: b\r\n".repeat(1000)),
        // A head, and many of them.
        ("HTTP/1.1 200 OK\r\n", "a: b\r\n".repeat(1000)),
        ("HTTP/1.1 200 OK\r\na: ", "b".repeat(1000)),
        ("", "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(1000)),
        ("", "HTTP/1.1 100 Continue\r\n\r\n".repeat(1000)),
    ];
    for (start, piece) in cases {
        within(LIMIT, move || {
            let identity = Identity::new();
            let server = Server::start(&identity, move |call| {
                let endless = Fault::Endless(start, piece.clone(), Duration::ZERO);
                is_chunk(call).then_some(endless)
            });
            let datastore = pinned(&identity).open(&server.url());
            let datastore = datastore.expect("the URL is one");
            let job = Restore::new()
                .threads(1)
                .patience(Duration::from_millis(700));
            let error = restore(&datastore, &job).expect_err("no chunk came");
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{start}: {error:?}");
            // Most of it lies in the buffers of the system.
            assert!(server.flooded() < 32 << 20, "{start}: {}", server.flooded());
        });
    }
}

#[test]
fn what_is_around_a_body_is_no_progress() {
    for (start, piece) in [
        (TRAILER, "a: b\r\n"),
        (CHUNKED, "1"),
        ("HTTP/1.1 200 OK\r\na: ", "b"),
    ] {
        within(LIMIT, move || {
            let identity = Identity::new();
            let server = Server::start(&identity, move |call| {
                let endless = Fault::Endless(
                    start,
                    piece.repeat(600 / piece.len()),
                    Duration::from_millis(20),
                );
                is_chunk(call).then_some(endless)
            });
            let options = pinned(&identity).progress_timeout(Duration::from_millis(600));
            let datastore = options.open(&server.url()).expect("the URL is one");
            let job = Restore::new().threads(1).patience(Duration::from_secs(3));
            let error = restore(&datastore, &job).expect_err("no chunk came");
            assert!(
                chain(&error).contains("waited 600ms for an answer"),
                "{start}: {error:?}"
            );
        });
    }
}

#[test]
fn a_cancel_ends_an_answer_that_has_no_end() {
    for (start, piece) in [(TRAILER, "a: b\r\n"), (CHUNKED, "1")] {
        within(LIMIT, move || {
            let identity = Identity::new();
            let server = Server::start(&identity, move |call| {
                let endless = Fault::Endless(start, piece.to_owned(), Duration::from_millis(5));
                is_chunk(call).then_some(endless)
            });
            let datastore = pinned(&identity).open(&server.url());
            let datastore = datastore.expect("the URL is one");
            let cancel = Cancel::new();
            let job = Restore::new().cancel(&cancel);
            let restoring = std::thread::spawn(move || restore(&datastore, &job));
            server.stalled.recv().expect("the server lives");
            let cancelled = Instant::now();
            cancel.cancel();
            let result = restoring.join().expect("it does not panic");
            let error = result.expect_err("no chunk came");
            assert_eq!(error.kind(), ErrorKind::Cancelled, "{error:?}");
            assert!(cancelled.elapsed() < Duration::from_secs(1));
        });
    }
}
