//! `restore vm`: restores a whole guest: all its disks at the same time, its configuration, and what
//! boots the disks.

pub(crate) mod arguments;
mod room;
mod start;
mod targets;
pub(crate) mod together;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use chunk_restore::Snapshot;
use serde_json::json;

use crate::content::{self, Content};
use crate::destination::Destination;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::guest::Disk;
use crate::interrupt::Interrupt;
use crate::job::Job;
use crate::options::Options;
use crate::output::Output;
use crate::place;
use crate::size::count;
use crate::vm::arguments::Vm;
use crate::vm::start::Start;
use crate::vm::targets::Assigned;
use crate::vm::together::Together;

/// The small files of a guest's backup that are restored beside its disks.
const SMALL_FILES: [&str; 2] = [start::CONFIGURATION, "fw.conf"];

pub(crate) fn run(
    vm: &Vm,
    options: &Options,
    interrupt: &Interrupt,
    output: &Output,
) -> Result<Exit, Failure> {
    let snapshot = place::snapshot(options, &vm.snapshot, output)?;
    let assigned = targets::assign(&snapshot, vm)?;
    let folder = vm.dir.clone().unwrap_or_default();
    let is_listed = |name: &&str| snapshot.manifest().file(name).is_some();
    let small_files: Vec<&str> = SMALL_FILES.into_iter().filter(is_listed).collect();
    let mut beside: Vec<PathBuf> = small_files.iter().map(|name| folder.join(name)).collect();
    beside.extend((vm.config.iter()).flat_map(|kind| start::files(*kind, &snapshot, &folder)));
    let files: Vec<String> = assigned.iter().map(|disk| disk.file.clone()).collect();
    content::check_key(&snapshot, &files)?;
    let is_new = vm.dir.is_some() && make_folder(&folder)?;
    let restoring = Restoring {
        vm,
        options,
        snapshot: &snapshot,
        job: Job::new(options, interrupt, output).salvaging(vm.writing.salvage),
        interrupt,
        output,
    };
    let done = targets::check_apart(&assigned, &beside, vm.writing.salvage)
        .and_then(|()| restoring.run(&assigned, &small_files, &folder));
    if done.is_err() && is_new {
        // It goes only if nothing was put into it.
        let _ = fs::remove_dir(&folder);
    }
    done
}

/// Makes the folder, if it is not there, and says whether it did.
fn make_folder(folder: &Path) -> Result<bool, Failure> {
    if folder.is_dir() {
        return Ok(false);
    }
    let made = fs::create_dir(folder);
    made.map_err(|error| {
        Failure::target(
            format!("cannot make the folder {}", folder.display()),
            &error,
        )
    })?;
    Ok(true)
}

/// Restores the disks of one snapshot.
struct Restoring<'a> {
    vm: &'a Vm,
    options: &'a Options,
    snapshot: &'a Snapshot,
    job: Job<'a>,
    interrupt: &'a Interrupt,
    output: &'a Output,
}

/// A disk that is ready to be restored.
struct Ready {
    content: Content,
    destination: Destination,
    /// What the restored disk is for a guest.
    disk: Disk,
    /// Where the disk is if some of it is lost.
    damaged: PathBuf,
}

/// What became of the disks, by the names of their archives.
#[derive(Default)]
struct Outcome {
    restored: Vec<String>,
    damaged: Vec<String>,
    failed: Vec<String>,
    exit: Option<Exit>,
}

