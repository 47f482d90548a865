//! Questions to whoever sits at the terminal. Leaves it as it was, also when the program ends meanwhile.

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

/// A terminal takes no longer line.
const LONGEST: usize = 4096;

/// What a terminal's special character is that it does not have.
const NONE: u8 = 0;

/// The terminal that hides what is typed, and how it was before.
static HIDING: Mutex<Option<(File, Termios)>> = Mutex::new(None);

/// Whether a question waits for its answer, on the line that it is on.
static IS_ASKED: AtomicBool = AtomicBool::new(false);

/// Asks for something secret. `None` where nobody can be asked.
///
/// # Errors
/// There is no terminal to ask at, or nothing was typed there.
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

/// Asks a question whose answer is yes or no; no, where nobody can be asked.
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

/// Gives the terminal back as it was, for good, where the program ends before it has an answer.
pub(crate) fn leave() {
    let hiding = HIDING.lock();
    if let Some((terminal, before)) = &*hiding {
        let _ = tcsetattr(terminal, OptionalActions::Now, before);
    }
    if hiding.is_some() || IS_ASKED.load(Ordering::SeqCst) {
        let _ = writeln!(io::stderr());
    }
    // Held until the program has ended: nothing can be hidden any more.
    std::mem::forget(hiding);
}

/// From here on the terminal shows nothing of what is typed but the end of the line. It can be interrupted, and neither
/// stopped nor killed by a key, which would leave it so.
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

/// A line, in one buffer that is emptied afterwards.
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
