//! Chunks out of a bucket, from servers that are slow, busy or broken.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chunk_restore::{Cancel, ErrorKind, Restore};
use testkit::{Fault, ProxyServer, S3Fault, S3Options, S3Server, When, within};

use crate::refusals::{of_all_chunks, salvage};
use crate::{LIMIT, chain, disk, open, options, restore};

#[test]
fn a_busy_server_is_asked_for_less_at_once() {
    within(LIMIT, || {
        let chunks = 600;
        let (store, sha256, _) = disk(chunks);
        let server = S3Options::new()
            .most_at_once(4)
            .latency(Duration::from_millis(2))
            .http(store);
        let job = Restore::new().threads(32).in_flight(32).attempts(20);
        let (bytes, retries) = restore(&open(&server), &job).unwrap();
        assert_eq!(testkit::sha256(&bytes), sha256);
        let slowed = server.counts().slowed;
        assert_eq!(slowed, retries);
        assert!(slowed > 0, "32 at once are too many");
        // The first burst, and one now and then when more are tried. Without heed it is most of them.
        assert!(slowed < chunks / 4, "{slowed} of {chunks}");
    });
}

#[test]
fn a_pause_that_the_server_asks_for_is_made() {
    within(LIMIT, || {
        let (store, sha256, digests) = disk(2);
        let server = S3Options::new().http(store);
        let fault = S3Fault::Refusal {
            status: 503,
            code: "SlowDown",
            retry_after: Some(1),
        };
        server.on_chunk(&digests[1], When::Nth(1), fault);
        let begun = Instant::now();
        let (bytes, _) = restore(&open(&server), &Restore::new()).unwrap();
        assert_eq!(testkit::sha256(&bytes), sha256);
        assert!(begun.elapsed() >= Duration::from_secs(1));
    });
}

#[test]
fn a_connection_without_tls_that_breaks_is_made_anew() {
    for fault in [
        Fault::Reset,
        Fault::CutAfter(100),
        Fault::Short,
        Fault::Corrupt,
        Fault::Truncated,
        Fault::EmptyBlob,
        Fault::StallInBody,
        Fault::Stall,
    ] {
        within(LIMIT, move || {
            let (store, sha256, digests) = disk(4);
            let server = S3Options::new().http(store);
            for digest in &digests {
                server.on_chunk(digest, When::Nth(1), S3Fault::Web(fault.clone()));
            }
            let options = options(&server).progress_timeout(Duration::from_millis(300));
            let datastore = options.open(S3Server::PLACE).unwrap();
            let (bytes, retries) = restore(&datastore, &Restore::new()).unwrap();
            assert_eq!((testkit::sha256(&bytes), retries), (sha256, 4), "{fault:?}");
        });
    }
}

#[test]
fn a_worker_keeps_its_connection_with_tls_and_without() {
    within(LIMIT, || {
        let (store, sha256, _) = disk(100);
        for server in [
            S3Options::new().http(Arc::clone(&store)),
            S3Options::new().https(store),
        ] {
            let job = Restore::new().threads(2);
            let (bytes, retries) = restore(&open(&server), &job).unwrap();
            assert_eq!((testkit::sha256(&bytes), retries), (sha256, 0));
            let counts = server.counts();
            assert_eq!(counts.requests, 102);
            // The manifest, the index, and one for each worker.
            assert!(counts.connections <= 4, "{counts:?}");
        }
    });
}

#[test]
fn a_cancel_ends_a_restore_that_waits_for_a_silent_or_a_busy_server() {
    for fault in [
        S3Fault::Web(Fault::Stall),
        S3Fault::Refusal {
            status: 503,
            code: "SlowDown",
            retry_after: Some(60),
        },
    ] {
        within(LIMIT, move || {
            let (store, _, digests) = disk(8);
            let server = S3Options::new().http(store);
            for digest in &digests {
                server.on_chunk(digest, When::Always, fault.clone());
            }
            let datastore = open(&server);
            let cancel = Cancel::new();
            let job = Restore::new().cancel(&cancel).threads(4);
            let restoring = std::thread::spawn(move || restore(&datastore, &job));
            // The manifest, the index, and something that stalls.
            while server.counts().requests < 3 {
                std::thread::yield_now();
            }
            let cancelled = Instant::now();
            cancel.cancel();
            let error = restoring.join().unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Cancelled, "{error:?}");
            assert!(cancelled.elapsed() < Duration::from_secs(1));
        });
    }
}

#[test]
fn a_bucket_is_reached_through_a_proxy_with_tls_and_without() {
    within(LIMIT, || {
        let (store, sha256, _) = disk(3);
        for server in [
            S3Options::new().http(Arc::clone(&store)),
            S3Options::new().https(store),
        ] {
            let proxy = ProxyServer::start();
            let datastore = options(&server).proxy(proxy.url()).open(S3Server::PLACE);
            let (bytes, _) = restore(&datastore.unwrap(), &Restore::new()).unwrap();
            assert_eq!(testkit::sha256(&bytes), sha256);
            let target = server.address().to_string();
            assert!(proxy.connects().iter().all(|connect| *connect == target));
        }
    });
}

#[test]
fn a_server_that_speaks_the_other_protocol_is_an_error() {
    within(LIMIT, || {
        let server = S3Options::new().http(disk(1).0);
        let https = server.endpoint().replace("http://", "https://");
        let datastore = options(&server).s3_endpoint(https).open(S3Server::PLACE);
        let error = datastore.unwrap().snapshots().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert!(chain(&error).contains("plain HTTP"), "{error:?}");

        let server = S3Options::new().https(disk(1).0);
        let http = server.endpoint().replace("https://", "http://");
        let datastore = options(&server).s3_endpoint(http).open(S3Server::PLACE);
        let error = datastore.unwrap().snapshots().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    });
}

#[test]
fn what_is_no_chunk_is_damage_only_where_the_place_still_gives_what_it_gave() {
    let says = [b"".to_vec(), b"ok".to_vec(), vec![b'x'; 1 << 20]];
    for said in says {
        let fault = S3Fault::Web(Fault::Replace(said));
        // Nothing tells one empty object from another; the index is as it was.
        let damaged = salvage(fault.clone(), of_all_chunks);
        assert_eq!(damaged.unwrap(), 4);
        // After the manifest, the index and a chunk.
        let error = salvage(fault, |server, _, fault| {
            server.on_any(When::From(4), fault);
        });
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        let text = chain(&error);
        assert!(text.contains("something else comes in place of"), "{text}");
    }
}
