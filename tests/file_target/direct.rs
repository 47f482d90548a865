//! Files that are written past the page cache: they hold the same bytes, and leave other programs theirs.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use chunk_restore::backend::Buffer;
use chunk_restore::target::{ChunkData, Target, Zeros};
use chunk_restore::{ErrorKind, FileTarget, Restore};
use tempfile::TempDir;
use testkit::{Image, Workload};

use crate::disks::{Loop, Mount, run};
use crate::support::Script;
use crate::{names, noise};

const MIB: u64 = 1 << 20;

/// An ext4 of so many MiB, which takes direct writes, and what it is on.
fn ext4(mib: usize) -> Option<(Mount, Loop)> {
    let device = Loop::thin(mib << 20)?;
    run(Command::new("mkfs.ext4").arg("-q").arg(device.path()))?;
    Some((Mount::device(device.path())?, device))
}

/// How many bytes of a file are in the page cache.
fn cached(path: &Path) -> Option<u64> {
    let mut fincore = Command::new("fincore");
    let shown = run(fincore
        .args(["--bytes", "--noheadings", "-o", "RES"])
        .arg(path))?;
    Some(shown.trim().parse().unwrap())
}

/// A chunk whose data begins on a page, as nearly all do.
fn chunk(data: &[u8]) -> ChunkData {
    let mut buffer = Buffer::new();
    buffer.extend_from_slice(data);
    buffer.into()
}

fn bytes(image: &Image) -> Vec<u8> {
    (0..image.count()).flat_map(|at| image.chunk(at)).collect()
}

/// Restores an image, and compares the file with it.
fn restores(path: &Path, image: &Image, len: u64, buffered: bool) {
    let (archive, _) = Script::of(image.clone(), MIB).archive();
    let mut target = FileTarget::create(path).unwrap().buffered(buffered);
    let report = Restore::new().run(&archive, &mut target).unwrap();
    assert_eq!(report.committed, len);
    drop(target);
    assert!(fs::read(path).unwrap() == bytes(image), "{len} bytes");
}

#[test]
fn a_file_of_any_length_is_the_same_with_and_without_the_page_cache() {
    let folders = [
        TempDir::new().unwrap(),
        TempDir::new_in("/dev/shm").unwrap(),
    ];
    for len in [1, 4096, 5 * MIB, 5 * MIB + 4096 + 512, 7 * MIB + 1] {
        let image = Image::new(Workload::Typical, len, len, MIB);
        for folder in &folders {
            for buffered in [false, true] {
                let path = folder.path().join(format!("{len}-{buffered}"));
                restores(&path, &image, len, buffered);
            }
        }
    }
}

#[test]
fn any_range_of_an_archive_is_the_same() {
    let folder = TempDir::new().unwrap();
    let image = Image::new(Workload::Incompressible, 7, 6 * MIB, MIB);
    for (from, to) in [
        (0, 100),
        (4096, 3 * MIB),
        (5, 6 * MIB),
        (MIB + 4097, 4 * MIB),
    ] {
        let (archive, _) = Script::of(image.clone(), MIB).archive();
        let path = folder.path().join(format!("{from}"));
        let mut target = FileTarget::create(&path).unwrap();
        let restore = Restore::new().range(from..to);
        restore.run(&archive, &mut target).unwrap();
        let expected = &bytes(&image)[from as usize..to as usize];
        assert!(fs::read(&path).unwrap() == expected, "{from}..{to}");
    }
}

#[test]
fn chunks_with_holes_are_written_behind_like_all_others() {
    let folder = TempDir::new().unwrap();
    // A few pieces, many pieces, and nothing but zeros.
    let mut few = noise(1, 1 << 20);
    few[8192..500_000].fill(0);
    let mut many = noise(2, 1 << 20);
    (many.chunks_mut(4096).step_by(2)).for_each(|block| block.fill(0));
    let chunks = [few, many, vec![0; 1 << 20], noise(3, 1 << 20)];
    for zeros in [Zeros::Auto, Zeros::Write, Zeros::Punch] {
        for rest in [0, 2_500_000] {
            let path = folder.path().join(format!("{zeros:?}-{rest}"));
            let partial = path.with_file_name(format!("{zeros:?}-{rest}.partial"));
            fs::write(partial, vec![0xff; rest]).unwrap();
            let mut target = FileTarget::create(&path).unwrap().zeros(zeros);
            target.begin(9 << 20, 0).unwrap();
            for data in chunks.iter().chain(&chunks) {
                target.write_behind(chunk(data)).unwrap();
            }
            // What was just handed over can be copied.
            assert!(target.copy(7 << 20, 1 << 20).unwrap());
            target.finish(false).unwrap();
            let expected = [&chunks.concat()[..], &chunks.concat(), &chunks[3]].concat();
            assert!(fs::read(&path).unwrap() == expected, "{zeros:?} {rest}");
        }
    }
}

#[test]
fn a_restore_leaves_the_page_cache_to_others_unless_it_is_told_to_use_it() {
    let Some((mount, _device)) = ext4(96) else {
        return;
    };
    let image = Image::new(Workload::Incompressible, 5, 24 * MIB + 100, MIB);
    let path = |name: &str| -> PathBuf { mount.path().join(name) };
    restores(&path("buffered"), &image, 24 * MIB + 100, true);
    let (archive, _) = Script::of(image.clone(), MIB).archive();
    let mut target = FileTarget::create(path("direct")).unwrap();
    Restore::new().run(&archive, &mut target).unwrap();
    let Some(held) = cached(&path("direct")) else {
        return;
    };
    assert!(held < MIB, "{held} bytes of it are in the page cache");
    // The kernel takes some of it where it is short of memory.
    let others = cached(&path("buffered")).unwrap();
    assert!(others >= 12 * MIB, "{others} bytes of the other are left");
    assert!(fs::read(path("direct")).unwrap() == bytes(&image));
}

#[test]
fn a_disk_that_fills_up_fails_at_the_first_byte_that_is_missing_and_the_restore_goes_on_there() {
    let Some((mount, _device)) = ext4(32) else {
        return;
    };
    let filler = mount.path().join("filler");
    fs::write(&filler, noise(9, 12 << 20)).unwrap();
    File::open(&filler).unwrap().sync_all().unwrap();
    let image = Image::new(Workload::Incompressible, 6, 20 * MIB + 5, MIB);
    let path = mount.path().join("disk.raw");
    let (archive, _) = Script::of(image.clone(), MIB).archive();
    let mut target = FileTarget::create(&path).unwrap().check_space(false);
    let error = Restore::new().run(&archive, &mut target).unwrap_err();
    drop(target);
    assert_eq!(error.kind(), ErrorKind::Target, "{error}");
    let offset = error.offset().unwrap();
    assert!(offset > 0 && offset.is_multiple_of(MIB), "{error}");
    assert_eq!(
        names(mount.path()),
        ["disk.raw.partial", "filler", "lost+found"]
    );
    let partial = fs::read(mount.path().join("disk.raw.partial")).unwrap();
    let held = offset as usize;
    assert!(partial[..held] == bytes(&image)[..held], "{error}");

    fs::remove_file(filler).unwrap();
    let mut target = FileTarget::create(&path).unwrap();
    let report = Restore::new().run(&archive, &mut target).unwrap();
    assert!(report.kept >= offset, "{report:?}");
    assert!(fs::read(&path).unwrap() == bytes(&image));
}
