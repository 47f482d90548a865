//! A Proxmox Backup Server as a place: sign-in, sessions, listings, and what goes wrong.
#![cfg(feature = "pbs")]
#![allow(clippy::unwrap_used, reason = "a test that can't be set up has failed")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chunk_restore::{Cancel, Datastore, ErrorKind, KeyFile, Options, Restore, StreamTarget};
use sha2::{Digest, Sha256};
use testkit::{
    Fault, Folder, Image, InMemory, PbsOptions, PbsServer, SessionFault, SnapshotBuilder,
    SnapshotInfo, When, Workload, within,
};

const LIMIT: Duration = Duration::from_secs(60);
const SNAPSHOT: &str = "vm/100/2026-01-02T03:04:05Z";
const DISK: &str = "drive-scsi0.img";
const CHUNK: u64 = 4096;

fn trusting(server: &PbsServer) -> Options {
    Options::new()
        .fingerprint(server.fingerprint().parse().unwrap())
        .password(PbsServer::SECRET)
}

fn open(server: &PbsServer) -> Datastore {
    trusting(server).open(&server.repository("store1")).unwrap()
}

/// A disk of 40 different chunks.
fn store() -> (Arc<InMemory>, SnapshotInfo) {
    let store = InMemory::new();
    let image = Image::new(Workload::Incompressible, 1, 40 * CHUNK, CHUNK);
    let info = SnapshotBuilder::new(SNAPSHOT)
        .image(DISK, image)
        .blob("qemu-server.conf", b"memory: 2048\n")
        .write_to(&store);
    (Arc::new(store), info)
}

/// Restores the disk, and compares it with what was backed up.
fn restore(
    datastore: &Datastore,
    info: &SnapshotInfo,
) -> chunk_restore::Result<chunk_restore::Report> {
    let archive = datastore.snapshot("vm/100")?.archive(DISK)?;
    let mut target = StreamTarget::new(Vec::new());
    let report = Restore::new().run(&archive, &mut target)?;
    let sha256: [u8; 32] = Sha256::digest(target.into_inner()).into();
    assert_eq!(sha256, info.archive(DISK).sha256);
    Ok(report)
}

#[test]
fn every_golden_archive_comes_through_a_server() {
    within(LIMIT, || {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let server = PbsServer::start(Arc::new(Folder::new(golden.join("datastore"))));
        let mut options = trusting(&server).allow_unsigned(true);
        for name in ["plain.key", "scrypt.key", "pbkdf2.key"] {
            let file = KeyFile::read(golden.join("keys").join(name)).unwrap();
            options = options.key(file.unlock(Some(b"test-passphrase")).unwrap());
        }
        let remote = options.clone().open(&server.repository("store1")).unwrap();
        let local = options
            .open(&golden.join("datastore").display().to_string())
            .unwrap();
        let mut archives = 0;
        for namespace in ["", "team/a"] {
            let remote = remote.in_namespace(namespace.parse().unwrap());
            let local = local.in_namespace(namespace.parse().unwrap());
            assert_eq!(remote.snapshots().unwrap(), local.snapshots().unwrap());
            for listed in remote.snapshots().unwrap() {
                let name = listed.name.to_string();
                let (remote, local) = (
                    remote.snapshot(&name).unwrap(),
                    local.snapshot(&name).unwrap(),
                );
                for file in remote.manifest().files() {
                    if !file.is_archive() {
                        assert_eq!(
                            remote.read(file.name()).unwrap(),
                            local.read(file.name()).unwrap()
                        );
                        continue;
                    }
                    let restored = [&remote, &local].map(|snapshot| {
                        let mut target = StreamTarget::new(Vec::new());
                        Restore::new()
                            .run(&snapshot.archive(file.name()).unwrap(), &mut target)
                            .unwrap();
                        target.into_inner()
                    });
                    assert!(restored[0] == restored[1], "{name} {}", file.name());
                    archives += 1;
                }
            }
        }
        assert_eq!(archives, 16);
    });
}

