//! What goes wrong: what may pass is got over, what is final is said at once.

use std::time::Duration;

use chunk_restore::{Cancel, ErrorKind, Restore, StreamTarget};
use testkit::{
    Fault, Image, InMemory, PbsOptions, PbsServer, SessionFault, SnapshotBuilder, When, Workload,
    within,
};

use crate::{CHUNK, DISK, LIMIT, SNAPSHOT, open, restore, store, trusting};

#[test]
fn transient_faults_are_got_over() {
    for fault in [
        Fault::Reset,
        Fault::CutAfter(100),
        Fault::Short,
        Fault::RstStream(7),
        Fault::RstStream(2),
        Fault::RstInBody(2),
        Fault::GoAway,
        Fault::GoAwayNow(0),
        Fault::GoAwayNow(11),
        Fault::Status(500),
        Fault::Busy { retry_after: 0 },
        Fault::Corrupt,
        Fault::Truncated,
        Fault::WrongBlob,
        Fault::EmptyBlob,
    ] {
        within(LIMIT, move || {
            let (store, info) = store();
            let server = PbsServer::start(store);
            let digest = info.archive(DISK).digests[20];
            server.on_chunk(&digest, When::First(1), fault.clone());
            let report = restore(&open(&server), &info);
            let report = report.unwrap_or_else(|error| panic!("{fault:?}: {error:?}"));
            // A graceful GOAWAY answers all that it took.
            assert!(report.retries > 0 || fault == Fault::GoAway, "{fault:?}");
        });
    }
}

#[test]
fn stalls_end_with_the_time_out_and_are_got_over() {
    for fault in [Fault::Stall, Fault::StallInBody] {
        within(LIMIT, move || {
            let (store, info) = store();
            let server = PbsServer::start(store);
            server.on_chunk(
                &info.archive(DISK).digests[20],
                When::First(1),
                fault.clone(),
            );
            let options = trusting(&server).progress_timeout(Duration::from_millis(500));
            restore(&options.open(&server.repository("store1")).unwrap(), &info).unwrap();
        });
    }
}

#[test]
fn what_is_final_is_told_apart() {
    for (fault, kind, requests) in [
        // Nothing is taken for lost that was not looked for twice.
        (Fault::Missing400, ErrorKind::Missing, 2),
        (Fault::Unauthorized401, ErrorKind::Denied, 1),
        (Fault::Status(403), ErrorKind::Denied, 1),
        (Fault::Status(302), ErrorKind::Unavailable, 1),
    ] {
        within(LIMIT, move || {
            let (store, info) = store();
            let server = PbsServer::start(store);
            let digest = info.archive(DISK).digests[20];
            server.on_chunk(&digest, When::Always, fault.clone());
            let error = restore(&open(&server), &info).unwrap_err();
            assert_eq!(
                (error.kind(), error.position()),
                (kind, Some(20)),
                "{error:?}"
            );
            assert_eq!(server.requests(&digest), requests, "{fault:?}");
        });
    }
}

#[test]
fn damage_in_the_store_is_fetched_twice_and_no_more() {
    for fault in [Fault::Corrupt, Fault::EmptyBlob, Fault::WrongBlob] {
        within(LIMIT, move || {
            let (store, info) = store();
            let server = PbsServer::start(store);
            let digest = info.archive(DISK).digests[20];
            server.on_chunk(&digest, When::Always, fault);
            let error = restore(&open(&server), &info).unwrap_err();
            assert_eq!(
                (error.kind(), error.position()),
                (ErrorKind::Corrupt, Some(20)),
                "{error:?}"
            );
            assert_eq!(server.requests(&digest), 2);
        });
    }
}

#[test]
fn cancel_works_within_a_second_while_a_server_stalls() {
    within(LIMIT, || {
        let (store, info) = store();
        let server = PbsServer::start(store);
        server.on_chunk(&info.archive(DISK).digests[20], When::Always, Fault::Stall);
        let archive = open(&server)
            .snapshot(SNAPSHOT)
            .unwrap()
            .archive(DISK)
            .unwrap();
        let cancel = Cancel::new();
        let stop = cancel.clone();
        let error = Restore::new()
            .cancel(&cancel)
            .run_with(&archive, &mut StreamTarget::new(Vec::new()), |event| {
                if let chunk_restore::Event::Progress(report) = event
                    && report.chunks == 20
                {
                    stop.cancel();
                }
            })
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
    });
}

#[test]
fn a_session_that_can_not_be_opened_says_why() {
    for (fault, kind, words) in [
        (
            SessionFault::NotUpgraded,
            ErrorKind::Unavailable,
            "did not switch",
        ),
        (
            SessionFault::OtherProtocol,
            ErrorKind::Unavailable,
            "another protocol",
        ),
        (
            SessionFault::Refused {
                status: 400,
                text: "no permissions on /datastore/store1".to_owned(),
            },
            ErrorKind::Denied,
            "no permissions",
        ),
    ] {
        within(LIMIT, move || {
            let (store, _) = store();
            let server = PbsServer::start(store);
            server.on_session(When::Always, fault);
            let error = open(&server).snapshot(SNAPSHOT).unwrap_err();
            assert_eq!(error.kind(), kind, "{error:?}");
            assert!(format!("{error:?}").contains(words), "{error:?}");
        });
    }
}

#[test]
fn a_lock_that_passes_is_waited_for() {
    within(LIMIT, || {
        let (store, info) = store();
        let server = PbsServer::start(store);
        server.on_session(When::First(2), SessionFault::Locked);
        restore(&open(&server), &info).unwrap();
    });
}

#[test]
fn an_index_that_changes_between_sessions_ends_the_restore() {
    within(LIMIT, || {
        let (store, info) = store();
        let other = InMemory::new();
        let image = Image::new(Workload::Incompressible, 2, 40 * CHUNK, CHUNK);
        let changed = SnapshotBuilder::new(SNAPSHOT)
            .image(DISK, image)
            .write_to(&other);
        let server = PbsOptions::new()
            .latency(Duration::from_millis(5))
            .start(store);
        server.on_session(
            When::From(2),
            SessionFault::OtherIndex(changed.archive(DISK).index.clone()),
        );
        let error = restore(&open(&server), &info).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
        assert!(
            format!("{error:?}").contains("not on the server as the manifest lists it"),
            "{error:?}"
        );
    });
}
