//! `restore files`: extracts a file archive, or a part of it, into a folder.

use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use chunk_restore::files::{Extract, ExtractReport, Files, Selection};
use chunk_restore::{Error, ErrorKind, FileTarget, Snapshot};
use serde_json::json;

use crate::destination::write_whole;
use crate::exit::Exit;
use crate::extraction::Extraction;
use crate::failure::Failure;
use crate::file_archive::{self, FileArchive};
use crate::file_arguments::{FileArchive as FileArchiveArguments, FilesArguments};
use crate::interrupt::Interrupt;
use crate::job;
use crate::options::Options;
use crate::output::Output;
use crate::packed;
use crate::program;
use crate::retries;
use crate::shown::shown_name;

/// What to do about something that is in the way of `restore files`.
const IN_THE_WAY: &str = "--allow-existing-dirs extracts into directories that exist, and --overwrite \
     replaces files and links that are in the way";

pub(crate) fn run(
    arguments: &FilesArguments,
    options: &Options,
    interrupt: &Interrupt,
    output: &Output,
) -> Result<Exit, Failure> {
    check(arguments)?;
    let archive = FileArchive::open(&arguments.archive, options, interrupt, output)?;
    let _running = interrupt.run()?;
    let (files, name) = (&archive.files, &arguments.archive.archive);
    check_folder(&archive, arguments)?;
    let selection = selection(&archive, arguments)?;
    if let Some(path) = &arguments.prelude_target {
        write_prelude(files, path, options.overwrite, name, output)?;
    }
    if let Some(format) = arguments.format {
        let pack = files.pack(&selection).salvage(arguments.salvage);
        return packed::to_stdout(&pack, format, name, interrupt, output);
    }
    let extract = extract(arguments, options, selection);
    let salvages = arguments.salvage;
    let folder = &arguments.folder;
    to_folder(files, name, &extract, salvages, folder, IN_THE_WAY, output)
}

/// Refuses a standard output without a format, and a format without standard output.
fn check(arguments: &FilesArguments) -> Result<(), Failure> {
    let is_stdout = arguments.folder.as_os_str() == "-";
    match arguments.format {
        None if is_stdout => Err(Failure::usage(
            "standard output takes one archive: --format tar or --format zip",
        )),
        Some(_) if !is_stdout => Err(Failure::usage(
            "--format writes to standard output: name `-` in place of the folder",
        )),
        _ => Ok(()),
    }
}

/// Refuses a path of the archive in place of the folder, where the folder could not be made anyway.
fn check_folder(archive: &FileArchive, arguments: &FilesArguments) -> Result<(), Failure> {
    let folder = &arguments.folder;
    let is_alone = arguments.paths.is_empty() && arguments.format.is_none();
    let parent = folder.parent().unwrap_or(Path::new(""));
    let is_possible = match folder.metadata() {
        Ok(found) => found.is_dir(),
        Err(_) => parent.as_os_str().is_empty() || parent.is_dir(),
    };
    if !is_alone || is_possible || archive.files.entry(folder).is_err() {
        return Ok(());
    }
    let path = shown_name(folder.as_os_str().as_bytes());
    let FileArchiveArguments { snapshot, archive } = &arguments.archive;
    let message = format!("{path} is in {archive}, and no folder is named to extract it into");
    let program = program::name();
    let advice = format!("`{program} files {snapshot} {archive} DIR {path}`");
    Err(Failure::usage(message).advises(advice))
}

/// Opens a file archive, which messages call by its name.
pub(crate) fn open(
    snapshot: &Snapshot,
    file: &str,
    name: &str,
    options: &Options,
    interrupt: &Interrupt,
    output: &Output,
) -> Result<Files, Failure> {
    let restore = job::settings(options, interrupt).patience(options.patience());
    let restore = retries::telling(restore, name, output);
    file_archive::open(snapshot, file, &restore)
}

/// Extracts a file archive into a folder, and tells how it goes.
pub(crate) fn to_folder(
    files: &Files,
    name: &str,
    extract: &Extract,
    salvages: bool,
    folder: &Path,
    in_the_way: &'static str,
    output: &Output,
) -> Result<Exit, Failure> {
    let mut shown = Extraction::new(name, in_the_way, output);
    match extract.run(files, folder, |report| shown.observe(report)) {
        Ok(report) => {
            shown.tell(folder, &report);
            Ok(exit(&report))
        }
        Err(error) => {
            let has_begun = shown.has_begun;
            // The line that shows the progress would be in the way of the message.
            drop(shown);
            let failure = failed(error, name, salvages);
            // Before it begins, the mark is that of another command.
            match has_begun && folder.join(Extract::UNFINISHED).symlink_metadata().is_ok() {
                true => Err(failure.leaves(folder)),
                false => Err(failure),
            }
        }
    }
}

