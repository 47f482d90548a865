//! The wants that the dispatcher keeps: they come, become urgent, and are taken back.

use std::time::Instant;

use crate::fetch::dispatcher::Dispatcher;
use crate::fetch::job::Urgency;
use crate::fetch::task::{Task, Want};

impl Dispatcher {
    /// Asks for a chunk. The ticket must be of no other want that is not settled.
    pub(super) fn want(&mut self, want: Want) {
        if want.urgency == Urgency::Now {
            self.urgent.insert(want.ticket);
        }
        self.fresh.insert((want.urgency, want.ticket));
        let task = Task::new(want, self.progress.total());
        self.tasks.insert(want.ticket, task);
    }

    /// Takes a want back: it will not be settled. Workers that have begun with it go on for nothing, as they do after a
    /// hedged request.
    #[cfg(test)]
    pub(super) fn forget(&mut self, ticket: u64) {
        if let Some(task) = self.remove(ticket) {
            self.discard(task);
        }
    }

    /// Takes a want back, unless a worker has begun with it. Says whether it did.
    pub(super) fn forget_queued(&mut self, ticket: u64) -> bool {
        let Some(task) = self.tasks.get(&ticket) else {
            return false;
        };
        let is_queued = match &task.sent {
            // The withdrawn job stays with its lane until the lane is swept.
            Some(sent) => sent.stage.withdraw(),
            None => task.retry_at.is_none(),
        };
        if !is_queued {
            return false;
        }
        if let Some(task) = self.remove(ticket)
            && let Some(sent) = task.sent
        {
            self.lanes[sent.lane].has_unwanted = true;
            // Its first request was counted, and is not made.
            self.asked -= usize::from(task.attempt == 1);
        }
        true
    }

    /// Somebody waits for a chunk that was wanted ahead: it overtakes what no worker has begun with.
    pub(super) fn hurry(&mut self, ticket: u64) {
        let Some(task) =
            (self.tasks.get_mut(&ticket)).filter(|task| task.want.urgency == Urgency::Ahead)
        else {
            return;
        };
        task.want.urgency = Urgency::Now;
        // Whoever waits now has the whole patience.
        task.waited_before = self.progress.total();
        self.urgent.insert(ticket);
        if task.retry_at.is_some() {
            // What is asked for again is urgent already.
            return;
        }
        let withdrawn = task.sent.take_if(|sent| sent.stage.withdraw());
        if let Some(sent) = withdrawn {
            self.lanes[sent.lane].has_unwanted = true;
            // Its request was counted already.
            self.asked -= 1;
            self.fresh.insert((Urgency::Now, ticket));
        } else if self.fresh.remove(&(Urgency::Ahead, ticket)) {
            self.fresh.insert((Urgency::Now, ticket));
        } else if let Some(sent) = &task.sent {
            sent.stage.hurry();
        }
    }

    /// A place is left aside: what waits for its workers may be asked for elsewhere.
    pub(super) fn withdraw_from(&mut self, place: usize, now: Instant) {
        for task in self.tasks.values_mut() {
            let sent = task
                .sent
                .take_if(|sent| sent.place == place && sent.stage.withdraw());
            if let Some(sent) = sent {
                task.failed.insert(place);
                task.retry_at = Some(now);
                self.retries.insert(task.want.ticket);
                self.lanes[sent.lane].has_unwanted = true;
            }
        }
    }

    /// Takes a want out of the books.
    pub(super) fn remove(&mut self, ticket: u64) -> Option<Task> {
        let task = self.tasks.remove(&ticket)?;
        self.urgent.remove(&ticket);
        self.fresh.remove(&(task.want.urgency, ticket));
        self.retries.remove(&ticket);
        Some(task)
    }

    /// Nobody waits for the requests of a task any more.
    pub(super) fn discard(&mut self, task: Task) {
        for sent in task.sent.into_iter().chain(task.hedge) {
            if sent.stage.withdraw() {
                self.lanes[sent.lane].has_unwanted = true;
            } else {
                sent.stage.discard();
                self.unwanted.push(sent);
            }
        }
    }
}
