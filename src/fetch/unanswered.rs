//! The longer a lane's first answer is waited for, the more requests are in flight: what a chunk takes to come is not known
//! before, and a distant place would leave the line empty for the time of one answer.

use std::time::{Duration, Instant};

use crate::fetch::dispatcher::Dispatcher;

impl Dispatcher {
    /// Lets the lanes that still wait for their first answer have more requests in flight, if they have waited long enough.
    /// `received` is how many bytes of answers have come so far, from all places.
    pub(super) fn grow_unanswered(&mut self, received: u64, now: Instant) {
        self.has_received |= received > 0;
        for number in 0..self.lanes.len() {
            if self.is_unanswered(number) {
                let waited = self.waited(number, now);
                self.lanes[number].ramp.record_unanswered(waited);
            }
        }
    }

    /// Whether a lane may have more in flight before an answer comes.
    pub(super) fn is_unanswered(&self, lane: usize) -> bool {
        let lane = &self.lanes[lane];
        // Once bytes come, the rest of an answer tells how fast they come, and not how far the place is. Bytes are counted for
        // all places together: the first place that answers ends this for the others too.
        !self.has_received && lane.queued() > 0 && lane.ramp.unanswered_limit().is_some()
    }

    /// How long until a lane may have more in flight, if no answer comes before.
    pub(super) fn next_growth(&self, now: Instant) -> Option<Duration> {
        let lanes = (0..self.lanes.len()).filter(|lane| self.is_unanswered(*lane));
        let growth = lanes.filter_map(|lane| {
            let limit = self.lanes[lane].ramp.unanswered_limit()?;
            Some(limit.saturating_sub(self.waited(lane, now)))
        });
        growth.min()
    }

    /// How long a lane has waited for an answer. To connect takes a while too, and tells nothing of chunks.
    fn waited(&self, lane: usize, now: Instant) -> Duration {
        let sent = self.tasks.values().filter_map(|task| task.sent.as_ref());
        let waited = sent
            .filter(|sent| sent.lane == lane)
            .filter_map(|sent| sent.stage.waited(now));
        waited.max().unwrap_or_default()
    }
}
