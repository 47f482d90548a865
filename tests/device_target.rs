//! Block devices as targets: exactly the archive's bytes are on them, and only on those that nobody uses.
#![allow(clippy::unwrap_used, reason = "a test that can't be set up has failed")]

mod disks;
mod support;

use std::error::Error as _;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::process::Command;

use chunk_restore::target::{Existing, Target, Zeros};
use chunk_restore::{DeviceTarget, ErrorKind, Restore};
use support::Script;
use tempfile::TempDir;
use testkit::{Image, Workload};

use crate::disks::{Loop, Mount, run};

const MIB: usize = 1 << 20;
const POLICIES: [Zeros; 4] = [Zeros::Auto, Zeros::Write, Zeros::Punch, Zeros::Discard];

fn begun(device: &Loop, zeros: Zeros, len: usize) -> DeviceTarget {
    let mut target = DeviceTarget::open(device.path()).unwrap().zeros(zeros);
    target.begin(len as u64, 0).unwrap();
    target
}

/// Data and zeros that begin and end within blocks, and an odd end.
fn write_mixture(target: &mut DeviceTarget) -> Vec<u8> {
    let mut data = vec![1; 100_000];
    data[20_000..60_000].fill(0);
    let mut whole = Vec::new();
    for zeros in [300_001, 100, 512, 4096, 200_000, 77] {
        target.write(&data).unwrap();
        target.write_zeros(zeros).unwrap();
        whole.extend_from_slice(&data);
        whole.resize(whole.len() + zeros as usize, 0);
    }
    target.finish(false).unwrap();
    whole
}

const MIXTURE: usize = 6 * 100_000 + 504_786;

fn taken(device: &Loop) -> u64 {
    File::open(device.file()).unwrap().sync_all().unwrap();
    fs::metadata(device.file()).unwrap().blocks() * 512
}

#[test]
fn what_a_device_held_does_not_show_through_zeros() {
    type Make = fn(usize) -> Option<Loop>;
    let makes: [Make; 3] = [Loop::thin, Loop::thin_4k, Loop::thick];
    for make in makes {
        for zeros in POLICIES {
            let Some(device) = make(2 * MIB) else { return };
            let is_thick = !can_punch(&device);
            if is_thick && matches!(zeros, Zeros::Punch | Zeros::Discard) {
                continue;
            }
            let mut target = begun(&device, zeros, MIXTURE);
            let mut expected = write_mixture(&mut target);
            // The rest is as it was, or discarded with all.
            let rest = if zeros == Zeros::Discard { 0 } else { 0xff };
            expected.resize(2 * MIB, rest);
            drop(target);
            assert!(
                fs::read(device.path()).unwrap() == expected,
                "{zeros:?} {is_thick}"
            );
        }
    }
}

fn can_punch(device: &Loop) -> bool {
    let name = device.path().file_name().unwrap().to_str().unwrap();
    let limit = format!("/sys/block/{name}/queue/write_zeroes_max_bytes");
    fs::read_to_string(limit).unwrap().trim() != "0"
}

#[test]
fn zeros_take_no_room_on_a_device_that_can_do_without() {
    for zeros in [Zeros::Auto, Zeros::Punch, Zeros::Discard] {
        let Some(device) = Loop::thin(8 * MIB) else {
            return;
        };
        let mut target = begun(&device, zeros, 8 * MIB);
        target.write(&[1; MIB]).unwrap();
        target.write_zeros(4 << 20).unwrap();
        target.write_zeros(3 << 20).unwrap();
        target.finish(false).unwrap();
        assert!(taken(&device) < 2 << 20, "{zeros:?}: {}", taken(&device));
    }
    let Some(device) = Loop::thin(8 * MIB) else {
        return;
    };
    let mut target = begun(&device, Zeros::Write, 8 * MIB);
    target.write_zeros(8 << 20).unwrap();
    target.finish(false).unwrap();
    assert!(taken(&device) >= 8 << 20, "{}", taken(&device));
}

#[test]
fn a_device_that_cannot_do_without_says_so_where_it_must() {
    let Some(device) = Loop::thick(MIB) else {
        return;
    };
    assert!(!can_punch(&device));
    let error = begun(&device, Zeros::Punch, MIB)
        .write_zeros(4096)
        .unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    let mut target = DeviceTarget::open(device.path())
        .unwrap()
        .zeros(Zeros::Discard);
    let error = target.begin(MIB as u64, 0).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    assert!(error.to_string().contains("blkdiscard"), "{error}");
    drop(target);
    assert!(fs::read(device.path()).unwrap() == vec![0xff; MIB]);
}

#[test]
fn a_device_that_holds_zeros_is_not_written_to_for_them() {
    let Some(device) = Loop::thick(MIB) else {
        return;
    };
    fs::write(device.path(), vec![0; MIB]).unwrap();
    File::open(device.path()).unwrap().sync_all().unwrap();
    let written = || {
        let name = device.path().file_name().unwrap().to_str().unwrap();
        let numbers = fs::read_to_string(format!("/sys/block/{name}/stat")).unwrap();
        numbers.split_whitespace().nth(6).unwrap().to_owned()
    };
    let before = written();
    let mut target = begun(&device, Zeros::Auto, MIB);
    target.write_zeros(MIB as u64).unwrap();
    target.finish(false).unwrap();
    assert_eq!(written(), before);
}

