//! Questions to whoever sits at the terminal. Leaves it as it was, also when the program ends meanwhile.

use std::fs::File;
use std::io::{self, IsTerminal, Write};

use parking_lot::Mutex;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::shown::shown;

const TERMINAL: &str = "/dev/tty";

/// The terminal as it was before something is typed that it does not show.
static BEFORE: Mutex<Option<(File, Termios)>> = Mutex::new(None);

/// Asks for something secret. `None` where nobody can be asked.
///
/// # Errors
/// Somebody was asked, and interrupted the program or gave nothing.
pub(crate) fn secret(what: &str) -> Result<Option<Zeroizing<String>>, Asked> {
    if !io::stdin().is_terminal() {
        return Ok(None);
    }
    let before = File::open(TERMINAL).and_then(|terminal| {
        tcgetattr(&terminal).map_or_else(
            |error| Err(error.into()),
            |as_it_was| Ok((terminal, as_it_was)),
        )
    });
    *BEFORE.lock() = before.ok();
    let typed = rpassword::prompt_password(format!("{}: ", shown(what)));
    *BEFORE.lock() = None;
    match typed {
        Ok(typed) if typed.is_empty() => Err(Asked::Failed(io::Error::other("nothing was typed"))),
        Ok(typed) => Ok(Some(Zeroizing::new(typed))),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(Asked::Interrupted),
        Err(error) => Err(Asked::Failed(error)),
    }
}

/// Why there is no answer.
pub(crate) enum Asked {
    Interrupted,
    Failed(io::Error),
}

impl Asked {
    /// What the program fails with: where nobody interrupted it, with what the error makes.
    pub(crate) fn fails(self, failure: impl FnOnce(&io::Error) -> Failure) -> Failure {
        match self {
            Asked::Interrupted => Failure::interrupted(),
            Asked::Failed(error) => failure(&error),
        }
    }
}

/// Asks a question whose answer is yes or no; no, where nobody can be asked.
pub(crate) fn is_yes(question: &str) -> bool {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return false;
    }
    let _ = write!(io::stderr(), "{question} [y/N] ");
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).is_ok()
        && ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str())
}

/// Gives the terminal back as it was before a question that is not answered.
pub(crate) fn restore_terminal() {
    if let Some((terminal, as_it_was)) = BEFORE.lock().take() {
        let _ = tcsetattr(terminal, OptionalActions::Now, &as_it_was);
        let _ = writeln!(io::stderr());
    }
}
