//! The program `restore`. Its commands list backups (`list`), restore them (`image`, `get`, `vm`), extract,
//! list and read the files of containers and hosts (`files`, `ls`, `find`, `cat`), check backups
//! (`verify`), measure a server (`bench`), and let other programs read backups without a restore: disks
//! over NBD (`serve`), and disks and files by FUSE (`mount`). The library does the work; this program
//! adds the command line.

#![forbid(unsafe_code)]

mod arguments;
mod bench;
mod cat;
mod chosen;
mod closed;
mod command_line;
mod content;
mod damage;
mod damage_map;
mod destination;
mod disks;
mod drill;
mod drill_arguments;
mod drill_files;
mod drill_json;
mod drill_junit;
mod drill_metrics;
mod due;
mod entries;
mod exit;
mod extract;
mod extraction;
mod failure;
mod file_archive;
mod file_arguments;
mod find;
mod get;
mod guest;
mod help;
mod image;
mod interrupt;
mod job;
mod keys;
mod list;
mod listing;
mod ls;
mod manuals;
mod master_key;
mod mount;
mod options;
mod output;
mod packed;
mod parts;
mod place;
mod program;
mod progress;
mod prompt;
mod read_failures;
mod reading;
mod record;
mod report_file;
mod repository;
mod retries;
mod serve;
mod shown;
mod size;
mod stdout;
mod storage;
mod table;
mod ticker;
mod trust;
mod usage;
mod verified_table;
mod verify;
mod vm;
mod xattrs;

use std::process::ExitCode;

use crate::arguments::{Arguments, Command};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::output::Output;

fn main() -> ExitCode {
    let interrupt = interrupt::watch();
    let arguments = match command_line::parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage::tell(&error).into(),
    };
    let output = Output::new(&arguments.options, &arguments.command);
    interrupt.says_by(&output);
    let exit = match run(&arguments, &interrupt, &output) {
        Ok(exit) => exit,
        Err(failure) if failure.exit() == Exit::Interrupted => interrupt.leave(failure),
        Err(failure) => {
            output.fail(&failure);
            failure.exit()
        }
    };
    output.finish(exit).into()
}

fn run(arguments: &Arguments, interrupt: &Interrupt, output: &Output) -> Result<Exit, Failure> {
    let Arguments { command, options } = arguments;
    output.check(command)?;
    match command {
        Command::List(arguments) => list::run(arguments, options, output),
        Command::Image(arguments) => image::run(arguments, options, interrupt, output),
        Command::Get(arguments) => get::run(arguments, options, interrupt, output),
        Command::Vm(arguments) => vm::run(arguments, options, interrupt, output),
        Command::Files(arguments) => extract::run(arguments, options, interrupt, output),
        Command::Verify(arguments) => verify::run(arguments, options, interrupt, output),
        Command::Bench(arguments) => bench::run(arguments, options, interrupt, output),
        Command::Ls(arguments) => ls::run(arguments, options, interrupt, output),
        Command::Cat(arguments) => cat::run(arguments, options, interrupt, output),
        Command::Find(arguments) => find::run(arguments, options, interrupt, output),
        Command::Serve(arguments) => serve::run(arguments, options, interrupt, output),
        Command::Mount(arguments) => mount::run(arguments, options, interrupt, output),
        Command::Manuals(arguments) => manuals::run(arguments),
    }
}
