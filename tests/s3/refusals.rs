//! What a server refuses, and why.

use std::time::Duration;

use chunk_restore::{ErrorKind, OpenOptions, Restore, Result, Scope, StreamTarget};
use testkit::{Fault, S3Fault, S3Options, S3Server, When, within};

use crate::{DISK, LIMIT, SNAPSHOT, chain, disk, open, options, restore};

/// What listing says, where the server is set up and asked like this.
fn listing(
    server: S3Options,
    change: impl FnOnce(OpenOptions) -> OpenOptions,
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
            move |options: OpenOptions| options.s3_credentials(key, secret, token)
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
        (404, "NoSuchKey", ErrorKind::Missing, "is missing"),
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
            ErrorKind::Unavailable,
            "restore the datastore's objects from there first",
        ),
        (
            404,
            "NoSuchVersion",
            ErrorKind::Unavailable,
            "is the endpoint right?",
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
            // The manifest, the index, and the chunks up to that one; the next may be under way. One that is missing is asked
            // for twice, each time with whether the index and a chunk that came are still there.
            let most = if kind == ErrorKind::Missing { 10 } else { 5 };
            assert!(server.counts().requests <= most, "{:?}", server.counts());
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
        // Of what?
        (Fault::Status(404), ErrorKind::Unavailable),
        (Fault::Status(410), ErrorKind::Unavailable),
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
            let error = restore(&open(&server), &Restore::new().patience(PATIENCE)).unwrap_err();
            assert_eq!(error.kind(), kind, "{error:?}");
            assert!(!chain(&error).contains("s3cret"), "{error:?}");
        });
    }
}

/// With places that give nothing.
const PATIENCE: Duration = Duration::from_millis(700);

/// A refusal as S3 writes it.
fn refusal(code: &str, details: &str) -> Vec<u8> {
    let declaration = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
    format!("{declaration}<Error><Code>{code}</Code>{details}</Error>").into_bytes()
}

/// What a salvage of the disk says where the objects that are meant have this fault, and how many chunks came out as zeros.
pub(crate) fn salvage(
    fault: S3Fault,
    is_of: impl Fn(&S3Server, &[[u8; 32]], S3Fault) + Send + 'static,
) -> Result<usize> {
    within(LIMIT, move || {
        let (store, _, digests) = disk(4);
        let server = S3Options::new().http(store);
        is_of(&server, &digests, fault);
        let archive = open(&server).snapshot(SNAPSHOT)?.archive(DISK)?;
        let job = Restore::new().threads(1).patience(PATIENCE).salvage(true);
        let restored = job.run(&archive, &mut StreamTarget::new(Vec::new()));
        if let Err(error) = &restored {
            assert_eq!(error.scope(), Some(Scope::Place), "{error:?}");
        }
        Ok(restored?.damage.len())
    })
}

pub(crate) fn of_all_chunks(server: &S3Server, digests: &[[u8; 32]], fault: S3Fault) {
    for digest in digests {
        server.on_chunk(digest, When::Always, fault.clone());
    }
}

#[test]
fn what_is_archived_or_refused_is_no_damage() {
    for (status, code, kind) in [
        (403, "InvalidObjectState", ErrorKind::Unavailable),
        (404, "NoSuchBucket", ErrorKind::NotFound),
        (404, "NoSuchVersion", ErrorKind::Unavailable),
        (403, "AccessDenied", ErrorKind::Denied),
        (400, "ExpiredToken", ErrorKind::Denied),
        (416, "InvalidRange", ErrorKind::Unavailable),
        (400, "InvalidArgument", ErrorKind::Unavailable),
        (503, "SlowDown", ErrorKind::Unavailable),
        (500, "InternalError", ErrorKind::Unavailable),
    ] {
        let fault = S3Fault::Refusal {
            status,
            code,
            retry_after: None,
        };
        let error = salvage(fault, of_all_chunks).unwrap_err();
        assert_eq!(error.kind(), kind, "{code}: {error:?}");
    }
}

