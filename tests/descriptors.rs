//! A machine that has no file descriptors left blames itself. A test binary of its own, as it takes them all.
#![cfg(feature = "pbs")]
#![allow(clippy::unwrap_used, reason = "a test that can't be set up has failed")]

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use chunk_restore::{ErrorKind, OpenOptions};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use testkit::{InMemory, PbsServer, SnapshotBuilder, within};

const SNAPSHOT: &str = "vm/100/2026-01-02T03:04:05Z";

#[test]
fn without_descriptors_neither_the_host_nor_its_name_is_blamed() {
    within(Duration::from_secs(60), || {
        let limit = Rlimit {
            current: Some(200),
            ..getrlimit(Resource::Nofile)
        };
        setrlimit(Resource::Nofile, limit).unwrap();
        let store = InMemory::new();
        SnapshotBuilder::new(SNAPSHOT).write_to(&store);
        let server = PbsServer::start(Arc::new(store));
        let fingerprint = server.fingerprint().parse().unwrap();
        let options = OpenOptions::new()
            .attempts(1)
            .password(PbsServer::SECRET)
            .fingerprint(fingerprint);
        let by_address = server.repository("store1");
        let by_name = by_address.replace("127.0.0.1", "localhost");
        let opened = [by_address, by_name].map(|place| options.clone().open(&place).unwrap());
        let mut taken = Vec::new();
        while let Ok(file) = File::open("/dev/null") {
            taken.push(file);
        }
        for datastore in &opened {
            let error = datastore.snapshots().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Resources, "{error:?}");
        }
        // The system's root certificates, where it has any.
        if let Err(error) = options.open("store1") {
            assert_eq!(error.kind(), ErrorKind::Resources, "{error:?}");
        }
        drop(taken);
        for datastore in &opened {
            assert_eq!(datastore.snapshots().unwrap().len(), 1);
        }
    });
}
