//! Damaged files that an earlier restore has left: they are read, and stay until there is a whole one of the same content.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use chunk_restore::target::{Existing, Target, Zeros};
use chunk_restore::{ErrorKind, FileTarget, Restore};
use tempfile::TempDir;
use testkit::{Image, Workload};

use crate::support::{Fault, Script};
use crate::{names, noise, write};

const CHUNK: usize = 4096;

/// A folder with a damaged file, and the name `disk.raw` in it.
fn beside(damaged: &[u8]) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("disk.raw.damaged"), damaged).unwrap();
    let path = folder.path().join("disk.raw");
    (folder, path)
}

fn damaged_in(folder: &TempDir) -> Vec<u8> {
    fs::read(folder.path().join("disk.raw.damaged")).unwrap()
}

fn open(path: &Path, len: usize) -> FileTarget {
    let mut target = FileTarget::create(path).unwrap();
    target.begin(len as u64, 0).unwrap();
    target
}

fn read(target: &FileTarget, offset: u64, len: usize) -> Vec<u8> {
    let Existing::Similar(reader) = target.existing() else {
        panic!("the damaged file is offered");
    };
    let mut data = vec![0xee; len];
    reader.read_exact_at(&mut data, offset).unwrap();
    data
}

#[test]
fn a_damaged_file_is_called_so_and_a_whole_one_takes_its_place() {
    let (folder, path) = beside(b"older");
    let mut target = open(&path, 8);
    target.write(b"kept").unwrap();
    target.write_zeros(4).unwrap();
    target.finish(true).unwrap();
    drop(target);
    assert_eq!(names(folder.path()), ["disk.raw.damaged"]);
    assert_eq!(damaged_in(&folder), b"kept\0\0\0\0");

    let mut target = open(&path, 8);
    assert_eq!(read(&target, 0, 8), b"kept\0\0\0\0");
    target.keep(4).unwrap();
    target.write(b"new!").unwrap();
    assert_eq!(read(&target, 2, 6), b"ptnew!");
    target.finish(false).unwrap();
    assert_eq!(names(folder.path()), ["disk.raw"]);
    assert_eq!(fs::read(&path).unwrap(), b"keptnew!");
}

#[test]
fn a_damaged_file_stays_as_it_was_whatever_becomes_of_a_restore() {
    let data = noise(1, 4 * CHUNK);
    type Part = fn(&mut FileTarget);
    let parts: [Part; 4] = [
        |_| {},
        |target| target.keep(4096).unwrap(),
        |target| target.write(&[7; 4096]).unwrap(),
        |target| target.write_zeros(4096).unwrap(),
    ];
    for part in parts {
        let (folder, path) = beside(&data);
        let mut target = open(&path, data.len());
        part(&mut target);
        drop(target);
        assert!(damaged_in(&folder) == data);
    }
    // One that holds something else is kept beside a whole file, too.
    for len in [4, data.len()] {
        let (folder, path) = beside(&data);
        let mut target = open(&path, len);
        target.write(&vec![7; len]).unwrap();
        target.finish(false).unwrap();
        assert_eq!(names(folder.path()), ["disk.raw", "disk.raw.damaged"]);
        assert!(damaged_in(&folder) == data);
    }
}

#[test]
fn a_failed_restore_of_a_whole_archive_leaves_the_damaged_file() {
    let image = Image::new(Workload::Incompressible, 4, 8 * CHUNK as u64, CHUNK as u64);
    let bytes: Vec<u8> = (0..8).flat_map(|position| image.chunk(position)).collect();
    let mut damaged = bytes.clone();
    damaged[5 * CHUNK..6 * CHUNK].fill(0);
    let (folder, path) = beside(&damaged);
    let script = Script::of(image.clone(), CHUNK as u64);
    let lost = script.digests()[5];
    // It is asked for once more.
    let script = script.fault(lost, Fault::Missing);
    let (archive, _) = script.fault(lost, Fault::Missing).archive();
    let restore = Restore::new().threads(1).in_flight(1);
    let error = restore
        .run(&archive, &mut FileTarget::create(&path).unwrap())
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Missing);
    assert!(damaged_in(&folder) == damaged);

    // What was restored meanwhile, and what the damaged file has behind it, is not fetched again.
    let (archive, watch) = Script::of(image, CHUNK as u64).archive();
    restore
        .run(&archive, &mut FileTarget::create(&path).unwrap())
        .unwrap();
    assert_eq!(watch.requests(), 1);
    assert_eq!(names(folder.path()), ["disk.raw"]);
    assert!(fs::read(&path).unwrap() == bytes);
}

#[test]
fn a_rest_and_a_damaged_file_go_together_at_any_offset() {
    let data = noise(2, 3 * CHUNK);
    for end in [1, 100, CHUNK, CHUNK + 1, 2 * CHUNK - 1, 3 * CHUNK] {
        let (folder, path) = beside(&data);
        let rest = File::create(folder.path().join("disk.raw.partial")).unwrap();
        rest.write_all_at(&data[..end], 0).unwrap();
        rest.set_len(data.len() as u64).unwrap();
        let mut target = open(&path, data.len());
        let held = read(&target, 0, data.len());
        for piece in data.chunks(1000) {
            let at = target_offset(&data, piece);
            match held[at..][..piece.len()] == *piece {
                true => target.keep(piece.len() as u64).unwrap(),
                false => target.write(piece).unwrap(),
            }
        }
        target.finish(false).unwrap();
        assert!(fs::read(&path).unwrap() == data, "{end}");
        assert_eq!(names(folder.path()), ["disk.raw"]);
    }
}

fn target_offset(data: &[u8], piece: &[u8]) -> usize {
    piece.as_ptr() as usize - data.as_ptr() as usize
}

#[test]
fn holes_of_a_damaged_file_stay_holes() {
    let (folder, path) = beside(b"");
    let damaged = folder.path().join("disk.raw.damaged");
    let file = File::options().write(true).open(&damaged).unwrap();
    file.set_len(64 << 20).unwrap();
    file.write_all_at(&[1; 4096], 32 << 20).unwrap();
    let mut target = open(&path, 64 << 20);
    target.keep(64 << 20).unwrap();
    target.finish(false).unwrap();
    let found = path.metadata().unwrap();
    assert!(found.blocks() * 512 < 1 << 20, "{} blocks", found.blocks());
    assert_eq!(names(folder.path()), ["disk.raw"]);
}

#[test]
fn what_is_discarded_or_no_file_is_not_begun_with() {
    let (folder, path) = beside(b"kept");
    let mut target = FileTarget::create(&path).unwrap().zeros(Zeros::Discard);
    target.begin(4, 0).unwrap();
    assert!(matches!(target.existing(), Existing::Blank(_)));
    drop(target);
    assert_eq!(damaged_in(&folder), b"kept");
    let damaged = folder.path().join("disk.raw.damaged");
    let elsewhere = folder.path().join("elsewhere");
    fs::rename(&damaged, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &damaged).unwrap();
    let target = open(&path, 4);
    assert!(matches!(target.existing(), Existing::Blank(_)));
    drop(target);
    write(&path, FileTarget::create(&path).unwrap());
    assert_eq!(fs::read(&elsewhere).unwrap(), b"kept");
}
