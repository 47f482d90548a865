//! What a test and a server wait for, each for the other. Knows nothing of what has happened.

use std::sync::{Arc, Condvar, Mutex};

use super::lock;

/// Closed until somebody opens it, and then open for ever. All clones are one gate.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    /// A closed one.
    pub fn new() -> Gate {
        Gate::default()
    }

    /// Lets everybody pass.
    pub fn open(&self) {
        let (is_open, opened) = &*self.0;
        *lock(is_open) = true;
        opened.notify_all();
    }

    /// Waits until it is open.
    pub fn wait(&self) {
        let (is_open, opened) = &*self.0;
        let waited = opened.wait_while(lock(is_open), |is_open| !*is_open);
        drop(waited.expect("nobody panics while holding it"));
    }
}

impl PartialEq for Gate {
    fn eq(&self, other: &Gate) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Gate {}
