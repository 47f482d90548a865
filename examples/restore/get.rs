//! `restore get`: restores archives into a folder, each under its own name.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;

use chunk_restore::Snapshot;

use crate::arguments::{Get, Options};
use crate::content::{self, Content};
use crate::destination::{Destination, SIDE_FILES};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::job::Job;
use crate::output::Output;
use crate::place;

pub(crate) fn run(
    get: &Get,
    options: &Options,
    interrupt: &Interrupt,
    output: &Output,
) -> Result<Exit, Failure> {
    let snapshot = place::snapshot(options, &get.snapshot, output)?;
    // Otherwise, if the folder was forgotten, everything would be restored into a folder with the
    // name of an archive.
    let is_archive = |name: &str| snapshot.manifest().file(name).is_some();
    if !get.folder.exists() && get.folder.to_str().is_some_and(is_archive) {
        let name = get.folder.display();
        return Err(Failure::usage(format!(
            "{name} is an archive: the last argument is the folder"
        )));
    }
    let names = content::select(&snapshot, &get.archives)?;
    check_names(get, &snapshot, &names)?;
    content::check_key(&snapshot, &names)?;
    let job = Job::new(options, interrupt, output).salvaging(get.writing.salvage);
    make(&get.folder)?;
    // All archives are checked before the first byte is written, so that a problem with the last
    // one is found at once. They are checked one after the other, since there may be thousands.
    for name in &names {
        match check(get, options, &snapshot, name, interrupt) {
            Err(failure) if failure.exit() != Exit::Integrity => return Err(failure),
            _ => {}
        }
    }
    let mut exit = Exit::Done;
    for name in &names {
        interrupt.check()?;
        let content = match Content::open(&snapshot, name) {
            Ok(content) => content,
            // Nothing of this archive can be restored, but the others can.
            Err(failure) if failure.exit() == Exit::Integrity => {
                output.fail(&failure);
                exit = Exit::Integrity;
                continue;
            }
            Err(failure) => return Err(failure),
        };
        // Only from here on does a signal cancel: what was fetched above may take a while, but
        // leaves nothing to clean up.
        let _running = interrupt.run()?;
        let path = get.folder.join(content.name());
        let destination = match is_there(&path, options) {
            // The file may exist because an earlier run was cut off after it had completed the
            // file.
            true => Destination::compare(path, &content)?,
            false => Destination::open(path, false, None, &get.writing, options)?,
        };
        let restored = job.to_destination(&content, destination)?;
        // A failure to write output counts less than any other.
        if exit == Exit::Done || (exit == Exit::Failed && restored != Exit::Done) {
            exit = restored;
        }
    }
    Ok(exit)
}

/// Refuses names if one archive would be written over another, or over a file that is kept next to
/// another while it is restored. This includes archives of the snapshot that are in the folder from
/// an earlier run.
fn check_names(get: &Get, snapshot: &Snapshot, names: &[String]) -> Result<(), Failure> {
    let own: HashSet<&str> = (names.iter())
        .map(|name| content::name_of(snapshot, name))
        .collect();
    let is_kept = |name: &str| {
        let is_listed = |name| snapshot.manifest().file(name).is_some();
        own.contains(name) || is_listed(name) && get.folder.join(name).exists()
    };
    for name in &own {
        let beside = SIDE_FILES.map(|suffix| format!("{name}{suffix}"));
        if let Some(other) = beside.iter().find(|beside| is_kept(beside)) {
            return Err(Failure::refused(format!(
                "{name} and {other} can't be restored into one folder, where {other} may be made for {name}: name one of them, \
                 and restore the other into another folder"
            )));
        }
    }
    Ok(())
}

/// Checks that an archive or file can be restored into the folder.
fn check(
    get: &Get,
    options: &Options,
    snapshot: &Snapshot,
    name: &str,
    interrupt: &Interrupt,
) -> Result<(), Failure> {
    interrupt.check()?;
    let path = get.folder.join(content::name_of(snapshot, name));
    if !is_there(&path, options) {
        let _running = interrupt.run()?;
        return Destination::open(path, false, None, &get.writing, options).map(drop);
    }
    match snapshot.manifest().file(name) {
        Some(file) if file.is_archive() => Destination::check_len(&path, file.size()),
        _ => Destination::compare(path, &Content::open(snapshot, name)?).map(drop),
    }
}

/// Whether there is a file already that must be compared and not replaced.
fn is_there(path: &Path, options: &Options) -> bool {
    path.is_file() && !options.overwrite
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