impl Restoring<'_> {
    fn run(&self, assigned: &[Assigned], small: &[&str], folder: &Path) -> Result<Exit, Failure> {
        let running = self.interrupt.run()?;
        let mut outcome = Outcome::default();
        let mut ready = Vec::new();
        for disk in assigned {
            self.interrupt.check()?;
            match self.prepare(disk) {
                // The other disks can be restored.
                Err(failure) if failure.exit() == Exit::Integrity => {
                    self.output.fail(&failure);
                    outcome.record(&disk.archive, failure.exit());
                }
                prepared => ready.push(prepared?),
            }
        }
        if !self.vm.writing.skip_space_check {
            room::check(&ready, &self.job, self.vm.writing.zeros)?;
        }
        let start = match self.vm.config {
            Some(kind) => Some(Start::prepare(
                kind,
                self.snapshot,
                folder,
                ready.iter_mut().map(|ready| {
                    let path = ready.destination.path().to_owned();
                    (&mut ready.disk, path)
                }),
                self.options.overwrite,
            )?),
            None => None,
        };
        self.small_files(small, folder)?;
        let disks = self.disks(ready, &mut outcome);
        drop(running);
        self.interrupt.check()?;
        if outcome.failed.is_empty() {
            if let Some(start) = start {
                start.write(&disks, self.output)?;
            }
        } else if start.is_some() {
            let text = "what boots the guest is written once all its disks are there";
            self.output.remark(text, &json!({ "event": "no_start" }));
        }
        self.tell(&outcome);
        Ok(outcome.exit.unwrap_or(Exit::Done))
    }

    /// Reads the index of a disk, and opens its target. Nothing is written yet.
    fn prepare(&self, assigned: &Assigned) -> Result<Ready, Failure> {
        let content = Content::open(self.snapshot, &assigned.file)?;
        let len = match &content {
            Content::Archive { archive, .. } => archive.index().len(),
            Content::Small { bytes, .. } => bytes.len() as u64,
        };
        let path = assigned.path.clone();
        let is_there = path.is_file() && !self.options.overwrite && !self.vm.reuse;
        let destination = match is_there {
            // An earlier run that was cut off may have completed the file.
            true => Destination::compare(path, &content)?,
            false => Destination::open(path, self.vm.reuse, None, &self.vm.writing, self.options)?,
        };
        if let Some(held) = destination.device_len().filter(|held| *held < len) {
            return Err(Failure::refused(format!(
                "the device {} is too small for {}: it has {held} bytes, and {len} are needed",
                assigned.path.display(),
                assigned.archive
            )));
        }
        Ok(Ready {
            disk: Disk {
                device: assigned.device().to_owned(),
                path: String::new(),
                len,
                is_block_device: destination.device_len().is_some(),
            },
            damaged: destination.damaged().to_owned(),
            content,
            destination,
        })
    }

    fn small_files(&self, names: &[&str], folder: &Path) -> Result<(), Failure> {
        for name in names {
            let content = Content::open(self.snapshot, name)?;
            let path = folder.join(name);
            let is_there = path.is_file() && !self.options.overwrite;
            let destination = match is_there {
                true => Destination::compare(path, &content)?,
                false => Destination::open(path, false, None, &self.vm.writing, self.options)?,
            };
            self.job.to_destination(&content, destination)?;
        }
        Ok(())
    }

    /// Restores all disks at the same time. A disk that fails leaves the others alone. Returns the
    /// disks that are there.
    fn disks(&self, ready: Vec<Ready>, outcome: &mut Outcome) -> Vec<Disk> {
        let name = self.snapshot.name().to_string();
        let planned = |ready: &Ready| match &ready.content {
            Content::Archive { archive, .. } => self.job.planned(archive),
            Content::Small { bytes, .. } => (bytes.len() as u64, 0),
        };
        let lens: Vec<(u64, u64)> = ready.iter().map(planned).collect();
        let together = Together::new(&name, &lens, self.output);
        let mut disks = Vec::new();
        let ends: Vec<_> = thread::scope(|scope| {
            let started: Vec<_> = (ready.into_iter().enumerate())
                .map(|(number, ready)| {
                    let together = &together;
                    let archive = ready.content.name().to_owned();
                    let thread = thread::Builder::new().name("disk".to_owned());
                    let run = move || self.disk(ready, number, together);
                    (archive, thread.spawn_scoped(scope, run))
                })
                .collect();
            let join =
                |(archive, started): (String, std::io::Result<thread::ScopedJoinHandle<_>>)| {
                    let end = match started {
                        Ok(thread) => match thread.join() {
                            Ok(end) => end,
                            Err(panic) => std::panic::resume_unwind(panic),
                        },
                        Err(error) => {
                            let message = format!("cannot start a thread for {archive}");
                            let failure = Failure::output(message).because(&error);
                            together.suspend(|| self.output.fail(&failure));
                            (failure.exit(), None)
                        }
                    };
                    (archive, end)
                };
            started.into_iter().map(join).collect()
        });
        for (archive, (exit, disk)) in ends {
            outcome.record(&archive, exit);
            disks.extend(disk);
        }
        disks
    }

    /// Restores one disk, and tells what became of it.
    fn disk(&self, ready: Ready, number: usize, together: &Together<'_>) -> (Exit, Option<Disk>) {
        let Ready {
            content,
            destination,
            mut disk,
            damaged,
        } = ready;
        let restored = (self.job).beside_others(&content, destination, Some((together, number)));
        match restored {
            Ok(exit) => {
                if exit == Exit::Damaged {
                    start::put(&mut disk, &damaged);
                }
                (exit, Some(disk))
            }
            Err(failure) => {
                together.suspend(|| self.tell_failure(&failure));
                (failure.exit(), None)
            }
        }
    }

    fn tell_failure(&self, failure: &Failure) {
        match (failure.exit(), failure.left()) {
            (Exit::Interrupted, Some(left)) => {
                let left = left.display();
                let json = json!({ "event": "incomplete", "target": left.to_string() });
                let text = format!("{left} is incomplete: the same command goes on with it");
                self.output.remark(text, &json);
            }
            (Exit::Interrupted, None) => {}
            _ => self.output.fail(failure),
        }
    }

    fn tell(&self, outcome: &Outcome) {
        let name = self.snapshot.name().to_string();
        let there = outcome.restored.len() + outcome.damaged.len();
        let json = json!({
            "event": "guest",
            "snapshot": name,
            "restored": outcome.restored,
            "damaged": outcome.damaged,
            "failed": outcome.failed,
        });
        let mut text = format!("{name}: {} restored", count(there as u64, "disk"));
        if !outcome.damaged.is_empty() {
            text += &format!(", damaged: {}", outcome.damaged.join(", "));
        }
        match outcome.failed.is_empty() {
            true => self.output.report(text, &json),
            false => {
                text += &format!(", not restored: {}", outcome.failed.join(", "));
                self.output.warn(text, &json);
            }
        }
    }
}

impl Outcome {
    fn record(&mut self, archive: &str, exit: Exit) {
        let names = match exit {
            Exit::Done => &mut self.restored,
            Exit::Damaged => &mut self.damaged,
            _ => &mut self.failed,
        };
        names.push(archive.to_owned());
        let exit = self.exit.map_or(exit, |before| before.worse(exit));
        self.exit = Some(exit);
    }
}
