//! Threads that answer the kernel, so that no answer that waits for a chunk holds up another.

use std::thread;

use crossbeam_channel::{Sender, unbounded};

use crate::failure::Failure;

/// How many questions are answered at once. An answer that waits for its chunk holds up only those
/// that come when so many wait already.
const ANSWERS_MAX: usize = 32;

/// Gives an answer. The buffer is the thread's own.
type Job = Box<dyn FnOnce(&mut Vec<u8>) + Send>;

/// Threads that give answers until this is dropped.
#[derive(Debug)]
pub(crate) struct Answers(Sender<Job>);

impl Answers {
    pub(crate) fn start() -> Result<Answers, Failure> {
        let (jobs, receiver) = unbounded::<Job>();
        for _ in 0..ANSWERS_MAX {
            let receiver = receiver.clone();
            let started = thread::Builder::new()
                .name("answers".to_owned())
                .spawn(move || {
                    let mut buffer = Vec::new();
                    receiver.iter().for_each(|job| job(&mut buffer));
                });
            started.map_err(|error| {
                Failure::output("cannot start a thread that answers reads").because(&error)
            })?;
        }
        Ok(Answers(jobs))
    }

    /// Has a thread give an answer. If there is no thread any more, the reply in it is dropped, which
    /// is an I/O error for the program that asked.
    pub(crate) fn give(&self, job: impl FnOnce(&mut Vec<u8>) + Send + 'static) {
        let _ = self.0.send(Box::new(job));
    }
}
