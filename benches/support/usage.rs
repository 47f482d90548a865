//! What this process takes of the machine: CPU time and memory. Knows nothing of what for.

#![allow(dead_code, reason = "each bench uses a part of it")]

use std::fs;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// CPU time so far, of all threads, in the kernel too.
pub(crate) fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32).as_secs_f64()
}

/// Lets the peak begin anew, and gives the bytes of memory that are taken now.
pub(crate) fn begin_peak() -> u64 {
    // Where that can't be done, it remains that of the whole process.
    let _ = fs::write("/proc/self/clear_refs", "5");
    resident("VmRSS:")
}

/// Bytes of memory that this process took at the most since then.
pub(crate) fn peak() -> u64 {
    resident("VmHWM:")
}

fn resident(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap_or_default() << 10
}
