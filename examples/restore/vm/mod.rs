//! `restore vm`: restores a whole guest: all its disks at the same time, its configuration, and what
//! boots the disks.

pub(crate) mod arguments;
mod outcome;
mod room;
mod sealed;
mod start;
mod targets;
pub(crate) mod together;

use std::fs;
use std::io;
use std::path::PathBuf;
use std::thread::{self, ScopedJoinHandle};

use chunk_restore::Snapshot;
use serde_json::json;

use crate::content::{self, Content};
use crate::destination::{Destination, make_folder};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::guest::Disk;
use crate::interrupt::Interrupt;
use crate::job::Job;
use crate::options::Options;
use crate::output::Output;
use crate::place;
use crate::vm::arguments::Vm;
use crate::vm::outcome::Outcome;
use crate::vm::start::{GuestDisk, Start};
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
    let files: Vec<String> = assigned.iter().map(|disk| disk.file.clone()).collect();
    content::check_key(&snapshot, &files)?;
    let restoring = Restoring {
        vm,
        options,
        snapshot: &snapshot,
        folder: vm.dir.clone().unwrap_or_default(),
        job: Job::new(options, interrupt, output).salvaging(vm.writing.salvage),
        interrupt,
        output,
    };
    // A server may be waited for here. There is nothing to clean up yet, so a signal ends the
    // program at once.
    let read = restoring.read(assigned)?;
    let is_new = vm.dir.is_some() && make_folder(&restoring.folder)?;
    let done = restoring.run(read);
    if done.is_err() && is_new {
        // It goes only if nothing was put into it.
        let _ = fs::remove_dir(&restoring.folder);
    }
    done
}

/// Restores the disks of one snapshot.
struct Restoring<'a> {
    vm: &'a Vm,
    options: &'a Options,
    snapshot: &'a Snapshot,
    /// The folder of what has no place of its own.
    folder: PathBuf,
    job: Job<'a>,
    interrupt: &'a Interrupt,
    output: &'a Output,
}

/// What was read of the snapshot before anything is written: indexes and small files, and where they
/// go. Those that are damaged are in the outcome alone.
struct Read {
    /// How many disks are to be restored, with those that are damaged.
    disk_count: usize,
    disks: Vec<(Content, PathBuf)>,
    small_files: Vec<(Content, PathBuf)>,
    outcome: Outcome,
}

/// A disk or a small file that is ready to be restored.
struct Ready {
    content: Content,
    destination: Destination,
    /// What the guest gets, if the guest is written and this is a disk.
    guest_disk: Option<GuestDisk>,
}

