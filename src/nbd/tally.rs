//! Counts what a server did.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a server has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerReport {
    /// How many connections are open now, those in the handshake too.
    pub connections: u64,
    /// How many connections were accepted, those that are closed by now too.
    pub connections_total: u64,
    /// How many connections were closed because there were too many.
    pub turned_away: u64,
    /// How many requests were received in all: reads, and also questions for extents and hints.
    pub requests: u64,
    /// How many requests were answered with an error.
    pub failures: u64,
    /// How many bytes of data were sent. Zeros that a client was only told of don't count.
    pub bytes: u64,
}

/// The counters behind a [`ServerReport`].
#[derive(Debug, Default)]
pub(super) struct Tally {
    connections: AtomicU64,
    connections_total: AtomicU64,
    turned_away: AtomicU64,
    requests: AtomicU64,
    failures: AtomicU64,
    bytes: AtomicU64,
}

/// Counts a connection as open for as long as this lives.
pub(super) struct OpenConnection<'a>(&'a Tally);

impl Tally {
    pub(super) fn record_connection(&self) -> OpenConnection<'_> {
        self.connections.fetch_add(1, Relaxed);
        self.connections_total.fetch_add(1, Relaxed);
        OpenConnection(self)
    }

    pub(super) fn record_turned_away(&self) {
        self.turned_away.fetch_add(1, Relaxed);
    }

    pub(super) fn record_request(&self) {
        self.requests.fetch_add(1, Relaxed);
    }

    pub(super) fn record_failure(&self) {
        self.failures.fetch_add(1, Relaxed);
    }

    pub(super) fn record_bytes(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn report(&self) -> ServerReport {
        ServerReport {
            connections: self.connections.load(Relaxed),
            connections_total: self.connections_total.load(Relaxed),
            turned_away: self.turned_away.load(Relaxed),
            requests: self.requests.load(Relaxed),
            failures: self.failures.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
        }
    }
}

impl Drop for OpenConnection<'_> {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Relaxed);
    }
}
