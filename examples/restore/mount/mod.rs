//! `restore mount`: shows the disks, small files and file archives of a snapshot in a folder, until it
//! is stopped.

mod answers;
mod attributes;
mod entry_cache;
mod file_system;
mod folder_reply;
mod folders;
mod known_folders;
mod mounted;
mod mounted_file;
mod open_folder;

use std::collections::HashSet;

use chunk_restore::files;
use chunk_restore::{Archive, Restore, Snapshot};
use serde_json::json;

use crate::arguments::Mount;
use crate::content::{self, Content};
use crate::disks::{self, Reads};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::file_archive;
use crate::interrupt::Interrupt;
use crate::job;
use crate::mount::file_system::FileSystem;
use crate::mount::folders::Folder;
use crate::mount::mounted::Mounted;
use crate::mount::mounted_file::File;
use crate::options::Options;
use crate::output::Output;
use crate::place;

pub(crate) fn run(
    mount: &Mount,
    options: &Options,
    interrupt: &Interrupt,
    output: &Output,
) -> Result<Exit, Failure> {
    mounted::check(&mount.folder)?;
    let snapshot = place::snapshot(options, &mount.snapshot, output)?;
    let restore = job::settings(options, interrupt);
    let settings = |_: &str, _: &Archive| Ok(restore.clone());
    let (disks, mut exit) = disks::open(&snapshot, &[], &settings, output)?;
    let mut files: Vec<File> = disks.iter().map(File::of).collect();
    small_files(&snapshot, &mut files, &mut exit, output)?;
    let folders = folders(&snapshot, &restore, &files, &mut exit, output)?;
    tell_left_out(&snapshot, output);
    if files.is_empty() && folders.is_empty() {
        return match exit {
            Exit::Done => Err(Failure::usage(format!(
                "{} holds nothing that can be mounted",
                snapshot.name()
            ))),
            exit => Ok(exit),
        };
    }
    let archives: Vec<files::Files> = folders.iter().map(|folder| folder.files.clone()).collect();
    let time = snapshot.name().time();
    let files = FileSystem::new(files, folders, time, mount.allow_other, output)?;

    // From here on, a signal unmounts in good order.
    let _running = interrupt.run()?;
    let mounted = Mounted::new(files, &mount.folder, mount.allow_other)?;
    let folder = mounted.folder().display().to_string();
    output.remark(
        format!(
            "{} is mounted on {folder}; Ctrl-C unmounts it",
            snapshot.name()
        ),
        &json!({ "event": "mounted", "snapshot": snapshot.name().to_string(), "folder": folder }),
    );
    mounted.wait(interrupt.cancel())?;
    let disks = disks.iter().map(|disk| disk.reader.report());
    let reads = Reads::sum(disks.chain(archives.iter().map(files::Files::report)));
    let mut json = reads.json();
    json["event"] = "unmounted".into();
    output.remark(format!("unmounted {folder}: {reads}"), &json);
    Ok(exit)
}

/// Reads all small files. A damaged one is told and left out, and the exit code says so.
fn small_files(
    snapshot: &Snapshot,
    files: &mut Vec<File>,
    exit: &mut Exit,
    output: &Output,
) -> Result<(), Failure> {
    let listed = snapshot.manifest().files().iter();
    for file in listed.filter(|file| !file.is_archive()) {
        match output.pass_over(Content::open(snapshot, file.name()))? {
            Some(Content::Small { name, bytes }) => files.push(File::small(name, bytes)),
            Some(Content::Archive { .. }) => {}
            None => *exit = Exit::Integrity,
        }
    }
    Ok(())
}

/// Opens all file archives. A damaged one is told and left out, and the exit code says so.
fn folders(
    snapshot: &Snapshot,
    restore: &Restore,
    files: &[File],
    exit: &mut Exit,
    output: &Output,
) -> Result<Vec<Folder>, Failure> {
    let mut taken: HashSet<String> = files.iter().map(|file| file.name.clone()).collect();
    let mut folders = Vec::new();
    for file in snapshot.manifest().files() {
        let archive = file.archive_name();
        let Some(stem) = file_archive::stem(archive) else {
            continue;
        };
        match output.pass_over(file_archive::open(snapshot, archive, restore))? {
            Some(files) => {
                let names = [stem, archive, file.name()];
                let free = names.into_iter().find(|name| !taken.contains(*name));
                let name = free.unwrap_or(file.name()).to_owned();
                taken.insert(name.clone());
                folders.push(Folder {
                    name,
                    archive: archive.to_owned(),
                    files,
                    len: file.size(),
                });
            }
            None => *exit = Exit::Integrity,
        }
    }
    Ok(folders)
}

/// Says which archives are not shown.
fn tell_left_out(snapshot: &Snapshot, output: &Output) {
    let listed = snapshot.manifest().files().iter();
    let left_out: Vec<&str> = listed
        .filter(|file| file.is_archive() && !disks::is_disk(file.name()))
        .filter(|file| !file_archive::is_part(file.archive_name()))
        .map(|file| content::name_of(snapshot, file.name()))
        .collect();
    if !left_out.is_empty() {
        let names = left_out.join(", ");
        output.remark(
            format!("the folder does not show archives that are neither disks nor file archives: {names}"),
            &json!({ "event": "left_out", "archives": left_out }),
        );
    }
}
