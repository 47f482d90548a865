//! A handle that asks a restore to stop, from any thread.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// Asks a restore to stop: clone it, hand one clone to [`Restore::cancel`](crate::Restore::cancel), and call
/// [`cancel`](Cancel::cancel) on the other from any thread.
///
/// A `Cancel` that was cancelled stays cancelled.
///
/// ```
/// let cancel = chunk_restore::Cancel::new();
/// let elsewhere = cancel.clone();
/// elsewhere.cancel();
/// assert!(cancel.is_cancelled());
/// ```
#[derive(Clone, Default)]
pub struct Cancel(Arc<State>);

/// The error of an operation that was asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancelled;

#[derive(Default)]
struct State {
    cancelled: AtomicBool,
    parent: Option<Cancel>,
    /// One signal for a whole family, so that whoever waits on a child wakes when its parent is
    /// cancelled.
    signal: Arc<Signal>,
}

#[derive(Default)]
struct Signal {
    lock: Mutex<()>,
    changed: Condvar,
}

impl Cancel {
    /// A `Cancel` that is not cancelled yet.
    #[must_use]
    pub fn new() -> Cancel {
        Cancel::default()
    }

    /// Cancels this `Cancel` and all its children, and wakes everyone who [`wait`](Cancel::wait)s
    /// for it.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::SeqCst);
        // The lock is taken so that a waiter is either before its check or already waiting: none
        // misses the call.
        drop(self.0.signal.lock.lock());
        self.0.signal.changed.notify_all();
    }

    /// Whether this `Cancel`, or one that it is a child of, was cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::SeqCst)
            || self.0.parent.as_ref().is_some_and(Cancel::is_cancelled)
    }

    /// Waits until it is cancelled, at most for `limit`. Returns whether it was cancelled.
    pub fn wait(&self, limit: Duration) -> bool {
        let deadline = Instant::now().checked_add(limit);
        let mut guard = self.0.signal.lock.lock();
        while !self.is_cancelled() {
            match deadline {
                None => self.0.signal.changed.wait(&mut guard),
                Some(deadline) if Instant::now() >= deadline => return false,
                Some(deadline) => {
                    let _ = self.0.signal.changed.wait_until(&mut guard, deadline);
                }
            }
        }
        true
    }

    /// A child that is also cancelled when this `Cancel` is. Cancelling the child leaves this
    /// `Cancel` alone.
    pub(crate) fn child(&self) -> Cancel {
        Cancel(Arc::new(State {
            cancelled: AtomicBool::new(false),
            parent: Some(self.clone()),
            signal: Arc::clone(&self.0.signal),
        }))
    }
}

impl fmt::Debug for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancel")
            .field("is_cancelled", &self.is_cancelled())
            .finish()
    }
}
