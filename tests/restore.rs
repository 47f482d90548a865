//! What a restore gives: the right bytes, in order, whatever happens on the way.
#![allow(clippy::unwrap_used, reason = "a test that can't be set up has failed")]

mod support;

use std::path::Path;

use chunk_restore::format::KeyFile;
use chunk_restore::target::Target;
use chunk_restore::{ErrorKind, Event, Key, OpenOptions, Restore, Sample, StreamTarget};
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use support::{DISK, Fault, Memory, SNAPSHOT, Script};
use testkit::{CryptMode, Image, InMemory, Prng, SnapshotBuilder, TestKey, Workload};

const GOLDEN: &str = "54e679a0c7461c60c837c4e5ffe0e13646fd23245b940604bbf24ae631222d72";
const TAIL: &str = "85f7bc65d185104b20f6439898656861943cffac22970bd626f00a0d52cdd6c2";
const EXACT: &str = "45fdf33a4a070d5b8ea253d5d8b184382d0f2241306c9d83c0da5ac7741d8019";
const TINY: &str = "9ad7a1ca9f48a21d0fac25002350bc4b38fc541dfed74bdbc8a6667e2e4428b5";

fn golden() -> String {
    format!("dir:{}/tests/golden/datastore", env!("CARGO_MANIFEST_DIR"))
}

fn key(name: &str) -> Key {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/keys")
        .join(name);
    let file = KeyFile::read(path).unwrap();
    file.unlock(Some(b"test-passphrase")).unwrap()
}

fn hex(data: &[u8]) -> String {
    testkit::hex(&Sha256::digest(data))
}

#[test]
fn every_golden_image_has_its_recorded_digest_by_one_thread_and_by_eight() {
    let keys = ["plain.key", "scrypt.key", "pbkdf2.key"].map(key);
    let options = keys
        .iter()
        .cloned()
        .fold(OpenOptions::new(), OpenOptions::key);
    let datastore = options.allow_unsigned(true).open(&golden()).unwrap();
    let team = datastore.in_namespace("team/a".parse().unwrap());
    for (datastore, snapshot, archive, sha256) in [
        (&datastore, "vm/200", "drive-scsi0.img", GOLDEN),
        (&datastore, "vm/200", "drive-scsi1.img", TAIL),
        (&datastore, "vm/200", "drive-scsi2.img", EXACT),
        (&datastore, "vm/200", "drive-efidisk0.img", TINY),
        (&datastore, "vm/201", "drive-scsi0.img", GOLDEN),
        (&datastore, "vm/201", "drive-scsi1.img", TAIL),
        (&datastore, "vm/202", "drive-scsi0.img", GOLDEN),
        (&datastore, "vm/203", "drive-scsi0.img", GOLDEN),
        (&datastore, "vm/204", "drive-scsi0.img", GOLDEN),
        (&team, "vm/200", "drive-scsi0.img.fidx", GOLDEN),
    ] {
        let archive = datastore
            .snapshot(snapshot)
            .unwrap()
            .archive(archive)
            .unwrap();
        for threads in [1, 8] {
            let mut target = StreamTarget::new(Vec::new());
            let report = Restore::new()
                .threads(threads)
                .run(&archive, &mut target)
                .unwrap();
            let data = target.into_inner();
            assert_eq!(hex(&data), sha256, "{snapshot} by {threads}");
            assert_eq!(
                (report.committed, report.len),
                (data.len() as u64, data.len() as u64)
            );
        }
    }
}

#[test]
fn every_golden_archive_equals_the_serial_model() {
    let (plain, golden_key) = (
        key("plain.key"),
        std::fs::read_to_string("tests/golden/keys/plain.key").unwrap(),
    );
    let test_key = TestKey::from_key_file(&golden_key);
    let datastore = OpenOptions::new()
        .key(plain)
        .allow_unsigned(true)
        .open(&golden())
        .unwrap();
    let chunks = Path::new("tests/golden/datastore/.chunks");
    let mut archives = 0;
    for snapshot in [
        "host/tree",
        "host/tree2",
        "ct/300",
        "vm/200",
        "vm/201",
        "vm/203",
    ] {
        let snapshot = datastore.snapshot(snapshot).unwrap();
        for file in snapshot
            .manifest()
            .files()
            .iter()
            .filter(|file| file.is_archive())
        {
            let archive = snapshot.archive(file.name()).unwrap();
            let index = std::fs::read(
                Path::new("tests/golden/datastore")
                    .join(snapshot.name().to_string())
                    .join(file.name()),
            );
            let model = testkit::restore(
                &index.unwrap(),
                |digest| {
                    let name = testkit::hex(digest);
                    std::fs::read(chunks.join(&name[..4]).join(name)).ok()
                },
                archive.key().map(|_| &test_key),
            );
            let mut target = StreamTarget::new(Vec::new());
            Restore::new().run(&archive, &mut target).unwrap();
            assert!(
                target.into_inner() == model,
                "{} {}",
                snapshot.name(),
                file.name()
            );
            archives += 1;
        }
    }
    assert_eq!(archives, 2 + 2 + 2 + 4 + 2 + 1);
}

