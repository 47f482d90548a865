//! What the writer does when nothing comes: it ends connections that are of no use, and in the end the restore. Knows nothing of
//! what is committed.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::error::{Error, ErrorKind, Result, Scope};
use crate::pipeline::retry::name_of;
use crate::pipeline::writer::{Line, Writer};

/// A chunk that takes so many times as long as nine in ten do, and a quarter of the patience with places at the least, is asked
/// for over a new connection.
const SLOW_FACTOR: u32 = 10;
const SLOW_MIN: u32 = 4;

/// Where no chunk has come at all in a half of the patience, the first is asked for over a new connection.
const FIRST_MAX: u32 = 2;

impl Writer<'_> {
    /// Nothing came for so long. Ends connections that are of no use, and the restore when no place gives anything any more.
    pub(super) fn lose_patience(
        &mut self,
        waited: Duration,
        line: &mut Line<'_, '_, '_>,
    ) -> Result<()> {
        let turn = self.arrivals.next_turn();
        if !line.ahead.is_asked(turn) || self.common.settings.throttle.is_holding() {
            return Ok(());
        }
        let bytes = self.common.received_bytes.total();
        self.progress.record_wait(waited, bytes);
        if self.progress.is_over() {
            return Err(self.gave_up(turn, line));
        }
        let patience = self.common.settings.patience;
        match line.race.usual() {
            Some(usual) => {
                let limit = (patience / SLOW_MIN).max(usual.saturating_mul(SLOW_FACTOR));
                line.ahead.hang_up_after(limit);
            }
            // Where nothing has come over any connection, another one is tried, once.
            None => {
                let is_late = self.progress.waited() >= patience / FIRST_MAX;
                if is_late && self.progress.is_first() && !self.tried_another {
                    self.tried_another = true;
                    line.ahead.hang_up_on(turn);
                }
            }
        }
        Ok(())
    }

    /// Why the restore ends when no place gives anything any more.
    fn gave_up(&self, turn: usize, line: &Line<'_, '_, '_>) -> Error {
        let waited = self.progress.waited();
        let since = Timestamp::now() - SignedDuration::try_from(waited).unwrap_or_default();
        let since = since.strftime("%Y-%m-%dT%H:%M:%SZ");
        let seconds = waited.as_secs();
        let of_chunk = |error: Error| match line.ahead.asked(turn) {
            Some((position, chunk)) => error
                .of_chunk(chunk.digest)
                .at_position(position)
                .at_offset(chunk.offset),
            None => error,
        };
        let what = match line.ahead.asked(turn) {
            Some((position, chunk)) => name_of(&chunk, position),
            None => "the next chunk".to_owned(),
        };
        let message = format!(
            "gave up waiting for {what}: for {seconds} s, since {since}, nothing came; the same command goes on from here"
        );
        let error = Error::new(ErrorKind::Unavailable, message).of_scope(Scope::Place);
        of_chunk(match &self.last_failure {
            Some(cause) => error.because(cause.clone()),
            None => error,
        })
    }
}
