//! `restore verify`: fetches and checks everything, and writes nothing.

use crate::arguments::Options;
use crate::content::{self, Content};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::job::Job;
use crate::output::Output;
use crate::place;

/// Verification continues after damage, so that all damaged archives are named.
pub(crate) fn run(
    snapshot: &str,
    archives: &[String],
    options: &Options,
    interrupt: &Interrupt,
    output: &Output,
) -> Result<Exit, Failure> {
    let snapshot = place::snapshot(options, snapshot, output)?;
    let names = content::select(&snapshot, archives)?;
    let job = Job::new(options, interrupt, output);
    let mut exit = Exit::Done;
    for name in &names {
        interrupt.check()?;
        match Content::open(&snapshot, name).and_then(|content| job.verify(&content)) {
            Ok(()) => {}
            Err(failure) if failure.exit() == Exit::Integrity => {
                output.fail(&failure);
                exit = Exit::Integrity;
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(exit)
}