#[test]
fn zeros_are_never_asked_for() {
    for mode in [CryptMode::None, CryptMode::SignOnly, CryptMode::Encrypt] {
        let key = TestKey::from_seed(7);
        let store = InMemory::new();
        let mut bytes = vec![0; 5 * 4096 + 100];
        bytes[2 * 4096] = 1;
        let mut snapshot = SnapshotBuilder::new(SNAPSHOT).chunk_size(4096);
        if !matches!(mode, CryptMode::None) {
            snapshot = snapshot.key(&key, mode);
        }
        snapshot.image(DISK, bytes.clone()).write_to(&store);
        let script = Script::over(store);
        let watch = script.watch.clone();
        let mut options = OpenOptions::new();
        if !matches!(mode, CryptMode::None) {
            options = options.key(Key::from_bytes(*key.enc_key()));
        }
        let archive = script
            .open(options)
            .snapshot(SNAPSHOT)
            .unwrap()
            .archive(DISK)
            .unwrap();
        let plan = Restore::new().plan(&archive);
        assert_eq!(
            (plan.chunks_to_fetch(), plan.zeros()),
            (1, 4 * 4096 + 100),
            "{mode:?}"
        );
        let mut target = Memory::default();
        let report = Restore::new().run(&archive, &mut target).unwrap();
        assert!(target.data == bytes && target.is_finished);
        assert_eq!(
            (watch.requests(), report.chunks, report.zeros),
            (1, 1, 4 * 4096 + 100),
            "{mode:?}"
        );
    }
}

#[test]
fn an_empty_image_is_finished_without_a_byte() {
    let (archive, watch) = Script::of(Image::from_bytes(Vec::new(), 4096), 4096).archive();
    let mut target = Memory::default();
    let report = Restore::new().run(&archive, &mut target).unwrap();
    assert!(target.is_finished && target.data.is_empty());
    assert_eq!((report.len, watch.requests()), (0, 0));
}

#[test]
fn an_archive_of_chunks_of_any_length_is_restored() {
    let mut bytes = vec![0; 100_000];
    Prng::new(3).fill(&mut bytes);
    let store = InMemory::new();
    SnapshotBuilder::new(SNAPSHOT)
        .archive("root.pxar", &bytes, &[1, 70_000, 70_001, 99_999])
        .write_to(&store);
    let archive = Script::over(store)
        .open(OpenOptions::new())
        .snapshot(SNAPSHOT)
        .unwrap();
    let archive = archive.archive("root.pxar").unwrap();
    assert_eq!(archive.index().largest_chunk(), 69_999);
    let mut target = Memory::default();
    Restore::new().memory(0).run(&archive, &mut target).unwrap();
    assert!(target.data == bytes && target.is_finished);
}

#[test]
fn the_observer_sees_every_commit_in_order() {
    let image = Image::new(Workload::Incompressible, 1, 40 * 4096, 4096);
    let (archive, _) = Script::of(image, 4096).archive();
    let mut seen = Vec::new();
    let report = Restore::new()
        .run_with(&archive, &mut Memory::default(), |event| {
            if let Event::Progress(report) = event {
                seen.push(report.committed);
            }
        })
        .unwrap();
    seen.dedup();
    assert!(seen.is_sorted());
    let commits: Vec<u64> = (1..=40).map(|count| count * 4096).collect();
    assert!(
        commits.iter().all(|commit| seen.contains(commit)),
        "{seen:?}"
    );
    assert_eq!(report.committed, 40 * 4096);
}

#[test]
fn verify_finds_what_restore_would_and_writes_nothing() {
    let image = Image::new(Workload::Incompressible, 1, 8 * 4096, 4096);
    let script = Script::of(image, 4096);
    let digest = script.digests()[5];
    let script = script.fault(digest, Fault::Missing);
    let (archive, _) = script.fault(digest, Fault::Missing).archive();
    let error = Restore::new().verify(&archive, |_| {}).unwrap_err();
    assert_eq!(
        (error.kind(), error.position()),
        (ErrorKind::Missing, Some(5))
    );
    let report = Restore::new().verify(&archive, |_| {}).unwrap();
    assert_eq!(report.committed, 8 * 4096);
}

