//! Several places for one datastore: what one lacks comes from the next; and late chunks are raced.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::sync::Arc;
use std::time::Duration;

use chunk_restore::{Archive, Datastore, ErrorKind, Options, Report, Restore};
use testkit::{Image, Prng, Store as _, within};

mod support;

use support::disk::{Disk, Says};
use support::{DISK, Fault, SNAPSHOT, Script, Watch};

const CHUNK: usize = 4096;
const LIMIT: Duration = Duration::from_secs(60);

fn image(count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count * CHUNK];
    Prng::new(11).fill(&mut bytes);
    bytes
}

fn script(bytes: &[u8]) -> Script {
    Script::of(
        Image::from_bytes(bytes.to_vec(), CHUNK as u64),
        CHUNK as u64,
    )
}

/// Faults that stay, whatever is tried.
fn spoil(mut script: Script, positions: impl IntoIterator<Item = usize>, fault: Fault) -> Script {
    let digests = script.digests();
    for position in positions {
        for _ in 0..20 {
            script = script.fault(digests[position], fault);
        }
    }
    script
}

fn any_of(scripts: Vec<Script>) -> (Archive, Vec<Arc<Watch>>) {
    let watches = scripts
        .iter()
        .map(|script| Arc::clone(&script.watch))
        .collect();
    let places = scripts
        .into_iter()
        .map(|script| script.open(Options::new()));
    let datastore = Datastore::any_of(places).unwrap();
    let archive = datastore.snapshot(SNAPSHOT).unwrap().archive(DISK).unwrap();
    (archive, watches)
}

/// Four threads with eight requests in flight, and as many in the queue.
fn few() -> Restore {
    Restore::new().threads(4).in_flight(8)
}

fn restore(restore: &Restore, archive: &Archive) -> (chunk_restore::Result<Report>, Vec<u8>) {
    let mut disk = Disk::holding(Vec::new(), Says::Nothing);
    let result = restore.run(archive, &mut disk);
    assert_eq!(result.is_ok(), disk.finished.is_some());
    let bytes = disk.bytes();
    (result, bytes)
}

#[test]
fn two_places_with_different_damage_heal_one_another() {
    let bytes = image(100);
    for fault in [
        Fault::Missing,
        Fault::Corrupt,
        Fault::Truncated,
        Fault::Unreadable,
        Fault::Denied,
    ] {
        let (archive, watches) = any_of(vec![
            spoil(
                script(&bytes),
                (0..100).filter(|position| position % 2 == 0),
                fault,
            ),
            spoil(
                script(&bytes),
                (0..100).filter(|position| position % 2 == 1),
                Fault::Missing,
            ),
        ]);
        let (report, restored) = restore(&Restore::new(), &archive);
        let report = report.unwrap();
        assert!(restored == bytes);
        if fault == Fault::Denied {
            // A place that denies half of what it is asked for is left aside, and asked again.
            continue;
        }
        assert_eq!(
            (report.places[0].chunks, report.places[1].chunks),
            (50, 50),
            "{fault:?}"
        );
        assert_eq!(
            (watches[0].requests(), watches[1].requests()),
            (100, 50),
            "{fault:?}"
        );
        assert_eq!(report.chunks, 100);
    }
}

#[test]
fn a_place_that_is_out_of_reach_is_left_aside() {
    for fault in [Fault::Transient, Fault::Disconnect] {
        let bytes = image(500);
        let (archive, watches) = any_of(vec![spoil(script(&bytes), 0..500, fault), script(&bytes)]);
        let (report, restored) = restore(&few(), &archive);
        let report = report.unwrap();
        assert!(restored == bytes);
        assert_eq!(report.places[1].chunks, 500);
        // No more than were with its workers, or on the way back, when it was given up.
        let asked = watches[0].requests();
        assert!(
            asked <= 2 * 16,
            "{asked} requests to a place that never answers"
        );
        assert!(report.places[0].failures >= 3);
    }
}

#[test]
fn a_place_that_dies_half_way_hands_over() {
    let bytes = image(400);
    let (archive, watches) = any_of(vec![
        spoil(script(&bytes), 200..400, Fault::Disconnect),
        script(&bytes),
    ]);
    let (report, restored) = restore(&few(), &archive);
    let report = report.unwrap();
    assert!(restored == bytes);
    assert_eq!(report.places[0].chunks + report.places[1].chunks, 400);
    assert!(report.places[0].chunks <= 200 && report.places[1].chunks >= 200);
    assert!(watches[0].requests() < 300);
}

