//! What goes wrong with one read, and what goes wrong for all.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use chunk_restore::{Cancel, ErrorKind, Restore, Scope};
use testkit::within;

use crate::support::{Fault, Script};
use crate::{CHUNK, LIMIT, bytes_of, full_disk, read, reader_of, with_room_for};

#[test]
fn a_read_fails_alone_and_the_next_one_tries_again() {
    for (fault, kind) in [
        (Fault::Missing, ErrorKind::Missing),
        (Fault::Corrupt, ErrorKind::Corrupt),
        (Fault::Denied, ErrorKind::Denied),
    ] {
        within(LIMIT, move || {
            let image = full_disk(30);
            let expected = bytes_of(&image);
            let mut script = Script::of(image, CHUNK);
            let digest = script.digests()[10];
            // Each read looks twice, except where it may not look at all.
            let looks = if fault == Fault::Denied { 1 } else { 2 };
            for _ in 0..looks {
                script = script.fault(digest, fault);
            }
            let reader = reader_of(script, &Restore::new());
            let error = read(&reader, 10 * CHUNK + 5, 100).unwrap_err();
            assert_eq!((error.kind(), error.position()), (kind, Some(10)));
            assert_eq!(error.offset(), Some(10 * CHUNK));
            assert_eq!(
                read(&reader, 0, 10 * CHUNK as usize).unwrap(),
                expected[..10 * 4096]
            );
            assert!(read(&reader, 0, 30 * CHUNK as usize).unwrap() == expected);
        });
    }
}

#[test]
fn all_who_wait_for_a_chunk_that_can_not_be_had_hear_why() {
    within(LIMIT, || {
        let mut script = Script::of(full_disk(30), CHUNK);
        let digest = script.digests()[3];
        for _ in 0..1000 {
            script = script.fault(digest, Fault::Missing);
        }
        let reader = &reader_of(script, &Restore::new());
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(move || {
                    let error = read(reader, 3 * CHUNK, 8).unwrap_err();
                    assert_eq!(error.scope(), Some(Scope::Chunk));
                });
            }
        });
    });
}

#[test]
fn a_hook_hears_why_chunks_are_asked_for_again() {
    within(LIMIT, || {
        let image = full_disk(30);
        let mut script = Script::of(image, CHUNK);
        let digests = script.digests();
        script = script.fault(digests[2], Fault::Missing);
        script = script.fault(digests[7], Fault::Transient);
        let (sender, heard) = mpsc::channel();
        let restore = Restore::new().on_reader_retry(move |error| {
            let _ = sender.send((error.position(), error.kind()));
        });
        let reader = reader_of(script, &restore);
        for position in [2, 5, 7] {
            read(&reader, position * CHUNK, 8).unwrap();
        }
        let heard: Vec<_> = heard.try_iter().collect();
        let missing = (Some(2), ErrorKind::Missing);
        assert_eq!(heard, [missing, (Some(7), ErrorKind::Unavailable)]);
    });
}

#[test]
fn what_a_place_refuses_for_now_or_a_broken_connection_costs_no_read() {
    within(LIMIT, || {
        let image = full_disk(30);
        let expected = bytes_of(&image);
        let mut script = Script::of(image, CHUNK);
        script.depth = 4;
        let digests = script.digests();
        for (position, digest) in digests.iter().enumerate() {
            script = match position % 3 {
                0 => script.fault(*digest, Fault::Transient),
                1 => script.fault(*digest, Fault::Disconnect),
                _ => script.fault(*digest, Fault::Corrupt),
            };
        }
        let reader = reader_of(script, &with_room_for(4));
        assert!(read(&reader, 0, 30 * CHUNK as usize).unwrap() == expected);
        assert!(reader.report().retries >= 30);
    });
}

#[test]
fn a_cancel_ends_all_reads_and_those_that_come_later() {
    within(LIMIT, || {
        let script = Script::of(full_disk(30), CHUNK);
        let digest = script.digests()[0];
        let script = script.fault(digest, Fault::Stall);
        let watch = script.watch.clone();
        let cancel = Cancel::new();
        let reader = &reader_of(script, &Restore::new().cancel(&cancel));
        thread::scope(|scope| {
            let waiting = scope.spawn(move || read(reader, 0, 10).unwrap_err());
            while !watch.has_stalled() {
                thread::yield_now();
            }
            cancel.cancel();
            assert_eq!(waiting.join().unwrap().kind(), ErrorKind::Cancelled);
        });
        let error = read(reader, 20 * CHUNK, 10).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
    });
}

#[test]
fn a_place_that_gives_nothing_fails_the_read_after_the_patience() {
    within(LIMIT, || {
        let script = Script::of(full_disk(30), CHUNK);
        let digests = script.digests();
        let mut script = script;
        for _ in 0..100 {
            script = script.fault(digests[0], Fault::Disconnect);
        }
        let patience = Duration::from_secs(2);
        let reader = reader_of(script, &Restore::new().patience(patience));
        let error = read(&reader, 0, 10).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(
            error.to_string().contains("once the place answers again"),
            "{error}"
        );
        assert_eq!(read(&reader, CHUNK, 10).unwrap().len(), 10);
    });
}

#[test]
fn a_panic_of_a_worker_fails_all_reads_and_is_raised_by_the_last_clone() {
    within(LIMIT, || {
        let script = Script::of(full_disk(30), CHUNK);
        let digest = script.digests()[5];
        let reader = reader_of(script.fault(digest, Fault::Panic), &Restore::new());
        let clone = reader.clone();
        assert!(read(&reader, 5 * CHUNK, 10).is_err());
        assert!(read(&clone, 9 * CHUNK, 10).is_err());
        drop(clone);
        let raised = catch_unwind(AssertUnwindSafe(move || drop(reader)));
        let payload = raised.unwrap_err();
        let text = payload.downcast_ref::<&str>().copied();
        assert_eq!(text, Some("scripted panic of the backend"));
    });
}

#[test]
fn a_reader_that_is_dropped_leaves_no_thread_whatever_its_place_does() {
    for fault in [None, Some(Fault::Stall)] {
        within(LIMIT, move || {
            let mut script = Script::of(full_disk(30), CHUNK);
            let digest = script.digests()[1];
            if let Some(fault) = fault {
                script = script.fault(digest, fault);
            }
            let (archive, watch) = script.archive();
            let reader = Restore::new().reader(&archive).unwrap();
            reader.prefetch(0..30 * CHUNK);
            if fault.is_some() {
                while !watch.has_stalled() {
                    thread::yield_now();
                }
            }
            // Joins them all: the test hangs where one does not end.
            drop(reader);
        });
    }
}
