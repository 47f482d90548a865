//! What a server refuses, and why.

use chunk_restore::{ErrorKind, Options, Restore};
use testkit::{Fault, S3Fault, S3Options, S3Server, When, within};

use crate::{LIMIT, chain, disk, open, options, restore};

/// What listing says, where the server is set up and asked like this.
fn listing(
    server: S3Options,
    change: impl FnOnce(Options) -> Options,
    place: &str,
) -> (ErrorKind, String) {
    let server = server.http(disk(1).0);
    let datastore = change(options(&server)).open(place).unwrap();
    let error = datastore.snapshots().unwrap_err();
    (error.kind(), chain(&error))
}

#[test]
fn wrong_credentials_are_told_apart() {
    within(LIMIT, || {
        let (key, secret) = (S3Server::ACCESS_KEY, S3Server::SECRET_KEY);
        let credentials = |key: &'static str, secret: &'static str, token: Option<&str>| {
            let token = token.map(str::to_owned);
            move |options: Options| options.s3_credentials(key, secret, token)
        };
        let new = S3Options::new;
        let place = S3Server::PLACE;
        let cases = [
            (
                listing(new(), credentials(key, "wrong", None), place),
                "is the secret access key right?",
            ),
            (
                listing(new(), credentials("AKIDOTHER", secret, None), place),
                "is the access key ID right",
            ),
            (
                listing(new().token("t"), credentials(key, secret, None), place),
                "InvalidToken",
            ),
            (
                listing(new().token("t"), credentials(key, secret, Some("u")), place),
                "get new temporary credentials",
            ),
            (
                listing(new().region("eu-west-1"), |options| options, place),
                "expecting 'eu-west-1'; is the region right?",
            ),
        ];
        for ((kind, text), expected) in cases {
            assert_eq!(kind, ErrorKind::Denied, "{text}");
            assert!(text.contains(expected), "{text}");
        }
        let (kind, text) = listing(new(), |options| options, "s3://other/store1");
        assert_eq!(kind, ErrorKind::NotFound, "{text}");
        assert!(
            text.contains("there is no bucket other at 127.0.0.1"),
            "{text}"
        );
    });
}

#[test]
fn a_wrong_clock_is_named_and_a_slightly_wrong_one_does_no_harm() {
    within(LIMIT, || {
        for (ahead, expected) in [
            (
                1200,
                "the clock of this machine is 20 minutes behind the server's",
            ),
            (
                -1200,
                "the clock of this machine is 20 minutes ahead of the server's",
            ),
        ] {
            let server = S3Options::new().clock_ahead(ahead);
            let (kind, text) = listing(server, |options| options, S3Server::PLACE);
            assert_eq!(kind, ErrorKind::Denied, "{text}");
            // The seconds in between may make it a minute more or less.
            let text = text.replace("19 minutes", "20 minutes");
            assert!(text.contains(expected), "{text}");
        }
        for ahead in [800, -800] {
            let server = S3Options::new().clock_ahead(ahead).http(disk(1).0);
            assert_eq!(open(&server).snapshots().unwrap().len(), 1);
        }
    });
}

#[test]
fn refusals_of_a_chunk_are_told_apart_and_final_ones_not_repeated() {
    let expected = [
        (404, "NoSuchKey", ErrorKind::Missing, "a garbage collection"),
        (
            404,
            "NoSuchBucket",
            ErrorKind::NotFound,
            "there is no bucket backups",
        ),
        (
            403,
            "AccessDenied",
            ErrorKind::Denied,
            "the rights to list the bucket and to read",
        ),
        (
            403,
            "AllAccessDisabled",
            ErrorKind::Denied,
            "AllAccessDisabled",
        ),
        (
            403,
            "InvalidObjectState",
            ErrorKind::Unreadable,
            "in an archive",
        ),
        (
            403,
            "RequestTimeTooSkewed",
            ErrorKind::Denied,
            "set the clock",
        ),
        (
            400,
            "ExpiredToken",
            ErrorKind::Denied,
            "get new temporary credentials",
        ),
        (
            301,
            "PermanentRedirect",
            ErrorKind::Unavailable,
            "PermanentRedirect",
        ),
        (
            400,
            "InvalidRequest",
            ErrorKind::Unavailable,
            "InvalidRequest",
        ),
    ];
    for (status, code, kind, text) in expected {
        within(LIMIT, move || {
            let (store, _, digests) = disk(3);
            let server = S3Options::new().http(store);
            let fault = S3Fault::Refusal {
                status,
                code,
                retry_after: None,
            };
            server.on_chunk(&digests[1], When::Always, fault);
            let error = restore(&open(&server), &Restore::new().threads(1)).unwrap_err();
            assert_eq!(error.kind(), kind, "{error:?}");
            assert!(chain(&error).contains(text), "{error:?}");
            assert_eq!(
                error.digest().map(|digest| *digest.as_bytes()),
                Some(digests[1])
            );
            // The manifest, the index, and the chunks up to that one, once; the next may be under way.
            assert!(server.counts().requests <= 5, "{:?}", server.counts());
        });
    }
}

#[test]
fn what_may_pass_is_asked_for_again() {
    for (status, code) in [
        (503, "SlowDown"),
        (503, "ServiceUnavailable"),
        (500, "InternalError"),
        (429, "TooManyRequests"),
        (400, "RequestTimeout"),
        (502, "BadGateway"),
    ] {
        within(LIMIT, move || {
            let (store, sha256, digests) = disk(3);
            let server = S3Options::new().http(store);
            let retry_after = matches!(status, 429 | 503).then_some(0);
            let fault = S3Fault::Refusal {
                status,
                code,
                retry_after,
            };
            server.on_chunk(&digests[1], When::First(2), fault);
            let (bytes, retries) = restore(&open(&server), &Restore::new()).unwrap();
            assert_eq!((testkit::sha256(&bytes), retries), (sha256, 2), "{code}");
        });
    }
}

#[test]
fn a_refusal_without_a_word_is_sorted_by_its_status() {
    for (fault, kind) in [
        (Fault::Status(403), ErrorKind::Denied),
        (Fault::Status(404), ErrorKind::Missing),
        (Fault::Status(418), ErrorKind::Unavailable),
        (Fault::Status(500), ErrorKind::Unavailable),
        (
            Fault::Redirect("https://elsewhere/?X-Amz-Signature=s3cret".to_owned()),
            ErrorKind::Unavailable,
        ),
    ] {
        within(LIMIT, move || {
            let (store, _, digests) = disk(1);
            let server = S3Options::new().http(store);
            server.on_chunk(&digests[0], When::Always, S3Fault::Web(fault));
            let error = restore(&open(&server), &Restore::new().attempts(1)).unwrap_err();
            assert_eq!(error.kind(), kind, "{error:?}");
            assert!(!chain(&error).contains("s3cret"), "{error:?}");
        });
    }
}
