//! The connections of a server: their threads, and who must leave when there are too many.

use std::any::Any;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};
use std::thread::{Builder, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::link::Link;

/// The stack of a connection's thread, in bytes.
const STACK_LEN: usize = 512 << 10;

const IN_HANDSHAKE: u8 = 0;
const TRANSMITTING: u8 = 1;
const LEAVING: u8 = 2;

/// One connection, as the thread that accepts connections sees it.
#[derive(Debug)]
pub(super) struct Peer {
    link: Link,
    phase: AtomicU8,
}

impl Peer {
    pub(super) fn link(&self) -> &Link {
        &self.link
    }

    /// Records the end of the handshake. Returns `false` if the connection was closed for another
    /// one meanwhile.
    pub(super) fn record_handshake(&self) -> bool {
        self.leave_handshake(TRANSMITTING)
    }

    fn leave_handshake(&self, next: u8) -> bool {
        let changed = self
            .phase
            .compare_exchange(IN_HANDSHAKE, next, SeqCst, SeqCst);
        changed.is_ok()
    }
}

/// All connections that are open.
pub(super) struct Peers<'scope> {
    /// In the order in which they came.
    open: Vec<Open<'scope>>,
    max: usize,
    /// Each thread of a connection holds a clone, so that the channel is closed when all have
    /// ended.
    alive: Sender<()>,
    ended: Receiver<()>,
}

struct Open<'scope> {
    peer: Arc<Peer>,
    thread: ScopedJoinHandle<'scope, ()>,
}

/// The payload of a thread that panicked.
pub(super) type Panic = Box<dyn Any + Send>;

impl<'scope> Peers<'scope> {
    pub(super) fn new(max: usize) -> Peers<'scope> {
        let (alive, ended) = bounded(0);
        Peers {
            open: Vec::new(),
            max,
            alive,
            ended,
        }
    }

    /// Makes room for one more connection: if there are too many, the oldest one whose handshake is
    /// not over yet is closed. Says whether there is room now.
    ///
    /// A client that reads is never closed for another, and one that shakes hands needs
    /// milliseconds. So a crowd of clients that connect and say nothing locks nobody out for long.
    pub(super) fn make_room(&mut self) -> Result<Room, Panic> {
        self.reap()?;
        if self.open.len() < self.max {
            return Ok(Room::Free);
        }
        let leaves = |open: &Open<'_>| open.peer.leave_handshake(LEAVING);
        let Some(position) = self.open.iter().position(leaves) else {
            return Ok(Room::None);
        };
        let open = self.open.remove(position);
        open.peer.link.stop();
        // A thread in a handshake waits for its client alone, so it ends at once.
        open.thread.join()?;
        Ok(Room::Made)
    }

    /// Starts a thread for a connection. If that fails, the connection is closed.
    pub(super) fn start<'env>(
        &mut self,
        scope: &'scope Scope<'scope, 'env>,
        socket: OwnedFd,
        serve: impl FnOnce(&Peer) + Send + 'scope,
    ) -> io::Result<()> {
        let peer = Arc::new(Peer {
            link: Link::new(socket)?,
            phase: AtomicU8::new(IN_HANDSHAKE),
        });
        let (its_own, alive) = (Arc::clone(&peer), self.alive.clone());
        let thread = Builder::new()
            .name("nbd".to_owned())
            .stack_size(STACK_LEN)
            .spawn_scoped(scope, move || {
                serve(&its_own);
                drop(alive);
            })?;
        self.open.push(Open { peer, thread });
        Ok(())
    }

    /// Forgets the connections that have ended.
    pub(super) fn reap(&mut self) -> Result<(), Panic> {
        let is_over = |open: &mut Open<'_>| open.thread.is_finished();
        self.open
            .extract_if(.., is_over)
            .try_for_each(|open| open.thread.join())
    }

    /// Ends all connections: no further request is read, the outstanding ones may be answered for a
    /// while, and then everything stops.
    pub(super) fn end(mut self, limit: Duration) -> Result<(), Panic> {
        for open in &self.open {
            open.peer.link.drain();
        }
        drop(self.alive);
        // Nobody sends anything: this waits until the last thread has dropped its sender.
        let _ = self.ended.recv_deadline(Instant::now() + limit);
        for open in &self.open {
            open.peer.link.stop();
        }
        let threads = self.open.drain(..).map(|open| open.thread.join());
        // All threads have ended before a panic is raised.
        let results: Vec<_> = threads.collect();
        results.into_iter().collect()
    }
}

/// Whether there is room for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    Free,
    /// Another connection was closed for it.
    Made,
    None,
}
