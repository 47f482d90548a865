//! The program `restore`: lists, restores and verifies backups. Knows the command line, and nothing of how a restore works.

#![forbid(unsafe_code)]

mod arguments;
mod bench;
mod content;
mod damage;
mod damage_map;
mod destination;
mod exit;
mod failure;
mod get;
mod image;
mod interrupt;
mod job;
mod keys;
mod list;
mod output;
mod place;
mod progress;
mod reading;
mod repository;
mod size;
mod trust;
mod verify;

use std::process::ExitCode;

use clap::Parser;

use crate::arguments::{Arguments, Command};
use crate::output::Output;

fn main() -> ExitCode {
    let Arguments { command, options } = Arguments::parse();
    let output = Output::new(&options, command.fills_stdout());
    let result = match &command {
        Command::List { snapshot } => list::run(snapshot.as_deref(), &options, &output),
        Command::Image(arguments) => image::run(arguments, &options, &output),
        Command::Get(arguments) => get::run(arguments, &options, &output),
        Command::Verify { snapshot, archives } => {
            verify::run(snapshot, archives, &options, &output)
        }
        Command::Bench(arguments) => bench::run(arguments, &options, &output),
    };
    let exit = result.unwrap_or_else(|failure| {
        output.fail(&failure);
        failure.exit()
    });
    exit.into()
}
