//! Late chunks are asked for a second time, and no more often than is promised.

use chunk_restore::Restore;
use testkit::within;

use crate::support::{Fault, Script};
use crate::{LIMIT, any_of, few, image, restore, script, spoil};

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
                (1..=120 / 20).contains(&report.races),
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

#[test]
fn at_most_one_chunk_in_twenty_is_asked_for_twice() {
    let bytes = image(200);
    let late = |script: Script| {
        let digests = script.digests();
        (0..200).step_by(40).fold(script, |script, position| {
            script.fault(digests[position], Fault::Stall)
        })
    };
    let (archive, watches) = any_of(vec![late(script(&bytes)), script(&bytes)]);
    within(LIMIT, move || {
        let (report, restored) = restore(&Restore::new().race(true), &archive);
        assert!(restored == bytes);
        let report = report.unwrap();
        assert!(report.races <= 200 / 20, "{} races", report.races);
        let asked = watches[0].requests() + watches[1].requests();
        assert!(
            asked as u64 <= 200 + report.races + report.retries,
            "{asked} requests"
        );
    });
}

#[test]
fn a_panic_of_the_second_request_is_not_swallowed() {
    // Otherwise the first would be waited for, which never ends.
    let bytes = image(120);
    let mut script = script(&bytes);
    script.depth = 2;
    let digest = script.digests()[60];
    let script = script
        .fault(digest, Fault::Stall)
        .fault(digest, Fault::Panic);
    let (archive, _) = any_of(vec![script]);
    let panicked = within(LIMIT, move || {
        let restored =
            std::panic::AssertUnwindSafe(|| restore(&Restore::new().race(true), &archive));
        std::panic::catch_unwind(restored).is_err()
    });
    assert!(panicked);
}

#[test]
fn what_hangs_at_a_place_that_is_left_aside_is_asked_for_elsewhere() {
    // Without racing: three requests hang, and all later ones fail, until the place is left aside.
    let bytes = image(300);
    let failing = spoil(script(&bytes), 104..300, Fault::Disconnect);
    let digests = failing.digests();
    let failing = (100..103).fold(failing, |script, position| {
        script.fault(digests[position], Fault::Stall)
    });
    let (archive, _) = any_of(vec![failing, script(&bytes)]);
    within(LIMIT, move || {
        let (report, restored) = restore(&few(), &archive);
        assert!(restored == bytes);
        let report = report.unwrap();
        assert_eq!(report.chunks, 300);
        assert!(report.races >= 3, "{} races", report.races);
    });
}
