//! Places of different kinds together, each with its own faults.

use std::sync::Arc;
use std::time::Duration;

use chunk_restore::{Archive, Datastore, Event, OpenOptions, Report, Restore, StreamTarget};
use sha2::{Digest, Sha256};
use testkit::{
    Fault, Folder, Image, InMemory, PbsOptions, PbsServer, S3Options, S3Server, SnapshotBuilder,
    SnapshotInfo, StaticServer, Store, When, Workload, within,
};

use crate::support::{DISK, SNAPSHOT};
use crate::{CHUNK, LIMIT};

const COUNT: u64 = 200;

fn write_to(store: &dyn Store) -> SnapshotInfo {
    let image = Image::new(
        Workload::Incompressible,
        5,
        COUNT * CHUNK as u64,
        CHUNK as u64,
    );
    SnapshotBuilder::new(SNAPSHOT)
        .chunk_size(CHUNK as u64)
        .image(DISK, image)
        .write_to(store)
}

fn in_memory() -> (Arc<InMemory>, SnapshotInfo) {
    let store = InMemory::new();
    let info = write_to(&store);
    (Arc::new(store), info)
}

/// The same without the chunks at even positions, or at odd ones.
fn half(remainder: usize) -> Arc<InMemory> {
    let (store, info) = in_memory();
    for digest in info.archive(DISK).digests.iter().skip(remainder).step_by(2) {
        store.remove_chunk(digest);
    }
    store
}

fn pbs(server: &PbsServer) -> Datastore {
    let options = OpenOptions::new()
        .fingerprint(server.fingerprint().parse().unwrap())
        .password(PbsServer::SECRET)
        .progress_timeout(Duration::from_secs(1));
    options.open(&server.repository("store1")).unwrap()
}

fn disk_of(places: impl IntoIterator<Item = Datastore>) -> Archive {
    let datastore = Datastore::any_of(places).unwrap();
    datastore.snapshot(SNAPSHOT).unwrap().archive(DISK).unwrap()
}

/// Restores, compares with what was backed up, and calls `meanwhile` on the way.
fn restore(archive: &Archive, restore: &Restore, mut meanwhile: impl FnMut(&Report)) -> Report {
    let mut target = StreamTarget::new(Vec::new());
    let report = restore.run_with(archive, &mut target, |event| {
        if let Event::Progress(report) = event {
            meanwhile(report);
        }
    });
    let sha256: [u8; 32] = Sha256::digest(target.into_inner()).into();
    assert_eq!(sha256, in_memory().1.archive(DISK).sha256);
    report.unwrap()
}

fn counts(report: &Report) -> Vec<(u64, u64)> {
    let places = report.places.iter();
    places.map(|place| (place.chunks, place.failures)).collect()
}

#[test]
fn a_pbs_and_a_folder_with_different_halves_make_a_whole() {
    within(LIMIT, || {
        let folder = tempfile::tempdir().unwrap();
        let store = Folder::new(folder.path());
        let info = write_to(&store);
        for digest in info.archive(DISK).digests.iter().skip(1).step_by(2) {
            store.replace_chunk(digest, b"no blob");
        }
        let server = PbsServer::start(half(0));
        let place = format!("dir:{}", folder.path().display());
        for turn in [false, true] {
            let mut places = vec![pbs(&server), OpenOptions::new().open(&place).unwrap()];
            if turn {
                places.reverse();
            }
            let report = restore(&disk_of(places), &Restore::new(), |_| {});
            assert_eq!(counts(&report), [(COUNT / 2, 0), (COUNT / 2, 0)]);
            assert_eq!(report.retries, COUNT / 2);
        }
        assert_eq!(server.counts().chunk_requests, COUNT + COUNT / 2);
    });
}

#[test]
fn a_web_server_and_a_bucket_with_different_halves_make_a_whole() {
    within(LIMIT, || {
        let web = StaticServer::https(half(1));
        let bucket = S3Options::new().https(half(0));
        let from_web = OpenOptions::new().fingerprint(web.fingerprint().parse().unwrap());
        let from_bucket = OpenOptions::new()
            .fingerprint(bucket.fingerprint().parse().unwrap())
            .s3_endpoint(bucket.endpoint())
            .s3_credentials(S3Server::ACCESS_KEY, S3Server::SECRET_KEY, None);
        let places = [
            from_web.open(web.url()).unwrap(),
            from_bucket.open(S3Server::PLACE).unwrap(),
        ];
        let report = restore(&disk_of(places), &Restore::new().race(true), |_| {});
        assert_eq!(counts(&report), [(COUNT / 2, 0), (COUNT / 2, 0)]);
    });
}

#[test]
fn a_server_that_ends_half_way_hands_over_to_the_other() {
    for race in [false, true] {
        within(LIMIT, move || {
            let first = PbsServer::start(in_memory().0);
            // It can't have answered everything before it ends, however late the writer hears of its answers.
            first.on_any_chunk(When::From(COUNT / 2), Fault::Stall);
            let second = PbsServer::start(in_memory().0);
            let archive = disk_of([pbs(&first), pbs(&second)]);
            let mut first = Some(first);
            let report = restore(&archive, &Restore::new().race(race), |report| {
                if report.chunks >= COUNT / 4 {
                    first = None;
                }
            });
            let [(from_first, failures), (from_second, 0)] = counts(&report)[..] else {
                panic!("{:?}", report.places);
            };
            assert_eq!(from_first + from_second, COUNT);
            assert!(from_second > 0 && failures > 0, "{:?}", report.places);
        });
    }
}

#[test]
fn a_server_that_stalls_half_way_hands_over_to_the_other() {
    for race in [false, true] {
        within(LIMIT, move || {
            // Not one request at a time, which are then known to stall.
            let options = PbsOptions::new().latency(Duration::from_millis(1));
            let first = options.start(in_memory().0);
            first.on_any_chunk(When::From(COUNT / 2), Fault::Stall);
            let second = PbsServer::start(in_memory().0);
            let archive = disk_of([pbs(&first), pbs(&second)]);
            let report = restore(&archive, &Restore::new().race(race), |_| {});
            let [(from_first, failures), (from_second, 0)] = counts(&report)[..] else {
                panic!("{:?}", report.places);
            };
            assert!(from_first < COUNT / 2 && from_first + from_second == COUNT);
            assert!(failures > 0, "{:?}", report.places);
            // What hung, twice: with a session that stalls ends all that it was asked for.
            assert!(first.counts().chunk_requests < COUNT);
        });
    }
}
