//! What is done when nothing comes: connections that are of no use are ended, and in the end the wait is.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use crate::error::{Error, ErrorKind, Scope};
use crate::fetch::dispatcher::Dispatcher;
use crate::fetch::failure::name_of;
use crate::fetch::task::Want;

/// A chunk that takes so many times as long as nine in ten do, and such a part of the patience at the least, is asked for over a
/// new connection.
const HANG_UP_FACTOR: u32 = 10;
const HANG_UP_PATIENCE_PART: u32 = 4;

/// Where no chunk has come at all in such a part of the patience, the oldest is asked for over a new connection.
const FIRST_PATIENCE_PART: u32 = 2;

impl Dispatcher {
    /// Chunks were waited for so long, and none came. By now so many bytes of all answers have come.
    pub(super) fn record_wait(&mut self, waited: Duration, received: u64, now: Instant) {
        let Some(want) = self.awaited() else {
            return;
        };
        self.progress.record_wait(waited, received);
        if self.progress.is_over() {
            let error = self.gave_up(want);
            return self.give_up(want.ticket, error);
        }
        let patience = self.rules.patience;
        match self.latency.usual() {
            Some(usual) => {
                let part = patience / HANG_UP_PATIENCE_PART;
                self.hang_up_after(part.max(usual.saturating_mul(HANG_UP_FACTOR)), now);
            }
            // Where nothing has come over any connection, another one is tried, once.
            None => {
                let is_late = self.progress.waited() >= patience / FIRST_PATIENCE_PART;
                if is_late && self.progress.is_first() && !self.tried_another {
                    self.tried_another = true;
                    self.hang_up_on(want.ticket);
                }
            }
        }
    }

    /// The oldest want, if it was asked for, or would have been if there were a place for it. If not, it waits for workers
    /// and not for a place.
    fn awaited(&self) -> Option<Want> {
        let task = self.tasks.values().next()?;
        let was_asked = task.sent.is_some() || task.retry_at.is_some();
        let is_anywhere = (0..self.breakers.count()).any(|place| self.breakers.is_closed(place));
        (was_asked || !is_anywhere).then_some(task.want)
    }

    /// Ends the connections over which a chunk has not come for so long, and for twice as long after each time that a
    /// connection was ended for its sake.
    fn hang_up_after(&mut self, limit: Duration, now: Instant) {
        for task in self.tasks.values() {
            let Some(sent) = &task.sent else { continue };
            let limit = limit.saturating_mul(1 << task.hang_ups.min(16));
            if sent.stage.age(now).is_some_and(|age| age > limit)
                && let Some(worker) = sent.stage.worker()
            {
                self.hang_ups.push((sent.lane, worker));
            }
        }
    }

    /// Ends the connection over which a chunk was asked for. One that no worker has requested yet has no connection.
    fn hang_up_on(&mut self, ticket: u64) {
        let sent = self.tasks.get(&ticket).and_then(|task| task.sent.as_ref());
        if let Some((sent, worker)) = sent.and_then(|sent| Some((sent, sent.stage.worker()?))) {
            self.hang_ups.push((sent.lane, worker));
        }
    }

    /// Why a want is given up when no place gives anything any more.
    fn gave_up(&self, want: Want) -> Error {
        let waited = self.progress.waited();
        let since = Timestamp::now() - SignedDuration::try_from(waited).unwrap_or_default();
        let since = since.strftime("%Y-%m-%dT%H:%M:%SZ");
        let seconds = waited.as_secs();
        let chunk = name_of(&want.chunk, want.position);
        let message = format!(
            "gave up waiting for {chunk}: for {seconds} s, since {since}, nothing came; the same command goes on from here"
        );
        let error = Error::new(ErrorKind::Unavailable, message)
            .of_scope(Scope::Place)
            .of_chunk(want.chunk.digest)
            .at_position(want.position)
            .at_offset(want.chunk.offset);
        match &self.last_failure {
            Some(cause) => error.because(cause.clone()),
            None => error,
        }
    }
}