impl Restoring<'_> {
    fn read(&self, assigned: Vec<Assigned>) -> Result<Read, Failure> {
        let mut read = Read {
            disk_count: assigned.len(),
            disks: Vec::new(),
            small_files: Vec::new(),
            outcome: Outcome::new(),
        };
        for disk in assigned {
            if let Some(content) = self.open(&disk.file, &mut read.outcome)? {
                read.disks.push((content, disk.path));
            }
        }
        let is_there = |name: &str| {
            let file = self.snapshot.manifest().file(name);
            file.is_some_and(|file| !file.is_archive())
        };
        // Where the configuration is needed and not there, the error says what the snapshot has.
        let is_needed = |name: &str| self.vm.config.is_some() && name == start::CONFIGURATION;
        for name in SMALL_FILES {
            if (is_there(name) || is_needed(name))
                && let Some(content) = self.open(name, &mut read.outcome)?
            {
                read.small_files.push((content, self.folder.join(name)));
            }
        }
        Ok(read)
    }

    /// Reads an index or a small file. A damaged one is told, and everything else is restored.
    fn open(&self, file: &str, outcome: &mut Outcome) -> Result<Option<Content>, Failure> {
        let opened = (self.output).pass_over(Content::open(self.snapshot, file))?;
        if opened.is_none() {
            outcome.record(content::name_of(self.snapshot, file), Exit::Integrity);
        }
        Ok(opened)
    }

    fn run(&self, read: Read) -> Result<Exit, Failure> {
        let mut outcome = read.outcome;
        let is_salvage = self.vm.writing.salvage;
        let start = self.start(&read.small_files)?;
        let beside = read.small_files.iter().map(|(_, path)| path.clone());
        let beside: Vec<PathBuf> = beside.chain(start.iter().flat_map(Start::files)).collect();
        targets::check_apart(&read.disks, &beside, is_salvage)?;
        let running = self.interrupt.run()?;
        let prepare = |(content, path), reuse| self.prepare(content, path, reuse);
        let small_files = read.small_files.into_iter();
        let small_files: Vec<Ready> = small_files
            .map(|file| prepare(file, false))
            .collect::<Result<_, _>>()?;
        let mut disks: Vec<Ready> = (read.disks.into_iter())
            .map(|disk| prepare(disk, self.vm.reuse))
            .collect::<Result<_, _>>()?;
        if !self.vm.writing.skip_space_check {
            room::check(&disks, &self.job, self.vm.writing.zeros)?;
        }
        if start.is_some() {
            for disk in &mut disks {
                disk.guest_disk = Some(GuestDisk::new(&disk.content, &disk.destination)?);
            }
        }
        for file in small_files {
            let name = file.content.name().to_owned();
            let (exit, _) = self.restore(file, None);
            if exit != Exit::Done {
                outcome.record(&name, exit);
            }
        }
        let guest_disks = self.disks(disks, &mut outcome);
        drop(running);
        self.interrupt.check()?;
        let is_complete = guest_disks.len() == read.disk_count;
        self.boot(start, &guest_disks, is_complete, &mut outcome);
        outcome.tell(self.snapshot, self.output);
        Ok(outcome.exit)
    }

    /// What boots the guest, if it is asked for and the configuration is not damaged.
    fn start(&self, small_files: &[(Content, PathBuf)]) -> Result<Option<Start>, Failure> {
        let is_configuration = |content: &&Content| content.name() == start::CONFIGURATION;
        let contents = small_files.iter().map(|(content, _)| content);
        let configuration = contents.clone().find(is_configuration);
        let start = self.vm.config.zip(configuration).map(|(kind, content)| {
            Start::new(
                kind,
                content,
                self.snapshot,
                &self.folder,
                self.vm,
                self.options,
            )
        });
        start.transpose()
    }

    /// Reads what the target holds, and opens it. Nothing is written yet.
    fn prepare(&self, content: Content, path: PathBuf, reuse: bool) -> Result<Ready, Failure> {
        let (writing, options) = (&self.vm.writing, self.options);
        let destination = Destination::open_or_compare(path, reuse, &content, writing, options)?;
        let len = content.len();
        if let Some(held) = destination.device_len().filter(|held| *held < len) {
            return Err(Failure::refused(format!(
                "the device {} is too small for {}: it has {held} bytes, and {len} are needed",
                destination.path().display(),
                content.name()
            )));
        }
        Ok(Ready {
            content,
            destination,
            guest_disk: None,
        })
    }

    /// Restores all disks at the same time. A disk that fails leaves the others alone. Returns what
    /// the guest gets of those that are there.
    fn disks(&self, disks: Vec<Ready>, outcome: &mut Outcome) -> Vec<Disk> {
        let name = self.snapshot.name().to_string();
        let lens: Vec<(u64, u64)> = disks.iter().map(|disk| self.lens(disk)).collect();
        let together = Together::new(&name, &lens, self.output);
        let together = &together;
        let ends: Vec<(String, (Exit, Option<Disk>))> = thread::scope(|scope| {
            let start = |(number, disk): (usize, Ready)| {
                let name = disk.content.name().to_owned();
                let thread = thread::Builder::new().name("disk".to_owned());
                let restore = move || self.restore(disk, Some((together, number)));
                (name, thread.spawn_scoped(scope, restore))
            };
            let started: Vec<_> = disks.into_iter().enumerate().map(start).collect();
            let end = |(name, started): (String, io::Result<ScopedJoinHandle<'_, _>>)| {
                let end = match started.map(ScopedJoinHandle::join) {
                    Ok(Ok(end)) => end,
                    Ok(Err(panic)) => std::panic::resume_unwind(panic),
                    Err(error) => {
                        let message = format!("cannot start a thread for {name}");
                        let failure = Failure::resources(message, &error);
                        together.suspend(|| self.output.fail(&failure));
                        (failure.exit(), None)
                    }
                };
                (name, end)
            };
            started.into_iter().map(end).collect()
        });
        let mut guest_disks = Vec::new();
        for (name, (exit, guest_disk)) in ends {
            outcome.record(&name, exit);
            guest_disks.extend(guest_disk);
        }
        guest_disks
    }

    /// How many bytes a disk has, and how many of them are to be fetched, as far as that is known.
    fn lens(&self, disk: &Ready) -> (u64, u64) {
        let (len, zeros) = self.job.planned(&disk.content);
        match disk.destination.is_compared() {
            // It was restored before, and needs no part of the connections.
            true => (len, 0),
            false => (len, len - zeros),
        }
    }

    /// Restores a disk or a small file, and tells why it failed.
    fn restore(
        &self,
        ready: Ready,
        together: Option<(&Together<'_>, usize)>,
    ) -> (Exit, Option<Disk>) {
        let restored = (self.job).beside_others(&ready.content, ready.destination, together);
        match restored {
            Ok(exit) => (exit, ready.guest_disk.map(|disk| disk.after(exit))),
            Err(failure) => {
                let tell = || self.tell(&failure);
                together.map_or_else(tell, |(together, _)| together.suspend(tell));
                (failure.exit(), None)
            }
        }
    }

    fn tell(&self, failure: &Failure) {
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

    /// Writes what boots the disks, if it is asked for and all disks are there.
    fn boot(&self, start: Option<Start>, disks: &[Disk], is_complete: bool, outcome: &mut Outcome) {
        let why = match start {
            _ if self.vm.config.is_none() => return,
            None => "what boots the guest can't be written without its configuration",
            Some(_) if !is_complete => {
                "what boots the guest is written once all its disks are there"
            }
            Some(start) => {
                if let Err(failure) = start.write(disks, self.output) {
                    self.output.fail(&failure);
                    outcome.exit = outcome.exit.worse(failure.exit());
                }
                return;
            }
        };
        self.output.remark(why, &json!({ "event": "no_start" }));
    }
}
