//! A worker's connection to the chunks of an archive: a session that also checks whether the
//! snapshot is still there when the server says that a chunk is missing.

use std::time::Duration;

use crate::backend::pbs::Pbs;
use crate::backend::pbs::session::Session;
use crate::backend::{Answer, Connection, FetchError, Request};
use crate::cancel::Cancel;
use crate::format::name::SnapshotPath;

pub(super) struct Chunks<'a> {
    pub(super) session: Session,
    pub(super) place: &'a Pbs,
    pub(super) snapshot: SnapshotPath,
    pub(super) cancel: &'a Cancel,
}

impl Connection for Chunks<'_> {
    fn depth(&self) -> usize {
        self.session.depth()
    }

    fn keep_alive(&mut self) -> Result<(), FetchError> {
        self.session.keep_alive()
    }

    fn request(&mut self, request: Request) -> Result<(), FetchError> {
        self.session.request(request)
    }

    fn receive(&mut self) -> Result<Answer, FetchError> {
        let answer = self.session.receive()?;
        Ok(self.looked_into(answer))
    }

    fn receive_within(&mut self, limit: Duration) -> Result<Option<Answer>, FetchError> {
        let answer = self.session.receive_within(limit)?;
        Ok(answer.map(|answer| self.looked_into(answer)))
    }
}

impl Chunks<'_> {
    /// An answer that says that a chunk is missing may mean that the snapshot is.
    fn looked_into(&self, answer: Answer) -> Answer {
        answer.map_err(|error| match error {
            FetchError::Missing => {
                let there = self.place.check_that_it_has(&self.snapshot, self.cancel);
                there.err().unwrap_or(FetchError::Missing)
            }
            error => error,
        })
    }
}
