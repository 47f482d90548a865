//! A few chunks that make up a large image, where the file system shares blocks: then a repeat costs no more than to say
//! so.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use chunk_restore::FileTarget;
use rustix::fs::ioctl_ficlone;

use crate::copies::bare_loop;
use crate::support::{Spread, ratios_of};
use crate::{MIB, PAIRS, Place, Run, is_trial, random};

/// So many different chunks.
const DISTINCT: usize = 8;

pub(crate) fn repeats() {
    let count = if is_trial() { 64 } else { 8 << 10 };
    let numbers: Vec<u64> = (0..count).map(|at| at % DISTINCT as u64).collect();
    let place = Place::new(&numbers, random);
    if !shares_blocks(&place) {
        println!(
            "repeats: skipped, the file system shares no blocks; see TMPDIR in the bench's header"
        );
        return;
    }
    println!("repeats: {count} chunks of 4 MiB, {DISTINCT} different and random ones in turn");
    let archive = place.archive();
    let restore = || {
        let path = make_room(&place, "disk.raw");
        let target = FileTarget::create(&path).expect("the folder can be written");
        // There need not be room for the image, only for what is different in it.
        Run::of(&archive, &mut target.check_space(false))
    };
    restore().print("file");
    let room = fs::metadata(place.path("disk.raw")).expect("it was restored");
    println!(
        "{} MiB of blocks, shared ones counted each time",
        room.blocks() * 512 / MIB as u64
    );

    let gibibytes = archive.index().len() as f64 / MIB / 1024.0;
    let runs = if is_trial() { 1 } else { 2 * PAIRS };
    let speeds = (0..runs).map(|_| gibibytes / restore().seconds);
    println!(
        "GiB of repeats a second, with the sync: {}",
        Spread::of(speeds.collect())
    );
    let floor = || {
        make_room(&place, "bare.raw");
        bare_loop(&place, &numbers, DISTINCT)
    };
    let names = [
        "bare copy_file_range / restore, time",
        "bare copy_file_range / restore, CPU",
    ];
    ratios_of(names, PAIRS, floor, || restore().time_and_cpu());
}

/// Lets go of what the last run left: to give back blocks that are shared takes as long as to share them.
fn make_room(place: &Place, name: &str) -> PathBuf {
    let path = place.path(name);
    fs::remove_file(&path).ok();
    place.settle();
    path
}

/// Asks the file system itself: it shares the blocks of a file, or says that it can't.
fn shares_blocks(place: &Place) -> bool {
    let one = place.path("one");
    fs::write(&one, random(0)).expect("there is room");
    let one = File::open(one).expect("it was written");
    let other = File::create(place.path("other")).expect("there is room");
    ioctl_ficlone(&other, &one).is_ok()
}
