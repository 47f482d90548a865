//! What a server may do wrong with an answer.

use std::time::{Duration, Instant};

use chunk_restore::{Cancel, ErrorKind, Restore};

use crate::server::{Fault, Server};
use crate::{
    IMAGE, Identity, chain, is_chunk, pinned, restore, restore_with, restore_with_first, within,
};

const LIMIT: Duration = Duration::from_secs(60);

/// Restores although every chunk fails once, by asking once more.
fn is_cured_by_another_try(fault: fn() -> Fault) {
    let (report, digest) = restore_with_first(fault).expect("the second answer is right");
    assert_eq!(digest.to_string(), IMAGE);
    assert!(report.retries > 0);
}

#[test]
fn a_connection_that_is_cut_at_any_byte_is_made_anew() {
    is_cured_by_another_try(|| Fault::CutAt(0));
    is_cured_by_another_try(|| Fault::CutAt(9));
    is_cured_by_another_try(|| Fault::CutAt(45));
    is_cured_by_another_try(|| Fault::CutAt(200));
}

#[test]
fn a_short_body_is_no_chunk_and_is_asked_for_again() {
    is_cured_by_another_try(|| Fault::CloseAt(200));
    is_cured_by_another_try(|| Fault::CloseAt(0));
}

#[test]
fn a_server_that_stalls_is_asked_again_on_another_connection() {
    is_cured_by_another_try(|| Fault::StallAt(0));
    is_cured_by_another_try(|| Fault::StallAt(30));
    is_cured_by_another_try(|| Fault::StallAt(200));
}

#[test]
fn a_server_that_trickles_is_asked_again_on_another_connection() {
    // The rest of the answer would take minutes.
    is_cured_by_another_try(|| Fault::TrickleAt(30));
    is_cured_by_another_try(|| Fault::TrickleAt(200));
}

#[test]
fn a_busy_server_is_given_the_pause_that_it_asks_for() {
    let begun = Instant::now();
    is_cured_by_another_try(|| Fault::Status("503 Service Unavailable", "Retry-After: 1\r\n"));
    assert!(begun.elapsed() >= Duration::from_secs(1));
    is_cured_by_another_try(|| Fault::Status("429 Too Many Requests", "Retry-After: 0\r\n"));
    is_cured_by_another_try(|| Fault::Status("500 Internal Server Error", ""));
    is_cured_by_another_try(|| Fault::Status("408 Request Timeout", ""));
}

