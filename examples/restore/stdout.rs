//! Standard output for what is restored there, without a wait that could not be interrupted.

use std::io;
use std::os::fd::AsFd;

use chunk_restore::target::PollWriter;

use crate::failure::Failure;
use crate::interrupt::Interrupt;

/// Standard output as a writer that an interrupt ends, also while nobody reads.
pub(crate) fn writer(interrupt: &Interrupt) -> Result<PollWriter, Failure> {
    // A standard output that was closed when the program began was refused before.
    // `StreamTarget::stdout` could only guess that it was closed.
    let stdout = io::stdout().as_fd().try_clone_to_owned();
    let writer = stdout.and_then(|stdout| PollWriter::new(stdout, interrupt.cancel()));
    writer.map_err(|error| cannot_write(&error))
}

pub(crate) fn cannot_write(error: &io::Error) -> Failure {
    Failure::target("cannot write to standard output", error)
}