#[test]
fn a_device_that_is_too_small_is_refused_untouched() {
    let Some(device) = Loop::thin(MIB) else {
        return;
    };
    for zeros in POLICIES {
        let mut target = DeviceTarget::open(device.path()).unwrap().zeros(zeros);
        assert_eq!(target.size(), MIB as u64);
        let error = target.begin(MIB as u64 + 1, 0).unwrap_err();
        assert_eq!(
            error.to_string(),
            "it has 1048576 bytes, and 1048577 are needed"
        );
    }
    assert!(fs::read(device.path()).unwrap() == vec![0xff; MIB]);
}

#[test]
fn a_device_that_is_in_use_is_refused() {
    let Some(device) = Loop::thin(8 * MIB) else {
        return;
    };
    let first = DeviceTarget::open(device.path()).unwrap();
    is_in_use(device.path());
    drop(first);
    let mut mkfs = Command::new("mkfs.ext4");
    let Some(_) = run(mkfs.arg("-q").arg(device.path())) else {
        return;
    };
    let Some(mount) = Mount::device(device.path()) else {
        return;
    };
    is_in_use(device.path());
    drop(mount);
    DeviceTarget::open(device.path()).unwrap();
}

fn is_in_use(path: &Path) {
    let error = DeviceTarget::open(path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Target);
    assert!(error.to_string().contains("is in use"), "{error}");
    assert!(error.source().is_some());
}

#[test]
fn what_is_no_block_device_is_refused() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("disk.raw");
    fs::write(&file, "data").unwrap();
    for path in [&file, folder.path(), Path::new("/dev/null")] {
        let error = DeviceTarget::open(path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Target);
        assert!(
            error.to_string().ends_with("is not a block device"),
            "{error}"
        );
    }
    let error = DeviceTarget::open(folder.path().join("none")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Target);
}

#[test]
fn what_a_device_holds_is_offered_and_can_be_kept() {
    let Some(device) = Loop::thin(MIB) else {
        return;
    };
    // Volumes are known by links.
    let folder = TempDir::new().unwrap();
    let link = folder.path().join("vm-100-disk-0");
    symlink(device.path(), &link).unwrap();
    let mut target = DeviceTarget::open(&link).unwrap();
    target.begin(3 * 4096, 0).unwrap();
    let Existing::Resume(reader) = target.existing() else {
        panic!("{:?}", target.existing());
    };
    target.write(&[1; 4096]).unwrap();
    target.keep(4096).unwrap();
    assert!(!target.copy(0, 4096).unwrap());
    target.write(&[2; 4096]).unwrap();
    target.finish(false).unwrap();
    let mut data = vec![0; 4 * 4096];
    reader.read_exact_at(&mut data, 0).unwrap();
    assert_eq!(reader.next_data(5).unwrap(), Some(5));
    let expected = [[1; 4096], [0xff; 4096], [2; 4096], [0xff; 4096]];
    assert!(data == expected.concat());
    drop((reader, target));

    let mut target = DeviceTarget::open(&link).unwrap().reuse(true);
    target.begin(4096, 0).unwrap();
    assert!(matches!(target.existing(), Existing::Similar(_)));
    let mut target = target.zeros(Zeros::Discard);
    target.begin(4096, 0).unwrap();
    assert!(matches!(target.existing(), Existing::Blank(_)));
}

#[test]
fn a_restored_device_holds_the_image_whatever_it_held() {
    let mut bytes = vec![7; MIB + 1000];
    bytes[100_000..700_000].fill(0);
    for zeros in POLICIES {
        let Some(device) = Loop::thin(2 * MIB) else {
            return;
        };
        let image = Image::from_bytes(bytes.clone(), 65_536);
        let (archive, _) = Script::of(image, 65_536).archive();
        let mut target = DeviceTarget::open(device.path()).unwrap().zeros(zeros);
        Restore::new().run(&archive, &mut target).unwrap();
        drop(target);
        assert!(
            fs::read(device.path()).unwrap()[..bytes.len()] == bytes,
            "{zeros:?}"
        );
    }
}

#[test]
fn a_device_is_the_same_with_and_without_the_page_cache_and_nothing_behind_the_archive_is_touched()
{
    let chunk = MIB as u64;
    // The end is within a page, and within a block of the device.
    for len in [5 * MIB, 5 * MIB + 512, 5 * MIB + 4097] {
        let image = Image::new(Workload::Typical, 11, len as u64, chunk);
        for buffered in [false, true] {
            let Some(device) = Loop::thin(8 * MIB) else {
                return;
            };
            let (archive, _) = Script::of(image.clone(), chunk).archive();
            let mut target = DeviceTarget::open(device.path())
                .unwrap()
                .buffered(buffered);
            let report = Restore::new().run(&archive, &mut target).unwrap();
            assert_eq!(report.committed, len as u64);
            drop(target);
            let held = fs::read(device.path()).unwrap();
            let expected: Vec<u8> = (0..image.count()).flat_map(|at| image.chunk(at)).collect();
            assert!(held[..len] == expected, "{len} bytes, buffered: {buffered}");
            assert!(held[len..].iter().all(|byte| *byte == 0xff), "{len} bytes");
        }
    }
}