#[test]
fn final_answers_are_told_apart() {
    type Case = (fn() -> Fault, ErrorKind, &'static str);
    let expected: [Case; 7] = [
        (
            || Fault::Status("404 Not Found", ""),
            ErrorKind::Missing,
            "is missing",
        ),
        (
            || Fault::Status("410 Gone", ""),
            ErrorKind::Missing,
            "is missing",
        ),
        (
            || Fault::Status("403 Forbidden", ""),
            ErrorKind::Denied,
            "403",
        ),
        (
            || Fault::Status("401 Unauthorized", ""),
            ErrorKind::Denied,
            "401",
        ),
        (
            || Fault::Status("302 Found", "Location: https://elsewhere.example/x\r\n"),
            ErrorKind::Unavailable,
            "pointing to https://elsewhere.example/x",
        ),
        (
            || Fault::Status("418 Teapot", ""),
            ErrorKind::Unavailable,
            "418",
        ),
        (
            || Fault::Longer(5 << 20),
            ErrorKind::Corrupt,
            "longer than it can be",
        ),
    ];
    for (fault, kind, text) in expected {
        // What is said of a chunk alone is asked for once more, and what the place says is not.
        let when = match kind {
            ErrorKind::Missing | ErrorKind::Corrupt => |_| true,
            _ => |nth| nth == 1,
        };
        let error = restore_with(fault, when).expect_err("no other try is made");
        assert_eq!(error.kind(), kind, "{error:?}");
        assert!(chain(&error).contains(text), "{error:?}");
        assert!(error.digest().is_some());
    }
}

#[test]
fn what_is_compressed_on_the_way_is_refused() {
    let gzip = || Fault::Status("200 OK", "Content-Encoding: gzip\r\n");
    let error = restore_with_first(gzip).expect_err("that is not the chunk");
    assert!(chain(&error).contains("content encoding gzip"), "{error:?}");
}

#[test]
fn a_manifest_is_asked_for_again_too() {
    within(LIMIT, || {
        let identity = Identity::new();
        let server = Server::start(&identity, |call| match call.nth {
            _ if is_chunk(call) => None,
            1 => Some(Fault::CutAt(40)),
            2 => Some(Fault::Status(
                "503 Service Unavailable",
                "Retry-After: 0\r\n",
            )),
            _ => None,
        });
        let options = pinned(&identity).attempts(3);
        let datastore = options.open(&server.url()).expect("the URL is one");
        let (_, digest) = restore(&datastore, &Restore::new()).expect("the third answer is right");
        assert_eq!(digest.to_string(), IMAGE);
    });
}

#[test]
fn a_manifest_of_unknown_length_that_is_cut_is_not_taken_for_whole() {
    within(LIMIT, || {
        let identity = Identity::new();
        let server = Server::start(&identity, |_| Some(Fault::UnframedCut));
        let datastore = pinned(&identity)
            .open(&server.url())
            .expect("the URL is one");
        let error = restore(&datastore, &Restore::new()).expect_err("it is cut");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    });
}

#[test]
fn a_manifest_that_never_comes_is_given_up() {
    within(LIMIT, || {
        let identity = Identity::new();
        let server = Server::start(&identity, |_| Some(Fault::StallAt(0)));
        let options = pinned(&identity).progress_timeout(Duration::from_millis(300));
        let datastore = options.open(&server.url()).expect("the URL is one");
        let error = restore(&datastore, &Restore::new()).expect_err("it stalls");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(
            chain(&error).contains("waited 300ms for an answer"),
            "{error:?}"
        );
    });
}

#[test]
fn a_server_that_closes_after_each_answer_is_put_up_with() {
    within(LIMIT, || {
        let identity = Identity::new();
        // A whole answer, and then the end without a word of it: the next request may already be on its way.
        let server = Server::start(&identity, |_| Some(Fault::CloseAt(usize::MAX)));
        let options = pinned(&identity).attempts(5);
        let datastore = options.open(&server.url()).expect("the URL is one");
        let (_, digest) = restore(&datastore, &Restore::new()).expect("every answer is whole");
        assert_eq!(digest.to_string(), IMAGE);
    });
}

#[test]
fn a_cancel_ends_a_restore_that_waits_for_a_silent_server() {
    for at in [0, 30, 200] {
        within(LIMIT, move || {
            let identity = Identity::new();
            let server = Server::start(&identity, move |call| {
                is_chunk(call).then_some(Fault::StallAt(at))
            });
            let datastore = pinned(&identity)
                .open(&server.url())
                .expect("the URL is one");
            let cancel = Cancel::new();
            let job = Restore::new().cancel(&cancel);
            let restoring = std::thread::spawn(move || {
                let result = restore(&datastore, &job);
                (result, Instant::now())
            });
            server.stalled.recv().expect("the server lives");
            let cancelled = Instant::now();
            cancel.cancel();
            let (result, ended) = restoring.join().expect("it does not panic");
            let error = result.expect_err("no chunk came");
            assert_eq!(error.kind(), ErrorKind::Cancelled, "{error:?}");
            assert!(
                ended - cancelled < Duration::from_secs(1),
                "{:?}",
                ended - cancelled
            );
        });
    }
}

#[test]
fn a_cancel_ends_the_wait_for_a_manifest() {
    within(LIMIT, || {
        let identity = Identity::new();
        let server = Server::start(&identity, |_| Some(Fault::StallAt(0)));
        let cancel = Cancel::new();
        let options = pinned(&identity).cancel(&cancel);
        let datastore = options.open(&server.url()).expect("the URL is one");
        let waiting = std::thread::spawn(move || restore(&datastore, &Restore::new()));
        server.stalled.recv().expect("the server lives");
        let cancelled = Instant::now();
        cancel.cancel();
        let error = waiting
            .join()
            .expect("it does not panic")
            .expect_err("nothing came");
        assert_eq!(error.kind(), ErrorKind::Cancelled, "{error:?}");
        assert!(cancelled.elapsed() < Duration::from_secs(1));
    });
}
