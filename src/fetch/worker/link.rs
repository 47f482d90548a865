//! A worker's connection: made, kept alive, replaced and lost.

use std::iter;

use super::{KEEP_ALIVE, RECONNECT_MIN, Worker};
use crate::backend::Connection;
use crate::cancel::Cancel;
use crate::error::FetchError;
use crate::fetch::failure::Failure;

/// A worker's connection, once there is one, and the cancel that ends it.
pub(super) struct Link<'l> {
    pub(super) connection: Option<Box<dyn Connection + 'l>>,
    pub(super) cancel: &'l Cancel,
}

impl<'a> Worker<'a> {
    pub(super) fn is_hung_up(&self, link: &Link<'_>) -> bool {
        link.cancel.is_cancelled() && !self.shared.stop.is_cancelled()
    }

    /// Keeps an idle connection alive. The worker that is kept for urgent jobs makes a new one in place of one that died: with
    /// the last connection to a server its lock on the snapshot would end.
    pub(super) fn keep_connection<'l>(&mut self, link: &mut Link<'l>)
    where
        'a: 'l,
    {
        link.connection.take_if(|open| open.keep_alive().is_err());
        if self.is_urgent {
            self.reconnect_after = match self.connect(link) {
                Ok(_) => RECONNECT_MIN,
                Err(_) => (2 * self.reconnect_after).min(KEEP_ALIVE),
            };
        }
    }

    /// The connection, which is made if there is none.
    pub(super) fn connect<'l, 'c>(
        &self,
        link: &'c mut Link<'l>,
    ) -> Result<&'c mut Box<dyn Connection + 'l>, FetchError>
    where
        'a: 'l,
    {
        match &mut link.connection {
            Some(connection) => Ok(connection),
            none => {
                let source = &self.shared.archive.sources()[self.lane.settings.place];
                Ok(none.insert(source.backend().connect(
                    source.path(),
                    link.cancel,
                    self.rate_limit,
                )?))
            }
        }
    }

    /// Ends the connection when all that was requested over it has come.
    pub(super) fn retire_connection(&mut self, link: &mut Link<'_>) {
        self.decode();
        while link.connection.is_some() && !self.held.is_empty() {
            self.receive(link);
            self.decode();
        }
        link.connection = None;
    }

    /// Answers for all that was in flight: one job with the error itself, the others with its consequence.
    pub(super) fn lose_connection(&mut self, link: &mut Link<'_>, error: FetchError) {
        link.connection = None;
        let undecoded = self.received.as_ref().map(|answer| answer.id);
        let lost: Vec<u64> = (self.held.jobs().map(|job| job.id))
            .filter(|id| Some(*id) != undecoded)
            .collect();
        let error = match error {
            // Whatever it says of being ended.
            _ if self.is_hung_up(link) => {
                self.held.record_hang_up(&lost);
                let message = "the connection was given up: it was far slower than others";
                FetchError::unreachable(message)
            }
            error => error,
        };
        let is_cancelled = matches!(error, FetchError::Cancelled);
        let consequence = || match is_cancelled {
            true => FetchError::Cancelled,
            false => FetchError::unreachable("the connection failed with another request"),
        };
        let errors = iter::once(error).chain(iter::repeat_with(consequence));
        for (id, error) in lost.into_iter().zip(errors) {
            self.held.fail(id, Failure::Connection(error));
        }
    }
}
