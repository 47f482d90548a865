//! How often something is tried, and targets that fail.

use std::time::{Duration, Instant};

use chunk_restore::backend::{ArchivePath, Backend, Connection, FetchError, RateLimit};
use chunk_restore::format::SnapshotPath;
use chunk_restore::{Cancel, Datastore, ErrorKind, Event, Restore, Scope};

use crate::support::{DISK, Fault, Memory, SNAPSHOT, Script};
use crate::{CHUNK, assert_chunk, chain, image};

#[test]
fn damage_on_the_way_is_cured_by_another_connection() {
    let script = Script::of(image(), CHUNK);
    let digest = script.digests()[3];
    let (archive, watch) = script.fault(digest, Fault::Corrupt).archive();
    let mut retried = Vec::new();
    let mut target = Memory::default();
    let restore = Restore::new().threads(1);
    let report = restore
        .run_with(&archive, &mut target, |event| {
            if let Event::Retried(error) = event {
                retried.push((error.kind(), error.position()));
            }
        })
        .unwrap();
    assert_eq!(retried, [(ErrorKind::Corrupt, Some(3))]);
    assert_eq!(report.retries, 1);
    assert_eq!(
        watch.connections.load(std::sync::atomic::Ordering::SeqCst),
        2
    );
}

#[test]
fn a_corrupt_chunk_is_asked_for_twice_and_no_more() {
    let script = Script::of(image(), CHUNK);
    let digest = script.digests()[3];
    let script = (0..5).fold(script, |script, _| script.fault(digest, Fault::Corrupt));
    let (archive, watch) = script.archive();
    let restore = Restore::new().threads(1).in_flight(1);
    let error = restore.run(&archive, &mut Memory::default()).unwrap_err();
    assert_chunk(&error, ErrorKind::Corrupt, 3, &digest, "is corrupt");
    assert_eq!(watch.requests_for(&digest), 2);
}

#[test]
fn what_a_place_refuses_for_now_or_loses_on_the_way_is_no_attempt_of_a_chunk() {
    for fault in [Fault::Transient, Fault::Disconnect] {
        let script = Script::of(image(), CHUNK);
        let digest = script.digests()[0];
        let script = (0..3).fold(script, |script, _| script.fault(digest, fault));
        let (archive, watch) = script.archive();
        let restore = Restore::new().threads(1).in_flight(1).attempts(1);
        let report = restore.run(&archive, &mut Memory::default()).unwrap();
        assert_eq!((report.retries, watch.requests_for(&digest)), (3, 4));
    }
}

#[test]
fn a_place_that_gives_nothing_is_given_up_when_patience_ends_and_the_error_says_since_when() {
    for fault in [Fault::Transient, Fault::Disconnect] {
        let script = Script::of(image(), CHUNK);
        let digest = script.digests()[0];
        let script = (0..99).fold(script, |script, _| script.fault(digest, fault));
        let (archive, watch) = script.archive();
        let patience = Duration::from_millis(600);
        let restore = Restore::new().threads(1).in_flight(1).patience(patience);
        let begun = Instant::now();
        let error = restore.run(&archive, &mut Memory::default()).unwrap_err();
        assert!(begun.elapsed() >= patience);
        assert_chunk(&error, ErrorKind::Unavailable, 0, &digest, "gave up");
        assert_eq!(error.scope(), Some(Scope::Place));
        let text = chain(&error);
        assert!(
            text.contains("since 20") && text.contains("cannot fetch"),
            "{text}"
        );
        // Neither is it asked without pause meanwhile.
        assert!(
            (2..10).contains(&watch.requests_for(&digest)),
            "{}",
            watch.requests_for(&digest)
        );
    }
}

#[test]
fn what_is_wrong_with_a_chunk_is_seen_twice_and_what_is_refused_once() {
    for (fault, kind, scope, looks) in [
        (Fault::Missing, ErrorKind::Missing, Scope::Chunk, 2),
        (Fault::Unreadable, ErrorKind::Unreadable, Scope::Chunk, 3),
        (Fault::TooLong, ErrorKind::Corrupt, Scope::Chunk, 2),
        (Fault::Denied, ErrorKind::Denied, Scope::Place, 1),
    ] {
        let script = Script::of(image(), CHUNK);
        let digest = script.digests()[0];
        let script = (0..9).fold(script, |script, _| script.fault(digest, fault));
        let (archive, watch) = script.archive();
        let restore = Restore::new().threads(1).in_flight(1);
        let error = restore.run(&archive, &mut Memory::default()).unwrap_err();
        assert_eq!(
            (error.kind(), error.scope()),
            (kind, Some(scope)),
            "{error:?}"
        );
        assert_eq!(watch.requests_for(&digest), looks, "{error:?}");
    }
}

