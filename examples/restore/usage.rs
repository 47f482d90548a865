//! Prints help, and errors of the command line, in the output format that the command line asks
//! for.

use std::env;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};

use clap::error::ErrorKind;

use crate::command_line;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::program;
use crate::shown::shown_lines;

pub(crate) fn tell(error: &clap::Error) -> Exit {
    let is_asked_for = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    if is_asked_for {
        return help(error);
    }
    let arguments: Vec<_> = env::args_os().collect();
    let is = |at: usize, text: &str| arguments.get(at).is_some_and(|argument| argument == text);
    let wants_json = (1..arguments.len()).any(|at| {
        is(at, "--output-format=json") || (is(at, "--output-format") && is(at + 1, "json"))
    });
    if !wants_json {
        // The error quotes what was typed, which may hold any characters.
        let text = error.render().to_string();
        let shown = shown_lines(&text);
        if shown == text {
            let _ = error.print();
        } else {
            let _ = write!(io::stderr(), "{shown}");
        }
        return Exit::Usage;
    }
    let fills_stdout = (1..arguments.len()).any(|at| is(at, "-")) || is_cat(&arguments);
    let output = Output::plain(true, fills_stdout);
    output.fail(&failure(error));
    output.finish(Exit::Usage)
}

/// Whether the command is `cat`, as far as the arguments make sense.
fn is_cat(arguments: &[OsString]) -> bool {
    let parser = command_line::named(program::name()).ignore_errors(true);
    let parsed = parser.try_get_matches_from(arguments);
    parsed.is_ok_and(|parsed| parsed.subcommand_name() == Some("cat"))
}

/// The failure for an error of the parser: its first paragraph is the message, the rest are hints.
fn failure(error: &clap::Error) -> Failure {
    let text = error.render().to_string();
    let (message, hints) = text.trim().split_once("\n\n").unwrap_or((text.trim(), ""));
    let message = message.strip_prefix("error: ").unwrap_or(message);
    let failure = match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            return Failure::usage("no command was given")
                .advises(format!("see {} --help", program::name()));
        }
        _ => Failure::usage(message),
    };
    match hints.is_empty() {
        true => failure,
        false => {
            let hints = hints.lines().map(str::trim).filter(|line| !line.is_empty());
            failure.advises(hints.collect::<Vec<_>>().join("; "))
        }
    }
}

fn help(error: &clap::Error) -> Exit {
    let text = error.render();
    let output = Output::plain(false, false);
    let printed = match io::stdout().is_terminal() {
        true => output.print(text.ansi()),
        false => output.print(text),
    };
    match printed {
        Ok(()) => Exit::Done,
        Err(failure) => {
            output.fail(&failure);
            failure.exit()
        }
    }
}
