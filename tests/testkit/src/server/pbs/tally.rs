//! Counts what a PBS does. Knows nothing of how.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::server::listen::Door;
use crate::server::lock;

/// What a PBS has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// TCP connections, those that failed too.
    pub connections: u64,
    /// TCP connections that are open now.
    pub open_connections: u64,
    /// Connections whose ClientHello came too late.
    pub late_hellos: u64,
    /// Tickets given out, renewals too.
    pub logins: u64,
    /// Answers with 401, those to chunk requests too, unless they are planned faults.
    pub refused: u64,
    /// Lists of snapshots, groups and namespaces.
    pub listings: u64,
    /// Reader sessions that were opened.
    pub sessions: u64,
    /// Reader sessions that are open now.
    pub open_sessions: u64,
    /// Chunk requests.
    pub chunk_requests: u64,
    /// Bytes of chunks that were answered as they are stored.
    pub chunk_bytes: u64,
    /// The most chunk requests that waited for their answer at once, over all sessions.
    pub max_streams: u64,
    /// RST_STREAM frames that clients sent.
    pub rst_streams: u64,
    /// PING frames that clients sent, without the acknowledgements.
    pub pings: u64,
}

/// How a reader session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEnd {
    /// The client sent GOAWAY and close_notify.
    Clean,
    /// The client sent close_notify without GOAWAY.
    CloseNotify,
    /// The client closed the connection without close_notify.
    Fin,
    /// The client reset the connection, of which PBS logs a failed task. Closing a socket with something unread does it too.
    Reset,
    /// The server ended it, by a fault or because the client broke the rules.
    ByServer,
}

#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) logins: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) listings: AtomicU64,
    pub(crate) sessions: AtomicU64,
    pub(crate) open_sessions: AtomicU64,
    pub(crate) chunk_requests: AtomicU64,
    pub(crate) chunk_bytes: AtomicU64,
    pub(crate) streams: AtomicU64,
    pub(crate) max_streams: AtomicU64,
    pub(crate) rst_streams: AtomicU64,
    pub(crate) pings: AtomicU64,
    ends: Mutex<Vec<SessionEnd>>,
}

impl Tally {
    pub(crate) fn counts(&self, door: &Door) -> Counts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts {
            connections: door.faults.count(&()),
            open_connections: read(&door.open),
            late_hellos: read(&door.late_hellos),
            logins: read(&self.logins),
            refused: read(&self.refused),
            listings: read(&self.listings),
            sessions: read(&self.sessions),
            open_sessions: read(&self.open_sessions),
            chunk_requests: read(&self.chunk_requests),
            chunk_bytes: read(&self.chunk_bytes),
            max_streams: read(&self.max_streams),
            rst_streams: read(&self.rst_streams),
            pings: read(&self.pings),
        }
    }

    pub(crate) fn add(count: &AtomicU64, n: u64) {
        count.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn ended(&self, end: SessionEnd) {
        lock(&self.ends).push(end);
    }

    pub(crate) fn ends(&self) -> Vec<SessionEnd> {
        lock(&self.ends).clone()
    }
}