#[test]
fn a_refusal_with_status_200_is_no_object() {
    for (code, kind) in [
        ("InvalidObjectState", ErrorKind::Unavailable),
        ("AccessDenied", ErrorKind::Denied),
        ("NoSuchBucket", ErrorKind::NotFound),
        ("InternalError", ErrorKind::Unavailable),
        ("Whatever", ErrorKind::Unavailable),
    ] {
        for object in ["index.json.blob", "drive-scsi0.img.fidx", ""] {
            let answer = S3Fault::Web(Fault::Replace(refusal(code, "<Message>No.</Message>")));
            let error = salvage(answer, move |server, digests, fault| match object {
                "" => of_all_chunks(server, digests, fault),
                file => server.on_object(&format!(".cnt/{SNAPSHOT}/{file}"), When::Always, fault),
            });
            let error = error.unwrap_err();
            assert_eq!(error.kind(), kind, "{code} {object}: {error:?}");
            let is_named = chain(&error).contains(code) || code == "NoSuchBucket";
            assert!(is_named, "{code} {object}: {error:?}");
        }
    }
}

#[test]
fn a_refusal_with_status_200_that_may_pass_is_asked_for_again() {
    for code in ["InternalError", "SlowDown"] {
        within(LIMIT, move || {
            let (store, sha256, digests) = disk(3);
            let server = S3Options::new().http(store);
            let answer = S3Fault::Web(Fault::Replace(refusal(code, "")));
            server.on_chunk(&digests[1], When::First(1), answer.clone());
            for file in ["index.json.blob", "drive-scsi0.img.fidx"] {
                let key = format!(".cnt/{SNAPSHOT}/{file}");
                server.on_object(&key, When::First(1), answer.clone());
            }
            let datastore = options(&server).attempts(2).open(S3Server::PLACE);
            let (bytes, retries) = restore(&datastore.unwrap(), &Restore::new()).unwrap();
            assert_eq!((testkit::sha256(&bytes), retries), (sha256, 1), "{code}");
        });
    }
}

#[test]
fn a_web_page_is_no_object() {
    let text = "<!doctype html><title>Sign in</title>";
    for page in [
        Fault::Replace(text.as_bytes().to_vec()),
        Fault::Say {
            content_type: "text/html",
            text: "Sign in".to_owned(),
        },
        // Longer than any of the chunks.
        Fault::Replace(text.repeat(1000).into_bytes()),
    ] {
        for key in [".cnt/vm/100/2026-01-02T03:04:05Z/index.json.blob", ""] {
            let error = salvage(
                S3Fault::Web(page.clone()),
                move |server, digests, fault| match key {
                    "" => of_all_chunks(server, digests, fault),
                    key => server.on_object(key, When::Always, fault),
                },
            );
            let error = error.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
            assert!(chain(&error).contains("web page"), "{error:?}");
        }
    }
}

#[test]
fn an_object_is_missing_only_where_it_is_the_one_that_the_server_means() {
    let no_key = |key: &str| Fault::Replace(refusal("NoSuchKey", &format!("<Key>{key}</Key>")));
    // A server of web pages lacks the page for what is missing.
    let error = salvage(S3Fault::Web(no_key("404.html")), of_all_chunks).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    let all = salvage(
        S3Fault::Refusal {
            status: 404,
            code: "NoSuchKey",
            retry_after: None,
        },
        of_all_chunks,
    );
    assert_eq!(all.unwrap(), 4);
    // The bucket was emptied: not even the index is there.
    let emptied = salvage(
        S3Fault::Refusal {
            status: 404,
            code: "NoSuchKey",
            retry_after: None,
        },
        |server, _, fault| server.on_any(When::From(4), fault),
    );
    let error = emptied.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(
        chain(&error).contains("drive-scsi0.img.fidx is no longer there"),
        "{error:?}"
    );
}
