//! What is there already: the rest of an earlier restore, a damaged file, a whole one to be changed.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use chunk_restore::target::{Existing, Target, Zeros};
use chunk_restore::{ErrorKind, FileTarget, Result};
use tempfile::TempDir;

use crate::{names, write};

/// A folder with these files, and the name `disk.raw` in it.
fn with(files: &[(&str, &str)]) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    for (name, data) in files {
        fs::write(folder.path().join(name), data).unwrap();
    }
    let path = folder.path().join("disk.raw");
    (folder, path)
}

/// What a target says of what it holds, and the bytes.
fn held(target: &FileTarget, len: usize) -> (&'static str, Vec<u8>) {
    let (word, reader) = match target.existing() {
        Existing::Blank(reader) => ("nothing", reader),
        Existing::Similar(reader) => ("similar", reader),
        other => panic!("{other:?}"),
    };
    let mut data = vec![0xee; len];
    reader.read_exact_at(&mut data, 0).unwrap();
    (word, data)
}

/// Keeps the first four bytes, writes four more.
fn go_on(target: &mut FileTarget) {
    target.begin(8, 0).unwrap();
    assert_eq!(held(target, 4), ("similar", b"kept".to_vec()));
    target.keep(4).unwrap();
    target.write(b"new!").unwrap();
    target.finish(false).unwrap();
}

#[test]
fn what_was_left_unfinished_goes_on() {
    type Open = fn(&Path) -> Result<FileTarget>;
    let opens: [Open; 3] = [
        |path| FileTarget::create(path),
        |path| FileTarget::replace(path),
        |path| FileTarget::reuse(path),
    ];
    for open in opens {
        let (folder, path) = with(&[("disk.raw.partial", "kept, and too long")]);
        go_on(&mut open(&path).unwrap());
        assert_eq!(names(folder.path()), ["disk.raw"]);
        assert_eq!(fs::read(&path).unwrap(), b"keptnew!");
    }
}

#[test]
fn what_was_left_by_a_stopped_restore_goes_on() {
    let (folder, path) = with(&[]);
    let mut target = FileTarget::create(&path).unwrap();
    target.begin(8, 0).unwrap();
    assert_eq!(held(&target, 8), ("nothing", vec![0; 8]));
    target.write(b"kept").unwrap();
    assert_eq!(held(&target, 4), ("nothing", b"kept".to_vec()));
    drop(target);
    assert_eq!(names(folder.path()), ["disk.raw.partial"]);
    // Another one is stopped before it has done anything.
    drop(FileTarget::create(&path).unwrap());
    let mut target = FileTarget::create(&path).unwrap();
    target.begin(8, 0).unwrap();
    drop(target);
    go_on(&mut FileTarget::create(&path).unwrap());
}

#[test]
fn a_damaged_restore_leaves_the_file_that_it_was_to_replace() {
    let (folder, path) = with(&[("disk.raw", "old")]);
    let mut target = FileTarget::replace(&path).unwrap();
    target.begin(4, 0).unwrap();
    target.write_zeros(4).unwrap();
    target.finish(true).unwrap();
    assert_eq!(names(folder.path()), ["disk.raw", "disk.raw.damaged"]);
    assert_eq!(fs::read(&path).unwrap(), b"old");
}

#[test]
fn a_whole_file_is_changed_in_place_and_never_looks_complete_meanwhile() {
    let (folder, path) = with(&[("disk.raw", "kept old")]);
    let inode = fs::metadata(&path).unwrap().ino();
    let mut target = FileTarget::reuse(&path).unwrap();
    assert_eq!(names(folder.path()), ["disk.raw"]);
    target.begin(8, 0).unwrap();
    assert_eq!(names(folder.path()), ["disk.raw.partial"]);
    target.keep(4).unwrap();
    target.write(b"new!").unwrap();
    target.finish(false).unwrap();
    assert_eq!(names(folder.path()), ["disk.raw"]);
    assert_eq!(fs::read(&path).unwrap(), b"keptnew!");
    assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
}

#[test]
fn a_file_that_was_not_changed_gets_its_name_back() {
    let (folder, path) = with(&[("disk.raw", "whole")]);
    drop(FileTarget::reuse(&path).unwrap());
    let mut target = FileTarget::reuse(&path).unwrap();
    target.begin(5, 0).unwrap();
    target.keep(3).unwrap();
    drop(target);
    assert_eq!(names(folder.path()), ["disk.raw"]);
    assert_eq!(fs::read(&path).unwrap(), b"whole");
}

