//! An image that has every chunk eight times.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;

use chunk_restore::backend::Buffer;
use chunk_restore::{Archive, DeviceTarget, Restore, StreamTarget};
use rustix::fs::copy_file_range;

use crate::disks::Loop;
use crate::support::usage::cpu_seconds;
use crate::support::{ratios_of, seconds};
use crate::{CHUNK, PAIRS, Place, Run, is_trial, random};

const TIMES: usize = 8;

pub(crate) fn copies() {
    let distinct = if is_trial() { 2 } else { 64 };
    println!(
        "copies: {} chunks of 4 MiB, {distinct} different and random ones eight times each, in eight orders",
        TIMES * distinct
    );
    let numbers = eightfold(distinct);
    let place = Place::new(&numbers, random);
    let archive = place.archive();
    let run = place.restore(&archive, "disk.raw");
    run.print("file");
    assert_eq!(run.report.chunks, distinct as u64, "one fetch each");
    device(&archive, distinct);
    stream("eight orders", &archive);
    let in_a_row: Vec<u64> = (0..numbers.len()).map(|at| (at / TIMES) as u64).collect();
    stream("eight in a row", &Place::new(&in_a_row, random).archive());

    let floor = || {
        place.settle();
        bare_loop(&place, &numbers, distinct)
    };
    let restore = || {
        place.settle();
        place.restore(&archive, "disk.raw").time_and_cpu()
    };
    let names = [
        "bare copy_file_range / restore, time",
        "bare copy_file_range / restore, CPU",
    ];
    ratios_of(names, PAIRS, floor, restore);
}

/// Each number eight times, in another order each time.
fn eightfold(distinct: usize) -> Vec<u64> {
    let order = |round: usize| {
        // An odd factor: it has no divisor in common with the count, which is a power of two.
        (0..distinct).map(move |at| ((at * (2 * round + 1) + round) % distinct) as u64)
    };
    (0..TIMES).flat_map(order).collect()
}

/// One thread, which has the chunks in memory: it writes each where it occurs first, copies it with `copy_file_range`
/// to wherever it occurs again, in the order of the image, and syncs the file. Gives the seconds, and those of the CPU.
pub(crate) fn bare_loop(place: &Place, numbers: &[u64], distinct: usize) -> [f64; 2] {
    let in_buffer = |number| {
        let mut buffer = Buffer::new();
        buffer.extend_from_slice(&random(number));
        buffer
    };
    let chunks: Vec<Buffer> = (0..distinct as u64).map(in_buffer).collect();
    let path = place.path("bare.raw");
    fs::remove_file(&path).ok();
    let mut options = File::options();
    let file = options.read(true).write(true).create_new(true).open(&path);
    let file = file.expect("the folder can be written");
    let cpu = cpu_seconds();
    let taken = seconds(&mut || {
        file.set_len(numbers.len() as u64 * CHUNK)
            .expect("there is room");
        for (position, number) in numbers.iter().enumerate() {
            let mut to = position as u64 * CHUNK;
            if position < distinct {
                let data = &chunks[*number as usize];
                file.write_all_at(data, to).expect("there is room");
                continue;
            }
            let origin = numbers.iter().position(|first| first == number);
            let mut from = origin.expect("it is there itself") as u64 * CHUNK;
            let end = to + CHUNK;
            while to < end {
                let left = (end - to) as usize;
                let copied = copy_file_range(&file, Some(&mut from), &file, Some(&mut to), left);
                assert_ne!(copied.expect("the file system can copy"), 0);
            }
        }
        file.sync_all().expect("there is room");
    });
    [taken, cpu_seconds() - cpu]
}

fn device(archive: &Archive, distinct: usize) {
    let Some(device) = Loop::thin(archive.index().len() as usize) else {
        return;
    };
    let mut target = DeviceTarget::open(device.path()).expect("nobody uses it");
    let run = Run::of(archive, &mut target);
    run.print("loop device");
    assert_eq!(run.report.chunks, distinct as u64, "one fetch each");
}

/// What a stream keeps in memory is only as much as it may.
fn stream(order: &str, archive: &Archive) {
    for mebibytes in [256, 1024] {
        let restore = Restore::new().memory(mebibytes << 20);
        let run = Run::with(&restore, archive, &mut StreamTarget::new(io::sink()));
        run.print(&format!("stream, {order}, {mebibytes} MiB allowed"));
    }
}
