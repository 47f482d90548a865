//! `restore image`: restores one archive into a file or device, or to standard output.

use std::fs::OpenOptions;
use std::io::{self, IsTerminal};
use std::ops::Range;
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;

use chunk_restore::Seed;

use crate::arguments::Image;
use crate::content::Content;
use crate::destination::Destination;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::job::Job;
use crate::options::Options;
use crate::output::Output;
use crate::place;
use crate::reading::open_at_once;

pub(crate) fn run(
    image: &Image,
    options: &Options,
    interrupt: &Interrupt,
    output: &Output,
) -> Result<Exit, Failure> {
    if image.is_to_stdout() && io::stdout().is_terminal() {
        return Err(Failure::usage(
            "standard output is a terminal: redirect it, or name a file instead of '-'",
        ));
    }
    let snapshot = place::snapshot(options, &image.snapshot, output)?;
    let content = Content::open(&snapshot, &image.archive)?;
    let mut job = Job::new(options, interrupt, output).salvaging(image.writing.salvage);
    if let Content::Archive { archive, .. } = &content {
        job = job.with_seeds(seeds(image, &archive.path().file, options, output)?);
    }
    if let Some(range) = &image.range {
        check(range, &content)?;
        job = job.only(range.clone());
    }
    let _running = interrupt.run()?;
    let map = image.damage_map.clone();
    if image.is_to_stdout() {
        return job.to_stdout(&content, map);
    }
    let target = image.target.clone();
    let destination = Destination::open(target, image.reuse, map, &image.writing, options)?;
    job.to_destination(&content, destination)
}

/// Refuses a range that holds no bytes of the archive, since it is a mistake.
fn check(range: &Range<u64>, content: &Content) -> Result<(), Failure> {
    let name = content.name();
    match content {
        Content::Archive { archive, .. } if range.start < archive.index().len() => Ok(()),
        Content::Archive { archive, .. } => Err(Failure::usage(format!(
            "{name} has {} bytes, and the range begins behind them",
            archive.index().len()
        ))),
        Content::Small { .. } => Err(Failure::usage(format!(
            "{name} is a small file, which is restored whole"
        ))),
    }
}

fn seeds(
    image: &Image,
    archive: &str,
    options: &Options,
    output: &Output,
) -> Result<Vec<Seed>, Failure> {
    let base = match &image.base {
        Some(base) => Some(place::snapshot(options, base, output)?.archive(archive)?),
        None => None,
    };
    let open = |path: &PathBuf| {
        let cannot =
            |error| Failure::unreadable(format!("cannot read the seed {}", path.display()), &error);
        let file = open_at_once(OpenOptions::new().read(true), path).map_err(cannot)?;
        let found = file.metadata().map_err(cannot)?.file_type();
        if !found.is_file() && !found.is_block_device() {
            let path = path.display();
            return Err(Failure::usage(format!(
                "the seed {path} is neither a file nor a block device"
            )));
        }
        Ok(match &base {
            Some(base) => Seed::of(file, base),
            None => Seed::new(file),
        })
    };
    image.seeds.iter().map(open).collect()
}
