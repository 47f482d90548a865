//! The output of the program: on standard output or standard error, as text or JSON.

use std::fmt::Display;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use serde_json::Value;

use crate::arguments::Command;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::options::{Format, Options};
use crate::shown::{shown_json, shown_lines};

/// Whether standard output was closed when the program began. Before `main`, Rust opens `/dev/null`
/// in its place, which then looks like a `/dev/null` that the user asked for.
static STDOUT_WAS_CLOSED: AtomicBool = AtomicBool::new(false);

/// The first error of writing output, if there was one.
static FAILED: Mutex<Option<io::Error>> = Mutex::new(None);

/// How many writes to standard output and standard error were begun, and how many of them have
/// ended. A write to a pipe that nobody reads does not end.
static BEGUN: AtomicU64 = AtomicU64::new(0);
static ENDED: AtomicU64 = AtomicU64::new(0);

#[ctor::ctor]
fn look_at_stdout() {
    let flags = rustix::io::fcntl_getfd(rustix::stdio::stdout());
    STDOUT_WAS_CLOSED.store(flags.is_err(), Ordering::Relaxed);
}

const CLOSED: &str = "standard output is closed: redirect it, as to a file or to /dev/null";

const CANNOT_WRITE: &str = "cannot write to standard output";

/// Where the program writes its output, and in which form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    is_json: bool,
    is_quiet: bool,
    stdout_is_taken: bool,
}

impl Output {
    pub(crate) fn new(options: &Options, command: &Command) -> Output {
        Output {
            is_json: options.output_format == Format::Json,
            is_quiet: options.quiet,
            stdout_is_taken: command.fills_stdout(),
        }
    }

    /// An output for messages before the command line is understood.
    pub(crate) fn plain(is_json: bool, stdout_is_taken: bool) -> Output {
        Output {
            is_json,
            is_quiet: false,
            stdout_is_taken,
        }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.is_json
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.is_quiet
    }

    /// Refuses to begin where nobody would get the output.
    pub(crate) fn check(&self, command: &Command) -> Result<(), Failure> {
        let is_answer = matches!(
            command,
            Command::List(_) | Command::Bench(_) | Command::Ls(_) | Command::Find(_)
        );
        match STDOUT_WAS_CLOSED.load(Ordering::Relaxed) {
            true if self.stdout_is_taken => Err(Failure::refused(CLOSED)),
            true if is_answer || !self.is_quiet => Err(Failure::output(CLOSED)),
            _ => Ok(()),
        }
    }

    /// Prints the answer to a command, in the form that it already has.
    pub(crate) fn print(&self, text: impl Display) -> Result<(), Failure> {
        if STDOUT_WAS_CLOSED.load(Ordering::Relaxed) {
            return Err(Failure::output(CLOSED));
        }
        let written = counted(|| {
            let mut stdout = io::stdout();
            write!(stdout, "{text}").and_then(|()| stdout.flush())
        });
        heard(written).map_err(|error| Failure::output(CANNOT_WRITE).because(&error))
    }

    /// Prints the answer to a command, even where the program is to be quiet.
    pub(crate) fn answer(&self, text: impl Display, json: &Value) -> Result<(), Failure> {
        let written = self.write(text, json);
        written.map_err(|error| Failure::output(CANNOT_WRITE).because(&error))
    }

    /// Prints the next part of a long answer. `false` says that the reader has closed the pipe, so that
    /// the rest is of no use.
    pub(crate) fn stream(&self, bytes: &[u8]) -> Result<bool, Failure> {
        let written = counted(|| io::stdout().write_all(bytes));
        match written {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(Failure::output(CANNOT_WRITE).because(&error)),
        }
    }

    /// Reports what was done. If the report can't be written, the program goes on, and fails at the
    /// end.
    pub(crate) fn report(&self, text: impl Display, json: &Value) {
        if !self.is_quiet {
            self.try_write(text, json);
        }
    }

    /// Says what is going on: a line on standard error, or an event.
    pub(crate) fn remark(&self, text: impl Display, json: &Value) {
        if self.is_json {
            self.report("", json);
        } else if !self.is_quiet {
            let _ = to_stderr(shown_lines(text));
        }
    }

    /// Warns about a problem, even where the program is to be quiet.
    pub(crate) fn warn(&self, text: impl Display, json: &Value) {
        self.tell(format_args!("warning: {text}"), json);
    }

    pub(crate) fn fail(&self, failure: &Failure) {
        self.tell(failure.text("error"), &failure.json());
    }

    /// Gives `None` for one of several archives if it is damaged, and says so. The others can be
    /// used.
    pub(crate) fn pass_over<T>(&self, opened: Result<T, Failure>) -> Result<Option<T>, Failure> {
        match opened {
            Err(failure) if failure.exit() == Exit::Integrity => {
                self.fail(&failure);
                Ok(None)
            }
            opened => opened.map(Some),
        }
    }

    /// Writes an error or a warning to standard error, or as an event.
    fn tell(&self, text: impl Display, json: &Value) {
        if self.is_json {
            self.try_write("", json);
        } else {
            let _ = to_stderr(shown_lines(text));
        }
    }

    /// The exit code, after it is known whether all output could be written.
    pub(crate) fn finish(&self, exit: Exit) -> Exit {
        let Some(error) = FAILED.lock().take() else {
            return exit;
        };
        let failure = Failure::output(CANNOT_WRITE).because(&error);
        let text = match self.is_json {
            true => shown_json(failure.json()),
            false => shown_lines(failure.text("error")),
        };
        let _ = to_stderr(text);
        exit.or(failure.exit())
    }

    fn try_write(&self, text: impl Display, json: &Value) {
        if let Err(error) = self.write(text, json) {
            FAILED.lock().get_or_insert(error);
        }
    }

    fn write(&self, text: impl Display, json: &Value) -> io::Result<()> {
        let line = match self.is_json {
            true => shown_json(json),
            false => shown_lines(text),
        };
        let is_elsewhere = self.stdout_is_taken || STDOUT_WAS_CLOSED.load(Ordering::Relaxed);
        let written = match is_elsewhere {
            true => to_stderr(line),
            false => counted(|| writeln!(io::stdout(), "{line}")),
        };
        heard(written)
    }
}

fn to_stderr(line: impl Display) -> io::Result<()> {
    counted(|| writeln!(io::stderr(), "{line}"))
}

/// Writes to standard output or standard error, and counts the write.
pub(crate) fn counted<T>(write: impl FnOnce() -> T) -> T {
    BEGUN.fetch_add(1, Ordering::SeqCst);
    let written = write();
    ENDED.fetch_add(1, Ordering::SeqCst);
    written
}

/// How many writes have ended, if another one has begun and not ended; `None` if no write waits.
pub(crate) fn ended_before_one_that_waits() -> Option<u64> {
    // `ENDED` is read first. So a write that begins and ends meanwhile can't make it look as if a
    // write waited for long.
    let ended = ENDED.load(Ordering::SeqCst);
    (BEGUN.load(Ordering::SeqCst) > ended).then_some(ended)
}

/// Ignores that the reader has closed a pipe: the reader has read enough, and that changes nothing
/// about a restore.
fn heard(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