#[test]
fn a_file_that_was_changed_in_part_is_not_called_whole() {
    type Change = fn(&mut FileTarget);
    let changes: [Change; 3] = [
        |target| {
            target.begin(8, 0).unwrap();
            target.write(b"kept").unwrap();
        },
        |target| {
            target.begin(8, 0).unwrap();
            target.keep(4).unwrap();
            target.write_zeros(1).unwrap();
        },
        |target| {
            target.begin(8, 0).unwrap();
            target.keep(4).unwrap();
            target.copy(0, 2).unwrap();
        },
    ];
    for change in changes {
        let (folder, path) = with(&[("disk.raw", "keptold")]);
        let mut target = FileTarget::reuse(&path).unwrap();
        change(&mut target);
        drop(target);
        assert_eq!(names(folder.path()), ["disk.raw.partial"]);
        go_on(&mut FileTarget::reuse(&path).unwrap());
        assert_eq!(names(folder.path()), ["disk.raw"]);
    }
}

#[test]
fn a_file_that_a_restore_was_to_replace_is_not_reused() {
    let (folder, path) = with(&[("disk.raw", "old"), ("disk.raw.partial", "new")]);
    let error = FileTarget::reuse(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Target);
    assert!(
        error
            .to_string()
            .contains("disk.raw.partial is there as well"),
        "{error}"
    );
    assert_eq!(names(folder.path()), ["disk.raw", "disk.raw.partial"]);
    write(&path, FileTarget::replace(&path).unwrap());
}

#[test]
fn two_restores_do_not_reuse_one_file() {
    let (_folder, path) = with(&[("disk.raw", "kept old")]);
    let mut first = FileTarget::reuse(&path).unwrap();
    is_locked(&path);
    first.begin(8, 0).unwrap();
    is_locked(&path);
    let error = FileTarget::create(&path).unwrap_err();
    assert!(error.to_string().contains("another restore"), "{error}");
    first.write(b"new file").unwrap();
    first.finish(false).unwrap();
    drop(first);
    FileTarget::reuse(&path).unwrap();
}

fn is_locked(path: &Path) {
    let error = FileTarget::reuse(path).unwrap_err();
    assert!(error.to_string().contains("another restore"), "{error}");
}

#[test]
fn a_reader_of_what_was_there_does_not_keep_it_locked() {
    let (_folder, path) = with(&[]);
    let mut target = FileTarget::create(&path).unwrap();
    target.begin(8, 0).unwrap();
    target.write(b"kept").unwrap();
    let existing = target.existing();
    drop(target);
    go_on(&mut FileTarget::create(&path).unwrap());
    drop(existing);
}

#[test]
fn a_whole_file_is_not_shortened_and_one_that_was_only_lengthened_is_as_before() {
    let (folder, path) = with(&[("disk.raw", "kept and more")]);
    let mut target = FileTarget::reuse(&path).unwrap();
    let error = target.begin(4, 0).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert!(error.to_string().contains("has 13 bytes"), "{error}");
    drop(target);
    let mut target = FileTarget::reuse(&path).unwrap();
    target.begin(5000, 0).unwrap();
    target.keep(4).unwrap();
    drop(target);
    assert_eq!(names(folder.path()), ["disk.raw"]);
    assert_eq!(fs::read(&path).unwrap(), b"kept and more");
}

#[test]
fn what_is_discarded_is_not_offered() {
    let (_folder, path) = with(&[("disk.raw", "whole")]);
    let mut target = FileTarget::reuse(&path).unwrap().zeros(Zeros::Discard);
    target.begin(5, 0).unwrap();
    assert_eq!(held(&target, 5), ("nothing", vec![0; 5]));
}

#[test]
fn a_reader_knows_where_holes_are() {
    let (folder, path) = with(&[]);
    let left = File::create(folder.path().join("disk.raw.partial")).unwrap();
    left.set_len(8 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&left, &[1; 4096], 4 << 20).unwrap();
    let mut target = FileTarget::create(&path).unwrap();
    target.begin(8 << 20, 0).unwrap();
    let Existing::Similar(reader) = target.existing() else {
        panic!("it was there");
    };
    let data = reader.next_data(0).unwrap().unwrap();
    assert!((1 << 20..=4 << 20).contains(&data), "{data}");
    assert_eq!(
        reader.next_data((4 << 20) + 1).unwrap(),
        Some((4 << 20) + 1)
    );
    assert_eq!(reader.next_data(7 << 20).unwrap(), None);
    assert_eq!(reader.next_data(8 << 20).unwrap(), None);
    let beyond = reader
        .read_exact_at(&mut [0; 2], (8 << 20) - 1)
        .unwrap_err();
    assert_eq!(beyond.kind(), io::ErrorKind::UnexpectedEof);
}
