//! Zeros become holes, and nothing old shows through them.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use chunk_restore::FileTarget;
use chunk_restore::target::{Target, Zeros};
use tempfile::TempDir;

use crate::disks::Mount;
use crate::noise;

const POLICIES: [Zeros; 4] = [Zeros::Auto, Zeros::Write, Zeros::Punch, Zeros::Discard];

fn taken(path: &Path) -> u64 {
    fs::metadata(path).unwrap().blocks() * 512
}

/// Pieces of data and zeros of odd lengths, with zeros within the data; and what they are together.
fn write_mixture(target: &mut FileTarget) -> Vec<u8> {
    let mut mixed = noise(1, 100_000);
    mixed[5_000..30_000].fill(0);
    mixed[60_001..61_000].fill(0);
    mixed[90_000..].fill(0);
    let pieces = [
        (mixed.as_slice(), 50_001),
        (&mixed[..4097], 300_000),
        (&mixed[..], 4096),
    ];
    let len: usize = pieces.iter().map(|(data, zeros)| data.len() + zeros).sum();
    target.begin(len as u64, 0).unwrap();
    let mut whole = Vec::new();
    for (data, zeros) in pieces {
        target.write(data).unwrap();
        target.write_zeros(zeros as u64).unwrap();
        whole.extend_from_slice(data);
        whole.resize(whole.len() + zeros, 0);
    }
    target.finish(false).unwrap();
    whole
}

fn is_exact_over(folder: &Path, zeros: Zeros, rest: usize) {
    let path = folder.join(format!("{zeros:?}-{rest}"));
    let partial = path.with_file_name(format!("{zeros:?}-{rest}.partial"));
    fs::write(partial, vec![0xff; rest]).unwrap();
    let mut target = FileTarget::create(&path).unwrap().zeros(zeros);
    let expected = write_mixture(&mut target);
    assert!(
        fs::read(&path).unwrap() == expected,
        "{zeros:?} over {rest} bytes"
    );
}

#[test]
fn what_an_earlier_restore_left_does_not_show_through_holes() {
    let folder = TempDir::new().unwrap();
    for zeros in POLICIES {
        for rest in [0, 1, 70_000, 1 << 20] {
            is_exact_over(folder.path(), zeros, rest);
        }
    }
}

#[test]
fn nor_where_no_holes_can_be_made() {
    let Some(mount) = Mount::of("ramfs", "mode=700") else {
        return;
    };
    for zeros in [Zeros::Auto, Zeros::Write] {
        for rest in [0, 70_000, 1 << 20] {
            is_exact_over(mount.path(), zeros, rest);
        }
    }
    // Who insists on holes is told.
    fs::write(mount.path().join("disk.raw.partial"), "old").unwrap();
    let target = FileTarget::create(mount.path().join("disk.raw")).unwrap();
    let mut target = target.zeros(Zeros::Punch);
    target.begin(8192, 0).unwrap();
    let error = target.write_zeros(4096).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    // Where nothing was, nothing must be punched.
    let target = FileTarget::create(mount.path().join("fresh")).unwrap();
    write_mixture(&mut target.zeros(Zeros::Punch));
}

#[test]
fn zeros_become_holes() {
    let folder = TempDir::new().unwrap();
    for rest in [0, 64 << 20] {
        let path = folder.path().join(format!("{rest}"));
        let partial = path.with_file_name(format!("{rest}.partial"));
        fs::write(partial, vec![0xff; rest]).unwrap();
        let mut target = FileTarget::create(&path).unwrap();
        target.begin(64 << 20, 0).unwrap();
        target.write(&[1; 4096]).unwrap();
        target.write_zeros((64 << 20) - 8192).unwrap();
        target.write(&[2; 4096]).unwrap();
        target.finish(false).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), 64 << 20);
        assert!(taken(&path) < 1 << 20, "{} bytes", taken(&path));
        let data = fs::read(&path).unwrap();
        assert!(data[..4096] == [1; 4096] && data[(64 << 20) - 4096..] == [2; 4096]);
        assert!(data[4096..(64 << 20) - 4096].iter().all(|byte| *byte == 0));
    }
}

#[test]
fn runs_of_zeros_within_data_become_holes() {
    let folder = TempDir::new().unwrap();
    let mut chunk = vec![0; 1 << 20];
    for at in (0..chunk.len()).step_by(128 << 10) {
        chunk[at + 5000] = 1;
    }
    for rest in [0, 4 << 20] {
        let path = folder.path().join(format!("{rest}"));
        let partial = path.with_file_name(format!("{rest}.partial"));
        fs::write(partial, vec![0xff; rest]).unwrap();
        let mut target = FileTarget::create(&path).unwrap();
        target.begin(4 << 20, 0).unwrap();
        for _ in 0..4 {
            target.write(&chunk).unwrap();
        }
        target.finish(false).unwrap();
        // One block of 4 KiB for each byte, and what the file system needs to remember so many.
        assert!(
            taken(&path) < 32 * 4096 + (64 << 10),
            "{} bytes",
            taken(&path)
        );
        assert!(fs::read(&path).unwrap() == chunk.repeat(4));
    }
}

