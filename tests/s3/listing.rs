//! What is in a bucket.

use std::sync::Arc;

use chunk_restore::{ErrorKind, OpenOptions};
use testkit::{Fault, InMemory, Manifest, S3Fault, S3Options, S3Server, Store, When, within};

use crate::{LIMIT, chain, disk, open, options};

/// So many snapshots in each of two groups, every tenth of them unfinished.
fn many(snapshots: u32) -> Arc<InMemory> {
    let store = InMemory::new();
    for group in ["vm/100", "host/elsa"] {
        store.put_file("", group, "owner", b"root@pam\n");
        for number in 0..snapshots {
            let (day, minute, second) = (number / 3600 + 1, number / 60 % 60, number % 60);
            let name = format!("{group}/2026-01-{day:02}T00:{minute:02}:{second:02}Z");
            store.put_file("", &name, "drive-scsi0.img.fidx", b"");
            if number % 10 != 9 {
                store.put_file("", &name, "index.json.blob", b"");
            }
        }
    }
    Arc::new(store)
}

#[test]
fn more_than_a_page_of_snapshots_is_listed_to_the_end() {
    within(LIMIT, || {
        let server = S3Options::new().http(many(1300));
        let snapshots = open(&server).snapshots().unwrap();
        assert_eq!(snapshots.len(), 2600);
        let finished = snapshots.iter().filter(|snapshot| snapshot.is_finished);
        assert_eq!(finished.count(), 2340);
        assert_eq!(snapshots[0].name.to_string(), "vm/100/2026-01-01T00:00:00Z");
        assert_eq!(
            snapshots[2599].name.to_string(),
            "host/elsa/2026-01-01T00:21:39Z"
        );
        assert!(!snapshots[2599].is_finished);
        // Two groups of 1300 indexes, 1170 manifests and an owner, in pages of 1,000; and no containers.
        assert_eq!(server.counts().requests, 3 + 3 + 1);
    });
}

#[test]
fn a_page_may_end_anywhere() {
    within(LIMIT, || {
        for page in [1, 2, 7] {
            let server = S3Options::new().page(page).http(many(11));
            let snapshots = open(&server).snapshots().unwrap();
            let unfinished = snapshots.iter().filter(|snapshot| !snapshot.is_finished);
            assert_eq!((snapshots.len(), unfinished.count()), (22, 2));
        }
    });
}

#[test]
fn namespaces_are_folders_however_much_is_in_them() {
    within(LIMIT, || {
        let store = InMemory::new();
        for number in 0..1200 {
            let namespace = format!("n{number}");
            store.put_file(&namespace, "", ".namespace", b"");
        }
        store.put_file(
            "n7/a/b",
            "vm/1/2026-01-01T00:00:00Z",
            "index.json.blob",
            b"",
        );
        store.put_file("n7", "vm/2/2026-01-01T00:00:00Z", "index.json.blob", b"");
        let server = S3Options::new().http(Arc::new(store));
        let datastore = open(&server);
        assert_eq!(datastore.namespaces().unwrap().len(), 1200);
        assert!(datastore.snapshots().unwrap().is_empty());
        let within = |name: &str| datastore.in_namespace(name.parse().unwrap());
        let names = |name| {
            let namespaces = within(name).namespaces().unwrap();
            namespaces
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        assert_eq!(names("n7"), ["n7/a"]);
        assert_eq!(names("n7/a"), ["n7/a/b"]);
        assert!(names("n8").is_empty());
        assert!(within("n8").snapshots().unwrap().is_empty());
        assert_eq!(within("n7").snapshots().unwrap().len(), 1);
        assert_eq!(within("n7/a/b").snapshots().unwrap().len(), 1);
        for result in [
            within("other").namespaces().map(drop),
            within("n7/x").snapshots().map(drop),
            within("other").snapshot("vm/1").map(drop),
        ] {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound);
            assert!(chain(&error).contains("no namespace"), "{error:?}");
        }
    });
}

#[test]
fn the_last_finished_snapshot_of_a_group_is_found() {
    within(LIMIT, || {
        let (store, ..) = disk(1);
        store.put_file(
            "",
            "vm/100/2026-01-03T00:00:00Z",
            "drive-scsi0.img.fidx",
            b"",
        );
        store.put_file("", "vm/1000/2026-01-04T00:00:00Z", "index.json.blob", b"");
        let server = S3Options::new().http(store);
        let datastore = open(&server);
        let snapshot = datastore.snapshot("vm/100").unwrap();
        assert_eq!(snapshot.name().to_string(), crate::SNAPSHOT);
        let error = datastore
            .snapshot("vm/100/2026-01-03T00:00:00Z")
            .unwrap_err();
        assert!(chain(&error).contains("unfinished"), "{error:?}");
        let error = datastore.snapshot("vm/7").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(
            chain(&error).contains("there are snapshots of: vm/100, vm/1000"),
            "{error:?}"
        );
    });
}