#[test]
fn namespaces_are_listed_one_level_at_a_time() {
    within(LIMIT, || {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/datastore");
        let server = PbsServer::start(Arc::new(Folder::new(golden)));
        let datastore = open(&server);
        let names = |datastore: &Datastore| {
            datastore
                .namespaces()
                .unwrap()
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&datastore), ["team"]);
        assert_eq!(
            names(&datastore.in_namespace("team".parse().unwrap())),
            ["team/a"]
        );
        let nowhere = datastore.in_namespace("no/such".parse().unwrap());
        assert_eq!(
            nowhere.namespaces().unwrap_err().kind(),
            ErrorKind::NotFound
        );
    });
}

#[test]
fn a_restore_uses_few_sessions_with_several_requests_each_and_ends_them_politely() {
    within(LIMIT, || {
        let (store, info) = store();
        let server = PbsOptions::new()
            .latency(Duration::from_millis(5))
            .start(store);
        restore(&open(&server), &info).unwrap();
        let counts = server.counts();
        assert_eq!(counts.chunk_requests, 40);
        assert!(counts.sessions <= 16, "{counts:?}");
        assert!(counts.max_streams > counts.sessions, "{counts:?}");
        assert_eq!(counts.rst_streams, 0);
        for end in server.session_ends() {
            assert_eq!(end, testkit::SessionEnd::Clean);
        }
    });
}

#[test]
fn a_user_signs_in_once_and_again_when_the_ticket_has_expired() {
    within(LIMIT, || {
        let (store, info) = store();
        let server = PbsServer::start(store);
        let options = trusting(&server).password(PbsServer::PASSWORD);
        let datastore = options.open(&server.user_repository("store1")).unwrap();
        restore(&datastore, &info).unwrap();
        assert_eq!(server.counts().logins, 1);
        server.expire_tickets();
        restore(&datastore, &info).unwrap();
        assert_eq!(server.counts().logins, 2);
    });
}

#[test]
fn wrong_credentials_are_denied_and_not_tried_again() {
    within(LIMIT, || {
        let (store, _) = store();
        let server = PbsServer::start(store);
        for (repository, secret) in [
            (server.repository("store1"), "wrong"),
            (server.user_repository("store1"), "wrong"),
        ] {
            let before = server.counts().refused;
            let datastore = trusting(&server)
                .password(secret)
                .open(&repository)
                .unwrap();
            let error = datastore.snapshot(SNAPSHOT).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
            assert!(!format!("{error:?}").contains("wrong"), "{error:?}");
            assert_eq!(server.counts().refused, before + 1);
        }
    });
}

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
    for (fault, kind) in [
        (Fault::Missing400, ErrorKind::Missing),
        (Fault::Unauthorized401, ErrorKind::Denied),
        (Fault::Status(403), ErrorKind::Denied),
        (Fault::Status(302), ErrorKind::Unavailable),
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
            assert_eq!(server.requests(&digest), 1, "{fault:?}");
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
            format!("{error:?}").contains("no longer on the server"),
            "{error:?}"
        );
    });
}

#[test]
fn what_is_not_there_is_answered_with_what_is() {
    within(LIMIT, || {
        let (store, _) = store();
        let server = PbsServer::start(store);
        let datastore = open(&server);
        let error = datastore
            .snapshot("vm/100/2020-01-01T00:00:00Z")
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains(SNAPSHOT), "{error}");
        let elsewhere = trusting(&server)
            .open(&server.repository("nostore"))
            .unwrap();
        let error = elsewhere.snapshot(SNAPSHOT).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
        assert!(
            format!("{error:?}").contains("no such datastore"),
            "{error:?}"
        );
    });
}

#[test]
fn a_certificate_that_does_not_match_names_both_fingerprints() {
    within(LIMIT, || {
        let (store, _) = store();
        let server = PbsServer::start(store);
        let other = "00:".repeat(31) + "00";
        let options = trusting(&server).fingerprint(other.parse().unwrap());
        let error = options
            .open(&server.repository("store1"))
            .unwrap()
            .snapshot(SNAPSHOT)
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
        let text = format!("{error:?}");
        assert!(
            text.contains(&other) && text.contains(&server.fingerprint()),
            "{text}"
        );
        // Neither a fingerprint nor a chain.
        let options = Options::new().password(PbsServer::SECRET);
        let error = options
            .open(&server.repository("store1"))
            .unwrap()
            .snapshot(SNAPSHOT)
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
        assert!(
            format!("{error:?}").contains(&server.fingerprint()),
            "{error:?}"
        );
    });
}