#[test]
fn what_no_place_has_is_missing() {
    let bytes = image(20);
    let (archive, _) = any_of(vec![
        spoil(script(&bytes), [7], Fault::Missing),
        spoil(script(&bytes), [7], Fault::Corrupt),
    ]);
    let (result, _) = restore(&Restore::new(), &archive);
    let error = result.unwrap_err();
    assert_eq!(
        (error.kind(), error.position()),
        (ErrorKind::Missing, Some(7))
    );

    let (archive, _) = any_of(vec![
        spoil(script(&bytes), [7], Fault::Missing),
        spoil(script(&bytes), [7], Fault::Corrupt),
    ]);
    let (result, restored) = restore(&Restore::new().salvage(true), &archive);
    assert_eq!(result.unwrap().damage.len(), 1);
    assert_eq!(restored[7 * CHUNK..8 * CHUNK], [0; CHUNK]);
}

#[test]
fn a_chunk_that_a_place_out_of_reach_may_have_is_not_lost() {
    let bytes = image(20);
    for order in [false, true] {
        let mut scripts = vec![
            spoil(script(&bytes), [7], Fault::Missing),
            spoil(script(&bytes), [7], Fault::Transient),
        ];
        if order {
            scripts.reverse();
        }
        let (archive, _) = any_of(scripts);
        let salvage = Restore::new().salvage(true).attempts(2);
        let error = within(LIMIT, move || restore(&salvage, &archive).0.unwrap_err());
        assert_eq!(error.kind(), ErrorKind::Unavailable);
    }
}

#[test]
fn manifest_and_index_come_from_a_place_that_has_them_right() {
    let bytes = image(20);
    let broken = script(&bytes);
    let index = format!("{DISK}.fidx");
    let mut damaged = broken.store.file("", SNAPSHOT, &index).unwrap().to_vec();
    damaged[4500] ^= 1;
    broken.store.put_file("", SNAPSHOT, &index, &damaged);
    let without_manifest = script(&bytes);
    without_manifest
        .store
        .put_file("", SNAPSHOT, "index.json.blob", b"no blob");
    let (archive, _) = any_of(vec![without_manifest, broken, script(&bytes)]);
    let (report, restored) = restore(&Restore::new(), &archive);
    assert!(restored == bytes);
    // The chunks are the first's all the same.
    assert_eq!(report.unwrap().places[0].chunks, 20);
}

#[test]
fn a_snapshot_is_listed_if_one_of_the_places_can_list_it() {
    let bytes = image(2);
    struct Silent;
    impl chunk_restore::Backend for Silent {
        fn read_file(
            &self,
            _: &chunk_restore::SnapshotPath,
            _: &str,
            _: u64,
        ) -> Result<Vec<u8>, chunk_restore::FetchError> {
            Err(chunk_restore::FetchError::transient("out of reach"))
        }
        fn connect<'a>(
            &'a self,
            _: &chunk_restore::ArchivePath,
            _: &'a chunk_restore::Cancel,
            _: &'a chunk_restore::Throttle,
        ) -> Result<Box<dyn chunk_restore::Connection + 'a>, chunk_restore::FetchError> {
            Err(chunk_restore::FetchError::transient("out of reach"))
        }
    }
    let places = [Datastore::new(Silent), script(&bytes).open(Options::new())];
    let datastore = Datastore::any_of(places).unwrap();
    assert_eq!(datastore.snapshots().unwrap().len(), 1);
    let archive = datastore.snapshot("vm/100").unwrap().archive(DISK).unwrap();
    let (report, restored) = restore(&Restore::new(), &archive);
    assert!(restored == bytes);
    assert_eq!(report.unwrap().places[1].chunks, 2);

    let silent = Datastore::any_of([Datastore::new(Silent)]).unwrap();
    assert_eq!(
        silent.snapshots().unwrap_err().kind(),
        ErrorKind::Unsupported
    );
    let none = Datastore::any_of([]).unwrap_err();
    assert_eq!(none.kind(), ErrorKind::Invalid);
}

#[test]
fn a_late_chunk_is_asked_for_a_second_time_and_the_first_answer_counts() {
    // Chunk 60 never comes to whom asks first.
    let bytes = image(120);
    let stalls = |count| {
        let mut script = script(&bytes);
        script.depth = 2;
        let digests = script.digests();
        for position in [60, 90].into_iter().take(count) {
            script = script.fault(digests[position], Fault::Stall);
        }
        script
    };
    for scripts in [vec![stalls(1)], vec![stalls(2), script(&bytes)]] {
        let (archive, _) = any_of(scripts);
        let bytes = bytes.clone();
        within(LIMIT, move || {
            let (report, restored) = restore(&Restore::new().race(true), &archive);
            assert!(restored == bytes);
            let report = report.unwrap();
            assert!(
                (1..=2 + 120 / 20).contains(&report.races),
                "{} races",
                report.races
            );
            assert_eq!(report.chunks, 120);
        });
    }
}

#[test]
fn without_racing_no_chunk_is_asked_for_twice() {
    let bytes = image(200);
    let (archive, watches) = any_of(vec![script(&bytes)]);
    let (report, _) = restore(&Restore::new(), &archive);
    let report = report.unwrap();
    assert_eq!(
        (report.races, report.surplus, watches[0].requests()),
        (0, 0, 200)
    );
}