#[test]
fn what_a_place_says_in_the_end_counts_and_not_that_it_was_once_out_of_reach() {
    for (fault, kind, scope) in [
        (Fault::Missing, ErrorKind::Missing, Scope::Chunk),
        (Fault::Corrupt, ErrorKind::Corrupt, Scope::Chunk),
        (Fault::Denied, ErrorKind::Denied, Scope::Place),
    ] {
        for hiccup in [Fault::Transient, Fault::Disconnect] {
            let script = Script::of(image(), CHUNK);
            let digest = script.digests()[0];
            let script = script.fault(digest, hiccup);
            let script = (0..9).fold(script, |script, _| script.fault(digest, fault));
            let (archive, _) = script.archive();
            let restore = Restore::new().threads(1).in_flight(1);
            let error = restore.run(&archive, &mut Memory::default()).unwrap_err();
            let found = (error.kind(), error.scope());
            assert_eq!(found, (kind, Some(scope)), "{error:?}");
        }
    }
}

#[test]
fn a_slip_is_no_damage() {
    for fault in [
        Fault::Missing,
        Fault::Unreadable,
        Fault::TooLong,
        Fault::Corrupt,
    ] {
        for salvage in [false, true] {
            let script = Script::of(image(), CHUNK);
            let digest = script.digests()[3];
            let (archive, _) = script.fault(digest, fault).archive();
            let attempts = if salvage { 1 } else { 3 };
            let restore = Restore::new().salvage(salvage).attempts(attempts);
            let report = restore.run(&archive, &mut Memory::default()).unwrap();
            assert_eq!((report.damage.len(), report.retries), (0, 1), "{fault:?}");
        }
    }
}

#[test]
fn a_place_that_loses_the_snapshot_or_refuses_it_has_no_damage() {
    for error in [
        || FetchError::Missing,
        || FetchError::TooLong,
        || FetchError::Unreadable("the index is gone".into()),
        || FetchError::Fatal("no longer there".into()),
    ] {
        let script = Script::of(image(), CHUNK);
        let archive = Datastore::new(Unconnected(script, error))
            .snapshot(SNAPSHOT)
            .unwrap();
        let archive = archive.archive(DISK).unwrap();
        let restore = Restore::new().salvage(true).patience(Duration::ZERO);
        let error = restore.run(&archive, &mut Memory::default()).unwrap_err();
        assert_eq!(
            (error.kind(), error.scope()),
            (ErrorKind::Unavailable, Some(Scope::Place)),
            "{error:?}"
        );
    }
}

/// A place that lets nobody fetch a chunk.
struct Unconnected(Script, fn() -> FetchError);

impl Backend for Unconnected {
    fn read_file(
        &self,
        path: &SnapshotPath,
        file: &str,
        limit: u64,
    ) -> Result<Vec<u8>, FetchError> {
        self.0.read_file(path, file, limit)
    }

    fn connect<'a>(
        &'a self,
        _: &ArchivePath,
        _: &'a Cancel,
        _: &'a RateLimit,
    ) -> Result<Box<dyn Connection + 'a>, FetchError> {
        Err(self.1())
    }
}

#[test]
fn what_this_machine_lacks_is_neither_damage_nor_the_places_failure() {
    for lasts in [2, 99] {
        let script = Script::of(image(), CHUNK);
        let digest = script.digests()[2];
        let script = (0..lasts).fold(script, |script, _| script.fault(digest, Fault::Resources));
        let (archive, _) = script.archive();
        let restore = Restore::new().salvage(true).threads(1).in_flight(1);
        let result = restore.run(&archive, &mut Memory::default());
        match result {
            Ok(report) => assert_eq!((report.damage.len(), report.retries, lasts), (0, 2, 2)),
            Err(error) => {
                assert_chunk(&error, ErrorKind::Resources, 2, &digest, "scripted");
                assert_eq!((error.scope(), lasts), (Some(Scope::Ours), 99));
            }
        }
    }
}

#[test]
fn a_full_target_says_where_it_was_full() {
    let (archive, _) = Script::of(image(), CHUNK).archive();
    let mut target = Memory {
        room: Some(3 * CHUNK as usize + 10),
        ..Memory::default()
    };
    let error = Restore::new().run(&archive, &mut target).unwrap_err();
    assert_eq!(
        (error.kind(), error.offset()),
        (ErrorKind::Target, Some(3 * CHUNK))
    );
    assert!(!target.is_finished && target.data.len() == 3 * CHUNK as usize);
}
