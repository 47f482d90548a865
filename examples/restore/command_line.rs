//! Reads the command line, under the name that the program was called by.

use std::env;

use clap::{Command, CommandFactory as _, FromArgMatches as _};

use crate::arguments::Arguments;
use crate::{help, program};

/// The arguments that the program was called with.
pub(crate) fn parse() -> Result<Arguments, clap::Error> {
    let mut command = named(program::name());
    let mut matches = command.try_get_matches_from_mut(env::args_os())?;
    Arguments::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
}

/// The description of the command line, for a program of this name.
pub(crate) fn named(name: &str) -> Command {
    Arguments::command()
        .bin_name(name)
        .display_name(name)
        .after_long_help(help::after(name))
        .mut_subcommand("serve", |serve| {
            serve.after_long_help(help::after_serve(name))
        })
}
