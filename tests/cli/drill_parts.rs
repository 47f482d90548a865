//! The parts of a drill by themselves: the table of chunks, and when a chunk is due again.

use std::collections::{BTreeMap, HashSet};

use chunk_restore::Digest;
use proptest::prelude::*;

use crate::due::Due;
use crate::verified_table::{Mark, ShortDigest, Table, short};

fn digest(n: u32) -> Digest {
    Digest::of(&n.to_le_bytes())
}

/// The day on which a chunk is due again that was verified on `day`.
fn next(digest: &ShortDigest, day: u16, max_age: u16) -> u16 {
    let is_due = |today: &u16| {
        let today = *today;
        !Due { today, max_age }.is_fresh(digest, day)
    };
    (day..).find(is_due).unwrap()
}

proptest! {
    #[test]
    fn a_chunk_is_due_in_the_last_half_of_its_days_and_stays_due(
        n: u32, day in 0_u16..30_000, max_age in 1_u16..=3650,
    ) {
        let digest = short(&digest(n));
        let next = next(&digest, day, max_age);
        let days = (max_age / 2).max(1);
        prop_assert!(next > day + max_age - days && next <= day + max_age);
        for today in next..next + 2 * max_age {
            let due = Due { today, max_age };
            prop_assert!(!due.is_fresh(&digest, day));
        }
        // A clock that was wrong has written the day.
        let due = Due { today: day, max_age };
        prop_assert!(!due.is_fresh(&digest, day + 1));
        let then = self::next(&digest, next, max_age);
        prop_assert!(then - next == max_age || max_age % 2 == 1 && then - next == max_age - 1);
    }
}

#[test]
fn chunks_of_one_day_come_due_on_all_days_of_the_last_half() {
    let mut due = BTreeMap::new();
    for n in 0..3000 {
        *due.entry(next(&short(&digest(n)), 20_000, 30)).or_insert(0) += 1;
    }
    assert!(due.keys().copied().eq(20_016..=20_030), "{due:?}");
    assert!(
        due.values().all(|chunks| (140..260).contains(chunks)),
        "{due:?}"
    );
}

#[test]
fn the_chunks_of_a_sample_come_due_on_all_days_too() {
    let sample: chunk_restore::Sample = "3/30".parse().unwrap();
    let chosen = (0..3000)
        .map(digest)
        .filter(|digest| sample.contains(digest));
    let days: HashSet<u16> = chosen
        .map(|digest| next(&short(&digest), 20_000, 30))
        .collect();
    assert_eq!(days.len(), 15);
}

#[test]
fn the_table_keeps_the_last_mark_of_each_chunk_and_sorts_them() {
    let chunks = 150_000;
    let mut table = Table::default();
    // In no order; many are set twice, before and after they were sorted in.
    for n in (0..chunks).chain((0..chunks).step_by(7)) {
        let mark = if n % 2 == 0 {
            Mark::Verified
        } else {
            Mark::Chosen
        };
        let before = table.get(&digest(n)).map_or(0, |(day, _)| day);
        table.set(&digest(n), before + 1, mark);
    }
    table.set(&digest(chunks), 9, Mark::Lost);
    let counts = table.counts();
    let found = (counts.verified, counts.open, counts.lost, counts.all());
    assert_eq!(found, (75_000, 75_000, 1, 150_001));
    assert_eq!(table.get(&digest(14)), Some((2, Mark::Verified)));
    assert_eq!(table.get(&digest(15)), Some((1, Mark::Chosen)));
    assert_eq!(table.get(&digest(chunks)), Some((9, Mark::Lost)));
    assert_eq!(table.get(&digest(chunks + 1)), None);
    let entries = table.entries();
    assert_eq!(entries.len(), 150_001);
    assert!(entries.is_sorted_by(|one, other| one.digest < other.digest));
}
