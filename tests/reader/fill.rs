//! A file that becomes the whole disk while the disk is read.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use chunk_restore::read::Fill;
use chunk_restore::{ErrorKind, FileTarget, Reader, Restore};
use testkit::{Image, within};

use crate::support::{Fault, Script, Watch};
use crate::{CHUNK, LIMIT, bytes_of, full_disk, read, used_disk, with_room_for};

fn reader_of(script: Script) -> (Reader, Arc<Watch>) {
    let (archive, watch) = script.archive();
    (Restore::new().reader(&archive).unwrap(), watch)
}

fn file_in(folder: &Path) -> std::path::PathBuf {
    folder.join("disk.raw")
}

fn fill(reader: &Reader, folder: &Path) -> Fill {
    let target = FileTarget::create(file_in(folder)).unwrap();
    reader.fill(target).unwrap()
}

fn outcome(fill: &Fill) -> chunk_restore::Result<()> {
    loop {
        if let Some(outcome) = fill.outcome() {
            return outcome;
        }
        thread::yield_now();
    }
}

#[test]
fn the_file_becomes_whole_and_gets_its_name_and_is_read_from_then_on() {
    within(LIMIT, || {
        let folder = tempfile::tempdir().unwrap();
        let image = used_disk(100);
        let expected = bytes_of(&image);
        let (archive, watch) = Script::of(image, CHUNK).archive();
        let reader = with_room_for(4).reader(&archive).unwrap();
        let fill = fill(&reader, folder.path());
        assert!(read(&reader, 0, expected.len()).unwrap() == expected);
        outcome(&fill).unwrap();
        assert_eq!(fill.filled(), reader.len());
        assert!(fs::read(file_in(folder.path())).unwrap() == expected);
        let requests = watch.requests();
        assert!(read(&reader, 0, expected.len()).unwrap() == expected);
        assert_eq!(watch.requests(), requests, "nothing is fetched any more");
    });
}

#[test]
fn what_is_read_out_of_order_is_kept_and_not_fetched_again() {
    within(LIMIT, || {
        let folder = tempfile::tempdir().unwrap();
        let image = full_disk(60);
        let script = Script::of(image.clone(), CHUNK);
        // The fill hangs at the first chunk, so that it fetches little beyond it.
        let first = script.digests()[0];
        let (archive, watch) = script.fault(first, Fault::Stall).archive();
        let cancel = chunk_restore::Cancel::new();
        let restore = with_room_for(6).cancel(&cancel);
        let reader = restore.reader(&archive).unwrap();
        let filling = fill(&reader, folder.path());
        let mut read_bytes = 0;
        for position in (30..60).rev().step_by(3) {
            read(&reader, position * CHUNK, 10).unwrap();
            // The disk is at times behind: then a chunk is passed over.
            read_bytes += CHUNK;
        }
        assert!(filling.outcome().is_none() && filling.filled() <= read_bytes + 8 * CHUNK);
        while filling.filled() == 0 {
            thread::yield_now();
        }
        cancel.cancel();
        let error = outcome(&filling).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        assert!(!file_in(folder.path()).exists(), "it is not whole");
        drop((filling, reader));
        let before = watch.requests();

        // Another fill goes on with what is there.
        let (archive, watch) = Script::of(image.clone(), CHUNK).archive();
        let reader = Restore::new().reader(&archive).unwrap();
        let filling = fill(&reader, folder.path());
        outcome(&filling).unwrap();
        assert!(watch.requests() < 60, "{before}, {}", watch.requests());
        assert!(fs::read(file_in(folder.path())).unwrap() == bytes_of(&image));
    });
}

