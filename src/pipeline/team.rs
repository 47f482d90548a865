//! The workers' threads: each starts when there is something for it to do. Knows nothing of what that is.

use std::panic;
use std::thread::{self, Scope, ScopedJoinHandle};

use crate::error::{Error, ErrorKind, Result};

/// A thread, as far as others know it.
type Thread<'scope> = ScopedJoinHandle<'scope, ()>;

pub(super) struct Team<'scope, 'a> {
    /// Starts the worker of a crew that has a number.
    hire: Box<dyn Fn(usize, usize) -> Result<Thread<'scope>> + 'a>,
    threads: Vec<Thread<'scope>>,
    /// How many there are of each crew.
    counts: Vec<usize>,
}

impl<'scope, 'a> Team<'scope, 'a> {
    /// Nobody yet, of so many crews.
    pub(super) fn new(
        crews: usize,
        hire: impl Fn(usize, usize) -> Result<Thread<'scope>> + 'a,
    ) -> Team<'scope, 'a> {
        Team {
            hire: Box::new(hire),
            threads: Vec::new(),
            counts: vec![0; crews],
        }
    }

    /// From now on a crew has so many workers, or more.
    pub(super) fn grow(&mut self, crew: usize, workers: usize) -> Result<()> {
        while self.counts[crew] < workers {
            self.threads.push((self.hire)(crew, self.counts[crew])?);
            self.counts[crew] += 1;
        }
        Ok(())
    }

    /// Whether somebody went before the work was done.
    pub(super) fn lacks_one(&self) -> bool {
        self.threads.iter().any(ScopedJoinHandle::is_finished)
    }

    /// Waits for all of them, and raises their panics again.
    pub(super) fn join(self) {
        self.threads.into_iter().for_each(join);
    }
}

/// Starts a thread.
pub(super) fn start<'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: String,
    work: impl FnOnce() + Send + 'scope,
) -> Result<Thread<'scope>> {
    let message = format!("cannot start the thread {name}; use fewer threads");
    let thread = thread::Builder::new().name(name).spawn_scoped(scope, work);
    thread.map_err(|error| Error::new(ErrorKind::Resources, message).because(error))
}

/// Waits for a thread, and raises its panic again.
pub(super) fn join(thread: Thread<'_>) {
    if let Err(payload) = thread.join() {
        panic::resume_unwind(payload);
    }
}
