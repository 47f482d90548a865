//! A snapshot, or the whole datastore, that goes away in the midst of a restore: nothing is known of its chunks then.

use std::time::Duration;

use chunk_restore::{Error, ErrorKind, Report, Restore, Scope, StreamTarget};
use testkit::{Fault, PbsServer, SessionFault, When, within};

use crate::{DISK, LIMIT, SNAPSHOT, open, store, trusting};

/// Salvages the disk, by one session after the other.
fn salvage(server: &PbsServer) -> Result<Report, Error> {
    let archive = open(server).snapshot(SNAPSHOT)?.archive(DISK)?;
    let mut target = StreamTarget::new(Vec::new());
    let restore = Restore::new().threads(1).salvage(true);
    restore.run(&archive, &mut target)
}

fn refused(text: &str) -> SessionFault {
    SessionFault::Refused {
        status: 400,
        text: text.to_owned(),
    }
}

#[test]
fn a_snapshot_that_is_pruned_meanwhile_is_no_damage() {
    within(LIMIT, || {
        let (store, _) = store();
        let server = PbsServer::start(store);
        server.on_session(When::First(1), SessionFault::CutAfterChunks(10));
        let text = format!("snapshot {SNAPSHOT} does not exist.");
        server.on_session(When::From(2), refused(&text));
        let error = salvage(&server).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
        assert_eq!(error.scope(), Some(Scope::Place), "{error:?}");
        assert!(
            format!("{error:?}").contains("is no longer on the server"),
            "{error:?}"
        );
    });
}

#[test]
fn a_datastore_without_its_disk_is_no_damage() {
    within(LIMIT, || {
        let (store, _) = store();
        let server = PbsServer::start(store);
        server.on_any_chunk(When::From(10), Fault::Missing400);
        let text = format!("snapshot {SNAPSHOT} does not exist.");
        server.on_session(When::From(2), refused(&text));
        let error = salvage(&server).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
        assert_eq!(error.scope(), Some(Scope::Place), "{error:?}");
    });
}

#[test]
fn a_chunk_that_is_missing_from_a_snapshot_that_is_there_is_damage() {
    within(LIMIT, || {
        let (store, info) = store();
        let server = PbsServer::start(store);
        for at in [10, 20, 30] {
            let digest = info.archive(DISK).digests[at];
            server.on_chunk(&digest, When::Always, Fault::Missing400);
        }
        let report = salvage(&server).unwrap();
        assert_eq!(report.damage.len(), 3);
        // Looked for once, not for each.
        assert!(
            server.session_requests() <= 3,
            "{}",
            server.session_requests()
        );
    });
}

#[test]
fn an_index_that_can_not_be_had_again_is_no_damage() {
    within(LIMIT, || {
        for fault in [Fault::Status(404), Fault::EmptyBlob, Fault::Truncated] {
            let (store, _) = store();
            let server = PbsServer::start(store);
            server.on_session(When::First(1), SessionFault::CutAfterChunks(10));
            let datastore = trusting(&server)
                .progress_timeout(Duration::from_secs(5))
                .open(&server.repository("store1"))
                .unwrap();
            let archive = datastore.snapshot(SNAPSHOT).unwrap().archive(DISK).unwrap();
            server.on_file(&format!("{DISK}.fidx"), When::From(2), fault);
            let restore = Restore::new().threads(1).salvage(true);
            let mut target = StreamTarget::new(Vec::new());
            let error = restore.run(&archive, &mut target).unwrap_err();
            assert_eq!(error.scope(), Some(Scope::Place), "{error:?}");
        }
    });
}
