//! Asks questions at the terminal. The terminal is left as it was, also when the program ends
//! meanwhile.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use zeroize::Zeroizing;

use crate::shown::shown;

const TERMINAL: &str = "/dev/tty";

/// The longest line that a terminal takes, in bytes.
const LONGEST: usize = 4096;

/// The value that stands for a special character of a terminal which the terminal does not have.
const NONE: u8 = 0;

/// The terminal while it hides what is typed, and its settings from before.
static HIDING: Mutex<Option<(File, Termios)>> = Mutex::new(None);

/// Whether a question on the current line waits for its answer.
static IS_ASKED: AtomicBool = AtomicBool::new(false);

/// Asks for a secret. `None` where nobody can be asked.
///
/// # Errors
/// The terminal can't be opened, or nothing was typed.
pub(crate) fn secret(what: &str) -> io::Result<Option<Zeroizing<String>>> {
    if !io::stdin().is_terminal() {
        return Ok(None);
    }
    let mut terminal = OpenOptions::new().read(true).write(true).open(TERMINAL)?;
    hide(&terminal)?;
    let typed = write!(terminal, "{}: ", shown(what)).and_then(|()| read_line(&mut terminal));
    restore();
    let typed = typed?;
    if !typed.ends_with(b"\n") {
        let _ = writeln!(terminal);
    }
    let text = std::str::from_utf8(&typed).map_err(io::Error::other)?;
    match text.trim_end_matches(['\n', '\r']) {
        "" => Err(io::Error::other("nothing was typed")),
        line => Ok(Some(Zeroizing::new(line.to_owned()))),
    }
}

/// Asks a question that is answered with yes or no. Where nobody can be asked, the answer is no.
pub(crate) fn is_yes(question: &str) -> bool {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return false;
    }
    IS_ASKED.store(true, Ordering::SeqCst);
    let _ = write!(io::stderr(), "{question} [y/N] ");
    let mut answer = String::new();
    let is_answered = io::stdin().read_line(&mut answer).is_ok();
    IS_ASKED.store(false, Ordering::SeqCst);
    is_answered && ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str())
}

/// Restores the terminal for good, where the program ends before it has an answer.
pub(crate) fn leave() {
    let hiding = HIDING.lock();
    if let Some((terminal, before)) = &*hiding {
        let _ = tcsetattr(terminal, OptionalActions::Now, before);
    }
    if hiding.is_some() || IS_ASKED.load(Ordering::SeqCst) {
        let _ = writeln!(io::stderr());
    }
    // The lock is held until the program has ended, so that nothing can hide input any more.
    std::mem::forget(hiding);
}

/// Makes the terminal show nothing of what is typed, except the end of the line. Keys can still
/// interrupt the program, but can neither stop nor kill it, which would leave the terminal like
/// this.
fn hide(terminal: &File) -> io::Result<()> {
    let mut hiding = HIDING.lock();
    let before = tcgetattr(terminal)?;
    let mut modes = before.clone();
    modes.local_modes.remove(LocalModes::ECHO);
    modes.local_modes.insert(LocalModes::ECHONL);
    modes.special_codes[SpecialCodeIndex::VSUSP] = NONE;
    modes.special_codes[SpecialCodeIndex::VQUIT] = NONE;
    tcsetattr(terminal, OptionalActions::Now, &modes)?;
    *hiding = Some((terminal.try_clone()?, before));
    Ok(())
}

fn restore() {
    if let Some((terminal, before)) = HIDING.lock().take() {
        let _ = tcsetattr(terminal, OptionalActions::Now, &before);
    }
}

/// Reads a line into one buffer, which is wiped afterwards.
fn read_line(terminal: &mut File) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut line = Zeroizing::new(vec![0; LONGEST]);
    let mut len = 0;
    while len < LONGEST && !line[..len].ends_with(b"\n") {
        match terminal.read(&mut line[len..]) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    line.truncate(len);
    Ok(line)
}