#[test]
fn runs_with_all_parts_of_a_sample_fetch_each_chunk_once_and_skip_the_others() {
    let image = Image::new(Workload::Incompressible, 1, 50 * 4096, 4096);
    let (archive, _) = Script::of(image, 4096).archive();
    let mut fetched = Vec::new();
    for number in 1..=7 {
        let sample = Sample::new(number, 7).unwrap();
        let before = fetched.len();
        let observe = |event: Event<'_>| {
            if let Event::Fetched(digest) = event {
                assert!(sample.contains(digest));
                fetched.push(*digest);
            }
        };
        let chosen = |digest: &_| sample.contains(digest);
        let report = (Restore::new())
            .verify_chosen(&archive, chosen, observe)
            .unwrap();
        let chunks = (fetched.len() - before) as u64;
        let found = (report.chunks, report.len, report.committed, report.skipped);
        let expected = (chunks, chunks * 4096, chunks * 4096, (50 - chunks) * 4096);
        assert_eq!(found, expected);
    }
    let index = archive.index();
    let mut all: Vec<_> = (0..50)
        .filter_map(|position| index.chunk(position))
        .collect();
    all.sort_by_key(|chunk| chunk.digest);
    fetched.sort();
    assert!(
        fetched
            .into_iter()
            .eq(all.into_iter().map(|chunk| chunk.digest))
    );
}

#[test]
fn the_group_name_means_the_last_finished_snapshot() {
    let datastore = OpenOptions::new().open(&golden()).unwrap();
    let snapshot = datastore.snapshot("vm/200").unwrap();
    assert_eq!(snapshot.name().to_string(), "vm/200/2024-06-10T10:00:00Z");
}

/// Faults that a restore gets over, and faults that end it.
fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        6 => Just(Fault::Transient),
        3 => Just(Fault::Corrupt),
        2 => Just(Fault::Disconnect),
        1 => Just(Fault::Truncated),
        1 => Just(Fault::Missing),
        1 => Just(Fault::Unreadable),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// For any order of completion, any window and any failures the target gets a prefix of the image; the whole if and
    /// only if the restore says so; and never more is outstanding than the memory allows.
    #[test]
    fn the_target_gets_exactly_a_prefix(
        count in 1_usize..60,
        tail in 1_usize..=4096,
        zeros in prop::collection::vec(any::<bool>(), 60),
        buffers in 1_usize..24,
        depth in 1_usize..10,
        threads in 1_usize..5,
        in_flight in 0_usize..12,
        attempts in 1_u32..4,
        seed in any::<u64>(),
        faults in prop::collection::vec((0_usize..60, fault()), 0..12),
    ) {
        let mut bytes = vec![0; (count - 1) * 4096 + tail];
        for (chunk, zero) in bytes.chunks_mut(4096).zip(&zeros) {
            if !zero {
                Prng::new(seed ^ chunk.len() as u64).fill(chunk);
            }
        }
        // Chunks that differ, so that each fault befalls one position.
        for (position, chunk) in bytes.chunks_mut(4096).enumerate() {
            if chunk.len() >= 8 && !zeros[position] {
                chunk[..8].copy_from_slice(&(position as u64 + 1).to_le_bytes());
            }
        }
        let mut script = Script::of(Image::from_bytes(bytes.clone(), 4096), 4096);
        script.depth = depth;
        script.seed = seed;
        let digests = script.digests();
        for (position, fault) in faults {
            script = script.fault(digests[position % count], fault);
        }
        let buffer = chunk_restore::format::ChunkDecoder::blob_limit(4096) as u64;
        let (archive, watch) = script.archive();
        let mut target = Memory::watched(&watch);
        let result = Restore::new()
            .memory(buffers as u64 * buffer)
            .threads(threads)
            .in_flight(in_flight)
            .attempts(attempts)
            .run(&archive, &mut target);
        prop_assert_eq!(&target.data[..], &bytes[..target.data.len()]);
        prop_assert_eq!(result.is_ok(), target.is_finished);
        prop_assert!(watch.most_outstanding() <= buffers, "{} outstanding", watch.most_outstanding());
        match result {
            Ok(report) => {
                prop_assert_eq!(&target.data, &bytes);
                prop_assert_eq!(report.committed, bytes.len() as u64);
            }
            Err(error) => {
                let position = error.position().unwrap();
                prop_assert_eq!(*error.digest().unwrap().as_bytes(), digests[position]);
                prop_assert_eq!(error.offset(), Some(position as u64 * 4096));
                prop_assert!(target.data.len() <= position * 4096);
            }
        }
    }
}

#[test]
fn a_target_without_zeros_of_its_own_gets_them_written() {
    struct Bytes(Vec<u8>);
    impl Target for Bytes {
        fn write(&mut self, data: &[u8]) -> std::io::Result<()> {
            self.0.extend_from_slice(data);
            Ok(())
        }
        fn finish(&mut self, _damaged: bool) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut target = Bytes(Vec::new());
    target.write_zeros(200_000).unwrap();
    assert!(target.0 == vec![0; 200_000]);
}
