//! Ends a worker's connection from outside, when a chunk does not come over it.

use parking_lot::Mutex;

use crate::cancel::Cancel;

/// Ends the connection that a worker has.
#[derive(Debug, Default)]
pub(super) struct HangUp(Mutex<Option<Cancel>>);

impl HangUp {
    /// From now on the worker uses the connection that this cancel ends.
    pub(super) fn arm(&self, connection: &Cancel) {
        *self.0.lock() = Some(connection.clone());
    }

    /// Ends the connection, if there is one: whatever waits for it ends soon, and the worker makes a new connection.
    pub(super) fn pull(&self) {
        if let Some(connection) = self.0.lock().take() {
            connection.cancel();
        }
    }
}
