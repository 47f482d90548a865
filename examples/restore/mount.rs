//! `restore mount`: shows the disks and small files of a snapshot in a folder, until it is stopped.

use chunk_restore::{Archive, Snapshot};
use serde_json::json;

use crate::arguments::{Mount, Options};
use crate::content::{self, Content};
use crate::disks::{self, Reads};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::files::{File, Files};
use crate::interrupt::Interrupt;
use crate::job;
use crate::mounted::{self, Mounted};
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
    tell_left_out(&snapshot, output);
    if files.is_empty() {
        return match exit {
            Exit::Done => Err(Failure::usage(format!(
                "{} holds nothing that can be mounted",
                snapshot.name()
            ))
            .advises("`restore get` restores archives of files as pxar streams")),
            exit => Ok(exit),
        };
    }
    let files = Files::new(files, snapshot.name().time(), mount.allow_other, output)?;

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
    let reads = Reads::of(&disks);
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
        match Content::open(snapshot, file.name()) {
            Ok(Content::Small { name, bytes }) => files.push(File::small(name, bytes)),
            Ok(Content::Archive { .. }) => {}
            Err(failure) if failure.exit() == Exit::Integrity => {
                output.fail(&failure);
                *exit = Exit::Integrity;
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(())
}

/// Says which archives are not shown.
fn tell_left_out(snapshot: &Snapshot, output: &Output) {
    let listed = snapshot.manifest().files().iter();
    let left_out: Vec<&str> = listed
        .filter(|file| file.is_archive() && !disks::is_disk(file.name()))
        .map(|file| content::name_of(snapshot, file.name()))
        .collect();
    if !left_out.is_empty() {
        let names = left_out.join(", ");
        output.remark(
            format!("the folder does not show archives that are no disks: {names}"),
            &json!({ "event": "left_out", "archives": left_out }),
        );
    }
}
