//! `restore image`: one archive into a file, or to standard output.

use std::io::{self, IsTerminal};

use crate::arguments::{Image, Options};
use crate::content::Content;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::job::{Destination, Job};
use crate::output::Output;
use crate::place;

pub(crate) fn run(image: &Image, options: &Options, output: &Output) -> Result<Exit, Failure> {
    if image.is_to_stdout() && io::stdout().is_terminal() {
        return Err(Failure::usage(
            "standard output is a terminal: redirect it, or name a file instead of '-'",
        ));
    }
    let snapshot = place::snapshot(options, &image.snapshot)?;
    let content = Content::open(&snapshot, &image.archive)?;
    let job = Job::new(options, output);
    if image.is_to_stdout() {
        job.to_stdout(&content)?;
    } else {
        job.to_file(&content, Destination::open(image.target.clone(), options)?)?;
    }
    Ok(Exit::Done)
}
