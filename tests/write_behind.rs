//! Targets that write behind: what they have not written does not count, and they hold little of it.
#![allow(clippy::unwrap_used, reason = "a test that can't be set up has failed")]

mod support;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use chunk_restore::target::{ChunkData, Existing, ReadAt, Target};
use chunk_restore::{ErrorKind, Event, Restore};
use support::Script;
use support::disk::{Disk, DiskMemory, Says};
use testkit::{Image, Workload};

const CHUNK: u64 = 64 << 10;
const CHUNKS: u64 = 40;

/// Keeps chunks that it was lent until it has so many, and then writes them in the opposite order.
struct Behind {
    disk: Disk,
    /// The chunks that it holds, with their offsets.
    held: VecDeque<(u64, ChunkData)>,
    holds_max: usize,
    most_held: usize,
    offset: u64,
    /// Fails to write the chunk at this offset.
    broken: u64,
    failed: Option<u64>,
    /// Chunks that it was given to be written at once.
    at_once: usize,
}

impl Behind {
    fn new(holds_max: usize) -> Behind {
        Behind {
            disk: Disk::holding(Vec::new(), Says::Nothing),
            held: VecDeque::new(),
            holds_max,
            most_held: 0,
            offset: 0,
            broken: u64::MAX,
            failed: None,
            at_once: 0,
        }
    }

    fn write_held(&mut self) {
        while let Some((offset, data)) = self.held.pop_back() {
            if offset == self.broken {
                self.failed = Some(offset);
                continue;
            }
            self.disk.memory.bytes()[offset as usize..][..data.len()].copy_from_slice(&data);
        }
    }

    fn check(&self) -> io::Result<()> {
        match self.failed {
            Some(_) => Err(io::Error::other("the disk is broken")),
            None => Ok(()),
        }
    }
}

impl Target for Behind {
    fn begin(&mut self, len: u64, zeros: u64) -> io::Result<()> {
        self.disk.begin(len, zeros)
    }

    fn existing(&self) -> Existing {
        let memory: Arc<DiskMemory> = Arc::clone(&self.disk.memory);
        Existing::Blank(memory as Arc<dyn ReadAt>)
    }

    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        self.check()?;
        self.at_once += 1;
        self.disk.memory.bytes()[self.offset as usize..][..data.len()].copy_from_slice(data);
        self.offset += data.len() as u64;
        if self.held.len() >= self.holds_max {
            self.write_held();
        }
        Ok(())
    }

    fn write_behind(&mut self, data: ChunkData) -> io::Result<()> {
        self.check()?;
        let offset = self.offset;
        self.offset += data.len() as u64;
        self.held.push_back((offset, data));
        self.most_held = self.most_held.max(self.held.len());
        Ok(())
    }

    fn written(&mut self, given: u64) -> u64 {
        let held = self.held.front().map(|(offset, _)| *offset);
        held.into_iter().chain(self.failed).fold(given, u64::min)
    }

    fn finish(&mut self, _damaged: bool) -> io::Result<()> {
        self.write_held();
        self.check()
    }
}

fn image() -> Image {
    Image::new(Workload::Incompressible, 3, CHUNKS * CHUNK, CHUNK)
}

fn bytes(image: &Image) -> Vec<u8> {
    (0..image.count()).flat_map(|at| image.chunk(at)).collect()
}

#[test]
fn a_target_is_lent_four_chunks_at_most_and_what_it_has_not_written_is_not_committed() {
    let (archive, _) = Script::of(image(), CHUNK).archive();
    let mut target = Behind::new(4);
    let mut seen = Vec::new();
    let restore = Restore::new().threads(2);
    let report = restore.run_with(&archive, &mut target, |event| {
        if let Event::Progress(report) = event {
            seen.push(report.committed);
        }
    });
    assert_eq!(report.unwrap().committed, CHUNKS * CHUNK);
    assert_eq!((target.most_held, target.at_once), (4, 8));
    assert!(target.disk.bytes() == bytes(&image()));
    // Four chunks are lent before the fifth is written at once, and all five count together.
    seen.dedup();
    let fives: Vec<u64> = (0..=8).map(|fives| fives * 5 * CHUNK).collect();
    assert_eq!(seen, fives);
}

#[test]
fn with_little_memory_a_target_is_lent_nothing() {
    let (archive, _) = Script::of(image(), CHUNK).archive();
    let mut target = Behind::new(4);
    let restore = Restore::new().memory(3 * CHUNK).threads(1);
    restore.run(&archive, &mut target).unwrap();
    assert_eq!((target.most_held, target.at_once as u64), (0, CHUNKS));
    assert!(target.disk.bytes() == bytes(&image()));
}

#[test]
fn a_write_that_fails_later_is_the_failure_of_the_restore_at_the_offset_of_that_write() {
    // In the middle, and among the last chunks, where only the end shows it.
    for broken in [7, 38] {
        let (archive, _) = Script::of(image(), CHUNK).archive();
        let mut target = Behind::new(4);
        target.broken = broken * CHUNK;
        let error = Restore::new().run(&archive, &mut target).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Target);
        assert_eq!(error.offset(), Some(broken * CHUNK), "{error}");
        assert!(error.to_string().starts_with("cannot write"), "{error}");
    }
}