#[test]
fn a_file_without_holes_has_room_for_all_its_zeros() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("disk.raw");
    let partial = fs::File::create(folder.path().join("disk.raw.partial")).unwrap();
    partial.set_len(1 << 20).unwrap();
    drop(partial);
    let mut target = FileTarget::create(&path).unwrap().zeros(Zeros::Write);
    target.begin(4 << 20, 3 << 20).unwrap();
    target.keep(1 << 20).unwrap();
    target.write_zeros(1 << 20).unwrap();
    target.write(&vec![0; 1 << 20]).unwrap();
    assert!(target.copy(0, 1 << 20).unwrap());
    target.finish(false).unwrap();
    assert!(taken(&path) >= 4 << 20, "{} bytes", taken(&path));
    assert!(fs::read(&path).unwrap() == vec![0; 4 << 20]);
}

#[test]
fn a_copy_is_the_same_and_keeps_its_holes() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("disk.raw");
    fs::write(folder.path().join("disk.raw.partial"), vec![0xff; 6 << 20]).unwrap();
    let mut target = FileTarget::create(&path).unwrap();
    target.begin(6 << 20, 0).unwrap();
    let data = noise(1, 4096);
    target.write(&data).unwrap();
    target.write_zeros((2 << 20) - 8192).unwrap();
    target.write(&data).unwrap();
    assert!(target.copy(0, 2 << 20).unwrap());
    // Across the borders of blocks.
    assert!(target.copy(100, 1 << 20).unwrap());
    assert!(target.copy((1 << 20) + 100, (1 << 20) - 100).unwrap());
    target.write(&[7; 100]).unwrap();
    target.finish(false).unwrap();
    let first = [&data[..], &vec![0; (2 << 20) - 8192], &data].concat();
    let expected = [&first[..], &first, &first[100..], &[7; 100]].concat();
    assert!(fs::read(&path).unwrap() == expected);
    assert!(taken(&path) < 1 << 20, "{} bytes", taken(&path));
}

#[test]
fn what_is_known_of_holes_ends_where_it_was_not_written_yet() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("disk.raw");
    fs::write(folder.path().join("disk.raw.partial"), vec![0xff; 4 << 20]).unwrap();
    let mut target = FileTarget::create(&path).unwrap();
    target.begin(4 << 20, 0).unwrap();
    let data = noise(1, 1 << 19);
    target.write(&data).unwrap();
    // From here on there was data up to the end, but there won't be.
    assert!(target.copy(0, 1 << 19).unwrap());
    target.write_zeros(1 << 20).unwrap();
    assert!(target.copy(1 << 19, 1 << 20).unwrap());
    assert!(target.copy(4096, 1 << 20).unwrap());
    target.finish(false).unwrap();
    let mut expected = [&data[..], &data, &vec![0; 1 << 20]].concat();
    expected.extend_from_within(1 << 19..(1 << 19) + (1 << 20));
    expected.extend_from_within(4096..4096 + (1 << 20));
    assert!(fs::read(&path).unwrap() == expected);
    assert!(taken(&path) < 3 << 20, "{} bytes", taken(&path));
}

#[test]
fn only_what_was_committed_is_copied() {
    let folder = TempDir::new().unwrap();
    let mut target = FileTarget::create(folder.path().join("disk.raw")).unwrap();
    target.begin(12_288, 0).unwrap();
    target.write(&[1; 4096]).unwrap();
    for (from, len) in [(1, 4096), (4096, 1), (u64::MAX, 2), (0, 8192)] {
        let error = target.copy(from, len).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{from} {len}");
    }
}

#[test]
fn nothing_is_written_beyond_the_end() {
    let folder = TempDir::new().unwrap();
    let mut target = FileTarget::create(folder.path().join("disk.raw")).unwrap();
    target.begin(10_000, 0).unwrap();
    target.write(&[1; 9_999]).unwrap();
    let kinds = [
        target.write(&[1; 2]).unwrap_err().kind(),
        target.write_zeros(2).unwrap_err().kind(),
        target.keep(u64::MAX).unwrap_err().kind(),
        target.copy(0, 2).unwrap_err().kind(),
    ];
    assert_eq!(kinds, [io::ErrorKind::InvalidInput; 4]);
    target.write(&[1]).unwrap();
    target.finish(false).unwrap();
    assert!(fs::read(folder.path().join("disk.raw")).unwrap() == [1; 10_000]);
}