#[test]
fn a_datastore_that_is_not_in_the_bucket_is_named() {
    within(LIMIT, || {
        let server = S3Options::new().http(disk(1).0);
        for name in ["vm/100", crate::SNAPSHOT] {
            let datastore = options(&server).open("s3://backups/store").unwrap();
            let error = datastore.snapshot(name).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound);
            let text = "there is no datastore store in the bucket backups";
            assert!(chain(&error).contains(text), "{error:?}");
        }
    });
}

#[test]
fn a_listing_that_is_none_is_an_error_and_not_an_empty_datastore() {
    within(LIMIT, || {
        let page = |truncated: &str| {
            format!(
                "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{truncated}\
                 <Contents><Key>store1/.cnt/vm/1/owner</Key></Contents></ListBucketResult>"
            )
        };
        let endless = page(
            "<IsTruncated>true</IsTruncated><NextContinuationToken>YQ==</NextContinuationToken>",
        );
        let deep = "<a>".repeat(1_000_000);
        for answer in [
            "<html><body>It works!</body></html>",
            "",
            "\u{fffd}",
            &page("<IsTruncated>true</IsTruncated>"),
            &endless,
            &endless[..endless.len() - 4],
            &format!("<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{deep}"),
        ] {
            let server = S3Options::new().http(disk(1).0);
            let fault = Fault::Replace(answer.as_bytes().to_vec());
            server.on_any(When::Always, S3Fault::Web(fault));
            let error = open(&server).snapshots().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
            let text = chain(&error);
            let is_page = answer.starts_with("<html>");
            assert!(
                text.contains("not a listing") && text.contains("web page") == is_page,
                "{text}"
            );
        }
        let server = S3Options::new().http(disk(1).0);
        let fault = Fault::Replace(vec![b' '; 9 << 20]);
        server.on_any(When::Always, S3Fault::Web(fault));
        let error = open(&server).snapshots().unwrap_err();
        assert!(chain(&error).contains("longer than it can be"), "{error:?}");
    });
}

/// A page of a listing with these elements in it.
fn page_of(elements: &str) -> String {
    let namespace = "http://s3.amazonaws.com/doc/2006-03-01/";
    format!("<ListBucketResult xmlns=\"{namespace}\">{elements}</ListBucketResult>")
}

fn answer(text: impl Into<String>) -> S3Fault {
    S3Fault::Web(Fault::Replace(text.into().into_bytes()))
}

#[test]
fn a_listing_that_is_cut_is_asked_for_again_and_never_taken_for_whole() {
    within(LIMIT, || {
        let entry = |day| {
            let key = format!("store1/.cnt/vm/100/2026-01-{day:02}T03:04:05Z/index.json.blob");
            format!("<Contents><Key>{key}</Key></Contents>")
        };
        let page = page_of(&(entry(1) + &entry(2)));
        // The newer snapshot is gone with all that is behind it, or with a part of that.
        let behind_one = page.find("</Contents>").unwrap() + "</Contents>".len();
        for end in 0..page.len() {
            if end % 41 != 0 && end != behind_one && end < page.len() - 3 {
                continue;
            }
            let cut = answer(&page[..end]);
            let server = S3Options::new().http(disk(1).0);
            server.on_any(When::First(1), cut.clone());
            let datastore = options(&server).attempts(2).open(S3Server::PLACE).unwrap();
            let snapshot = datastore.snapshot("vm/100").unwrap();
            assert_eq!(snapshot.name().to_string(), crate::SNAPSHOT, "{end}");

            let server = S3Options::new().http(disk(1).0);
            server.on_any(When::Always, cut);
            let error = open(&server).snapshot("vm/100").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{end}: {error:?}");
            assert!(
                chain(&error).contains("not a listing: it is cut"),
                "{error:?}"
            );
        }
    });
}

#[test]
fn a_refusal_in_a_listing_s_place_is_taken_for_what_it_says() {
    let refusal = |code| format!("<?xml version=\"1.0\"?>\n<Error><Code>{code}</Code></Error>");
    for code in ["InternalError", "SlowDown", "ServiceUnavailable"] {
        within(LIMIT, move || {
            let server = S3Options::new().http(disk(1).0);
            server.on_any(When::First(1), answer(refusal(code)));
            let datastore = options(&server).attempts(2).open(S3Server::PLACE).unwrap();
            assert_eq!(datastore.snapshots().unwrap().len(), 1);
        });
    }
    for (code, kind) in [
        ("InternalError", ErrorKind::Unavailable),
        ("AccessDenied", ErrorKind::Denied),
        ("NoSuchBucket", ErrorKind::NotFound),
        ("NotImplemented", ErrorKind::Unavailable),
    ] {
        within(LIMIT, move || {
            let server = S3Options::new().http(disk(1).0);
            server.on_any(When::Always, answer(refusal(code)));
            let error = open(&server).snapshots().unwrap_err();
            assert_eq!(error.kind(), kind, "{error:?}");
            let is_named = chain(&error).contains(code) || code == "NoSuchBucket";
            assert!(is_named, "{error:?}");
        });
    }
}

