//! What the system lets a process have. Knows nothing of what it does with it.

use rustix::process::{Resource, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// As many open files as can be had, for the processes that this one starts too: a server has a socket and a chunk's file
/// open for each of hundreds of connections.
pub(crate) fn allow_many_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where that is not allowed, what needs more will say so.
    let _ = setrlimit(Resource::Nofile, limit);
}

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
