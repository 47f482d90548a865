//! The reader's session with a Proxmox Backup Server, which holds the lock on the snapshot.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use chunk_restore::{Archive, OpenOptions, Restore};
use testkit::{Fault, Identity, InMemory, PbsOptions, PbsServer, SnapshotBuilder, When, within};

use crate::support::{DISK, SNAPSHOT};
use crate::{CHUNK, LIMIT, bytes_of, full_disk, read};

fn store() -> Arc<InMemory> {
    let store = InMemory::new();
    SnapshotBuilder::new(SNAPSHOT)
        .chunk_size(CHUNK)
        .image(DISK, full_disk(40))
        .write_to(&store);
    Arc::new(store)
}

fn archive_on(server: &PbsServer) -> Archive {
    archive_with(server, Duration::from_secs(1))
}

fn archive_with(server: &PbsServer, progress_timeout: Duration) -> Archive {
    let options = OpenOptions::new()
        .fingerprint(server.fingerprint().parse().unwrap())
        .password(PbsServer::SECRET)
        .progress_timeout(progress_timeout);
    let datastore = options.open(&server.repository("store1")).unwrap();
    datastore.snapshot(SNAPSHOT).unwrap().archive(DISK).unwrap()
}

#[test]
fn a_session_is_open_from_the_start_to_the_last_clone() {
    within(LIMIT, || {
        let server = PbsServer::start(store());
        let archive = archive_on(&server);
        let reader = Restore::new().reader(&archive).unwrap();
        assert!(server.counts().open_sessions >= 1);
        let clone = reader.clone();
        drop(reader);
        assert!(server.counts().open_sessions >= 1);
        assert!(read(&clone, 0, 40 * 4096).unwrap() == bytes_of(&full_disk(40)));
        drop((clone, archive));
        while server.counts().open_sessions > 0 {
            thread::yield_now();
        }
    });
}

#[test]
fn a_server_that_goes_and_comes_back_costs_no_read() {
    within(LIMIT, || {
        let store = store();
        let identity = Identity::self_signed();
        let server = PbsOptions::new()
            .identity(identity.clone())
            .start(store.clone());
        let (port, archive) = (server.port(), archive_on(&server));
        let reader = &Restore::new().reader(&archive).unwrap();
        let expected = bytes_of(&full_disk(40));
        assert!(read(reader, 0, 4096).unwrap() == expected[..4096]);
        drop(server);
        thread::scope(|scope| {
            let waiting = scope.spawn(move || read(reader, 20 * CHUNK, 4096));
            // The read meets a place that is gone before that comes back.
            while reader.report().retries == 0 {
                thread::yield_now();
            }
            let again = PbsOptions::new().port(port).identity(identity);
            let server = again.start(store);
            assert!(waiting.join().unwrap().unwrap() == expected[20 * 4096..21 * 4096]);
            assert!(server.counts().open_sessions >= 1);
        });
    });
}

#[test]
fn a_demand_overtakes_what_is_read_ahead() {
    within(LIMIT, || {
        let server = PbsServer::start(store());
        // The requests hang for longer than the test may take.
        let archive = archive_with(&server, 2 * LIMIT);
        for chunk in archive.index().chunks().take(30) {
            server.on_chunk(chunk.digest.as_bytes(), When::Always, Fault::Stall);
        }
        let restore = Restore::new().in_flight(2).patience(2 * LIMIT);
        let reader = restore.reader(&archive).unwrap();
        // Both requests that may be in flight hang, and others wait behind them.
        reader.prefetch(0..30 * CHUNK);
        while server.counts().chunk_requests < 2 {
            thread::yield_now();
        }
        assert_eq!(read(&reader, 35 * CHUNK, 10).unwrap().len(), 10);
    });
}