#[test]
fn a_listing_without_an_end_is_given_up() {
    within(LIMIT, || {
        let going_on = |token: &str, entries: &str| {
            let next = format!("<NextContinuationToken>{token}</NextContinuationToken>");
            answer(page_of(&format!(
                "<IsTruncated>true</IsTruncated>{next}{entries}"
            )))
        };
        let error_of = |answers: &[S3Fault]| {
            let server = S3Options::new().http(disk(1).0);
            for nth in 1..=20 {
                let answer = answers[nth % answers.len()].clone();
                server.on_any(When::Nth(nth as u64), answer);
            }
            let error = open(&server).snapshots().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
            assert!(server.counts().requests < 20, "{:?}", server.counts());
            chain(&error)
        };
        let circle = ["YQ==", "Yg==", "Yw=="].map(|token| going_on(token, ""));
        assert!(error_of(&circle[..1]).contains("in circles"));
        assert!(error_of(&circle).contains("in circles"));
        let long = going_on(&"YQ==".repeat(10_000), "");
        assert!(error_of(&[long]).contains("continuation token"));
        // Each entry takes ten times as much memory as in the text.
        let many = "<Contents><Key/></Contents>".repeat(200_000);
        assert!(error_of(&[going_on("YQ==", &many)]).contains("more than it may"));
    });
}

#[test]
fn a_listing_is_tried_again_page_by_page() {
    within(LIMIT, || {
        let server = S3Options::new().page(10).http(many(20));
        for nth in [2, 5] {
            server.on_any(When::Nth(nth), S3Fault::Web(Fault::Busy { retry_after: 0 }));
        }
        let datastore = options(&server).attempts(2).open(S3Server::PLACE);
        assert_eq!(datastore.unwrap().snapshots().unwrap().len(), 40);
    });
}

#[test]
fn a_place_that_makes_no_sense_is_refused_without_showing_it() {
    for bad in [
        "s3://",
        "s3://bucket",
        "s3://u:s3cret@bucket/store",
        "s3://bucket/store?s3cret",
    ] {
        let options = OpenOptions::new().s3_credentials("key", "secret", None);
        let error = options.open(bad).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error:?}");
        assert!(!chain(&error).contains("s3cret"), "{error:?}");
    }
    let error = OpenOptions::new().open("s3://bucket/store").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(chain(&error).contains("AWS_ACCESS_KEY_ID"), "{error:?}");
}

#[test]
fn what_a_listing_leaves_open_is_read_over_few_connections() {
    within(LIMIT, || {
        let store = InMemory::new();
        for day in 1..=28 {
            let name = format!("vm/100/2026-01-{day:02}T00:00:00Z");
            let notes = serde_json::json!(format!("day {day}"));
            let manifest = Manifest::new(&name).unprotected("notes", notes);
            store.put_file("", &name, "index.json.blob", &manifest.blob());
        }
        store.put_file("", "vm/100/2026-01-07T00:00:00Z", ".protected", b"");
        store.put_file("", "vm/100", "owner", b"anna@pbs\n");
        let server = S3Options::new().http(Arc::new(store));
        let datastore = open(&server);
        let mut snapshots = datastore.snapshots().unwrap();
        assert!(datastore.describe(&mut snapshots).is_empty());
        for (day, snapshot) in (1..).zip(&snapshots) {
            assert_eq!(snapshot.comment.as_deref(), Some(&*format!("day {day}")));
            assert_eq!(snapshot.owner.as_deref(), Some("anna@pbs"));
            assert_eq!(snapshot.is_protected, Some(day == 7));
        }
        // One for the listing, and one for each that reads.
        let counts = server.counts();
        assert!(counts.connections <= 9, "{counts:?}");
        // A page for each type, the owner, and the manifests.
        assert_eq!(counts.requests, 3 + 1 + 28);
    });
}

#[test]
fn a_bucket_out_of_reach_is_told_once() {
    within(LIMIT, || {
        let server = S3Options::new().http(many(20));
        let datastore = open(&server);
        let mut snapshots = datastore.snapshots().unwrap();
        drop(server);
        let errors = datastore.describe(&mut snapshots);
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert_eq!(errors[0].kind(), ErrorKind::Unavailable);
        assert!(snapshots.iter().all(|snapshot| snapshot.files.is_none()));
    });
}
