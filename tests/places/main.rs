//! Several places for one datastore: what one lacks comes from the next; and late chunks are raced.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chunk_restore::{Archive, Datastore, ErrorKind, OpenOptions, Report, Restore, Seed};
use testkit::{Image, Prng, Store as _, within};

mod copies;
#[cfg(all(feature = "pbs", feature = "https", feature = "s3"))]
mod kinds;
mod race;
#[path = "../support/mod.rs"]
mod support;

use support::disk::{Disk, DiskMemory, Says};
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
        for _ in 0..99 {
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
        .map(|script| script.open(OpenOptions::new()));
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
        let patience = Duration::from_millis(300);
        let salvage = Restore::new().salvage(true).patience(patience);
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
    struct Silent(Arc<AtomicUsize>);
    impl chunk_restore::backend::Backend for Silent {
        fn snapshots(
            &self,
            _: &chunk_restore::format::Namespace,
            _: Option<&chunk_restore::format::GroupName>,
        ) -> Result<Vec<chunk_restore::SnapshotInfo>, chunk_restore::backend::FetchError> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Err(chunk_restore::backend::FetchError::transient(
                "out of reach",
            ))
        }
        fn read_file(
            &self,
            _: &chunk_restore::format::SnapshotPath,
            _: &str,
            _: u64,
        ) -> Result<Vec<u8>, chunk_restore::backend::FetchError> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Err(chunk_restore::backend::FetchError::transient(
                "out of reach",
            ))
        }
        fn connect<'a>(
            &'a self,
            _: &chunk_restore::backend::ArchivePath,
            _: &'a chunk_restore::Cancel,
            _: &'a chunk_restore::backend::RateLimit,
        ) -> Result<
            Box<dyn chunk_restore::backend::Connection + 'a>,
            chunk_restore::backend::FetchError,
        > {
            Err(chunk_restore::backend::FetchError::transient(
                "out of reach",
            ))
        }
    }
    let asked = Arc::new(AtomicUsize::new(0));
    let silent = || Datastore::new(Silent(Arc::clone(&asked)));
    let places = [silent(), script(&bytes).open(OpenOptions::new())];
    let datastore = Datastore::any_of(places).unwrap();
    assert_eq!(datastore.snapshots().unwrap().len(), 1);
    let archive = datastore.snapshot("vm/100").unwrap().archive(DISK).unwrap();
    let (report, restored) = restore(&Restore::new(), &archive);
    assert!(restored == bytes);
    assert_eq!(report.unwrap().places[1].chunks, 2);
    // It was known to be out of reach when the manifest and the index were read.
    assert_eq!(asked.load(Ordering::SeqCst), 1);

    let silent = Datastore::any_of([silent()]).unwrap();
    assert_eq!(
        silent.snapshots().unwrap_err().kind(),
        ErrorKind::Unavailable
    );
    let none = Datastore::any_of([]).unwrap_err();
    assert_eq!(none.kind(), ErrorKind::Invalid);
}

#[test]
fn places_that_are_all_out_of_reach_are_given_time() {
    let bytes = image(1);
    let (archive, watches) = any_of(vec![
        spoil(script(&bytes), [0], Fault::Transient),
        spoil(script(&bytes), [0], Fault::Transient),
    ]);
    let patience = Duration::from_millis(600);
    let begun = Instant::now();
    let (result, _) = restore(&Restore::new().patience(patience), &archive);
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(begun.elapsed() >= patience);
    // Both were asked until then, and not without pause.
    for watch in watches {
        assert!((3..12).contains(&watch.requests()), "{}", watch.requests());
    }
}

struct Shared(Arc<DiskMemory>);

impl chunk_restore::target::ReadAt for Shared {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }
}

#[test]
fn what_a_seed_has_does_not_speak_for_a_place() {
    let bytes = image(500);
    let mut seed = bytes.clone();
    for chunk in seed.chunks_mut(CHUNK).skip(1).step_by(2) {
        chunk[0] ^= 1;
    }
    let seed = Shared(Disk::holding(seed, Says::Nothing).memory);
    let (archive, watches) = any_of(vec![
        spoil(script(&bytes), 0..500, Fault::Transient),
        script(&bytes),
    ]);
    let (report, restored) = restore(&few().seed(Seed::new(seed)), &archive);
    assert!(restored == bytes);
    let report = report.unwrap();
    assert_eq!((report.chunks, report.places[1].chunks), (250, 250));
    let asked = watches[0].requests();
    assert!(
        asked <= 2 * 16,
        "{asked} requests to a place that never answers"
    );
}
