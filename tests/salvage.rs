//! Damaged datastores: what can be had is restored, and what can't is listed, exactly.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::time::Duration;

use chunk_restore::{Damage, ErrorKind, Event, Restore};
use testkit::{Image, Prng, within};

mod support;

use support::disk::{Disk, Says};
use support::{Fault, Script};

const CHUNK: usize = 4096;
const LIMIT: Duration = Duration::from_secs(60);

fn image(count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count * CHUNK];
    Prng::new(3).fill(&mut bytes);
    bytes
}

fn script(bytes: &[u8]) -> Script {
    Script::of(
        Image::from_bytes(bytes.to_vec(), CHUNK as u64),
        CHUNK as u64,
    )
}

/// Faults that stay, whatever is tried.
fn for_ever(mut script: Script, position: usize, fault: Fault) -> Script {
    let digest = script.digests()[position];
    for _ in 0..99 {
        script = script.fault(digest, fault);
    }
    script
}

fn list(damage: &[Damage]) -> Vec<(usize, u64, u32, ErrorKind)> {
    let entry = |damage: &Damage| (damage.position, damage.offset, damage.len, damage.kind);
    damage.iter().map(entry).collect()
}

#[test]
fn the_damage_is_listed_exactly_and_all_else_is_right() {
    let bytes = image(400);
    let injected = [
        (3, Fault::Missing, ErrorKind::Missing),
        (4, Fault::Corrupt, ErrorKind::Corrupt),
        (77, Fault::Truncated, ErrorKind::Corrupt),
        (200, Fault::Unreadable, ErrorKind::Unreadable),
        (399, Fault::TooLong, ErrorKind::Corrupt),
    ];
    let mut script = script(&bytes);
    let digests = script.digests();
    script.depth = 3;
    for (position, fault, _) in injected {
        script = for_ever(script, position, fault);
    }
    let (archive, _) = script.archive();
    let mut disk = Disk::holding(Vec::new(), Says::Nothing);
    let mut told = Vec::new();
    let report = Restore::new()
        .salvage(true)
        .run_with(&archive, &mut disk, |event| {
            if let Event::Lost(damage) = event {
                told.push(damage.clone());
            }
        })
        .unwrap();
    let mut right = bytes;
    for (position, _, _) in injected {
        right[position * CHUNK..][..CHUNK].fill(0);
    }
    assert!(disk.bytes() == right);
    assert_eq!(disk.finished, Some(true));
    let expected = injected
        .map(|(position, _, kind)| (position, (position * CHUNK) as u64, CHUNK as u32, kind));
    assert_eq!(list(&report.damage), expected);
    assert_eq!(told, report.damage);
    let names = report.damage.iter().map(|damage| *damage.digest.as_bytes());
    assert!(names.eq(injected.iter().map(|(position, ..)| digests[*position])));
}

#[test]
fn after_healing_only_what_was_lost_is_fetched() {
    let bytes = image(100);
    let mut memory = Vec::new();
    for lost in [&[10, 50][..], &[]] {
        let mut script = script(&bytes);
        for position in lost {
            script = for_ever(script, *position, Fault::Missing);
        }
        let (archive, watch) = script.archive();
        let mut disk = Disk::holding(memory, Says::Similar);
        let report = Restore::new()
            .salvage(true)
            .run(&archive, &mut disk)
            .unwrap();
        assert_eq!(report.damage.len(), lost.len());
        assert_eq!(disk.finished, Some(!lost.is_empty()));
        // Each that is lost was asked for twice.
        assert_eq!(watch.requests(), if lost.is_empty() { 2 } else { 102 });
        memory = disk.bytes();
    }
    assert!(memory == bytes);
}

#[test]
fn without_salvage_the_first_damage_fails_the_restore() {
    let (archive, _) = for_ever(script(&image(10)), 4, Fault::Missing).archive();
    let mut disk = Disk::holding(Vec::new(), Says::Nothing);
    let error = Restore::new().run(&archive, &mut disk).unwrap_err();
    assert_eq!(
        (error.kind(), error.position()),
        (ErrorKind::Missing, Some(4))
    );
    assert_eq!(disk.finished, None);
}

#[test]
fn what_could_not_be_fetched_is_no_damage() {
    for (fault, kind) in [
        (Fault::Transient, ErrorKind::Unavailable),
        (Fault::Disconnect, ErrorKind::Unavailable),
        (Fault::Denied, ErrorKind::Denied),
    ] {
        let (archive, _) = for_ever(script(&image(10)), 4, fault).archive();
        let mut disk = Disk::holding(Vec::new(), Says::Nothing);
        let error = within(LIMIT, move || {
            Restore::new()
                .salvage(true)
                .patience(Duration::from_millis(300))
                .run(&archive, &mut disk)
                .unwrap_err()
        });
        assert_eq!(error.kind(), kind, "{fault:?}");
    }
}

#[test]
fn a_lost_chunk_is_lost_wherever_it_occurs() {
    let mut bytes = image(12);
    for copy in [5, 6, 11] {
        bytes.copy_within(2 * CHUNK..3 * CHUNK, copy * CHUNK);
    }
    for says in [Says::Nothing, Says::Unreadable, Says::Similar] {
        let (archive, _) = for_ever(script(&bytes), 2, Fault::Missing).archive();
        let mut disk = Disk::holding(Vec::new(), says);
        let report = Restore::new()
            .salvage(true)
            .run(&archive, &mut disk)
            .unwrap();
        let expected = [2, 5, 6, 11].map(|position| {
            (
                position,
                (position * CHUNK) as u64,
                CHUNK as u32,
                ErrorKind::Missing,
            )
        });
        assert_eq!(list(&report.damage), expected, "{says:?}");
        let lost =
            [2, 5, 6, 11].map(|position| disk.bytes()[position * CHUNK..][..CHUNK] == [0; CHUNK]);
        assert_eq!(lost, [true; 4]);
    }
}

#[test]
fn verify_lists_all_damage() {
    let mut script = script(&image(60));
    for (position, fault) in [
        (0, Fault::Corrupt),
        (30, Fault::Missing),
        (59, Fault::Unreadable),
    ] {
        script = for_ever(script, position, fault);
    }
    let (archive, _) = script.archive();
    let report = Restore::new()
        .salvage(true)
        .verify(&archive, |_| {})
        .unwrap();
    let kinds: Vec<_> = report
        .damage
        .iter()
        .map(|damage| (damage.position, damage.kind))
        .collect();
    let expected = [
        (0, ErrorKind::Corrupt),
        (30, ErrorKind::Missing),
        (59, ErrorKind::Unreadable),
    ];
    assert_eq!(kinds, expected);
}
