//! What this process holds of the machine, over time, and whether that grows. Knows nothing of what for.

use std::fmt;
use std::fs;
use std::time::Duration;

use crate::support::usage::{begin_peak, peak};

const MIB: f64 = (1 << 20) as f64;

/// What is held between two restores, and at the most during the one before.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Census {
    peak: u64,
    resident: u64,
    descriptors: u64,
    threads: u64,
}

impl Census {
    /// Counts, and lets the peak begin anew.
    pub(crate) fn take() -> Census {
        let peak = peak();
        Census {
            peak,
            resident: begin_peak(),
            descriptors: entries("/proc/self/fd"),
            threads: entries("/proc/self/task"),
        }
    }
}

impl fmt::Display for Census {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mebibytes = |bytes: u64| bytes as f64 / MIB;
        write!(
            f,
            "{:.1} MiB resident, {:.1} at the most, {} descriptors, {} threads",
            mebibytes(self.resident),
            mebibytes(self.peak),
            self.descriptors,
            self.threads
        )
    }
}

/// All that was counted, and when.
#[derive(Debug, Default)]
pub(crate) struct History(Vec<(Duration, Census)>);

impl History {
    pub(crate) fn add(&mut self, at: Duration, census: Census) {
        self.0.push((at, census));
    }

    /// What was held in the second tenth of the time, when all is warm, and in the last one: the median of memory, which goes
    /// up and down with what each restore was, and the most of all else.
    pub(crate) fn early_and_late(&self) -> (Census, Census) {
        let end = self.0.last().map_or(Duration::ZERO, |(at, _)| *at);
        let usual = |first: u32, last: u32| {
            let range = end * first / 10..=end * last / 10;
            let within = self.0.iter().filter(|(at, _)| range.contains(at));
            let sorted = |of: fn(&Census) -> u64| {
                let mut values: Vec<u64> = within.clone().map(|(_, census)| of(census)).collect();
                values.sort_unstable();
                values
            };
            let median = |values: Vec<u64>| values.get(values.len() / 2).copied();
            let most = |values: Vec<u64>| values.last().copied();
            Census {
                peak: median(sorted(|census| census.peak)).unwrap_or_default(),
                resident: median(sorted(|census| census.resident)).unwrap_or_default(),
                descriptors: most(sorted(|census| census.descriptors)).unwrap_or_default(),
                threads: most(sorted(|census| census.threads)).unwrap_or_default(),
            }
        };
        (usual(1, 2), usual(9, 10))
    }
}

/// Whether no more is held at the end than at the start: a tenth of memory is noise, a descriptor or a thread is not.
pub(crate) fn is_flat(early: Census, late: Census) -> bool {
    let is_near = |early: u64, late: u64| late * 10 <= early * 11;
    is_near(early.resident, late.resident)
        && is_near(early.peak, late.peak)
        && early.descriptors == late.descriptors
        && early.threads == late.threads
}

fn entries(folder: &str) -> u64 {
    fs::read_dir(folder).map_or(0, |entries| entries.count() as u64)
}