#[test]
fn a_chunk_that_is_lost_leaves_the_file_unfinished_and_the_others_in_it() {
    within(LIMIT, || {
        let folder = tempfile::tempdir().unwrap();
        let image = full_disk(40);
        let mut script = Script::of(image.clone(), CHUNK);
        let digest = script.digests()[7];
        for _ in 0..100 {
            script = script.fault(digest, Fault::Missing);
        }
        let (reader, _) = reader_of(script);
        let filling = fill(&reader, folder.path());
        let error = outcome(&filling).unwrap_err();
        assert_eq!(
            (error.kind(), error.position()),
            (ErrorKind::Missing, Some(7))
        );
        assert_eq!(filling.filled(), 39 * CHUNK);
        assert!(!file_in(folder.path()).exists());
        let partial = fs::read(folder.path().join("disk.raw.partial")).unwrap();
        let expected = bytes_of(&image);
        assert!(partial[8 * 4096..] == expected[8 * 4096..]);
        // Reading goes on.
        assert!(read(&reader, 8 * CHUNK, 4096).unwrap() == expected[8 * 4096..9 * 4096]);
    });
}

#[test]
fn a_changed_byte_of_the_file_is_never_read() {
    within(LIMIT, || {
        let folder = tempfile::tempdir().unwrap();
        let image = full_disk(20);
        let expected = bytes_of(&image);
        let (archive, watch) = Script::of(image, CHUNK).archive();
        let reader = with_room_for(2).reader(&archive).unwrap();
        let filling = fill(&reader, folder.path());
        outcome(&filling).unwrap();
        let mut bytes = fs::read(file_in(folder.path())).unwrap();
        bytes[5 * 4096] ^= 1;
        fs::write(file_in(folder.path()), bytes).unwrap();
        let before = watch.requests();
        assert!(read(&reader, 0, expected.len()).unwrap() == expected);
        assert_eq!(watch.requests(), before + 1);
    });
}

#[test]
fn a_reader_that_breaks_ends_its_fill() {
    within(LIMIT, || {
        let folder = tempfile::tempdir().unwrap();
        let script = Script::of(full_disk(40), CHUNK);
        let digest = script.digests()[9];
        let (reader, _) = reader_of(script.fault(digest, Fault::Panic));
        let filling = fill(&reader, folder.path());
        assert!(outcome(&filling).is_err());
        assert!(!file_in(folder.path()).exists());
        let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || drop(reader)));
        assert!(dropped.is_err(), "the panic is raised again");
    });
}

#[test]
fn a_fill_says_what_came_of_it_when_it_is_ended() {
    within(LIMIT, || {
        let folder = tempfile::tempdir().unwrap();
        let (reader, _) = reader_of(Script::of(full_disk(10), CHUNK));
        let filling = fill(&reader, folder.path());
        outcome(&filling).unwrap();
        filling.end().unwrap();
        let script = Script::of(full_disk(10), CHUNK);
        let digest = script.digests()[3];
        let (reader, watch) = reader_of(script.fault(digest, Fault::Stall));
        let other = tempfile::tempdir().unwrap();
        let filling = fill(&reader, other.path());
        while !watch.has_stalled() {
            thread::yield_now();
        }
        assert_eq!(filling.end().unwrap_err().kind(), ErrorKind::Cancelled);
    });
}

#[test]
fn a_fill_beside_random_reads_fetches_no_chunk_twice_while_there_is_room() {
    within(LIMIT, || {
        let folder = tempfile::tempdir().unwrap();
        let (archive, watch) = Script::of(full_disk(200), CHUNK).archive();
        let reader = with_room_for(300).reader(&archive).unwrap();
        let filling = fill(&reader, folder.path());
        for turn in 0..100 {
            read(&reader, turn * 7 % 200 * CHUNK, 10).unwrap();
        }
        outcome(&filling).unwrap();
        assert_eq!(watch.requests(), 200);
    });
}

#[test]
fn a_reader_that_ends_ends_its_fill() {
    within(LIMIT, || {
        let folder = tempfile::tempdir().unwrap();
        let script = Script::of(Image::from_bytes(vec![7; 40 * 4096], CHUNK), CHUNK);
        let digest = script.digests()[0];
        let (reader, _) = reader_of(script.fault(digest, Fault::Stall));
        let filling = fill(&reader, folder.path());
        drop(reader);
        assert_eq!(outcome(&filling).unwrap_err().kind(), ErrorKind::Cancelled);
    });
}