/// The failure for an error that ended an extraction.
fn failed(error: Error, name: &str, salvages: bool) -> Failure {
    let is_target = error.kind() == ErrorKind::Target;
    let mut failure = Failure::from(error);
    if !is_target {
        failure = failure.about(name);
    }
    if failure.exit() == Exit::Integrity && !salvages {
        failure = failure
            .advises("--salvage puts zeros in place of what is damaged, and lists the files");
    }
    failure
}

fn exit(report: &ExtractReport) -> Exit {
    let mut failures = report.failures.iter();
    match report.is_complete() {
        true => Exit::Done,
        false if failures.any(|failure| failure.error.kind() == ErrorKind::Target) => Exit::Target,
        false => Exit::Damaged,
    }
}

fn extract(arguments: &FilesArguments, options: &Options, selection: Selection) -> Extract {
    let overwrites_all = options.overwrite;
    Extract::new()
        .selection(selection)
        .allow_existing_directories(arguments.allow_existing_dirs)
        .overwrite_files(overwrites_all || arguments.overwrite_files)
        .overwrite_symlinks(overwrites_all || arguments.overwrite_symlinks)
        .overwrite_hard_links(overwrites_all || arguments.overwrite_hardlinks)
        .ownership(!arguments.ignore_ownership)
        .permissions(!arguments.ignore_permissions)
        .xattrs(!arguments.ignore_xattrs)
        .acls(!arguments.ignore_acls)
        .special(!arguments.no_special)
        .ignore_device_errors(arguments.ignore_extract_device_errors)
        .salvage(arguments.salvage)
        .verify(arguments.verify)
}

/// What the command line names: a path of the archive where there is such an entry, and otherwise a
/// pattern that begins at the root.
fn selection(archive: &FileArchive, arguments: &FilesArguments) -> Result<Selection, Failure> {
    let mut selection = Selection::default();
    if arguments.paths.is_empty() && !arguments.patterns.is_empty() {
        file_archive::check_includes(&arguments.patterns)?;
    }
    for name in &arguments.paths {
        let bytes = name.as_os_str().as_bytes();
        let may_be_pattern = bytes.iter().any(|byte| b"*?[\\".contains(byte));
        selection = match archive.entry(name) {
            Ok(_) => selection.path(name),
            Err(failure) if failure.exit() == Exit::NotFound && may_be_pattern => {
                let from_root = bytes.strip_prefix(b"./").unwrap_or(bytes);
                let from_root = from_root.strip_prefix(b"/").unwrap_or(from_root);
                selection.pattern([b"/", from_root].concat())?
            }
            Err(failure) => return Err(failure),
        };
    }
    for pattern in &arguments.patterns {
        selection = selection.pattern(pattern.as_bytes())?;
    }
    Ok(selection)
}

/// Writes what the archive says about the files that the backup left out.
fn write_prelude(
    files: &Files,
    path: &Path,
    overwrites: bool,
    name: &str,
    output: &Output,
) -> Result<(), Failure> {
    let Some(prelude) = files.prelude() else {
        output.remark(
            format!("{name} has no prelude, so there is nothing to write"),
            &json!({ "event": "no_prelude", "archive": name }),
        );
        return Ok(());
    };
    let is_same = |found: &Metadata| {
        // To read anything but a file may take for ever.
        let may_be = found.is_file() && found.len() == prelude.len() as u64;
        may_be && fs::read(path).is_ok_and(|found| found == prelude)
    };
    let mut target = match path.metadata() {
        // An extraction that was cut off has written it.
        Ok(found) if is_same(&found) => return Ok(()),
        Ok(_) if !overwrites => return Err(Failure::differs(path)),
        Ok(_) => FileTarget::replace(path)?,
        Err(_) => FileTarget::create(path)?,
    };
    write_whole(&mut target, prelude).map_err(|error| {
        let path = shown_name(path.as_os_str().as_bytes());
        Failure::target(format!("cannot write the prelude to {path}"), &error)
    })
}
