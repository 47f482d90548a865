//! Signals: the first one stops the restore in good order, the second one ends the program at once.

use std::fs;
use std::io;
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use chunk_restore::Cancel;
use parking_lot::Mutex;
use serde_json::json;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag::register_conditional_shutdown;
use signal_hook::iterator::Signals;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::prompt;

/// How long the program waits for its message about the interruption to be written, since nobody
/// may read it.
const SAYING: Duration = Duration::from_millis(300);

/// How long one write may take after a signal. A write that takes longer goes to a pipe that nobody
/// reads, or to a terminal that was stopped.
const WRITE_MAX: Duration = Duration::from_millis(500);

/// How often the program looks whether a write has ended.
const WRITE_CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// Handles SIGINT, SIGTERM and SIGHUP. Cheap to clone.
///
/// While a restore runs, a signal cancels it, so that it ends in good order. At any other time
/// there is nothing to clean up, whether the program waits for a server, a file or an answer to a
/// question. So the signal ends the program at once.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt(Arc<State>);

#[derive(Debug, Default)]
struct State {
    cancel: Cancel,
    /// How many restores are running.
    running: Mutex<usize>,
    /// Once this is set, the next signal ends the program immediately.
    is_heard: Arc<AtomicBool>,
    is_told: AtomicBool,
    output: OnceLock<Output>,
}

/// A running restore, which ends soon after a cancel.
pub(crate) struct Running<'a>(&'a Interrupt);

/// Handles signals from here on, except those that are ignored already: for example, `nohup`
/// ignores SIGHUP, and `&` in a script ignores SIGINT.
pub(crate) fn watch() -> Interrupt {
    let interrupt = Interrupt(Arc::default());
    let signals = [SIGINT, SIGTERM, SIGHUP];
    let ignored = ignored();
    let heard = signals.iter().filter(|signal| !ignored.contains(signal));
    if interrupt.hear(heard.copied()).is_err() {
        // Without a thread to handle them, signals end the program at once.
        interrupt.0.is_heard.store(true, Ordering::SeqCst);
    }
    interrupt
}

impl Interrupt {
    fn hear(&self, heard: impl Iterator<Item = i32> + Clone) -> io::Result<()> {
        let code = Exit::Interrupted as i32;
        for signal in heard.clone() {
            register_conditional_shutdown(signal, code, Arc::clone(&self.0.is_heard))?;
        }
        let mut signals = Signals::new(heard)?;
        let own = self.clone();
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || signals.forever().for_each(|_| own.stop()))?;
        Ok(())
    }

    /// Writes messages to this output from now on.
    pub(crate) fn says_by(&self, output: &Output) {
        let _ = self.0.output.set(*output);
    }

    /// The first signal cancels this.
    pub(crate) fn cancel(&self) -> &Cancel {
        &self.0.cancel
    }

    /// Checks for a signal. Called before something that may wait, since the last restore may have
    /// been finished when the signal cancelled it.
    ///
    /// # Errors
    /// There was a signal.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        match self.0.cancel.is_cancelled() {
            true => Err(Failure::interrupted()),
            false => Ok(()),
        }
    }

    /// Until the returned value is dropped, a signal cancels the restore and does not end the
    /// program.
    ///
    /// # Errors
    /// There was a signal before.
    pub(crate) fn run(&self) -> Result<Running<'_>, Failure> {
        let mut running = self.0.running.lock();
        self.check()?;
        *running += 1;
        Ok(Running(self))
    }

    fn stop(&self) {
        self.0.is_heard.store(true, Ordering::SeqCst);
        // The lock is held to the end of the program if no restore runs, so that none can begin.
        let running = self.0.running.lock();
        if *running == 0 {
            self.leave(Failure::interrupted());
        }
        self.0.cancel.cancel();
        drop(running);
        self.leave_if_a_write_hangs();
        if let Some(output) = self.0.output.get() {
            let text = "stopping; interrupt once more to stop at once";
            output.remark(text, &json!({ "event": "stopping" }));
        }
    }

    /// Ends the program when a write hangs. The thread that writes holds up its restore, so the
    /// restore can't end in good order: it leaves the same files as a killed program does, and the
    /// next run continues with them.
    fn leave_if_a_write_hangs(&self) {
        let own = self.clone();
        let watch = move || {
            let (mut seen, mut since) = (None, Instant::now());
            loop {
                let waits = output::ended_before_one_that_waits();
                if waits.is_none() || waits != seen {
                    (seen, since) = (waits, Instant::now());
                } else if since.elapsed() >= WRITE_MAX {
                    own.leave(Failure::interrupted());
                }
                thread::sleep(WRITE_CHECK_INTERVAL);
            }
        };
        // If this thread can't be started, the second signal ends the program.
        let _ = thread::Builder::new()
            .name("writes".to_owned())
            .spawn(watch);
    }

    /// Writes why the program ends, without waiting long for a reader, and ends the program. Only
    /// the first thread that calls this does so.
    pub(crate) fn leave(&self, failure: Failure) -> ! {
        if self.0.is_told.swap(true, Ordering::SeqCst) {
            loop {
                thread::park();
            }
        }
        prompt::leave();
        let (done, is_done) = mpsc::channel();
        let own = self.clone();
        let saying = thread::Builder::new().spawn(move || {
            if let Some(output) = own.0.output.get() {
                output.fail(&failure);
            }
            let _ = done.send(());
        });
        if saying.is_ok() {
            let _ = is_done.recv_timeout(SAYING);
        }
        process::exit(Exit::Interrupted as i32);
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        *self.0.0.running.lock() -= 1;
    }
}

/// The signals that this program was started to ignore, as far as the system tells.
fn ignored() -> Vec<i32> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = (status.lines()).find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let bits = mask.unwrap_or_default();
    (1..64)
        .filter(|signal| bits >> (signal - 1) & 1 == 1)
        .collect()
}
