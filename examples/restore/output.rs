//! What the program says, and where. Knows nothing of what it says.

use std::fmt::Display;
use std::io::{self, Write};

use serde_json::Value;

use crate::arguments::{Format, Options};
use crate::failure::Failure;

/// Where the program says things, and in which form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    is_json: bool,
    is_quiet: bool,
    stdout_is_taken: bool,
}

impl Output {
    pub(crate) fn new(options: &Options, stdout_is_taken: bool) -> Output {
        Output {
            is_json: options.output_format == Format::Json,
            is_quiet: options.quiet,
            stdout_is_taken,
        }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.is_json
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.is_quiet
    }

    /// What was asked for: said even where the program is to be quiet.
    pub(crate) fn answer(&self, text: impl Display, json: &Value) -> Result<(), Failure> {
        let written = match (self.is_json, self.stdout_is_taken) {
            (true, false) => writeln!(io::stdout(), "{json}"),
            (true, true) => writeln!(io::stderr(), "{json}"),
            (false, false) => writeln!(io::stdout(), "{text}"),
            (false, true) => writeln!(io::stderr(), "{text}"),
        };
        match written {
            // Whoever read has read enough; that changes nothing about a restore.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(error) => Err(Failure::output(&error)),
            Ok(()) => Ok(()),
        }
    }

    /// What was done.
    pub(crate) fn report(&self, text: impl Display, json: &Value) -> Result<(), Failure> {
        if self.is_quiet {
            Ok(())
        } else {
            self.answer(text, json)
        }
    }

    /// What is going on: a line on standard error, or an event. That it can't be written is no reason to stop.
    pub(crate) fn remark(&self, text: impl Display, json: &Value) {
        if self.is_json {
            let _ = self.report("", json);
        } else if !self.is_quiet {
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    /// What is wrong with what was done: said even where the program is to be quiet.
    pub(crate) fn warn(&self, text: impl Display, json: &Value) {
        if self.is_json {
            let _ = self.answer("", json);
        } else {
            let _ = writeln!(io::stderr(), "warning: {text}");
        }
    }

    pub(crate) fn fail(&self, failure: &Failure) {
        if self.is_json {
            let _ = self.answer("", &failure.json());
        } else {
            let _ = writeln!(io::stderr(), "{}", failure.text("error"));
        }
    }
}
