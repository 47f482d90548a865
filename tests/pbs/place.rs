//! What a sound server holds is listed and restored, over few sessions.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use chunk_restore::format::KeyFile;
use chunk_restore::{Cancel, Datastore, ErrorKind, Restore, StreamTarget};
use testkit::{Fault, Folder, PbsOptions, PbsServer, When, within};

use crate::{DISK, LIMIT, open, restore, store, trusting};

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
            let (told, mut read) = (remote.snapshots().unwrap(), local.snapshots().unwrap());
            assert!(local.describe(&mut read).is_empty());
            for (told, read) in told.iter().zip(&read) {
                assert_eq!(
                    (&told.name, told.is_finished),
                    (&read.name, read.is_finished)
                );
                assert_eq!(
                    (&told.files, told.crypt_mode),
                    (&read.files, read.crypt_mode)
                );
                assert_eq!(told.key_fingerprint, read.key_fingerprint);
            }
            assert_eq!(told.len(), read.len());
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
fn a_rate_holds_a_restore_back_and_waiting_for_it_is_no_stall() {
    within(LIMIT, || {
        let (store, info) = store();
        let server = PbsServer::start(store);
        let options = trusting(&server).progress_timeout(Duration::from_millis(300));
        let datastore = options.open(&server.repository("store1")).unwrap();
        let archive = datastore.snapshot("vm/100").unwrap().archive(DISK).unwrap();
        let mut target = StreamTarget::new(Vec::new());
        let rate = 200 << 10;
        let report = Restore::new()
            .rate(rate)
            .run(&archive, &mut target)
            .unwrap();
        assert_eq!(
            testkit::sha256(&target.into_inner()),
            info.archive(DISK).sha256
        );
        assert_eq!(report.retries, 0);
        // A tenth of a second's bytes may come at once.
        let least = report.fetched as f64 / rate as f64 - 0.1;
        assert!(report.elapsed.as_secs_f64() >= least, "{report}");
    });
}

#[test]
fn more_chunks_are_asked_for_while_the_first_answer_does_not_come() {
    within(LIMIT, || {
        let (store, info) = store();
        let server = PbsServer::start(store);
        for digest in &info.archive(DISK).digests {
            server.on_chunk(digest, When::Always, Fault::Stall);
        }
        let archive = open(&server).snapshot("vm/100").unwrap();
        let archive = archive.archive(DISK).unwrap();
        let cancel = Cancel::new();
        let asked = || server.requests_by_chunk().len();
        let restored = thread::scope(|scope| {
            let restore = Restore::new().cancel(&cancel);
            let restoring =
                scope.spawn(move || restore.run(&archive, &mut StreamTarget::new(Vec::new())));
            // A restore begins with fewer: nothing is known of the server.
            while asked() < 16 {
                thread::yield_now();
            }
            cancel.cancel();
            restoring.join().unwrap()
        });
        assert_eq!(restored.unwrap_err().kind(), ErrorKind::Cancelled);
        assert_eq!(asked(), 16);
    });
}
