//! What is done when nothing comes: connections that are of no use are ended, and in the end the wait is.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use crate::error::{Error, ErrorKind, Scope};
use crate::fetch::dispatcher::Dispatcher;
use crate::fetch::failure::name_of;
use crate::fetch::task::{Sent, Task, Want};

/// A chunk that takes so many times as long as nine in ten do, and such a part of the patience at the least, is asked for over a
/// new connection.
const HANG_UP_FACTOR: u32 = 10;
const HANG_UP_PATIENCE_PART: u32 = 4;

/// How often connections are looked at while answers come.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Where no chunk has come at all in such a part of the patience, the oldest is asked for over a new connection.
const SILENCE_PATIENCE_PART: u32 = 2;

impl Dispatcher {
    /// Chunks were waited for so long, and none came. By now so many bytes of all answers have come.
    pub(super) fn record_wait(&mut self, waited: Duration, received: u64, now: Instant) {
        let Some(want) = self.awaited() else {
            return;
        };
        self.progress.record_wait(waited, received);
        if self.progress.is_over_since(Duration::ZERO) && self.give_up_overdue() {
            return;
        }
        self.end_slow_connections(now);
        let patience = self.rules.patience;
        // However long chunks took before: where none comes at all, another connection is tried, once until one comes.
        let is_late = self.progress.waited() >= patience / SILENCE_PATIENCE_PART;
        if is_late && !self.progress.tried_another {
            self.progress.tried_another = self.hang_up_on(want.ticket, now);
        }
        self.end_each_connection_once();
    }

    /// Does what [`record_wait`](Dispatcher::record_wait) does about slow connections, from time to time, where answers come all
    /// the while so that nobody ever waits. All answers that have come must have been told of.
    pub(super) fn look_for_slow_connections(&mut self, now: Instant) {
        let is_time = |last: Instant| now.saturating_duration_since(last) >= LOOK_EVERY;
        if self.looked.is_none_or(is_time) {
            self.looked = Some(now);
            self.end_slow_connections(now);
            self.end_each_connection_once();
        }
    }

    fn end_slow_connections(&mut self, now: Instant) {
        if let Some(usual) = self.latency.usual() {
            let part = self.rules.patience / HANG_UP_PATIENCE_PART;
            self.hang_up_after(part.max(usual.saturating_mul(HANG_UP_FACTOR)), now);
        }
    }

    /// The next connection of the same worker is another, whatever the first one carried.
    fn end_each_connection_once(&mut self) {
        self.hang_ups.sort_unstable();
        self.hang_ups.dedup();
    }

    /// Gives up the wants that have waited for as long as there is patience. Says whether there were any.
    fn give_up_overdue(&mut self) -> bool {
        let is_overdue = |task: &&Task| self.progress.is_over_since(task.waited_before);
        let overdue = self.tasks.values().filter(is_overdue);
        let overdue: Vec<Want> = overdue.map(|task| task.want).collect();
        for want in &overdue {
            let error = self.gave_up(*want);
            self.give_up(want.ticket, error);
        }
        !overdue.is_empty()
    }

    /// The oldest want that was asked for. Where there is none, all wait for workers and not for a place; unless no place is
    /// well, or a place still owes an answer that nobody wants any more: then the oldest of all is the one.
    fn awaited(&self) -> Option<Want> {
        let was_asked = |task: &&Task| task.sent.is_some() || task.retry_at.is_some();
        let is_anywhere = (0..self.breakers.count()).any(|place| self.breakers.is_closed(place));
        let waits_for_workers = is_anywhere && self.unwanted.is_empty();
        let oldest = || self.tasks.values().next().filter(|_| !waits_for_workers);
        let task = self.tasks.values().find(was_asked).or_else(oldest)?;
        Some(task.want)
    }

    /// Ends the connections over which a chunk has not come for so long, and for twice as long after each time that a
    /// connection was ended for its sake. Others may wait behind a chunk that nobody wants any more.
    fn hang_up_after(&mut self, limit: Duration, now: Instant) {
        let stalled = |sent: &Sent, limit: Duration| {
            let is_late = sent.stage.age(now).is_some_and(|age| age > limit);
            Some((sent.lane, sent.stage.worker()?)).filter(|_| is_late)
        };
        for task in self.tasks.values_mut() {
            let limit = limit.saturating_mul(1 << task.hang_ups.min(16));
            if let Some(connection) = task.sent.as_ref().and_then(|sent| stalled(sent, limit)) {
                task.is_stalled = true;
                self.hang_ups.push(connection);
            }
        }
        let unwanted = self.unwanted.iter();
        self.hang_ups
            .extend(unwanted.filter_map(|sent| stalled(sent, limit)));
    }

    /// Ends the connection over which a chunk was asked for; where the chunk waits for a worker, the one over which the longest
    /// request is made that may be in the way. Says whether there is one.
    fn hang_up_on(&mut self, ticket: u64, now: Instant) -> bool {
        let sent = self.tasks.get(&ticket).and_then(|task| task.sent.as_ref());
        let in_lane = self.tasks.values().filter_map(|task| {
            let other = task.sent.as_ref()?;
            (other.lane == sent?.lane).then_some(other)
        });
        let in_the_way = (in_lane.chain(&self.unwanted)).max_by_key(|other| other.stage.age(now));
        let connection = |sent: &Sent| Some((sent.lane, sent.stage.worker()?));
        let found = sent.and_then(connection);
        let found = found.or_else(|| in_the_way.and_then(connection));
        self.hang_ups.extend(found);
        found.is_some()
    }

    /// Why a want is given up when no place gives anything any more.
    fn gave_up(&self, want: Want) -> Error {
        let waited = self.progress.waited();
        let since = Timestamp::now() - SignedDuration::try_from(waited).unwrap_or_default();
        let since = since.strftime("%Y-%m-%dT%H:%M:%SZ");
        let seconds = waited.as_secs();
        let chunk = name_of(&want.chunk, want.position);
        let message = format!(
            "gave up waiting for {chunk}: for {seconds} s, since {since}, nothing came; {}",
            self.rules.advice
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
