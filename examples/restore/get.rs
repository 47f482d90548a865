//! `restore get`: restores archives into a folder, each under its own name, and the files of file
//! archives.

use std::fs;
use std::io;
use std::path::Path;

use chunk_restore::Snapshot;
use chunk_restore::files::Extract;

use crate::arguments::Get;
use crate::content::{self, Content};
use crate::destination::Destination;
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
    make(&get.folder)?;
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
        exit = match (exit, restored) {
            // An archive of which nothing could be restored counts more than anything else, and a
            // failure to write output counts less.
            (Exit::Integrity, _) | (_, Exit::Integrity) => Exit::Integrity,
            (Exit::Target, _) | (_, Exit::Target) => Exit::Target,
            (Exit::Done, restored) => restored,
            (Exit::Failed, restored) if restored != Exit::Done => restored,
            (exit, _) => exit,
        };
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
        let Some(content) = self.passed_over(Content::open(self.snapshot, &part.file))? else {
            return Ok(Exit::Integrity);
        };
        // Only from here on does a signal cancel: what was fetched above may take a while, but
        // leaves nothing to clean up.
        let _running = self.interrupt.run()?;
        let path = part.path(&self.get.folder);
        let destination = match self.is_there(&path) {
            // The file may exist because an earlier run was cut off after it had completed the
            // file.
            true => Destination::compare(path, &content)?,
            false => Destination::open(path, false, None, &self.get.writing, self.options)?,
        };
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
        let Some(files) = self.passed_over(opened)? else {
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

    /// Tells why nothing of an archive can be restored: the others can.
    fn passed_over<T>(&self, opened: Result<T, Failure>) -> Result<Option<T>, Failure> {
        match opened {
            Err(failure) if failure.exit() == Exit::Integrity => {
                self.output.fail(&failure);
                Ok(None)
            }
            opened => opened.map(Some),
        }
    }

    /// Checks that a part can be restored into the folder.
    fn check(&self, part: &Part) -> Result<(), Failure> {
        self.interrupt.check()?;
        let path = part.path(&self.get.folder);
        if let Made::Folder(_) = part.made {
            return check_folder(&path, &part.archive);
        }
        if !self.is_there(&path) {
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

    /// Whether there is a file already that must be compared and not replaced.
    fn is_there(&self, path: &Path) -> bool {
        path.is_file() && !self.options.overwrite
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
