//! Restores that go on at the same time, and share their memory.
#![allow(clippy::unwrap_used, reason = "a test that can't be set up has failed")]

mod support;

use std::io;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use chunk_restore::target::Target;
use chunk_restore::{Archive, Restore};
use support::{Memory, Script, Watch};
use testkit::{Image, Workload, within};

const CHUNK: u64 = 4096;
const CHUNKS: u64 = 50;

/// Waits before its first write.
struct Waits<W: FnMut()> {
    target: Memory,
    wait: Option<W>,
}

impl<W: FnMut()> Target for Waits<W> {
    fn begin(&mut self, len: u64, zeros: u64) -> io::Result<()> {
        self.target.begin(len, zeros)
    }

    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        if let Some(mut wait) = self.wait.take() {
            wait();
        }
        self.target.write(data)
    }

    fn write_zeros(&mut self, len: u64) -> io::Result<()> {
        self.target.write_zeros(len)
    }

    fn finish(&mut self, damaged: bool) -> io::Result<()> {
        self.target.finish(damaged)
    }
}

/// Every disk is another, and all are watched together.
fn archive(number: usize, watch: &Arc<Watch>) -> (Archive, Vec<u8>) {
    let image = Image::new(Workload::Zstd, number as u64, CHUNKS * CHUNK, CHUNK);
    let bytes = (0..image.count()).flat_map(|at| image.chunk(at)).collect();
    let script = Script {
        watch: Arc::clone(watch),
        depth: 4,
        ..Script::of(image, CHUNK)
    };
    (script.archive().0, bytes)
}

#[test]
fn restores_at_once_share_the_memory_and_have_room_for_one_chunk_each_beyond_it() {
    const RESTORES: usize = 64;
    const BUFFERS: u64 = 100;
    let watch = Arc::new(Watch::default());
    let restore = Restore::new().memory(BUFFERS * (CHUNK + 200));
    let all_have_begun = Barrier::new(RESTORES);
    thread::scope(|scope| {
        for number in 0..RESTORES {
            let (restore, watch, begun) = (restore.clone(), &watch, &all_have_begun);
            scope.spawn(move || {
                let (archive, bytes) = archive(number, watch);
                let mut target = Waits {
                    target: Memory::watched(watch),
                    wait: Some(|| {
                        begun.wait();
                    }),
                };
                let report = restore.run(&archive, &mut target).unwrap();
                assert_eq!(report.chunks, CHUNKS);
                assert!(target.target.is_finished && target.target.data == bytes);
            });
        }
    });
    assert_eq!(watch.requests(), RESTORES * CHUNKS as usize);
    let most = watch.most_outstanding();
    assert!(
        most > RESTORES,
        "{most}: there is room for more than one each"
    );
    assert!(most <= RESTORES + BUFFERS as usize, "{most}");
}

#[test]
fn one_that_is_stuck_with_all_of_the_memory_holds_up_nobody() {
    let watch = Arc::new(Watch::default());
    let restore = Restore::new().memory(10 * (CHUNK + 200));
    let (archive_of_stuck, bytes_of_stuck) = archive(1, &watch);
    let (archive, bytes) = archive(2, &watch);
    within(Duration::from_secs(60), move || {
        let (is_stuck, stuck): (_, Receiver<()>) = channel();
        let (go_on, may_go_on): (_, Receiver<()>) = channel();
        thread::scope(|scope| {
            let other = restore.clone();
            let first = scope.spawn(move || {
                let mut target = Waits {
                    target: Memory::default(),
                    wait: Some(|| {
                        is_stuck.send(()).unwrap();
                        may_go_on.recv().unwrap();
                    }),
                };
                other.run(&archive_of_stuck, &mut target).unwrap();
                target.target.data
            });
            stuck.recv().unwrap();
            let mut target = Memory::default();
            restore.run(&archive, &mut target).unwrap();
            assert!(target.data == bytes);
            go_on.send(()).unwrap();
            assert!(first.join().unwrap() == bytes_of_stuck);
        });
    });
}

#[test]
fn restores_that_take_parts_have_no_more_connections_than_one_alone() {
    const THREADS: u64 = 8;
    let connections = |part_of: &dyn Fn(Restore, u64) -> Restore| {
        let watch = Arc::new(Watch::default());
        let restore = Restore::new().threads(THREADS as usize);
        let all_have_begun = Barrier::new(4);
        thread::scope(|scope| {
            // One of the archives has half of all bytes.
            for (number, part) in [4, 2, 1, 1].into_iter().enumerate() {
                let restore = part_of(restore.clone(), part);
                let (watch, begun) = (&watch, &all_have_begun);
                scope.spawn(move || {
                    let (archive, bytes) = archive(number, watch);
                    let mut target = Waits {
                        target: Memory::default(),
                        wait: Some(|| {
                            begun.wait();
                        }),
                    };
                    restore.run(&archive, &mut target).unwrap();
                    assert!(target.target.data == bytes);
                });
            }
        });
        watch.connections.load(Ordering::SeqCst) as u64
    };
    let in_parts = connections(&|restore, part| restore.part(part, 8));
    assert!(in_parts <= THREADS, "{in_parts}");
    let all = connections(&|restore, _| restore);
    assert!(all > THREADS, "{all}");
    // A part of nothing, or of more than there is, is a part all the same.
    for (part, whole) in [(0, 0), (0, 8), (9, 8), (u64::MAX, u64::MAX)] {
        connections(&|restore, _| restore.part(part, whole));
    }
}
