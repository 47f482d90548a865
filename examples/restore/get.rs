//! `restore get`: archives into a folder, each under its own name.

use std::fs;
use std::io;
use std::path::Path;

use crate::arguments::{Get, Options};
use crate::content::{self, Content};
use crate::destination::Destination;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::job::Job;
use crate::output::Output;
use crate::place;

pub(crate) fn run(get: &Get, options: &Options, output: &Output) -> Result<Exit, Failure> {
    let snapshot = place::snapshot(options, &get.snapshot, output)?;
    // Else everything would be restored into a folder with the name of a disk.
    let is_archive = |name: &str| snapshot.manifest().file(name).is_some();
    if !get.folder.exists() && get.folder.to_str().is_some_and(is_archive) {
        let name = get.folder.display();
        return Err(Failure::usage(format!(
            "{name} is an archive: the last argument is the folder"
        )));
    }
    let names = content::select(&snapshot, &get.archives)?;
    let mut exit = Exit::Done;
    let mut contents = Vec::new();
    for name in &names {
        match Content::open(&snapshot, name) {
            Ok(content) => contents.push(content),
            // Nothing of it can be had, and the rest can.
            Err(failure) if get.writing.salvage && failure.exit() == Exit::Integrity => {
                output.fail(&failure);
                exit = Exit::Integrity;
            }
            Err(failure) => return Err(failure),
        }
    }

    let job = Job::new(options, output).salvaging(get.writing.salvage);
    make(&get.folder)?;
    // All before the first byte, so that what stands in the way of the last is found at once.
    let mut pairs = Vec::new();
    for content in contents {
        let path = get.folder.join(content.name());
        let destination = match path.is_file() && !options.overwrite {
            // It may be there because an earlier run was cut off after it.
            true => Destination::compare(path, &content)?,
            false => Destination::open(path, false, None, &get.writing, options)?,
        };
        pairs.push((content, destination));
    }
    for (content, destination) in pairs {
        let restored = job.to_destination(&content, destination)?;
        // That nothing could be said counts least.
        if exit == Exit::Done || (exit == Exit::Failed && restored != Exit::Done) {
            exit = restored;
        }
    }
    Ok(exit)
}

fn make(folder: &Path) -> Result<(), Failure> {
    if folder.is_dir() {
        return Ok(());
    }
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let message = format!("cannot restore into {}", folder.display());
            Err(Failure::target(
                message,
                &io::ErrorKind::NotADirectory.into(),
            ))
        }
        Err(error) => {
            let message = format!("cannot make the folder {}", folder.display());
            Err(Failure::target(message, &error))
        }
        Ok(()) => Ok(()),
    }
}
