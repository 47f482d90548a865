//! What the system lets a process have. Knows nothing of what it does with it.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Keeps to the first so many of the cores that it may use; 0 leaves it all of them.
pub(crate) fn keep_to_cores(cores: usize) {
    if cores == 0 {
        return;
    }
    let allowed = sched_getaffinity(None).expect("a process may ask where it runs");
    let mut kept = CpuSet::new();
    for core in (0..CpuSet::MAX_CPU)
        .filter(|core| allowed.is_set(*core))
        .take(cores)
    {
        kept.set(core);
    }
    sched_setaffinity(None, &kept).expect("a process may do with fewer cores");
}
