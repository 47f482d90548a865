//! Threads: started by name, joined, and their panics raised again on the thread that joins them.

use std::panic;
use std::thread::{self, JoinHandle};

use crate::error::{Error, ErrorKind, Result};

/// Threads that end together.
#[derive(Debug, Default)]
pub(crate) struct Threads(Vec<JoinHandle<()>>);

impl Threads {
    /// Starts one more thread.
    ///
    /// # Errors
    /// [`ErrorKind::Resources`] where the system refuses it.
    pub(crate) fn start(
        &mut self,
        name: String,
        work: impl FnOnce() + Send + 'static,
    ) -> Result<()> {
        let message = format!("cannot start the thread {name}; use fewer threads");
        let thread = thread::Builder::new().name(name).spawn(work);
        let thread =
            thread.map_err(|error| Error::new(ErrorKind::Resources, message).because(error))?;
        self.0.push(thread);
        Ok(())
    }

    /// Whether one of the threads has ended.
    pub(crate) fn has_one_ended(&self) -> bool {
        self.0.iter().any(JoinHandle::is_finished)
    }

    /// Waits for all threads, and raises the first panic of one again, unless this thread panics already.
    ///
    /// # Panics
    /// With the panic of a thread.
    pub(crate) fn join(&mut self) {
        let results: Vec<_> = self.0.drain(..).map(JoinHandle::join).collect();
        for result in results {
            if let Err(payload) = result
                && !thread::panicking()
            {
                panic::resume_unwind(payload);
            }
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.join();
    }
}
