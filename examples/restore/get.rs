//! `restore get`: restores archives into a folder, each under its own name, and the files of file
//! archives.

use std::path::Path;

use chunk_restore::Snapshot;
use chunk_restore::files::Extract;

use crate::arguments::Get;
use crate::content::{self, Content};
use crate::destination::{Destination, is_kept, make_folder};
use crate::exit::Exit;
use crate::extract;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::job::Job;
use crate::options::Options;
use crate::output::Output;
use crate::parts::{self, Made, Part};
use crate::place;

/// What to do about something that is in the way of files.
const IN_THE_WAY: &str = "--overwrite replaces files and links that are in the way";

pub(crate) fn run(
    get: &Get,
    options: &Options,
    interrupt: &Interrupt,
    output: &Output,
) -> Result<Exit, Failure> {
    let snapshot = place::snapshot(options, &get.snapshot, output)?;
    // Otherwise, if the folder was forgotten, everything would be restored into a folder with the
    // name of an archive.
    let is_archive = |name: &str| parts::is_archive(&snapshot, name);
    if !get.folder.exists() && get.folder.to_str().is_some_and(is_archive) {
        let name = get.folder.display();
        return Err(Failure::usage(format!(
            "{name} is an archive: the last argument is the folder"
        )));
    }
    let parts = parts::select(&snapshot, &get.archives, get.raw)?;
    parts::check_names(&snapshot, &parts, &get.folder)?;
    let files: Vec<String> = parts.iter().map(|part| part.file.clone()).collect();
    content::check_key(&snapshot, &files)?;
    make_folder(&get.folder)?;
    let getting = Getting {
        get,
        options,
        snapshot: &snapshot,
        job: Job::new(options, interrupt, output).salvaging(get.writing.salvage),
        interrupt,
        output,
    };
    // All archives are checked before the first byte is written, so that a problem with the last
    // one is found at once. They are checked one after the other, since there may be thousands.
    for part in &parts {
        match getting.check(part) {
            Err(failure) if failure.exit() != Exit::Integrity => return Err(failure),
            _ => {}
        }
    }
    let mut exit = Exit::Done;
    for part in &parts {
        interrupt.check()?;
        let restored = match &part.made {
            Made::File => getting.file(part)?,
            Made::Folder(_) => getting.folder(part)?,
        };
        exit = exit.worse(restored);
    }
    Ok(exit)
}

/// Restores the parts of one snapshot.
struct Getting<'a> {
    get: &'a Get,
    options: &'a Options,
    snapshot: &'a Snapshot,
    job: Job<'a>,
    interrupt: &'a Interrupt,
    output: &'a Output,
}

impl Getting<'_> {
    /// Restores an archive or a small file into a file.
    fn file(&self, part: &Part) -> Result<Exit, Failure> {
        let content = Content::open(self.snapshot, &part.file);
        let Some(content) = self.output.pass_over(content)? else {
            return Ok(Exit::Integrity);
        };
        // Only from here on does a signal cancel: what was fetched above may take a while, but
        // leaves nothing to clean up.
        let _running = self.interrupt.run()?;
        let path = part.path(&self.get.folder);
        let writing = &self.get.writing;
        let destination =
            Destination::open_or_compare(path, false, &content, writing, self.options)?;
        self.job.to_destination(&content, destination)
    }

    /// Extracts a file archive into a folder. The folder may be there, whole or not, because an
    /// earlier run was cut off.
    fn folder(&self, part: &Part) -> Result<Exit, Failure> {
        let _running = self.interrupt.run()?;
        let opened = extract::open(
            self.snapshot,
            &part.file,
            &part.archive,
            self.options,
            self.interrupt,
            self.output,
        );
        let Some(files) = self.output.pass_over(opened)? else {
            return Ok(Exit::Integrity);
        };
        let (overwrites, salvages) = (self.options.overwrite, self.get.writing.salvage);
        let extract = Extract::new()
            .allow_existing_directories(true)
            .overwrite_files(overwrites)
            .overwrite_symlinks(overwrites)
            .overwrite_hard_links(overwrites)
            .salvage(salvages);
        let path = part.path(&self.get.folder);
        extract::to_folder(
            &files,
            &part.archive,
            &extract,
            salvages,
            &path,
            IN_THE_WAY,
            self.output,
        )
    }

    /// Checks that a part can be restored into the folder.
    fn check(&self, part: &Part) -> Result<(), Failure> {
        self.interrupt.check()?;
        let path = part.path(&self.get.folder);
        if let Made::Folder(_) = part.made {
            return check_folder(&path, &part.archive);
        }
        if !is_kept(&path, self.options) {
            let _running = self.interrupt.run()?;
            let writing = &self.get.writing;
            return Destination::open(path, false, None, writing, self.options).map(drop);
        }
        match self.snapshot.manifest().file(&part.file) {
            Some(file) if file.is_archive() => Destination::check_len(&path, file.size()),
            _ => {
                let content = Content::open(self.snapshot, &part.file)?;
                Destination::compare(path, &content).map(drop)
            }
        }
    }
}

/// Checks that a folder can be made, or is there.
fn check_folder(path: &Path, archive: &str) -> Result<(), Failure> {
    match path.is_dir() || path.symlink_metadata().is_err() {
        true => Ok(()),
        false => Err(Failure::refused(format!(
            "{} exists already, and is no folder for the files of {archive}",
            path.display()
        ))),
    }
}
