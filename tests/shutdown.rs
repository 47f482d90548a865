//! However a restore ends, it ends: no thread is left, nothing hangs, and the first failure is the one that is told.
#![allow(clippy::unwrap_used, reason = "a test that can't be set up has failed")]

mod support;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use chunk_restore::target::Target;
use chunk_restore::{Cancel, ErrorKind, Event, Restore};
use support::{Fault, Memory, Script};
use testkit::{Image, Workload, within};

const CHUNK: u64 = 4096;

/// Far more than any of these takes.
const LIMIT: Duration = Duration::from_secs(60);

/// How often each is repeated; the environment may ask for more.
fn repeated(test: impl Fn() + Send + 'static) {
    let times = std::env::var("CHUNK_RESTORE_REPEAT")
        .ok()
        .and_then(|times| times.parse().ok());
    within(LIMIT * times.unwrap_or(20) / 20, move || {
        for _ in 0..times.unwrap_or(20) {
            test();
        }
    });
}

fn script() -> Script {
    Script::of(
        Image::new(Workload::Incompressible, 4, 50 * CHUNK, CHUNK),
        CHUNK,
    )
}

fn payload(result: std::thread::Result<impl Sized>) -> String {
    let payload = result.err().expect("it panics");
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .expect("the payload is a text")
}

#[test]
fn a_panic_of_the_backend_is_raised_again_with_its_own_payload() {
    repeated(|| {
        let script = script();
        let at = script.digests()[30];
        let (archive, _) = script.fault(at, Fault::Panic).archive();
        let mut target = Memory::default();
        let result = catch_unwind(AssertUnwindSafe(|| {
            Restore::new().run(&archive, &mut target)
        }));
        assert_eq!(payload(result), "scripted panic of the backend");
        assert!(!target.is_finished);
    });
}

#[test]
fn a_panic_of_the_target_is_raised_again_with_its_own_payload() {
    struct Explosive;
    impl Target for Explosive {
        fn write(&mut self, _data: &[u8]) -> io::Result<()> {
            panic!("scripted panic of the target")
        }
        fn finish(&mut self, _damaged: bool) -> io::Result<()> {
            Ok(())
        }
    }
    repeated(|| {
        let script = script();
        // Workers that hang must not keep the panic from its way.
        let at = script.digests()[2];
        let (archive, _) = script.fault(at, Fault::Stall).archive();
        let result = catch_unwind(AssertUnwindSafe(|| {
            Restore::new().run(&archive, &mut Explosive)
        }));
        assert_eq!(payload(result), "scripted panic of the target");
    });
}

#[test]
fn a_panic_of_the_observer_is_raised_again_with_its_own_payload() {
    repeated(|| {
        let (archive, _) = script().archive();
        let mut target = Memory::default();
        let result = catch_unwind(AssertUnwindSafe(|| {
            Restore::new().run_with(&archive, &mut target, |_| {
                panic!("scripted panic of the observer")
            })
        }));
        assert_eq!(payload(result), "scripted panic of the observer");
    });
}

#[test]
fn cancel_before_the_start_touches_nothing() {
    repeated(|| {
        let (archive, watch) = script().archive();
        let cancel = Cancel::new();
        cancel.cancel();
        let mut target = Memory::default();
        let error = Restore::new()
            .cancel(&cancel)
            .run(&archive, &mut target)
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        assert!(target.begun.is_none() && watch.requests() == 0);
    });
}

#[test]
fn cancel_while_a_backend_stalls_is_an_error_and_not_a_short_success() {
    repeated(|| {
        let script = script();
        let at = script.digests()[10];
        let (archive, watch) = script.fault(at, Fault::Stall).archive();
        let cancel = Cancel::new();
        let canceller = cancel.clone();
        let mut target = Memory::default();
        // The observer is called at least once a second, also while nothing comes.
        let error = Restore::new()
            .cancel(&cancel)
            .run_with(&archive, &mut target, |_| {
                if watch.has_stalled() {
                    canceller.cancel();
                }
            })
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        assert!(!target.is_finished && target.data.len() <= 10 * CHUNK as usize);
    });
}

#[test]
fn cancel_is_seen_during_a_long_run_of_zeros() {
    /// Says when the first zeros came.
    struct Slow(mpsc::Sender<()>, Cancel, AtomicU64);
    impl Target for Slow {
        fn write(&mut self, _data: &[u8]) -> io::Result<()> {
            Ok(())
        }
        fn write_zeros(&mut self, len: u64) -> io::Result<()> {
            if self.2.fetch_add(len, Ordering::SeqCst) == 0 {
                let _ = self.0.send(());
                self.1.wait(Duration::MAX);
            }
            Ok(())
        }
        fn finish(&mut self, _damaged: bool) -> io::Result<()> {
            panic!("a cancelled restore is not finished")
        }
    }
    repeated(|| {
        let image = Image::new(Workload::Zeros, 0, 64 << 20, 1 << 20);
        let (archive, _) = Script::of(image, 1 << 20).archive();
        let cancel = Cancel::new();
        let (sender, begun) = mpsc::channel();
        let mut target = Slow(sender, cancel.clone(), AtomicU64::new(0));
        let canceller = std::thread::spawn(move || {
            begun.recv().unwrap();
            cancel.cancel();
        });
        let error = Restore::new()
            .cancel(&target.1.clone())
            .run(&archive, &mut target)
            .unwrap_err();
        canceller.join().unwrap();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        assert!(target.2.load(Ordering::SeqCst) < 64 << 20);
    });
}

#[test]
fn cancel_at_any_commit_leaves_a_prefix_and_an_error() {
    repeated(|| {
        for stop_at in [0, 1, 25, 49] {
            let (archive, _) = script().archive();
            let cancel = Cancel::new();
            let canceller = cancel.clone();
            let mut target = Memory::default();
            let result = Restore::new()
                .cancel(&cancel)
                .run_with(&archive, &mut target, |event| {
                    if let Event::Progress(report) = event
                        && report.chunks > stop_at
                    {
                        canceller.cancel();
                    }
                });
            assert_eq!(result.unwrap_err().kind(), ErrorKind::Cancelled);
            assert!(!target.is_finished);
        }
    });
}

#[test]
fn the_first_failure_is_told_and_not_what_follows_from_it() {
    repeated(|| {
        let script = script();
        let (missing, stalled) = (script.digests()[5], script.digests()[0]);
        let script = script
            .fault(missing, Fault::Missing)
            .fault(missing, Fault::Missing)
            .fault(stalled, Fault::Stall);
        let (archive, _) = script.archive();
        let error = Restore::new()
            .run(&archive, &mut Memory::default())
            .unwrap_err();
        assert_eq!(
            (error.kind(), error.position()),
            (ErrorKind::Missing, Some(5)),
            "{error:?}"
        );
    });
}

#[test]
fn a_failing_target_stops_workers_that_stall() {
    repeated(|| {
        let script = script();
        let at = script.digests()[3];
        let (archive, _) = script.fault(at, Fault::Stall).archive();
        let mut target = Memory {
            room: Some(2 * CHUNK as usize),
            ..Memory::default()
        };
        let error = Restore::new().run(&archive, &mut target).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Target);
    });
}
