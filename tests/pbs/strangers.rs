//! Servers that are no Proxmox Backup Server, or stand before one, and those that let one see only a part.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chunk_restore::{ErrorKind, OpenOptions, Restore, Scope, StreamTarget};
use testkit::{
    Fault, Folder, InMemory, PbsOptions, PbsServer, SessionFault, SnapshotBuilder, Store, When,
    within,
};

use crate::{DISK, LIMIT, SNAPSHOT, open, store, trusting};

const PAGE: &[u8] = b"\r\n<!DOCTYPE html>\n<html><title>Sign in</title></html>";

#[test]
fn a_web_page_in_place_of_an_answer_is_the_places_failure() {
    within(LIMIT, || {
        let page = || Fault::Replace(PAGE.to_vec());
        for case in ["sign-in", "listing", "manifest", "index", "chunk"] {
            let (store, info) = store();
            let server = PbsServer::start(store);
            match case {
                "sign-in" => server.on_login(When::Always, page()),
                "listing" => server.on_list(When::Always, page()),
                "manifest" => server.on_file("index.json.blob", When::Always, page()),
                "index" => server.on_file(&format!("{DISK}.fidx"), When::Always, page()),
                _ => server.on_chunk(&info.archive(DISK).digests[20], When::Always, page()),
            }
            let repository = match case {
                "sign-in" => server.user_repository("store1"),
                _ => server.repository("store1"),
            };
            let options = match case {
                "sign-in" => trusting(&server).password(PbsServer::PASSWORD),
                _ => trusting(&server),
            };
            let datastore = options.open(&repository).unwrap();
            let restore = || {
                let archive = datastore.snapshot("vm/100")?.archive(DISK)?;
                let mut target = StreamTarget::new(Vec::new());
                Restore::new().salvage(true).run(&archive, &mut target)
            };
            let error = restore().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{case}: {error:?}");
            let text = format!("{error:?}");
            assert!(text.contains("with a web page"), "{case}: {text}");
            assert!(!text.contains("Sign in"), "{case}: {text}");
            if case == "chunk" {
                assert_eq!(error.scope(), Some(Scope::Place), "{error:?}");
            }
        }
    });
}

#[test]
fn other_servers_are_asked_once_and_asked_about() {
    within(LIMIT, || {
        for status in [302, 404, 405, 501] {
            for (case, is_user) in [("sign-in", true), ("listing", false)] {
                let (store, _) = store();
                let server = PbsServer::start(store);
                server.on_login(When::Always, Fault::Status(status));
                server.on_list(When::Always, Fault::Status(status));
                let repository = match is_user {
                    true => server.user_repository("store1"),
                    false => server.repository("store1"),
                };
                let datastore = trusting(&server).open(&repository).unwrap();
                let error = datastore.snapshots().unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{case}: {error:?}");
                let text = format!("{error:?}");
                assert!(text.contains("is it a Proxmox Backup Server?"), "{text}");
                assert_eq!(server.counts().connections, 1, "{case} {status}");
            }
        }
    });
}

#[test]
fn a_ticket_of_another_product_is_none() {
    within(LIMIT, || {
        let (store, _) = store();
        let server = PbsServer::start(store);
        let ticket = br#"{"data":{"ticket":"PVE:root@pam:6666::sig","username":"root@pam"}}"#;
        server.on_login(When::Always, Fault::Replace(ticket.to_vec()));
        let datastore = trusting(&server)
            .open(&server.user_repository("store1"))
            .unwrap();
        let error = datastore.snapshots().unwrap_err();
        let text = format!("{error:?}");
        assert!(text.contains("is it a Proxmox Backup Server?"), "{text}");
        assert_eq!(server.counts().connections, 1);
    });
}

#[test]
fn who_may_see_one_namespace_is_told_which() {
    within(LIMIT, || {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/datastore");
        let server = PbsOptions::new()
            .only_in_namespace("poor@pbs!ci", "pw", "team/a")
            .start(Arc::new(Folder::new(golden)));
        let options = trusting(&server).password("pw");
        let place = format!("poor@pbs!ci@{}:store1", server.address());
        let datastore = options.open(&place).unwrap();
        let elsewhere = datastore.in_namespace("team".parse().unwrap());
        let snapshot = "vm/200/2024-06-10T10:00:00Z";
        for (error, place) in [
            (
                datastore.snapshots().unwrap_err(),
                "the top of the datastore",
            ),
            (
                datastore.snapshot("vm/200").unwrap_err(),
                "the top of the datastore",
            ),
            (
                datastore.snapshot(snapshot).unwrap_err(),
                "the top of the datastore",
            ),
            (elsewhere.snapshots().unwrap_err(), "the namespace team"),
        ] {
            assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
            let words =
                format!("poor@pbs!ci may not read {place}; it may see the namespaces: team/a");
            assert!(format!("{error:?}").contains(&words), "{error:?}");
        }
        let allowed = datastore.in_namespace("team/a".parse().unwrap());
        assert!(!allowed.snapshots().unwrap().is_empty());
    });
}

#[test]
fn a_snapshot_that_is_being_written_says_so_at_once() {
    within(LIMIT, || {
        let running = "vm/100/2026-01-03T00:00:00Z";
        for fault in [
            SessionFault::Locked,
            SessionFault::Refused {
                status: 400,
                text: "while reading snapshot 'BackupDir { .. }'".to_owned(),
            },
        ] {
            let store = InMemory::new();
            SnapshotBuilder::new(SNAPSHOT).write_to(&store);
            store.put_file("", running, "drive-scsi0.img.fidx", b"begun");
            let server = PbsServer::start(Arc::new(store));
            server.on_session(When::Always, fault);
            let begun = Instant::now();
            let error = open(&server).snapshot(running).unwrap_err();
            assert!(begun.elapsed() < Duration::from_secs(5));
            assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
            assert!(
                format!("{error:?}").contains("is being written"),
                "{error:?}"
            );
            // One that has a manifest is locked for another reason, which may pass.
            let options: OpenOptions = trusting(&server).attempts(1);
            let datastore = options.open(&server.repository("store1")).unwrap();
            let error = datastore.snapshot(SNAPSHOT).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
            assert!(format!("{error:?}").contains("is locked"), "{error:?}");
        }
    });
}

#[test]
fn a_listing_that_is_cut_is_asked_for_again() {
    within(LIMIT, || {
        let (store, _) = store();
        let server = PbsServer::start(store);
        server.on_list(When::First(1), Fault::Truncated);
        assert_eq!(open(&server).snapshots().unwrap().len(), 1);
        // Behind a whole entry, and with a length that fits.
        let cut = br#"{"data":[{"backup-type":"vm"}"#;
        server.on_list(When::Always, Fault::Replace(cut.to_vec()));
        let datastore = trusting(&server).attempts(1);
        let datastore = datastore.open(&server.repository("store1")).unwrap();
        let error = datastore.snapshots().unwrap_err();
        assert!(
            format!("{error:?}").contains("ends in the middle"),
            "{error:?}"
        );
    });
}
