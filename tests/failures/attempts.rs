//! How often something is tried, and targets that fail.

use chunk_restore::{ErrorKind, Event, Restore};

use crate::support::{Fault, Memory, Script};
use crate::{CHUNK, assert_chunk, image};

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
fn what_may_pass_is_tried_as_often_as_was_asked_and_no_more() {
    for attempts in [1, 2, 5] {
        let script = Script::of(image(), CHUNK);
        let digest = script.digests()[0];
        let script = (0..9).fold(script, |script, _| script.fault(digest, Fault::Transient));
        let (archive, watch) = script.archive();
        let restore = Restore::new().threads(1).in_flight(1).attempts(attempts);
        let error = restore.run(&archive, &mut Memory::default()).unwrap_err();
        assert_chunk(&error, ErrorKind::Unavailable, 0, &digest, "cannot fetch");
        assert_eq!(watch.requests_for(&digest), attempts as usize);
    }
}

#[test]
fn what_is_final_is_not_tried_again() {
    for (fault, kind) in [
        (Fault::Missing, ErrorKind::Missing),
        (Fault::Unreadable, ErrorKind::Unreadable),
        (Fault::Denied, ErrorKind::Denied),
        (Fault::TooLong, ErrorKind::Corrupt),
    ] {
        let script = Script::of(image(), CHUNK);
        let digest = script.digests()[0];
        let (archive, watch) = script.fault(digest, fault).archive();
        let restore = Restore::new().threads(1).in_flight(1);
        let error = restore.run(&archive, &mut Memory::default()).unwrap_err();
        assert_eq!(
            (error.kind(), watch.requests_for(&digest)),
            (kind, 1),
            "{error:?}"
        );
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
